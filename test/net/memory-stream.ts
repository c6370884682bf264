// Two ends of an in-memory connection, for tests and the simulator: same backpressure, end and cut
// as a socket, with promises only (no timers, no streams), so that a seed decides every order.
import { type Deferred, deferred } from '../../src/base/sync.js';
import { NetError } from '../../src/net/faults.js';
import type { ByteStream } from '../../src/net/stream.js';

/** Bytes one direction holds before its writer waits. */
export const MEMORY_STREAM_BYTES_DEFAULT = 256 * 1024;

export interface MemoryStreamOptions {
  readonly capacityBytes?: number;
  /** Names of the two ends, for people. */
  readonly names?: readonly [string, string];
}

/** Two connected ends; what one writes the other reads. */
export function memoryStreamPair(options: MemoryStreamOptions = {}): [ByteStream, ByteStream] {
  const capacityBytes = options.capacityBytes ?? MEMORY_STREAM_BYTES_DEFAULT;
  const [nameA, nameB] = options.names ?? ['memory-a', 'memory-b'];
  const [there, back] = [new Pipe(capacityBytes), new Pipe(capacityBytes)];
  return [new MemoryStream(nameB, there, back), new MemoryStream(nameA, back, there)];
}

/** One direction: a bounded queue with one reader. */
class Pipe {
  readonly #capacityBytes: number;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #cut: string | null = null;
  #changed: Deferred<void> = deferred();
  passedBytes = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  get open(): boolean {
    return !this.#ended && this.#cut === null;
  }

  async push(pieces: readonly Uint8Array[], peer: string): Promise<void> {
    this.#check(peer);
    if (this.#ended) throw closed(peer, 'it was ended here');
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.#queue.push(piece);
      this.#queuedBytes += piece.length;
      this.passedBytes += piece.length;
    }
    this.#wake();
    while (this.#queuedBytes > this.#capacityBytes) {
      await this.#changed.promise;
      this.#check(peer);
    }
  }

  async pull(peer: string): Promise<Uint8Array | null> {
    for (;;) {
      this.#check(peer);
      const piece = this.#queue.shift();
      if (piece) {
        this.#queuedBytes -= piece.length;
        this.#wake();
        return piece;
      }
      if (this.#ended) return null;
      await this.#changed.promise;
    }
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  cut(why: string): void {
    this.#cut ??= why;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#wake();
  }

  async drained(): Promise<void> {
    while (this.#queuedBytes > 0) await this.#changed.promise;
  }

  #check(peer: string): void {
    if (this.#cut !== null) throw closed(peer, this.#cut);
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }
}

const closed = (address: string, why: string) =>
  new NetError({ code: 'PEER_CLOSED', address, why });

class MemoryStream implements ByteStream {
  readonly remote: string;
  readonly #out: Pipe;
  readonly #in: Pipe;

  constructor(remote: string, out: Pipe, input: Pipe) {
    this.remote = remote;
    this.#out = out;
    this.#in = input;
  }

  get bytesIn(): number {
    return this.#in.passedBytes;
  }

  get bytesOut(): number {
    return this.#out.passedBytes;
  }

  read(): Promise<Uint8Array | null> {
    return this.#in.pull(this.remote);
  }

  write(pieces: readonly Uint8Array[]): Promise<void> {
    return this.#out.push(pieces, this.remote);
  }

  /** Both directions end: like a socket that is not left half open. */
  async end(): Promise<void> {
    this.#out.end();
    await this.#out.drained();
    this.#in.cut('it was ended here');
  }

  destroy(why: string): void {
    this.#in.cut(why);
    this.#out.cut(this.#out.open ? 'cut by the other side' : why);
  }
}
