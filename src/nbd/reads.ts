// READ, answered whole or in parts. Guarantees: each request is answered once, with what the disk
// gave; a client that agreed on structured replies gets chunks only, any other simple replies only
// (proto.md, READ); what the disk does in the call makes no promise. A long read is first asked for
// holes, which are answered without being read: below HOLES_SOUGHT_BYTES_MIN the question costs as
// much as the read. Offsets and lengths are bytes.
import { assert } from '../base/assert.js';
import { isPromise } from '../base/sync.js';
import type { StatusRun } from '../disk/disk.js';
import { HEAD_BYTES } from './buffers.js';
import { READ_CONTEXT } from './meta-context.js';
import { kept, type OpenRequest, type Operations } from './operations.js';
import { COMMAND_FLAG } from './protocol.js';
import { placeOf, type Request } from './requests.js';
import { type ReadPart, readParts } from './structured.js';

/** Reads as long as this are asked for holes; one question is two system calls at most. */
export const HOLES_SOUGHT_BYTES_MIN = 64 * 1024;
/** Holes and data of one read that are told apart; the rest of it is read as data. */
export const READ_RUNS_MAX = 16;

/** A read some of whose parts are not answered. */
interface OpenRead {
  readonly request: OpenRequest;
  partsLeft: number;
  failed: boolean;
}

export class Reads {
  readonly #operations: Operations;

  constructor(operations: Operations) {
    this.#operations = operations;
  }

  begin(request: Request): void {
    if (!this.#operations.parts.agreement.structured) {
      this.#whole(request);
      return;
    }
    const { offset, length } = request;
    if (length >= HOLES_SOUGHT_BYTES_MIN) {
      const parts = readParts(offset, length, this.#runs(request));
      // "Don't fragment": one content chunk at most, but that one may be a hole.
      const whole = (request.flags & COMMAND_FLAG.DF) !== 0 && parts.length > 1;
      if (!whole && parts.some((part) => part.hole)) {
        this.#inParts(request, parts);
        return;
      }
    }
    if (length > 0) this.#whole(request);
    else {
      this.#operations.parts.counters.reads += 1;
      this.#operations.parts.replies.noneChunk(request);
    }
  }

  /** All of it in one reply, or one chunk. The data lands behind the room for its head; large data
   * stays there. */
  #whole(request: Request): void {
    const { disk, pool } = this.#operations.parts;
    const { offset, length } = request;
    const buffer = pool.take(length);
    try {
      const sooner = disk.read(offset, buffer.subarray(HEAD_BYTES, HEAD_BYTES + length));
      if (sooner === 'done') {
        this.#answer(request, buffer);
        return;
      }
      const open = kept(request);
      const settle = (): void => this.#answer(open, buffer);
      this.#operations.track(sooner, length, settle, (error) => this.#fail(open, buffer, error));
    } catch (error) {
      this.#fail(kept(request), buffer, error);
    }
  }

  #answer(request: Request | OpenRequest, buffer: Buffer): void {
    const { agreement, replies, counters } = this.#operations.parts;
    const { offset, length } = request;
    counters.reads += 1;
    if (agreement.structured) replies.dataChunk(request, buffer, offset, length, true);
    else replies.data(request, buffer, length);
  }

  #fail(request: OpenRequest, buffer: Buffer, error: unknown): void {
    const { pool, counters } = this.#operations.parts;
    pool.give(buffer);
    counters.readErrors += 1;
    this.#operations.refuse('read', request, error);
  }

  /** Holes and data from the beginning of the read; none where the disk cannot tell. */
  #runs({ offset, length }: Request): readonly StatusRun[] {
    try {
      const { disk } = this.#operations.parts;
      const runs = disk.status(READ_CONTEXT, offset, length, READ_RUNS_MAX);
      assert(!isPromise(runs), 'what is asked for each read is answered at once');
      return runs;
    } catch (error) {
      this.#operations.failed('status', offset, error); // logged; the read says what is wrong
      return [];
    }
  }

  #inParts(request: Request, parts: readonly ReadPart[]): void {
    const open = { request: kept(request), partsLeft: parts.length, failed: false };
    for (const part of parts) {
      if (part.hole) {
        const done = this.#ended(open);
        this.#operations.parts.replies.holeChunk(open.request, part.offset, part.length, done);
      } else {
        this.#part(open, part);
      }
    }
  }

  #part(open: OpenRead, { offset, length }: ReadPart): void {
    const { disk, replies, pool } = this.#operations.parts;
    const buffer = pool.take(length);
    const settle = (): void => {
      replies.dataChunk(open.request, buffer, offset, length, this.#ended(open));
    };
    // The parts that could be read are good; the client is told which could not.
    const fail = (error: unknown): void => {
      pool.give(buffer);
      open.failed = true;
      const number = this.#operations.failed('read', offset, error);
      const place = placeOf(error, offset, length) ?? offset;
      replies.errorChunk(open.request, number, place, this.#ended(open));
    };
    try {
      const sooner = disk.read(offset, buffer.subarray(HEAD_BYTES, HEAD_BYTES + length));
      if (sooner === 'done') settle();
      else this.#operations.track(sooner, length, settle, fail);
    } catch (error) {
      fail(error);
    }
  }

  /** Counts a part as answered; true: it was the last. */
  #ended(open: OpenRead): boolean {
    open.partsLeft -= 1;
    if (open.partsLeft > 0) return false;
    const { counters } = this.#operations.parts;
    if (open.failed) counters.readErrors += 1;
    else counters.reads += 1;
    return true;
  }
}
