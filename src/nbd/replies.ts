// Replies on their way out: simple replies gather in one buffer and leave in one socket write per
// batch (proto.md, "Simple reply message"). Guarantees: every buffer is owned by exactly one of the
// pool, the caller, this object and the socket, and goes back to the pool when the kernel has it;
// after the socket is gone replies vanish. How much may wait here is the caller's limit: see
// `unsentBytes`.
import { assert } from '../base/assert.js';
import type { BufferPool } from './buffers.js';
import { REPLY_BYTES, SIMPLE_REPLY_MAGIC } from './protocol.js';

/** One batch of replies, without the head that every pooled buffer has. */
export const BATCH_BYTES = 256 * 1024;
/** Data up to this is copied into the batch; above, a second write is cheaper than the copy. */
export const COPIED_BYTES_MAX = 16 * 1024;

/** What this needs of net.Socket. */
export interface ReplySocket {
  readonly destroyed: boolean;
  readonly writableLength: number;
  write(bytes: Uint8Array, written: () => void): boolean;
}

export class Replies {
  readonly #socket: ReplySocket;
  readonly #pool: BufferPool;
  readonly #onWritten: () => void;
  #batch: Buffer | null = null;
  #batchBytes = 0;
  /** Buffers the socket holds, in the order of its writes. */
  readonly #leaving: Buffer[] = [];
  readonly #written = (): void => {
    const buffer = this.#leaving.shift();
    assert(buffer !== undefined, 'every write has its buffer');
    this.#pool.give(buffer);
    this.#onWritten();
  };

  /** `onWritten` is called, never from within a call of this object, when a write is through. */
  constructor(socket: ReplySocket, pool: BufferPool, onWritten: () => void) {
    this.#socket = socket;
    this.#pool = pool;
    this.#onWritten = onWritten;
  }

  /** Bytes of replies that the kernel has not taken. */
  get unsentBytes(): number {
    return this.#batchBytes + this.#socket.writableLength;
  }

  /** A reply without data; `error` is 0 or an NBD error. */
  plain(cookieHigh: number, cookieLow: number, error: number): void {
    const batch = this.#room(REPLY_BYTES);
    writeHeader(batch, this.#batchBytes, cookieHigh, cookieLow, error);
    this.#batchBytes += REPLY_BYTES;
  }

  /** The reply to a READ: `buffer` is of the pool, and has the data behind REPLY_BYTES of room. */
  data(cookieHigh: number, cookieLow: number, buffer: Buffer, length: number): void {
    writeHeader(buffer, 0, cookieHigh, cookieLow, 0);
    if (length > COPIED_BYTES_MAX) {
      this.flush();
      this.#send(buffer, REPLY_BYTES + length);
      return;
    }
    const batch = this.#room(REPLY_BYTES + length);
    buffer.copy(batch, this.#batchBytes, 0, REPLY_BYTES + length);
    this.#batchBytes += REPLY_BYTES + length;
    this.#pool.give(buffer);
  }

  /** Sends what has gathered. */
  flush(): void {
    if (this.#batch === null || this.#batchBytes === 0) return;
    const [batch, bytes] = [this.#batch, this.#batchBytes];
    this.#batch = null;
    this.#batchBytes = 0;
    this.#send(batch, bytes);
  }

  #room(bytes: number): Buffer {
    if (this.#batchBytes + bytes > BATCH_BYTES) this.flush();
    this.#batch ??= this.#pool.take(BATCH_BYTES);
    return this.#batch;
  }

  #send(buffer: Buffer, bytes: number): void {
    if (this.#socket.destroyed) {
      this.#pool.give(buffer);
      return;
    }
    this.#leaving.push(buffer);
    this.#socket.write(buffer.subarray(0, bytes), this.#written);
  }
}

function writeHeader(into: Buffer, at: number, high: number, low: number, error: number): void {
  into.writeUInt32BE(SIMPLE_REPLY_MAGIC, at);
  into.writeUInt32BE(error, at + 4);
  into.writeUInt32BE(high, at + 8);
  into.writeUInt32BE(low, at + 12);
}
