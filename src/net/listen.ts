// Waits for peers on one address. One port serves resources with and without a secret: the first
// byte tells a TLS handshake (22, RFC 8446 section 5.1) from a plain peer message; which of the
// two a resource takes is decided where its name is known. Guarantee: at most
// HALF_OPEN_CONNECTIONS_MAX connections that have not said who they are, each for a bounded time.
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { codeOf, describeError, type HastError } from '../base/errors.js';
import { parseTcpAddress, showAddress } from './address.js';
import { NetError } from './faults.js';
import { PSK_CIPHERS } from './psk.js';
import { remoteOf, socketStream } from './socket-stream.js';
import type { ByteStream } from './stream.js';

export const HALF_OPEN_CONNECTIONS_MAX = 64;
/** First byte, and then the TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 20_000;
const TLS_HANDSHAKE_BYTE = 0x16;

export interface Incoming {
  readonly stream: ByteStream;
  /** The resource whose key the peer has proved to hold; null: a plain connection. */
  readonly identity: string | null;
}

export interface ListenOptions {
  /** tcp://host:port; port 0 takes a free one. */
  readonly address: string;
  readonly handshakeTimeoutMs?: number;
}

export interface ListenMachinery {
  /** The secret of a resource, or null when there is none of that name with a secret. */
  secretOf(resource: string): Uint8Array | null;
  /** Takes over the stream; settles when the peer has said who it is (or never will): until then
   * the connection counts as half open. */
  connected(incoming: Incoming): Promise<void>;
  /** A connection that did not come to that; for the log. */
  refused(error: HastError): void;
}

export interface PeerListener {
  /** host:port as bound. */
  readonly address: string;
  readonly port: number;
  /** Stops listening and drops half-open connections; streams taken over stay. */
  close(): Promise<void>;
}

/** Listens. Errors PEER_BAD_ADDRESS, LISTEN_FAILED. */
export async function listenForPeers(
  options: ListenOptions,
  machinery: ListenMachinery,
): Promise<PeerListener> {
  const { host, port, family } = parseTcpAddress(options.address);
  const door = new Door(machinery, options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS);
  const server = createServer({ noDelay: true }, (socket) => door.knock(socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const errno = codeOf(cause) ?? cause.message;
      const address = showAddress(host, port);
      reject(new NetError({ code: 'LISTEN_FAILED', address, errno }, { cause }));
    });
    server.listen({ host, port, ipv6Only: family === 6 }, resolve);
  });
  server.on('error', (cause) => {
    const fault = { code: 'LISTEN_FAILED', address: options.address } as const;
    machinery.refused(new NetError({ ...fault, errno: codeOf(cause) ?? cause.message }, { cause }));
  });
  const bound = boundPort(server);
  return {
    address: showAddress(host, bound),
    port: bound,
    close: async () => {
      server.close(); // its event waits for streams that are not ours any more
      door.close();
    },
  };
}

function boundPort(server: Server): number {
  const bound = server.address();
  return bound !== null && typeof bound === 'object' ? bound.port : 0;
}

/** Between accept(2) and a stream with a known identity. */
class Door {
  readonly #machinery: ListenMachinery;
  readonly #timeoutMs: number;
  readonly #tls: TlsServer;
  /** Half-open TCP sockets by remote address: how a TLS socket finds the one below it. */
  readonly #waiting = new Map<string, Socket>();
  readonly #identities = new WeakMap<TLSSocket, string>();

  constructor(machinery: ListenMachinery, timeoutMs: number) {
    this.#machinery = machinery;
    this.#timeoutMs = timeoutMs;
    this.#tls = createTlsServer({
      ciphers: PSK_CIPHERS,
      minVersion: 'TLSv1.3',
      handshakeTimeout: timeoutMs,
      pskCallback: (socket, identity) => {
        this.#identities.set(socket, identity);
        return machinery.secretOf(identity);
      },
    });
    this.#tls.on('secureConnection', (socket) => this.#secured(socket));
    this.#tls.on('tlsClientError', (error, socket) => this.#failed(error, socket));
  }

  knock(socket: Socket): void {
    const address = remoteOf(socket);
    socket.on('error', ignore);
    if (this.#waiting.size >= HALF_OPEN_CONNECTIONS_MAX) {
      socket.destroy();
      const connectionsMax = HALF_OPEN_CONNECTIONS_MAX;
      this.#machinery.refused(new NetError({ code: 'PEER_TOO_MANY', address, connectionsMax }));
      return;
    }
    this.#waiting.set(address, socket);
    socket.once('close', () => this.#forget(address, socket));
    socket.setTimeout(this.#timeoutMs, () => {
      socket.destroy();
      this.#timedOut(address, 'waiting for its first byte');
    });
    socket.once('readable', () => {
      socket.setTimeout(0);
      const first: unknown = socket.read(1);
      if (!(first instanceof Uint8Array)) return void socket.destroy(); // it ended at once
      socket.unshift(first);
      if (first[0] === TLS_HANDSHAKE_BYTE) return void this.#tls.emit('connection', socket);
      this.#hand(socket, socket, null);
    });
  }

  close(): void {
    for (const socket of this.#waiting.values()) socket.destroy();
    this.#waiting.clear();
  }

  #secured(socket: TLSSocket): void {
    const address = remoteOf(socket);
    const tcp = this.#waiting.get(address);
    const identity = this.#identities.get(socket);
    // A resumed session brings no identity: we hand out no tickets worth resuming.
    if (!tcp || identity === undefined) return void socket.destroy();
    this.#hand(socket, tcp, identity);
  }

  #timedOut(address: string, doing: string): void {
    const seconds = this.#timeoutMs / 1000;
    this.#machinery.refused(new NetError({ code: 'PEER_TIMEOUT', address, seconds, doing }));
  }

  #forget(address: string, socket: Socket): void {
    if (this.#waiting.get(address) === socket) this.#waiting.delete(address);
  }

  #hand(socket: Socket, tcp: Socket, identity: string | null): void {
    const stream = socketStream(socket, tcp);
    const address = stream.remote;
    this.#machinery
      .connected({ stream, identity })
      .catch((error: unknown) => stream.destroy(describeError(error)))
      .finally(() => this.#forget(address, tcp));
  }

  #failed(cause: Error, socket: TLSSocket): void {
    const address = remoteOf(socket);
    const resource = this.#identities.get(socket) ?? '(no name given)';
    const errno = codeOf(cause) ?? cause.message;
    socket.destroySoon(); // after the alert that tells the other side why
    if (errno === 'ERR_TLS_HANDSHAKE_TIMEOUT') this.#timedOut(address, 'agreeing on a key');
    else this.#machinery.refused(explained(cause, errno, address, resource));
  }
}

const ignore = (): void => {};

function explained(cause: Error, errno: string, address: string, resource: string) {
  if (errno === 'ERR_SSL_BINDER_DOES_NOT_VERIFY') {
    return new NetError({ code: 'PEER_WRONG_KEY', address, resource }, { cause });
  }
  if (errno === 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM') {
    return new NetError({ code: 'PEER_UNKNOWN_RESOURCE', address, resource }, { cause });
  }
  if (errno.startsWith('ERR_SSL_')) {
    return new NetError({ code: 'PEER_NOT_TLS', address, errno }, { cause });
  }
  const why = `${errno} while agreeing on a key`;
  return new NetError({ code: 'PEER_CLOSED', address, why }, { cause });
}
