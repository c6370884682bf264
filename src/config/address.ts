// Addresses of hast.conf(5): the forms and defaults of HAST's proto_tcp.c and proto_uds.c.
//   [tcp|tcp4|tcp6]://host[:port]   a name, an IPv4 address, or an IPv6 address in [ ]
//   host[:port]                     the same as tcp://; an IPv6 address without [ ] has no port
//   unix://path  uds://path  /path  a unix socket
// Schemes in any case. Nothing is resolved here. Ports are 0..65535; 0 lets the kernel choose.
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { errorClass } from '../base/errors.js';
import { shown } from './finding.js';

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      /** 4 and 6 restrict the family; 0 takes the first that resolves. */
      readonly family: 0 | 4 | 6;
      /** Without brackets. */
      readonly host: string;
      readonly port: number;
    };

export type AddressFault = { code: 'ADDRESS_INVALID'; address: string; why: string };

export const AddressError = errorClass<AddressFault>('AddressError', {
  ADDRESS_INVALID: (f) => `${f.address} is not an address: ${f.why}`,
});

/** HAST's port (hast.h). */
export const PORT_DEFAULT = 8457;
/** The port registered for NBD. */
export const NBD_PORT_DEFAULT = 10_809;
const PORT_MAX = 65_535;
const HOST_CHARACTERS_MAX = 253;
/** sun_path of unix(7) less its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;

// A check of an IPv6 address also finds an IPv4 one that is mapped into it.
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Reads an address; without a port it gets `portDefault`. Error ADDRESS_INVALID. */
export function addressOf(text: string, portDefault: number = PORT_DEFAULT): Address {
  const fail = (why: string) =>
    new AddressError({ code: 'ADDRESS_INVALID', address: shown(text), why });
  const [, scheme, rest = ''] = /^(?:([A-Za-z0-9]+):\/\/)?(.*)$/s.exec(text) ?? [];
  const name = scheme?.toLowerCase() ?? (rest.startsWith('/') ? 'unix' : 'tcp');
  if (name === 'unix' || name === 'uds') {
    const fault = socketPathFault(rest);
    if (fault !== null) throw fail(fault);
    return { kind: 'unix', path: rest };
  }
  const families: Readonly<Record<string, 0 | 4 | 6>> = { tcp: 0, tcp4: 4, tcp6: 6 };
  const family = Object.hasOwn(families, name) ? families[name] : undefined;
  if (family === undefined) throw fail(`the scheme ${name} is none of tcp, tcp4, tcp6, unix, uds`);
  const { host, port: portText } = splitPort(rest);
  const port = portText === null ? portDefault : Number(portText);
  if (portText !== null && (!/^[0-9]{1,5}$/.test(portText) || port > PORT_MAX)) {
    throw fail(`the port ${JSON.stringify(portText)} is not a number of 0..${PORT_MAX}`);
  }
  const fault = hostFault(host, family);
  if (fault !== null) throw fail(fault);
  return { kind: 'tcp', family, host, port };
}

/** The canonical text: the scheme always, the port always, IPv6 in brackets. */
export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix://${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `tcp${address.family === 0 ? '' : address.family}://${host}:${address.port}`;
}

/** True when nothing beyond this machine can be reached through it (RFC 1122, RFC 4291). */
export function isLoopback(address: Address): boolean {
  if (address.kind === 'unix') return true;
  const { host } = address;
  if (isIPv4(host)) return LOOPBACK.check(host, 'ipv4');
  return isIPv6(host) ? LOOPBACK.check(host, 'ipv6') : host.toLowerCase() === 'localhost';
}

function socketPathFault(path: string): string | null {
  if (!path.startsWith('/')) return 'the path of a unix socket begins with /';
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    return `the path of a unix socket has at most ${SOCKET_PATH_BYTES_MAX} bytes (unix(7))`;
  }
  return null;
}

/** Cuts the port off; `null` where none is written. */
function splitPort(text: string): { host: string; port: string | null } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
  if (bracketed) return { host: bracketed[1] ?? '', port: bracketed[2] ?? null };
  const colon = text.indexOf(':');
  const single = colon >= 0 && colon === text.lastIndexOf(':');
  if (!single) return { host: text, port: null };
  return { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

function hostFault(host: string, family: 0 | 4 | 6): string | null {
  if (host === '') return 'the host is missing; write a name or an IP address';
  const v4 = isIPv4(host);
  const v6 = isIPv6(host);
  if (v4 && family === 6) return 'tcp6 needs an IPv6 address; write tcp4 or tcp';
  if (v6 && family === 4) return 'tcp4 needs an IPv4 address; write tcp6 or tcp';
  if (v4 || v6) return null;
  if (host.includes(':'))
    return 'this is no IPv6 address; with a port it is written [address]:port';
  if (/^[0-9.]+$/.test(host)) return 'this is no IPv4 address of four numbers 0..255';
  const name = /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/;
  if (host.length > HOST_CHARACTERS_MAX || !name.test(host)) {
    return 'a host name has letters, digits, dots and hyphens';
  }
  return null;
}
