// Dials a peer: TCP, then TLS 1.3 with the resource's pre-shared key. The identity sent in clear
// is the resource's name. Plain TCP only when asked for (`insecure on`). Times are milliseconds.
import { type Socket, connect as tcpConnect } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Clock } from '../base/clock.js';
import { codeOf } from '../base/errors.js';
import { parseTcpAddress, showAddress, type TcpAddress } from './address.js';
import { NetError } from './faults.js';
import { PSK_CIPHERS } from './psk.js';
import { socketStream } from './socket-stream.js';
import type { ByteStream } from './stream.js';

export type DialSecurity =
  | { readonly kind: 'psk'; readonly resource: string; readonly secret: Uint8Array }
  | { readonly kind: 'plain' };

export interface DialOptions {
  /** tcp://host:port. */
  readonly remote: string;
  /** Local address to dial from, or null. */
  readonly source: string | null;
  /** For TCP and TLS together. */
  readonly timeoutMs: number;
  readonly security: DialSecurity;
}

export interface DialMachinery {
  readonly clock: Clock;
  /** Gives up with PEER_ABORTED. */
  readonly signal?: AbortSignal;
}

/** A connected stream. Errors PEER_UNREACHABLE, _TIMEOUT, _ABORTED, _WRONG_KEY,
 * _UNKNOWN_RESOURCE, _NOT_TLS, _CLOSED, _BAD_ADDRESS. */
export async function dialPeer(
  options: DialOptions,
  { clock, signal }: DialMachinery,
): Promise<ByteStream> {
  const { host, port, family } = parseTcpAddress(options.remote);
  const address = showAddress(host, port);
  const from = options.source === null ? null : parseTcpAddress(options.source, 0);
  if (signal?.aborted) throw new NetError({ code: 'PEER_ABORTED', address });
  const tcp = tcpConnect({ host, port, family, noDelay: true, ...sourceOf(from) });
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  signal?.addEventListener('abort', onAbort);
  let doing = 'connecting';
  const connecting = async (): Promise<ByteStream> => {
    await settled(tcp, 'connect').catch((cause: unknown) => {
      const errno = codeOf(cause) ?? 'unknown error';
      throw new NetError({ code: 'PEER_UNREACHABLE', address, errno }, { cause });
    });
    if (options.security.kind === 'plain') return socketStream(tcp, tcp);
    doing = 'agreeing on a key';
    return secure(tcp, address, options.security);
  };
  const expiring = clock.sleep(options.timeoutMs, stop.signal).then((): never => {
    if (signal?.aborted) throw new NetError({ code: 'PEER_ABORTED', address });
    throw new NetError({
      code: 'PEER_TIMEOUT',
      address,
      seconds: options.timeoutMs / 1000,
      doing,
    });
  });
  try {
    return await Promise.race([connecting(), expiring]);
  } catch (error) {
    // The loser of the race may fail later; its socket is gone and nobody waits for it.
    tcp.on('error', () => {});
    tcp.destroy();
    throw error;
  } finally {
    expiring.catch(() => {});
    signal?.removeEventListener('abort', onAbort);
    stop.abort();
  }
}

function sourceOf(from: TcpAddress | null): { localAddress?: string; localPort?: number } {
  if (from === null) return {};
  return { localAddress: from.host, ...(from.port === 0 ? {} : { localPort: from.port }) };
}

async function secure(
  tcp: Socket,
  address: string,
  security: Extract<DialSecurity, { kind: 'psk' }>,
): Promise<ByteStream> {
  const { resource, secret } = security;
  const socket: TLSSocket = tlsConnect({
    socket: tcp,
    ciphers: PSK_CIPHERS,
    minVersion: 'TLSv1.3',
    pskCallback: () => ({ psk: secret, identity: resource }),
    checkServerIdentity: () => undefined, // the key is the identity: there is no certificate
  });
  try {
    await settled(socket, 'secureConnect');
  } catch (cause) {
    socket.on('error', () => {});
    throw explained(cause, address, resource);
  }
  return socketStream(socket, tcp);
}

/** What a failed handshake means. A key that differs shows as alert 47 (RFC 8446 section 4.2.11:
 * the binder does not verify), a name without a key as alert 40: the other side has no certificate
 * to fall back to. Both were measured with Node 20. */
function explained(cause: unknown, address: string, resource: string) {
  const errno = codeOf(cause) ?? 'unknown error';
  if (errno === 'ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER') {
    return new NetError({ code: 'PEER_WRONG_KEY', address, resource }, { cause });
  }
  if (errno === 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE') {
    return new NetError({ code: 'PEER_UNKNOWN_RESOURCE', address, resource }, { cause });
  }
  if (errno.startsWith('ERR_SSL_')) {
    return new NetError({ code: 'PEER_NOT_TLS', address, errno }, { cause });
  }
  const why = `${errno} while agreeing on a key`;
  return new NetError({ code: 'PEER_CLOSED', address, why }, { cause });
}

/** Resolves at the event; rejects at an error or an early close. Leaves no listener behind. */
function settled(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      socket.off(event, done);
      socket.off('error', failed);
      socket.off('close', closed);
    };
    const done = (): void => {
      leave();
      resolve();
    };
    const failed = (error: unknown): void => {
      leave();
      reject(error);
    };
    const closed = (): void => failed(null);
    socket.on(event, done);
    socket.on('error', failed);
    socket.on('close', closed);
  });
}
