// What the requests of one connection share while they are carried out: the disk, the replies, and
// the count of what the disk has not finished. Guarantee: what the disk does later is counted in
// `inFlight` and `inFlightBytes` until its answer stands among the replies. Admission (how much may
// be in flight) is the caller's: see `hasRoom`.
import type { Log } from '../base/log.js';
import type { Disk } from '../disk/disk.js';
import type { BufferPool } from './buffers.js';
import type { Counters } from './counters.js';
import type { OperationLimits } from './limits.js';
import type { Agreement } from './protocol.js';
import type { Cookie, Replies } from './replies.js';
import { nbdErrorOf, placeOf, type Request } from './requests.js';

export interface OperationParts {
  readonly disk: Disk;
  readonly agreement: Agreement;
  readonly replies: Replies;
  readonly pool: BufferPool;
  readonly counters: Counters;
  readonly limits: OperationLimits;
  /** The disk failed a request. */
  readonly onFailure: (operation: string, offset: number, error: unknown) => void;
  /** Something left `inFlight`; its reply waits for a flush of the replies. */
  readonly onSettled: () => void;
}

/** Failures of the disk that one connection logs; its counters have them all. */
const FAILURES_LOGGED_MAX = 10;

/** What tells the log of failures, of the first ones only. */
export function failuresTo(log: Log): OperationParts['onFailure'] {
  let logged = 0;
  return (operation, offset, error) => {
    if (logged >= FAILURES_LOGGED_MAX) return;
    logged += 1;
    log.warn('the disk failed a request of a guest', { operation, offset, error });
  };
}

/** What must be kept of a request that outlives the call: the Request itself is used again. */
export interface OpenRequest extends Cookie {
  readonly offset: number;
  readonly length: number;
}

export const kept = ({ cookieHigh, cookieLow, offset, length }: Request): OpenRequest => ({
  cookieHigh,
  cookieLow,
  offset,
  length,
});

export class Operations {
  readonly parts: OperationParts;
  #inFlight = 0;
  #inFlightBytes = 0;

  constructor(parts: OperationParts) {
    this.parts = parts;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether a request, or a piece, that holds `bytes` may begin now (W5). */
  hasRoom(bytes: number): boolean {
    const { limits, replies } = this.parts;
    if (this.#inFlight >= limits.inFlightMax) return false;
    const unsentBytes = replies.unsentBytes;
    if (unsentBytes > limits.unsentBytesMax) return false;
    const heldBytes = this.#inFlightBytes + unsentBytes;
    return heldBytes === 0 || heldBytes + bytes <= limits.heldBytesMax;
  }

  /** Holds one place in flight until `promise` has settled and been answered. */
  track<T>(
    promise: Promise<T>,
    bytes: number,
    settle: (value: T) => void,
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
        (value) => {
          leave();
          settle(value);
        },
        (error: unknown) => {
          leave();
          fail(error);
        },
      )
      .then(this.parts.onSettled);
  }

  /** The NBD error for what the disk failed with, told on. */
  failed(operation: string, offset: number, error: unknown): number {
    const number = nbdErrorOf(error);
    this.parts.onFailure(operation, offset, error);
    return number;
  }

  /** Answers with the error of the disk; with its place where the client can read that. */
  refuse(operation: string, request: OpenRequest, error: unknown): void {
    const { agreement, replies } = this.parts;
    const { offset, length } = request;
    const number = this.failed(operation, offset, error);
    if (!agreement.structured) replies.plain(request, number);
    else replies.errorChunk(request, number, placeOf(error, offset, length), true);
  }
}
