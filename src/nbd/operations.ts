// Carries out admitted requests on the Disk and answers them. Guarantees: each request is answered
// once, and only when the disk says so; FUA is a write and then a flush (W3); what the disk does in
// the call makes no promise and no closure; what it does later is counted in `inFlight` and
// `inFlightBytes` until its answer stands among the replies. Admission (how much may be in flight)
// is the caller's: see `hasRoom`. Offsets and lengths are bytes.
import { assert } from '../base/assert.js';
import type { Disk } from '../disk/disk.js';
import type { BufferPool } from './buffers.js';
import type { Counters } from './counters.js';
import type { OperationLimits } from './limits.js';
import { COMMAND, COMMAND_FLAG, NBD_ERROR, REPLY_BYTES } from './protocol.js';
import type { Replies } from './replies.js';
import { nbdErrorOf, type Request } from './requests.js';

export interface OperationParts {
  readonly disk: Disk;
  readonly replies: Replies;
  readonly pool: BufferPool;
  readonly counters: Counters;
  readonly limits: OperationLimits;
  /** The disk failed a request. */
  readonly onFailure: (operation: string, offset: number, error: unknown) => void;
  /** Something left `inFlight`; its reply waits for a flush of the replies. */
  readonly onSettled: () => void;
}

/** A write some of whose pieces the disk still has. */
interface OpenWrite {
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly fua: boolean;
  readonly length: number;
  pieces: number;
  error: number;
  /** All of the payload has been given to the disk. */
  complete: boolean;
}

export class Operations {
  readonly #parts: OperationParts;
  #inFlight = 0;
  #inFlightBytes = 0;
  /** Of the write whose payload is arriving. */
  #error = 0;
  #open: OpenWrite | null = null;

  constructor(parts: OperationParts) {
    this.#parts = parts;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether a request, or a piece, that holds `bytes` may begin now (W5). */
  hasRoom(bytes: number): boolean {
    const { limits, replies } = this.#parts;
    if (this.#inFlight >= limits.inFlightMax) return false;
    const unsentBytes = replies.unsentBytes;
    if (unsentBytes > limits.unsentBytesMax) return false;
    const heldBytes = this.#inFlightBytes + unsentBytes;
    return heldBytes === 0 || heldBytes + bytes <= limits.heldBytesMax;
  }

  /** READ. The data lands behind the room for its reply's header; large data stays there. */
  read(request: Request): void {
    const { disk, replies, pool } = this.#parts;
    const { cookieHigh, cookieLow, offset, length } = request;
    const buffer = pool.take(length);
    const settle = (): void => {
      this.#parts.counters.reads += 1;
      replies.data(cookieHigh, cookieLow, buffer, length);
    };
    const fail = (error: unknown): void => {
      pool.give(buffer);
      this.#parts.counters.readErrors += 1;
      this.#refuse(cookieHigh, cookieLow, 'read', offset, error);
    };
    try {
      const sooner = disk.read(offset, buffer.subarray(REPLY_BYTES, REPLY_BYTES + length));
      if (sooner === 'done') settle();
      else this.#track(sooner, length, settle, fail);
    } catch (error) {
      fail(error);
    }
  }

  /** Before the first piece of a write's payload. */
  beginWrite(): void {
    assert(this.#open === null && this.#error === 0, 'one payload arrives at a time');
  }

  /** True once a piece has failed: the rest of the payload need not be written. */
  get writeFailed(): boolean {
    return this.#error !== 0 || (this.#open !== null && this.#open.error !== 0);
  }

  /** One piece of the payload of `request`, as PayloadCutter cuts it. */
  writePiece(request: Request, offset: number, piece: Uint8Array): void {
    try {
      const sooner = this.#parts.disk.write(offset, piece);
      if (sooner !== 'done') this.#trackPiece(request, offset, piece.length, sooner);
    } catch (error) {
      this.#error = this.#failed('write', offset, error);
    }
  }

  /** The last piece is written, or the payload has been skipped after an error. */
  endWrite(request: Request): void {
    const { cookieHigh, cookieLow, length, fua } = request;
    const [open, error] = [this.#open, this.#error];
    this.#open = null;
    this.#error = 0;
    if (open === null) {
      this.#concludeWrite(cookieHigh, cookieLow, fua, length, error);
      return;
    }
    open.complete = true;
    if (open.error === 0) open.error = error;
    if (open.pieces === 0) this.#concludeOpen(open);
  }

  /** FLUSH, TRIM or WRITE_ZEROES. */
  command(request: Request): void {
    const { disk, counters } = this.#parts;
    const { type, offset, length, cookieHigh, cookieLow } = request;
    const flush = type === COMMAND.FLUSH;
    const { fua } = request;
    const mayPunch = (request.flags & COMMAND_FLAG.NO_HOLE) === 0;
    const run = async (): Promise<void> => {
      if (flush) return await disk.flush();
      if (type === COMMAND.TRIM) await disk.trim(offset, length);
      else await disk.zero(offset, length, mayPunch);
      if (fua) await disk.flush();
    };
    const settle = (): void => {
      if (flush) counters.flushes += 1;
      else counters.deletes += 1;
      this.#parts.replies.plain(cookieHigh, cookieLow, NBD_ERROR.NONE);
    };
    const fail = (error: unknown): void => {
      if (flush) counters.flushErrors += 1;
      else counters.deleteErrors += 1;
      const name = flush ? 'flush' : type === COMMAND.TRIM ? 'trim' : 'zero';
      this.#refuse(cookieHigh, cookieLow, name, offset, error);
    };
    this.#track(run(), 0, settle, fail);
  }

  /** The disk took a copy, so the receive buffer may be overwritten while this goes on. */
  #trackPiece(request: Request, offset: number, bytes: number, promise: Promise<void>): void {
    this.#open ??= {
      cookieHigh: request.cookieHigh,
      cookieLow: request.cookieLow,
      fua: request.fua,
      length: request.length,
      pieces: 0,
      error: 0,
      complete: false,
    };
    const open = this.#open;
    open.pieces += 1;
    const settle = (): void => {
      open.pieces -= 1;
      if (open.complete && open.pieces === 0) this.#concludeOpen(open);
    };
    this.#track(promise, bytes, settle, (error) => {
      open.error = this.#failed('write', offset, error);
      settle();
    });
  }

  #concludeOpen(open: OpenWrite): void {
    this.#concludeWrite(open.cookieHigh, open.cookieLow, open.fua, open.length, open.error);
  }

  /** Answers a write whose pieces are all done; `error` is the first of theirs, or 0. */
  #concludeWrite(high: number, low: number, fua: boolean, length: number, error: number): void {
    const { counters, replies } = this.#parts;
    if (error !== 0) {
      counters.writeErrors += 1;
      replies.plain(high, low, error);
      return;
    }
    if (!fua) {
      counters.writes += 1;
      counters.writtenBytes += length;
      replies.plain(high, low, NBD_ERROR.NONE);
      return;
    }
    // In this order: what is flushed has been written, every piece of it (W3).
    const settle = (): void => this.#concludeWrite(high, low, false, length, NBD_ERROR.NONE);
    const flushed = (async () => await this.#parts.disk.flush())();
    this.#track(flushed, 0, settle, (cause) => {
      this.#concludeWrite(high, low, false, length, this.#failed('flush', 0, cause));
    });
  }

  /** Holds one place in flight until `promise` has settled and been answered. */
  #track(
    promise: Promise<void>,
    bytes: number,
    settle: () => void,
    fail: (error: unknown) => void,
  ): void {
    this.#inFlight += 1;
    this.#inFlightBytes += bytes;
    const leave = (): void => {
      this.#inFlight -= 1;
      this.#inFlightBytes -= bytes;
    };
    // Whoever throws in here has broken an assertion: the rejection stays unhandled on purpose.
    void promise
      .then(
        () => {
          leave();
          settle();
        },
        (error: unknown) => {
          leave();
          fail(error);
        },
      )
      .then(this.#parts.onSettled);
  }

  #failed(operation: string, offset: number, error: unknown): number {
    const number = nbdErrorOf(error);
    this.#parts.onFailure(operation, offset, error);
    return number;
  }

  #refuse(high: number, low: number, operation: string, offset: number, error: unknown): void {
    this.#parts.replies.plain(high, low, this.#failed(operation, offset, error));
  }
}
