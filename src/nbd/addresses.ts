// Where the export listens, and what can be wrong with that. Pure.
import { isIP } from 'node:net';
import { errorClass } from '../base/errors.js';

/** A unix socket, open to its owner and, where given, to one group; or TCP on this host only. */
export type NbdAddress =
  | { readonly kind: 'unix'; readonly path: string; readonly gid?: number }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export type ListenFault =
  | { code: 'NBD_ADDRESS_IN_USE'; address: string }
  | { code: 'NBD_LISTEN_FAILED'; address: string; errno: string }
  | { code: 'NBD_NOT_LOOPBACK'; address: string }
  | { code: 'NBD_PATH_NOT_A_SOCKET'; path: string }
  | { code: 'NBD_PATH_TOO_LONG'; path: string; bytesMax: number };

export const ListenError = errorClass<ListenFault>('ListenError', {
  NBD_ADDRESS_IN_USE: (f) => `${f.address}: another program is serving there; stop it first`,
  NBD_LISTEN_FAILED: (f) => `${f.address}: cannot listen for NBD clients: ${f.errno}`,
  NBD_NOT_LOOPBACK: (f) =>
    `${f.address}: NBD has no password, so it is offered on loopback only ` +
    '(use 127.0.0.1, ::1 or a unix socket)',
  NBD_PATH_NOT_A_SOCKET: (f) => `${f.path}: exists and is not a socket; move it away`,
  NBD_PATH_TOO_LONG: (f) => `${f.path}: longer than the ${f.bytesMax} bytes of a socket's path`,
});

/** For people and logs. */
export function addressText(address: NbdAddress): string {
  if (address.kind === 'unix') return address.path;
  return isIP(address.host) === 6
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}

/** Loopback by number or by the one name that is never anything else (RFC 6761 §6.3). */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
