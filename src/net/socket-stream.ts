// ByteStream over a TCP or TLS socket. Reads ahead by a bounded amount, then lets TCP hold the
// other side; a write resolves when the kernel has taken it. Counters are bytes of TCP.
import type { Socket } from 'node:net';
import { codeOf } from '../base/errors.js';
import { type Deferred, deferred } from '../base/sync.js';
import { showAddress } from './address.js';
import { NetError } from './faults.js';
import type { ByteStream } from './stream.js';

/** Bytes read ahead of the reader. */
const READ_AHEAD_BYTES_MAX = 512 * 1024;

export const remoteOf = (socket: Socket): string =>
  showAddress(socket.remoteAddress ?? 'unknown', socket.remotePort ?? 0);

/** Wraps a connected `socket`; `tcp` is the socket below it that counts bytes (itself if plain). */
export function socketStream(socket: Socket, tcp: Socket): ByteStream {
  return new SocketStream(socket, tcp);
}

class SocketStream implements ByteStream {
  readonly remote: string;
  readonly #socket: Socket;
  readonly #tcp: Socket;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #fault: string | null = null;
  #readable: Deferred<void> | null = null;
  #writable: Deferred<void> | null = null;
  readonly #gone: Deferred<void> = deferred();

  constructor(socket: Socket, tcp: Socket) {
    this.remote = remoteOf(tcp);
    this.#socket = socket;
    this.#tcp = tcp;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Uint8Array) => this.#arrived(bytes));
    socket.on('end', () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on('drain', () => this.#wakeWriter());
    socket.on('error', (error) => this.#failed(codeOf(error) ?? error.message));
    socket.on('close', () => {
      if (!this.#ended) this.#failed('the connection was cut');
      this.#wake();
      this.#wakeWriter();
      this.#gone.resolve();
    });
    // TLS reports some failures on the socket below only; without a listener they end the process.
    if (tcp !== socket) tcp.on('error', (error) => this.#failed(codeOf(error) ?? error.message));
  }

  get bytesIn(): number {
    return this.#tcp.bytesRead;
  }

  get bytesOut(): number {
    return this.#tcp.bytesWritten;
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes) {
        this.#queuedBytes -= bytes.length;
        if (this.#queuedBytes < READ_AHEAD_BYTES_MAX / 2) this.#socket.resume();
        return bytes;
      }
      if (this.#fault !== null) throw this.#closed(this.#fault);
      if (this.#ended) return null;
      this.#readable ??= deferred();
      await this.#readable.promise;
    }
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    this.#checkWritable();
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
    while (this.#socket.writableNeedDrain) {
      this.#writable ??= deferred();
      await this.#writable.promise;
      this.#checkWritable();
    }
  }

  end(): Promise<void> {
    if (this.#socket.destroyed) return this.#gone.promise;
    this.#socket.resume();
    this.#socket.destroySoon();
    return this.#gone.promise;
  }

  destroy(why: string): void {
    this.#failed(why);
    this.#socket.destroy();
    this.#tcp.destroy();
  }

  #arrived(bytes: Uint8Array): void {
    if (this.#fault !== null || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes >= READ_AHEAD_BYTES_MAX) this.#socket.pause();
    this.#wake();
  }

  #failed(why: string): void {
    this.#fault ??= why;
    this.#wake();
    this.#wakeWriter();
  }

  #checkWritable(): void {
    if (this.#fault !== null) throw this.#closed(this.#fault);
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      throw this.#closed('the other side has ended it');
    }
  }

  #closed(why: string) {
    return new NetError({ code: 'PEER_CLOSED', address: this.remote, why });
  }

  #wake(): void {
    this.#readable?.resolve();
    this.#readable = null;
  }

  #wakeWriter(): void {
    this.#writable?.resolve();
    this.#writable = null;
  }
}
