// What can go wrong between two addresses, before anybody speaks the peer protocol: addresses,
// secrets, TCP, TLS. `address` is text for people (host:port). Codes and remedies:
// hast-protocol(7). Times are seconds.
import { errorClass, type HastError } from '../base/errors.js';

export type NetFault =
  | { code: 'PEER_BAD_ADDRESS'; address: string; why: string }
  | { code: 'PEER_UNREACHABLE'; address: string; errno: string }
  | { code: 'PEER_TIMEOUT'; address: string; seconds: number; doing: string }
  | { code: 'PEER_ABORTED'; address: string }
  | { code: 'PEER_CLOSED'; address: string; why: string }
  | { code: 'PEER_WRONG_KEY'; address: string; resource: string }
  | { code: 'PEER_UNKNOWN_RESOURCE'; address: string; resource: string }
  | { code: 'PEER_NOT_TLS'; address: string; errno: string }
  | { code: 'PEER_TOO_MANY'; address: string; connectionsMax: number }
  | { code: 'LISTEN_FAILED'; address: string; errno: string }
  | { code: 'SECRET_UNREADABLE'; path: string; errno: string }
  | { code: 'SECRET_EXPOSED'; path: string; mode: string }
  | { code: 'SECRET_MALFORMED'; path: string; why: string }
  | { code: 'SECRET_EXISTS'; path: string };

export const NetError = errorClass<NetFault>('NetError', {
  PEER_BAD_ADDRESS: (f) =>
    `address ${f.address}: ${f.why} (write tcp://HOST:PORT, an IPv6 address in brackets)`,
  PEER_UNREACHABLE: (f) =>
    `cannot reach ${f.address}: ${f.errno} (is hastd running there, does "listen" there name ` +
    'this address, does a firewall let it through?)',
  PEER_TIMEOUT: (f) =>
    `${f.address}: nothing came for ${f.seconds} seconds while ${f.doing} ` +
    '(is the link up? a slow one may need a larger "timeout")',
  PEER_ABORTED: (f) => `${f.address}: connecting was given up on request`,
  PEER_CLOSED: (f) => `the connection with ${f.address} ended: ${f.why}`,
  PEER_WRONG_KEY: (f) =>
    `${f.address}, resource ${f.resource}: the secret here and there differ ` +
    '(copy the key file of one node to the other)',
  PEER_UNKNOWN_RESOURCE: (f) =>
    `${f.address} takes no encrypted connection for resource ${f.resource}: there it has ` +
    'another name, or no "secret"',
  PEER_NOT_TLS: (f) =>
    `${f.address} does not answer with TLS (${f.errno}): it is not hastd, or something in ` +
    'between changes what is sent',
  PEER_TOO_MANY: (f) =>
    `${f.address}: refused, ${f.connectionsMax} connections that have not said who they are ` +
    'are open already',
  LISTEN_FAILED: (f) =>
    `cannot listen on ${f.address}: ${f.errno} (is another hastd running, is the address ` +
    'one of this machine?)',
  SECRET_UNREADABLE: (f) =>
    `${f.path}: cannot read the secret: ${f.errno} ` +
    `(copy the key of the other node; hastctl keygen ${f.path} makes the first one)`,
  SECRET_EXPOSED: (f) =>
    `${f.path}: mode ${f.mode} lets others read the secret (chmod 600 ${f.path})`,
  SECRET_MALFORMED: (f) =>
    `${f.path}: not a secret: ${f.why} (64 hexadecimal digits on one line; ` +
    `hastctl keygen ${f.path} makes one)`,
  SECRET_EXISTS: (f) => `${f.path}: exists already and is left as it is (remove it first)`,
});

/** True for a fault that may pass by itself, so that dialling again makes sense. */
export function mayPass(error: HastError): boolean {
  return TRANSIENT.has(error.fault.code);
}

const TRANSIENT: ReadonlySet<string> = new Set([
  'PEER_UNREACHABLE',
  'PEER_TIMEOUT',
  'PEER_CLOSED',
  'PEER_TOO_MANY',
]);
