// Replies on their way out: simple ones and the chunks of structured ones gather in one buffer and
// leave in one socket write per batch (proto.md, "Simple reply message", "Structured reply chunk
// message"). Guarantees: every buffer is owned by exactly one of the pool, the caller, this object
// and the socket, and goes back to the pool when the kernel has it; after the socket is gone
// replies vanish. How much may wait here is the caller's limit: see `unsentBytes`.
import { assert } from '../base/assert.js';
import type { StatusRun } from '../disk/disk.js';
import { type BufferPool, HEAD_BYTES } from './buffers.js';
import { CHUNK_HEAD_BYTES, DATA_HEAD_BYTES, REPLY_BYTES, SIMPLE_REPLY_MAGIC } from './protocol.js';
import {
  ChunkWriter,
  ERROR_OFFSET_CHUNK_BYTES,
  HOLE_CHUNK_BYTES,
  statusChunkBytes,
} from './structured.js';

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

/** The request that is answered: its cookie, opaque. */
export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

export class Replies {
  readonly #socket: ReplySocket;
  readonly #pool: BufferPool;
  readonly #onWritten: () => void;
  readonly #writer = new ChunkWriter();
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

  /** A simple reply without data; `error` is 0 or an NBD error. */
  plain({ cookieHigh, cookieLow }: Cookie, error: number): void {
    const batch = this.#room(REPLY_BYTES);
    writeSimple(batch, this.#batchBytes, cookieHigh, cookieLow, error);
    this.#batchBytes += REPLY_BYTES;
  }

  /** The simple reply to a READ: `buffer` is of the pool, its data behind HEAD_BYTES of room. */
  data({ cookieHigh, cookieLow }: Cookie, buffer: Buffer, length: number): void {
    writeSimple(buffer, HEAD_BYTES - REPLY_BYTES, cookieHigh, cookieLow, 0);
    this.#withData(buffer, REPLY_BYTES, length);
  }

  /** OFFSET_DATA; as `data`. `length` is not 0. */
  dataChunk(cookie: Cookie, buffer: Buffer, offset: number, length: number, done: boolean): void {
    this.#writerAt(cookie, buffer, HEAD_BYTES - DATA_HEAD_BYTES).dataHead(offset, length, done);
    this.#withData(buffer, DATA_HEAD_BYTES, length);
  }

  /** OFFSET_HOLE; `length` is not 0. */
  holeChunk(cookie: Cookie, offset: number, length: number, done: boolean): void {
    this.#chunk(cookie, HOLE_CHUNK_BYTES, (writer) => writer.hole(offset, length, done));
  }

  /** ERROR_OFFSET, or ERROR where no place is known. */
  errorChunk(cookie: Cookie, error: number, offset: number | null, done: boolean): void {
    this.#chunk(cookie, ERROR_OFFSET_CHUNK_BYTES, (writer) => writer.error(error, offset, done));
  }

  /** NONE: the end of a reply that says nothing else. */
  noneChunk(cookie: Cookie): void {
    this.#chunk(cookie, CHUNK_HEAD_BYTES, (writer) => writer.none());
  }

  /** BLOCK_STATUS of one context; its runs must fit a batch. */
  statusChunk(cookie: Cookie, context: number, runs: readonly StatusRun[], done: boolean): void {
    const bytes = statusChunkBytes(runs.length);
    this.#chunk(cookie, bytes, (writer) => writer.status(context, runs, done));
  }

  /** Sends what has gathered. */
  flush(): void {
    if (this.#batch === null || this.#batchBytes === 0) return;
    const [batch, bytes] = [this.#batch, this.#batchBytes];
    this.#batch = null;
    this.#batchBytes = 0;
    this.#send(batch, 0, bytes);
  }

  /** A chunk without data, of at most `bytesMax`. */
  #chunk(cookie: Cookie, bytesMax: number, write: (writer: ChunkWriter) => void): void {
    const batch = this.#room(bytesMax);
    write(this.#writerAt(cookie, batch, this.#batchBytes));
    this.#batchBytes = this.#writer.at;
  }

  #writerAt({ cookieHigh, cookieLow }: Cookie, into: Buffer, at: number): ChunkWriter {
    const writer = this.#writer;
    writer.into = into;
    writer.at = at;
    writer.cookieHigh = cookieHigh;
    writer.cookieLow = cookieLow;
    return writer;
  }

  /** A reply whose head ends where the data begins, in a buffer of its own. */
  #withData(buffer: Buffer, headBytes: number, length: number): void {
    const [from, bytes] = [HEAD_BYTES - headBytes, headBytes + length];
    if (length > COPIED_BYTES_MAX) {
      this.flush();
      this.#send(buffer, from, from + bytes);
      return;
    }
    const batch = this.#room(bytes);
    buffer.copy(batch, this.#batchBytes, from, from + bytes);
    this.#batchBytes += bytes;
    this.#pool.give(buffer);
  }

  #room(bytes: number): Buffer {
    assert(bytes <= BATCH_BYTES, 'a reply without its data fits a batch');
    if (this.#batchBytes + bytes > BATCH_BYTES) this.flush();
    this.#batch ??= this.#pool.take(BATCH_BYTES);
    return this.#batch;
  }

  #send(buffer: Buffer, from: number, to: number): void {
    if (this.#socket.destroyed) {
      this.#pool.give(buffer);
      return;
    }
    this.#leaving.push(buffer);
    this.#socket.write(buffer.subarray(from, to), this.#written);
  }
}

function writeSimple(into: Buffer, at: number, high: number, low: number, error: number): void {
  into.writeUInt32BE(SIMPLE_REPLY_MAGIC, at);
  into.writeUInt32BE(error, at + 4);
  into.writeUInt32BE(high, at + 8);
  into.writeUInt32BE(low, at + 12);
}
