// The round begun last, as the sending side of a session keeps it: what is sent and not known to be
// durable (H31, W5), what the other side asked for whole (H28), and why nothing more is taken.
// Every limit on what comes from the other side is kept here; who breaks one is told by `false`.
import { assert } from '../base/assert.js';
import type { HastError } from '../base/errors.js';
import type { ChunkIndex } from '../base/units.js';
import type { RoundId } from '../lineage/lineage.js';
import {
  REUSE_ITEM_UNSTAGED_BYTES,
  UNSTAGED_BYTES_MAX,
  WANTED_CHUNKS_MAX,
} from '../peer/limits.js';
import type { ReuseItem } from './target.js';

/** What a REUSE of `items` counts for among the frames that are not durable. */
export const reuseBytes = (items: readonly ReuseItem[]): number =>
  items.length * REUSE_ITEM_UNSTAGED_BYTES;

export class RunningRound {
  readonly id: RoundId;
  /** Frames 0..staged-1 are durable there. */
  staged = 0;
  /** Why nothing more of this round is taken. */
  broken: HastError | null = null;
  /** Oldest first. */
  readonly #unstaged: { readonly number: number; readonly bytes: number }[] = [];
  #unstagedBytes = 0;
  /** Frames 0..sent-1 may be durable there. */
  #sent = 0;
  #begun = false;
  #wanted: ChunkIndex[] = [];

  constructor(id: RoundId) {
    this.id = id;
  }

  /** BEGUN: it goes on where an earlier session left it, or is new. */
  begun(staged: number): void {
    this.#begun = true;
    this.#sent = Math.max(this.#sent, staged);
    this.staged = Math.max(this.staged, staged);
  }

  /** Whether a frame that counts for `bytes` has to wait; one always has room. */
  full(bytes: number): boolean {
    return this.#unstagedBytes > 0 && this.#unstagedBytes + bytes > UNSTAGED_BYTES_MAX;
  }

  sends(number: number, bytes: number): void {
    assert(this.#begun, 'a round is begun before its frames are put');
    this.#unstaged.push({ number, bytes });
    this.#unstagedBytes += bytes;
    this.#sent = Math.max(this.#sent, number + 1);
  }

  /** STAGED; false when it speaks of frames that were never sent. */
  acknowledge(frames: number): boolean {
    if (this.#begun && frames > this.#sent) return false;
    if (frames <= this.staged) return true;
    this.staged = frames;
    const unstaged = this.#unstaged;
    for (let sent = unstaged[0]; sent && sent.number < frames; sent = unstaged[0]) {
      unstaged.shift();
      this.#unstagedBytes -= sent.bytes;
    }
    return true;
  }

  /** WANT; false when it is more than the round can note. */
  want(chunks: readonly ChunkIndex[]): boolean {
    if (this.#wanted.length + chunks.length > WANTED_CHUNKS_MAX) return false;
    for (const chunk of chunks) this.#wanted.push(chunk);
    return true;
  }

  takeWanted(): readonly ChunkIndex[] {
    const wanted = this.#wanted;
    this.#wanted = [];
    return wanted;
  }
}
