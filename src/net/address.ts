// Addresses of peers as hast.conf(5) writes them: tcp://HOST:PORT, tcp4://, tcp6://, or without a
// scheme; HOST is a name, an IPv4 address or an IPv6 address in brackets. Default port 8457, as
// FreeBSD HAST. Pure.
import { isIP } from 'node:net';
import { NetError } from './faults.js';

export const PEER_PORT_DEFAULT = 8457;

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
  /** 4 or 6 when the scheme says so, 0: either. */
  readonly family: 0 | 4 | 6;
}

const SHAPE = /^(?:(tcp|tcp4|tcp6):\/\/)?(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/i;

/** Reads an address; `portDefault` is 0 for a source address. Error PEER_BAD_ADDRESS. */
export function parseTcpAddress(text: string, portDefault = PEER_PORT_DEFAULT): TcpAddress {
  // An unbracketed IPv6 address cannot carry a port (HAST's proto_tcp.c).
  const bare = text.replace(/^tcp6?:\/\//i, '');
  if (isIP(bare) === 6) return { host: bare, port: portDefault, family: 6 };
  const match = SHAPE.exec(text);
  if (!match) throw bad(text, 'is not a TCP address');
  const [, scheme = 'tcp', bracketed, plain, portText] = match;
  const host = bracketed ?? plain ?? '';
  if (bracketed !== undefined && isIP(bracketed) !== 6)
    throw bad(text, 'has no IPv6 address in []');
  const port = portText === undefined ? portDefault : Number(portText);
  if (port > 65_535) throw bad(text, `port ${port} is more than 65535`);
  const family = scheme.toLowerCase() === 'tcp4' ? 4 : scheme.toLowerCase() === 'tcp6' ? 6 : 0;
  if (isIP(host) !== 0 && family !== 0 && isIP(host) !== family) {
    throw bad(text, `is not an IPv${family} address`);
  }
  return { host, port, family };
}

const bad = (address: string, why: string) =>
  new NetError({ code: 'PEER_BAD_ADDRESS', address, why });

/** host:port for people, brackets where needed. */
export const showAddress = (host: string, port: number): string =>
  isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;

/** True when only this machine can reach the address: then no secret is asked for. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
