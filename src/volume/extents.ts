// What a tracked disk tells of its ranges: base:allocation (holes of the file, by SEEK_DATA and
// SEEK_HOLE) and one qemu:dirty-bitmap per target (docs/interop/nbd.txt of QEMU: bit 0 = dirty).
// Guarantees: runs are not empty and follow each other; a block that stayed dirty for a target
// throughout the call is told as dirty; READ_CONTEXT tells a hole only where nothing is dirty for
// any target: whatever was written there has been flushed to the disk (D1), so that a file system
// that forgets its dirty pages when asked for holes (ZFS before 2.2.2, FUSE with write-back) cannot
// make a guest read zeroes. Offsets and lengths are bytes.
import { assert } from '../base/assert.js';
import { type Clock, systemClock } from '../base/clock.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, CHUNK_BYTES, MASK_ALL } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { StatusRun } from '../disk/disk.js';
import { BASE_ALLOCATION, READ_CONTEXT, STATE_HOLE, STATE_ZERO } from '../nbd/meta-context.js';
import { BLOCKS_PER_PAGE, type BlockMap } from '../tracking/block-map.js';
import type { Core } from './core.js';
import * as M from './memory.js';

export const DIRTY_BITMAP = 'qemu:dirty-bitmap:';
/** Flag of a dirty bitmap. */
export const STATE_DIRTY = 1;

const PAGE_BYTES = BLOCKS_PER_PAGE * BLOCK_BYTES;
/** Pages of a map that are looked into chunk by chunk in one call; what is all clean or all dirty
 * by its flags costs nothing. Bounds the call to a fraction of a millisecond. */
const PAGES_LOOKED_INTO_MAX = 4;
/** A range known to be data is believed this long: another thread may have punched it. To tell
 * data of a hole is allowed; to search a large file for its next hole at every read is not. */
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
    if (context === BASE_ALLOCATION || context === READ_CONTEXT) {
      this.#allocation(runs, context === READ_CONTEXT);
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

  #allocation(runs: Runs, sure: boolean): void {
    while (!runs.complete) {
      const { at } = runs;
      const data = this.#nextData(at);
      if (data === at) {
        // A hole punched between the two questions: a block is told as data, never nothing.
        const block = Math.floor(at / BLOCK_BYTES) + 1;
        runs.add(Math.max(this.#dataEnd(at), block * BLOCK_BYTES), 0);
      } else if (sure && this.#anyDirty(at, Math.min(data, runs.end))) {
        runs.add(data, 0);
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

  /** True when any of from..to-1 is dirty for a target, or was written since the last checkpoint.
   */
  #anyDirty(from: number, to: number): boolean {
    const [first, last] = [Math.floor(from / BLOCK_BYTES), Math.floor((to - 1) / BLOCK_BYTES)];
    const { live, slots } = this.#core;
    const marked = (map: BlockMap): boolean => map.anyMarked(first, last);
    return live.some(marked) || slots.some((slot) => slot.maps.some(marked));
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
    const { live, slots, control } = this.#core;
    const slot = slots[slotIndex];
    assert(slot !== undefined, 'every target has a slot');
    const frozen = Atomics.load(control, slot.base + M.SLOT_FROZEN);
    const [one, two] = slot.maps;
    assert(one !== undefined && two !== undefined, 'a slot has two maps');
    return frozen === 0 ? [...live, one, two] : [...live, two, one];
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
