// Frames of a round from `put` until the target has them durably: what can be sent again on the
// next session (D3, H31). Invariants: the order is that of `add`; what is kept counts for at most
// UNSTAGED_BYTES_MAX (one always has room, W5); a frame is dropped only when acknowledged; each
// session hands out every kept frame at most once, oldest first, from where `rewind` put it.
import { UNSTAGED_BYTES_MAX } from '../peer/limits.js';
import type { Target } from './target.js';

export interface KeptFrame {
  readonly number: number;
  /** What it counts for in the window. */
  readonly windowBytes: number;
  /** Bytes it takes on the wire. */
  readonly wireBytes: number;
  readonly send: (target: Target) => Promise<void>;
  /** A session has taken it: whoever put it may go on. */
  accepted: boolean;
  /** It, or a part of it, has been on the wire. */
  left: boolean;
}

export class KeptFrames {
  readonly #queue: KeptFrame[] = [];
  #windowBytes = 0;
  /** Place in the queue of what is handed out next. */
  #next = 0;
  #acknowledged = 0;
  #end = 0;

  /** Frames 0..acknowledged-1 are durable at the target. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Frames 0..end-1 have been added, or were there when the round was begun. */
  get end(): number {
    return this.#end;
  }

  get empty(): boolean {
    return this.#queue.length === 0;
  }

  /** Everything has been handed out to the present session. */
  get handedOut(): boolean {
    return this.#next === this.#queue.length;
  }

  full(windowBytes: number): boolean {
    return this.#windowBytes > 0 && this.#windowBytes + windowBytes > UNSTAGED_BYTES_MAX;
  }

  add(frame: Omit<KeptFrame, 'accepted' | 'left'>): KeptFrame {
    const kept = { ...frame, accepted: false, left: false };
    this.#queue.push(kept);
    this.#windowBytes += kept.windowBytes;
    this.#end = Math.max(this.#end, kept.number + 1);
    return kept;
  }

  /** The next frame for the present session; null: there is none now. */
  handOut(): KeptFrame | null {
    const kept = this.#queue[this.#next] ?? null;
    if (kept !== null) this.#next += 1;
    return kept;
  }

  /** A new session begins with the oldest. */
  rewind(): void {
    this.#next = 0;
  }

  /** Frames 0..frames-1 are durable; true when that is news. */
  acknowledge(frames: number): boolean {
    if (frames <= this.#acknowledged) return false;
    this.#acknowledged = frames;
    this.#end = Math.max(this.#end, frames);
    const queue = this.#queue;
    for (let kept = queue[0]; kept && kept.number < frames; kept = queue[0]) {
      queue.shift();
      kept.accepted = true;
      this.#windowBytes -= kept.windowBytes;
      if (this.#next > 0) this.#next -= 1;
    }
    return true;
  }
}
