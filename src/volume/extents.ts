// What a tracked disk tells of its ranges: base:allocation (holes of the file, by SEEK_DATA and
// SEEK_HOLE) and one qemu:dirty-bitmap per target (docs/interop/nbd.txt of QEMU: bit 0 = dirty).
// Guarantees: runs are not empty and follow each other; a block that stayed dirty for a target
// throughout the call is told as dirty; READ_CONTEXT tells a hole only where a read would find
// zeroes, also on a file system that forgets its dirty pages when asked for holes (ZFS before
// 2.2.2, FUSE with write-back). Offsets and lengths are bytes.
//
// READ_CONTEXT tells the hole that a read begins in; what begins as data is data to the read's end.
// SEEK_HOLE is not asked: it looks at every extent up to the next hole of a large file. SEEK_DATA
// is asked once or twice, and not again in a hole that is remembered: it looks at every extent of
// an area that is allocated and unwritten.
//
// Proof that a hole told, found now or remembered, reads as zeroes:
// - Written before the search. Marks are looked at before it: where none is, what was written has
//   been flushed, so that any file system tells it as data. This rests on a rule: who takes a mark
//   from a slot has flushed the disk since the mark came there. A round drops those of its cut
//   after step 4 of the ladder (D1), settle after a flush that follows its read (H12); a first copy
//   must take only what was marked when its last flush began, whatever a checkpoint brings in the
//   middle of a pass (H43). Marks that no slot takes up are lost at the next checkpoint: without
//   targets no hole is told.
// - Written since. The mark precedes the data in one section (W1) and a swap of the live maps waits
//   for open sections. As long as SWAPS is what it was before the search, that mark stands in a
//   live map, whatever is dropped from the slots; it is looked for first, then SWAPS is asked, at
//   each read. A write that is not answered when the read comes may be missed: either order is
//   right.
// A repair (H20) marks nothing, but what could not be read lies in no hole.
import { assert } from '../base/assert.js';
import { type Clock, systemClock } from '../base/clock.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, CHUNK_BYTES, MASK_ALL, MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { StatusRun } from '../disk/disk.js';
import { BASE_ALLOCATION, READ_CONTEXT, STATE_HOLE, STATE_ZERO } from '../nbd/meta-context.js';
import { BLOCKS_PER_PAGE, type BlockMap } from '../tracking/block-map.js';
import type { Core, Slot } from './core.js';
import * as M from './memory.js';

export const DIRTY_BITMAP = 'qemu:dirty-bitmap:';
/** Flag of a dirty bitmap. */
export const STATE_DIRTY = 1;

const PAGE_BYTES = BLOCKS_PER_PAGE * BLOCK_BYTES;
/** Pages of a map that are looked into chunk by chunk in one call; what is all clean or all dirty
 * by its flags costs nothing. Bounds the call to a fraction of a millisecond. */
const PAGES_LOOKED_INTO_MAX = 4;
/** Most of a hole that is remembered: bounds the look at its marks to about a millisecond. */
const HOLE_REMEMBERED_BYTES_MAX = 2 ** 40;
/** A shorter hole is soon found again: it displaces none. */
const HOLE_LONG_BYTES_MIN = 16 * MIB;
/** A range known to be data is believed this long: another thread may have punched it. To tell
 * data of a hole is allowed; to search a large file for its next hole at every question is not. */
const DATA_BELIEVED_MS_MAX = 1000;

/** Names of the meta contexts of a volume with these targets. */
export const contextsOf = (targets: readonly string[]): readonly string[] => [
  BASE_ALLOCATION,
  ...targets.map((target) => DIRTY_BITMAP + target),
];

export class Extents {
  readonly contexts: readonly string[];
  readonly #core: Core;
  readonly #device: Device;
  readonly #clock: Clock;
  /** The last range found to be data, and when. */
  #dataFrom = 0;
  #dataTo = 0;
  #dataMs = 0;
  /** A hole found for a read while SWAPS was `#holeSwaps`; null: none yet. */
  #holeFrom = 0;
  #holeTo = 0;
  #holeSwaps: number | null = null;

  /** `targets`: names by slot. */
  constructor(core: Core, device: Device, targets: readonly string[], clock: Clock = systemClock) {
    this.contexts = contextsOf(targets);
    this.#core = core;
    this.#device = device;
    this.#clock = clock;
  }

  /** As Disk.status. */
  status(context: string, offset: number, length: number, runsMax: number): StatusRun[] {
    assert(length > 0 && runsMax > 0, 'a status is asked of something');
    const runs = new Runs(offset, offset + length, runsMax);
    if (context === BASE_ALLOCATION) {
      this.#allocation(runs);
    } else if (context === READ_CONTEXT) {
      const to = this.#sureHoleEnd(offset, runs.end);
      if (to > offset) runs.add(to, STATE_HOLE | STATE_ZERO);
      if (!runs.complete) runs.add(runs.end, 0);
    } else {
      const slot = this.contexts.indexOf(context) - 1;
      assert(slot >= 0, 'only contexts of the disk are asked for');
      this.#dirty(runs, slot);
    }
    return runs.runs;
  }

  /** Holes may have been made in this thread. */
  forget(): void {
    this.#dataTo = 0;
  }

  #allocation(runs: Runs): void {
    while (!runs.complete) {
      const { at } = runs;
      const data = this.#nextData(at);
      if (data === at) {
        // A hole punched between the two questions: a block is told as data, never nothing.
        const block = Math.floor(at / BLOCK_BYTES) + 1;
        runs.add(Math.max(this.#dataEnd(at), block * BLOCK_BYTES), 0);
      } else {
        runs.add(data, STATE_HOLE | STATE_ZERO);
      }
    }
  }

  #nextData(from: number): number {
    return this.#isData(from) ? from : this.#device.nextData(from);
  }

  /** End of the data at `from`. */
  #dataEnd(from: number): number {
    if (!this.#isData(from)) {
      this.#dataTo = this.#device.nextHole(from);
      this.#dataFrom = from;
      this.#dataMs = this.#clock.monotonicMs();
    }
    return this.#dataTo;
  }

  #isData(at: number): boolean {
    if (at < this.#dataFrom || at >= this.#dataTo) return false;
    return this.#clock.monotonicMs() - this.#dataMs < DATA_BELIEVED_MS_MAX;
  }

  /** End of the hole that a read of at..end-1 begins in, at most `end`; `at`: none, or not surely.
   */
  #sureHoleEnd(at: number, end: number): number {
    if (this.#core.slots.length === 0 || this.#isData(at)) return at;
    const swaps = this.#swaps();
    const known = this.#holeSwaps === swaps && at >= this.#holeFrom && end <= this.#holeTo;
    const to = known ? end : this.#searchHole(at, end, swaps);
    return to > at && !this.#anyDirty(at, to) && this.#swaps() === swaps ? to : at;
  }

  /** As #sureHoleEnd, as of when it was called; `swaps`: SWAPS before that. */
  #searchHole(at: number, end: number, swaps: number): number {
    if (this.#anyDirty(at, end)) return at;
    const data = this.#device.nextData(at);
    if (data > end) this.#remember(at, end, data, swaps);
    return Math.min(data, end);
  }

  /** Remembers the hole at..data-1 as far as nothing in it is dirty, so that all that was written
   * there is flushed, and searches once more; nothing in at..end-1 was dirty. */
  #remember(at: number, end: number, data: number, swaps: number): void {
    if (data - at < HOLE_LONG_BYTES_MIN && this.#holeSwaps === swaps) return;
    let to = Math.min(data, at + HOLE_REMEMBERED_BYTES_MAX);
    while (to > end && this.#anyDirty(end, to)) to = end + Math.floor((to - end) / 2);
    if (to === end) return;
    this.#holeTo = Math.min(to, this.#device.nextData(at));
    this.#holeFrom = at;
    this.#holeSwaps = swaps;
  }

  #swaps(): number {
    return Atomics.load(this.#core.control, M.SWAPS);
  }

  /** True when any of from..to-1 is dirty for a target, or was written since the last checkpoint.
   */
  #anyDirty(from: number, to: number): boolean {
    const [first, last] = [Math.floor(from / BLOCK_BYTES), Math.floor((to - 1) / BLOCK_BYTES)];
    const { live, slots } = this.#core;
    const marked = (map: BlockMap): boolean => map.anyMarked(first, last);
    return live.some(marked) || slots.some((slot) => this.#frozenFirst(slot).some(marked));
  }

  #dirty(runs: Runs, slotIndex: number): void {
    const maps = this.#mapsOf(slotIndex);
    for (let looked = 0; !runs.complete; ) {
      const page = Math.floor(runs.at / PAGE_BYTES);
      const [first, end] = [page * BLOCKS_PER_PAGE, (page + 1) * PAGE_BYTES];
      if (maps.some((map) => map.isFullPage(page))) {
        runs.add(end, STATE_DIRTY);
      } else if (maps.every((map) => !map.anyMarked(first, first + BLOCKS_PER_PAGE - 1))) {
        runs.add(end, 0);
      } else {
        looked += 1;
        if (looked > PAGES_LOOKED_INTO_MAX) return;
        this.#dirtyChunks(runs, maps, end);
      }
    }
  }

  #dirtyChunks(runs: Runs, maps: readonly BlockMap[], end: number): void {
    while (!runs.complete && runs.at < end) {
      const chunk = Math.floor(runs.at / CHUNK_BYTES);
      let mask = 0;
      for (const map of maps) mask |= map.chunkMask(chunk);
      if (mask === 0) runs.add((chunk + 1) * CHUNK_BYTES, 0);
      else if (mask === MASK_ALL) runs.add((chunk + 1) * CHUNK_BYTES, STATE_DIRTY);
      else addBlocks(runs, chunk, mask);
    }
  }

  /**
   * In this order a bit is met wherever it moves meanwhile: from a live map into those of the slot
   * (H15), from the frozen one back into the pending one when a round fails. Both live maps are
   * asked: the swapped one belongs to every target until it is folded.
   */
  #mapsOf(slotIndex: number): BlockMap[] {
    const { live, slots } = this.#core;
    const slot = slots[slotIndex];
    assert(slot !== undefined, 'every target has a slot');
    return [...live, ...this.#frozenFirst(slot)];
  }

  #frozenFirst(slot: Slot): readonly BlockMap[] {
    const frozen = Atomics.load(this.#core.control, slot.base + M.SLOT_FROZEN);
    return frozen === 0 ? slot.maps : slot.maps.toReversed();
  }
}

function addBlocks(runs: Runs, chunk: number, mask: number): void {
  const first = Math.floor(runs.at / BLOCK_BYTES);
  const end = (chunk + 1) * BLOCKS_PER_CHUNK;
  for (let block = first; block < end && !runs.complete; block += 1) {
    const dirty = (mask >>> (block - chunk * BLOCKS_PER_CHUNK)) & 1;
    runs.add((block + 1) * BLOCK_BYTES, dirty === 1 ? STATE_DIRTY : 0);
  }
}

/** Runs from one end of a range to the other; neighbours with the same flags become one. */
class Runs {
  readonly runs: { length: number; flags: number }[] = [];
  /** Where the next run begins. */
  at: number;
  readonly end: number;
  readonly #runsMax: number;
  #full = false;

  constructor(from: number, end: number, runsMax: number) {
    this.at = from;
    this.end = end;
    this.#runsMax = runsMax;
  }

  /** All of the range is told, or as many runs as may be. */
  get complete(): boolean {
    return this.#full || this.at >= this.end;
  }

  add(to: number, flags: number): void {
    const length = Math.min(to, this.end) - this.at;
    assert(length > 0, 'a run is not empty');
    const last = this.runs.at(-1);
    if (last?.flags === flags) last.length += length;
    else if (this.runs.length === this.#runsMax) {
      this.#full = true;
      return;
    } else this.runs.push({ length, flags });
    this.at += length;
  }
}
