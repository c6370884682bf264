// WRITE, in the pieces its payload is cut into. Guarantees: each request is answered once, and only
// when the disk has every piece; FUA is the write and then a flush (W3); what the disk does in the
// call makes no promise and no closure. Offsets and lengths are bytes.
import { kept, type OpenRequest, type Operations } from './operations.js';
import { NBD_ERROR } from './protocol.js';
import { placeOf, type Request } from './requests.js';

/** A write some of whose pieces the disk still has. */
interface OpenWrite {
  readonly request: OpenRequest;
  readonly fua: boolean;
  pieces: number;
  error: number;
  errorOffset: number;
  /** All of the payload has been given to the disk. */
  complete: boolean;
}

export class Writes {
  readonly #operations: Operations;
  /** Of the write whose payload is arriving. */
  #error = 0;
  #errorOffset = 0;
  #open: OpenWrite | null = null;

  constructor(operations: Operations) {
    this.#operations = operations;
  }

  /** True once a piece has failed: the rest of the payload need not be written. */
  get failed(): boolean {
    return this.#error !== 0 || (this.#open !== null && this.#open.error !== 0);
  }

  /** One piece of the payload of `request`, as PayloadCutter cuts it. */
  piece(request: Request, offset: number, piece: Uint8Array): void {
    try {
      const sooner = this.#operations.parts.disk.write(offset, piece);
      if (sooner !== 'done') this.#trackPiece(request, offset, piece.length, sooner);
    } catch (error) {
      this.#error = this.#operations.failed('write', offset, error);
      this.#errorOffset = placeOf(error, offset, piece.length) ?? offset;
    }
  }

  /** The last piece is written, or the payload has been skipped after an error. */
  end(request: Request): void {
    const [open, error, errorOffset] = [this.#open, this.#error, this.#errorOffset];
    this.#open = null;
    this.#error = 0;
    if (open === null) {
      if (error !== 0) this.#refuse(request, error, errorOffset);
      else if (request.fua) this.#flush(kept(request));
      else this.#answer(request, request.length);
      return;
    }
    open.complete = true;
    if (open.error === 0) {
      open.error = error;
      open.errorOffset = errorOffset;
    }
    if (open.pieces === 0) this.#conclude(open);
  }

  /** The disk took a copy, so the receive buffer may be overwritten while this goes on. */
  #trackPiece(request: Request, offset: number, bytes: number, promise: Promise<void>): void {
    this.#open ??= {
      request: kept(request),
      fua: request.fua,
      pieces: 0,
      error: 0,
      errorOffset: 0,
      complete: false,
    };
    const open = this.#open;
    open.pieces += 1;
    const settle = (): void => {
      open.pieces -= 1;
      if (open.complete && open.pieces === 0) this.#conclude(open);
    };
    this.#operations.track(promise, bytes, settle, (error) => {
      open.error = this.#operations.failed('write', offset, error);
      open.errorOffset = placeOf(error, offset, bytes) ?? offset;
      settle();
    });
  }

  /** Answers a write whose pieces are all done. */
  #conclude({ request, fua, error, errorOffset }: OpenWrite): void {
    if (error !== 0) this.#refuse(request, error, errorOffset);
    else if (fua) this.#flush(request);
    else this.#answer(request, request.length);
  }

  /** In this order: what is flushed has been written, every piece of it (W3). */
  #flush(request: OpenRequest): void {
    const { disk, counters } = this.#operations.parts;
    const flushed = (async () => await disk.flush())();
    const settle = (): void => this.#answer(request, request.length);
    this.#operations.track(flushed, 0, settle, (error) => {
      counters.writeErrors += 1;
      this.#operations.refuse('flush', request, error);
    });
  }

  #answer(request: Request | OpenRequest, length: number): void {
    const { counters, replies } = this.#operations.parts;
    counters.writes += 1;
    counters.writtenBytes += length;
    replies.plain(request, NBD_ERROR.NONE);
  }

  #refuse(request: Request | OpenRequest, error: number, offset: number): void {
    const { counters, replies, agreement } = this.#operations.parts;
    counters.writeErrors += 1;
    if (agreement.structured) replies.errorChunk(request, error, offset, true);
    else replies.plain(request, error);
  }
}
