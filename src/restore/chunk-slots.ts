// Which chunk lies in which slot of a cache: sets of WAYS slots, the set by the chunk's number, and
// in a set the one that was not used for longest goes, nearly (a second chance). Six bytes a slot,
// so that a cache of 100 GiB takes 10 MiB. Pure.
import { assert } from '../base/assert.js';
import type { ChunkIndex } from '../base/units.js';

/** Slots of a set: what has so many more than it has chunks to keep, keeps all. */
export const WAYS = 8;
/** No chunk: only the last one of a disk of 256 TiB has that number, and is never kept. */
const NONE = 0xffff_ffff;

export class ChunkSlots {
  readonly count: number;
  readonly #sets: number;
  readonly #chunks: Uint32Array;
  readonly #used: Uint8Array;
  /** Of each set, where the search for one to go begins. */
  readonly #hands: Uint8Array;

  /** At most `slots`, and WAYS at least. */
  constructor(slots: number) {
    this.#sets = Math.max(1, Math.floor(slots / WAYS));
    this.count = this.#sets * WAYS;
    this.#chunks = new Uint32Array(this.count).fill(NONE);
    this.#used = new Uint8Array(this.count);
    this.#hands = new Uint8Array(this.#sets);
  }

  /** Where the chunk lies; -1: nowhere. */
  find(chunk: ChunkIndex): number {
    const slot = this.#find(chunk);
    if (slot >= 0) this.#used[slot] = 1;
    return slot;
  }

  has(chunk: ChunkIndex): boolean {
    return this.#find(chunk) >= 0;
  }

  /** A slot for it, that of another chunk perhaps; -1: this one is never kept. */
  take(chunk: ChunkIndex): number {
    if (chunk === NONE) return -1;
    const found = this.find(chunk);
    if (found >= 0) return found;
    const set = chunk % this.#sets;
    for (;;) {
      const hand = this.#hands[set] ?? 0;
      const slot = set * WAYS + hand;
      this.#hands[set] = (hand + 1) % WAYS;
      if (this.#chunks[slot] === NONE || this.#used[slot] === 0) {
        this.#chunks[slot] = chunk;
        this.#used[slot] = 1;
        return slot;
      }
      this.#used[slot] = 0;
    }
  }

  drop(chunk: ChunkIndex): void {
    const slot = this.#find(chunk);
    if (slot >= 0) this.#chunks[slot] = NONE;
  }

  #find(chunk: ChunkIndex): number {
    assert(chunk >= 0 && chunk <= NONE, 'a chunk has 32 bits');
    if (chunk === NONE) return -1;
    const first = (chunk % this.#sets) * WAYS;
    for (let slot = first; slot < first + WAYS; slot += 1) {
      if (this.#chunks[slot] === chunk) return slot;
    }
    return -1;
  }
}
