// Pace: the limit on the bits a second to one target (`rate`), and streams that keep it. One Pace
// per target outlives its sessions, so that connecting again gives nothing for free. Guarantees:
// in any 10 s at most 5 % more than the rate leaves (burst 2.5 %, one piece 0.5 %); what counts is
// what TCP was given, TLS and its handshakes included; a new rate holds from the next 100 ms on.
// Rates are bits a second, sizes bytes, times milliseconds of the monotonic clock.
//
// Long writes leave in pieces of about 50 ms each, so that the other side hears something all the
// time, however long a frame takes.
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { Mutex } from '../base/sync.js';
import type { ByteStream } from './stream.js';

/** What an idle or stalled sender may catch up with. */
const BURST_MS = 250;
/** What one write may take in advance; longer debts are forgiven (rates that fell meanwhile). */
const DEBT_MS_MAX = 2000;
const PIECE_MS = 50;
const PIECE_BYTES_MIN = 512;
const PIECE_BYTES_MAX = 64 * 1024;
/** A changed rate is noticed by who waits. */
const LOOK_MS = 100;

export class Pace {
  readonly #rateOf: () => number | null;
  readonly #clock: Clock;
  /** Bytes that may leave now; below zero: that must be waited for first. */
  #credit = 0;
  #lookedMs: number;

  /** `rateOf` is asked at every write: bits a second, at least 1; null: no limit. */
  constructor(rateOf: () => number | null, clock: Clock) {
    this.#rateOf = rateOf;
    this.#clock = clock;
    this.#lookedMs = clock.monotonicMs();
  }

  /** Waits until something may leave, or `signal` is aborted. Returns how many bytes the next
   * write may have; infinite without a limit. */
  async turn(signal: AbortSignal): Promise<number> {
    for (;;) {
      const bytesPerMs = this.#look();
      if (bytesPerMs === null) return Number.POSITIVE_INFINITY;
      if (this.#credit >= 0 || signal.aborted) {
        const piece = Math.floor(bytesPerMs * PIECE_MS);
        return Math.min(PIECE_BYTES_MAX, Math.max(PIECE_BYTES_MIN, piece));
      }
      await this.#clock.sleep(Math.min(LOOK_MS, Math.ceil(-this.#credit / bytesPerMs)), signal);
    }
  }

  /** So many bytes have left. */
  charge(bytes: number): void {
    const bytesPerMs = this.#look();
    if (bytesPerMs === null) return;
    this.#credit = Math.max(-bytesPerMs * DEBT_MS_MAX, this.#credit - bytes);
  }

  /** Adds what the time since the last look was worth; the rate now, null: no limit. */
  #look(): number | null {
    const rate = this.#rateOf();
    const nowMs = this.#clock.monotonicMs();
    const passedMs = nowMs - this.#lookedMs;
    this.#lookedMs = nowMs;
    if (rate === null) {
      this.#credit = 0;
      return null;
    }
    assert(rate >= 1, 'a rate is positive');
    const bytesPerMs = rate / 8000;
    this.#credit = Math.min(bytesPerMs * BURST_MS, this.#credit + bytesPerMs * passedMs);
    return bytesPerMs;
  }
}

/** The same stream, whose writes keep to `pace`. Use it from the first byte on, and the stream
 * itself no more. */
export function paced(stream: ByteStream, pace: Pace): ByteStream {
  return new PacedStream(stream, pace);
}

class PacedStream implements ByteStream {
  readonly remote: string;
  readonly #stream: ByteStream;
  readonly #pace: Pace;
  readonly #writing = new Mutex();
  readonly #stop = new AbortController();
  /** Of the stream's `bytesOut`: what the pace has been told of. */
  #chargedBytes = 0;

  constructor(stream: ByteStream, pace: Pace) {
    this.remote = stream.remote;
    this.#stream = stream;
    this.#pace = pace;
  }

  get bytesIn(): number {
    return this.#stream.bytesIn;
  }

  get bytesOut(): number {
    return this.#stream.bytesOut;
  }

  read(): Promise<Uint8Array | null> {
    return this.#stream.read();
  }

  write(pieces: readonly Uint8Array[]): Promise<void> {
    return this.#writing.run(async () => {
      this.#charge(); // the handshake, and what TLS sent by itself
      const queue = pieces.filter((piece) => piece.length > 0);
      do {
        const bytes = await this.#pace.turn(this.#stop.signal);
        await this.#stream.write(takeFrom(queue, bytes)); // rejects when it was cut meanwhile
        this.#charge();
      } while (queue.length > 0);
    });
  }

  end(): Promise<void> {
    return this.#writing.run(() => this.#stream.end());
  }

  destroy(why: string): void {
    this.#stream.destroy(why);
    this.#stop.abort();
  }

  #charge(): void {
    const bytes = this.#stream.bytesOut;
    if (bytes > this.#chargedBytes) this.#pace.charge(bytes - this.#chargedBytes);
    this.#chargedBytes = bytes;
  }
}

/** Takes at most `bytes` from the head of the queue, at least one. */
function takeFrom(queue: Uint8Array[], bytes: number): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (let left = bytes; left > 0; ) {
    const first = queue.shift();
    if (first === undefined) break;
    if (first.length > left) queue.unshift(first.subarray(left));
    taken.push(first.subarray(0, left));
    left -= first.length;
  }
  return taken;
}
