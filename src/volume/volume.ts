// Volume: the round thread's side of a live disk. It cuts, checkpoints, and owns each target's
// pending and frozen maps; data threads only mark (tracked-disk.ts). Knows no rounds and no files
// but the spill: the caller publishes what `pages` says, in the order of RULES.md §1.
// Promises: W2 and D2 through core.ts; H4 (a gate that cannot close in time opens again); H15
// (a cut is O(1), folding comes after); H16 (frozen and pending are per target).
// It is longer than 300 lines because all that moves marks, or writes, under the gate stands here.
import { assert, present } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { Mutex } from '../base/sync.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkLength,
} from '../base/units.js';
import type { Device } from '../disk/device.js';
import { discard } from '../disk/discard.js';
import type { BlockMap } from '../tracking/block-map.js';
import { type Core, closeGate, openGate, release, type Slot, swap } from './core.js';
import { type FrozenSet, type HeldRead, readFrozenChunk } from './frozen-read.js';
import { HoldTimes } from './hold-times.js';
import * as M from './memory.js';
import type { Spill } from './spill.js';
import { runWaiting, type Waiter } from './waiter.js';

/** A whole disk that was frozen is freed in many turns: other sessions go on between them. */
const CHUNKS_FREED_PER_TURN = 8192;

/** How long a cut may wait for open sections before it opens the gate again (H4). */
export const CUT_TIMEOUT_MS = 1000;

export interface VolumeParts {
  readonly device: Device;
  /** One a target, by slot. */
  readonly spills: readonly Spill[];
  readonly waiter: Waiter;
  readonly clock: Clock;
  /** Makes it durable that an fdatasync has failed. */
  readonly onSuspect: (error: unknown) => Promise<void>;
  /** Told of each swapped live map, before it is folded away: what was written since the last. */
  readonly onSwap?: (written: BlockMap) => void;
}

export type { FrozenSet } from './frozen-read.js';

export class Volume {
  readonly core: Core;
  readonly holds = new HoldTimes();
  readonly #parts: VolumeParts;
  readonly #order = new Mutex();
  #repairedBlocks = 0;
  #closed = false;

  constructor(core: Core, parts: VolumeParts) {
    this.core = core;
    this.#parts = parts;
  }

  get device(): Device {
    return this.#parts.device;
  }

  /** Blocks of `target` that no running round covers. Owned by the caller between cuts. */
  pending(target: number): BlockMap {
    const slot = this.#slot(target);
    const frozen = Atomics.load(this.core.control, slot.base + M.SLOT_FROZEN);
    return present(slot.maps[1 - frozen], 'a slot has two maps');
  }

  /** Frozen and pending maps of `target`, for TARGET.dirty and for counting. */
  maps(target: number): readonly BlockMap[] {
    return this.#slot(target).maps;
  }

  /** Lets others of this thread go on: for long work that waits for nothing. */
  turn(): Promise<void> {
    return this.#parts.waiter.turn();
  }

  /** Number of live map swaps so far: tells settle whether marks may have moved. */
  get swaps(): number {
    return Atomics.load(this.core.control, M.SWAPS);
  }

  get suspect(): boolean {
    return Atomics.load(this.core.control, M.SUSPECT) !== 0;
  }

  /** H18: an fdatasync of the disk has failed; only a restart of the daemon clears this. */
  setSuspect(): void {
    Atomics.store(this.core.control, M.SUSPECT, 1);
  }

  /** fdatasync of the disk. A failure makes the volume suspect, durably, before it is thrown: the
   * kernel tells it once, and the next sync would succeed (H18). */
  async sync(): Promise<void> {
    try {
      await this.#parts.device.sync();
    } catch (error) {
      this.setSuspect();
      await this.#parts.onSuspect(error);
      throw error;
    }
  }

  /** Of each target. */
  get spillBytesMax(): number {
    const { control, slots } = this.core;
    const records = slots.map(({ base }) => Atomics.load(control, base + M.SLOT_SPILL_MAX));
    return Math.max(0, ...records) * CHUNK_BYTES;
  }

  /** In use by the running round of `target`, or of the one that uses most. */
  spillBytes(target: number | null = null): number {
    const { control, slots } = this.core;
    const chosen = slots.filter((slot) => slot.active && (target ?? slot.index) === slot.index);
    const records = chosen.map(({ base }) => Atomics.load(control, base + M.SLOT_SPILL_USED));
    return Math.min(Math.max(0, ...records) * CHUNK_BYTES, this.spillBytesMax);
  }

  /** Dirty bytes of `target`: pending, frozen, and the live map, which counts for every target. */
  dirtyBytes(target: number): number {
    // Both: one that was swapped is not folded at once.
    const live = this.core.live.reduce((sum, map) => sum + map.count().blocks, 0);
    const held = this.maps(target).reduce((sum, map) => sum + map.count().blocks, 0);
    return Math.min((live + held) * 4096, this.core.memory.sizeBytes);
  }

  /** True when any of blocks first..last is marked for `target`, now. */
  isDirty(target: number, first: number, last: number): boolean {
    // Live maps first, both: a fold fills the target's before it clears the swapped one (H15).
    const maps = [...this.core.live, ...this.maps(target)];
    return maps.some((map) => map.anyMarked(first, last));
  }

  /** H20: writes back blocks `mask` of a chunk that could not be read, as `target` has it (`bytes`:
   * the whole chunk). `swaps`: as of when the blocks were found clean for that target. Those that
   * a guest has written since are left alone; returns how many were written. */
  writeBack(
    target: number,
    chunk: ChunkIndex,
    mask: number,
    bytes: Uint8Array,
    swaps: number,
  ): Promise<number> {
    return this.#order.run(async () => {
      if (this.#closed) return 0;
      const before = this.#repairedBlocks;
      // On the pool: a disk that hangs holds its own guests behind the gate, and nobody else (H19).
      // With a place there taken before: guests never wait for the reads of a round.
      await this.#parts.device.reserved((write) =>
        this.#underGate(async () => {
          if (this.swaps !== swaps) return;
          for (const { first, count } of this.#cleanRuns(target, chunk, mask)) {
            const from = (first - chunk * BLOCKS_PER_CHUNK) * BLOCK_BYTES;
            const content = bytes.subarray(from, from + count * BLOCK_BYTES);
            await write(first * BLOCK_BYTES, content);
            this.#repairedBlocks += count;
          }
        }),
      );
      return this.#repairedBlocks - before;
    });
  }

  /** Neighbouring blocks of `mask` that are clean for `target`. */
  *#cleanRuns(target: number, chunk: ChunkIndex, mask: number) {
    let count = 0;
    for (let at = 0; at <= BLOCKS_PER_CHUNK; at += 1) {
      const block = chunk * BLOCKS_PER_CHUNK + at;
      if (((mask >>> at) & 1) === 1 && !this.isDirty(target, block, block)) count += 1;
      else {
        if (count > 0) yield { first: block - count, count };
        count = 0;
      }
    }
  }

  /** The writers have ended: waits for what is under way and closes the device. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#order.run(() => this.#parts.device.close());
  }

  /** Blocks that were written back, in all. */
  get repairedBlocks(): number {
    return this.#repairedBlocks;
  }

  /** Ladder step 2 for `target`: freezes its pending blocks and all that was written since the
   * last checkpoint. 'busy': the gate could not close within CUT_TIMEOUT_MS; try later. */
  cut(target: number): Promise<FrozenSet | 'busy'> {
    return this.#order.run(async () => {
      const slot = this.#slot(target);
      assert(!slot.active, 'one frozen set per target at a time');
      Atomics.store(this.core.control, slot.base + M.SLOT_SPILL_USED, 0);
      await this.#spill(slot).empty();
      const beganMs = this.#parts.clock.wallMs();
      const swapped = await this.#underGate(() => swap(this.core, slot));
      if (swapped === 'busy') return 'busy';
      const endedMs = this.#parts.clock.wallMs();
      this.#fold(swapped.value, slot);
      return this.#frozenSet(slot, beganMs, endedMs);
    });
  }

  /** A cut without freezing (H9): what was written goes to every target's pending map. `swaps` as
   * of then: later, another cut may have come. */
  checkpoint(): Promise<{ readonly swaps: number } | 'busy'> {
    return this.#order.run(async () => {
      const swapped = await this.#underGate(() => swap(this.core, null));
      if (swapped === 'busy') return 'busy';
      this.#fold(swapped.value, null);
      return { swaps: this.swaps };
    });
  }

  /** Runs `work` while no cut or checkpoint moves marks. */
  betweenCuts<T>(work: () => Promise<T>): Promise<T> {
    return this.#order.run(work);
  }

  async #underGate<T>(work: () => T | Promise<T>): Promise<{ value: T } | 'busy'> {
    const start = this.#parts.clock.monotonicMs();
    const { control } = this.core;
    try {
      const steps = closeGate(this.core);
      const left = (): number =>
        Math.max(0, start + CUT_TIMEOUT_MS - this.#parts.clock.monotonicMs());
      const closed = await runWaiting(steps, control, this.#parts.waiter, left);
      return closed === 'timeout' ? 'busy' : { value: await work() };
    } finally {
      openGate(this.core);
      this.holds.add(this.#parts.clock.monotonicMs() - start);
    }
  }

  /** Folds the swapped live map into the frozen map of `slot` and every other target's pending
   * one, takes it off the list, then clears it: in this order (proof of H15 in core.ts). */
  #fold(swapped: number, slot: Slot | null): void {
    const from = present(this.core.live[swapped], 'there are two live maps');
    this.#parts.onSwap?.(from);
    for (const other of this.core.slots) {
      if (other === slot) {
        const frozen = Atomics.load(this.core.control, other.base + M.SLOT_FROZEN);
        present(other.maps[frozen], 'a slot has two maps').merge(from);
      } else this.pending(other.index).merge(from);
    }
    if (slot !== null) Atomics.store(this.core.control, slot.base + M.SLOT_SWAPPED, -1);
    from.clearAll();
    // Written again only after a later cut, which no section can straddle (H15).
    discard(from.memory.bits);
  }

  #frozenSet(slot: Slot, beganMs: number, endedMs: number): FrozenSet {
    const frozen = Atomics.load(this.core.control, slot.base + M.SLOT_FROZEN);
    const map = present(slot.maps[frozen], 'a slot has two maps');
    let ended = false;
    return {
      beganMs,
      endedMs,
      map,
      read: async (chunk, into) => {
        const result = ended ? 'failed' : await this.#read(slot, chunk, into);
        assert(result !== 'released', 'a released chunk is not read');
        return ended ? 'failed' : result;
      },
      readIfHeld: async (chunk, into) => {
        if (ended) return 'failed';
        const state = Atomics.load(slot.states, chunk);
        if (state === M.RELEASED || map.chunkMask(chunk) === 0) return 'released';
        const result = await this.#read(slot, chunk, into);
        return ended ? 'failed' : result;
      },
      release: (chunk) => {
        if (!ended && map.chunkMask(chunk) !== 0) release(slot, chunk);
      },
      get failed() {
        return slot.failed;
      },
      end: (how) => {
        ended = true;
        return this.#order.run(() => this.#end(slot, map, how));
      },
    };
  }

  #read(slot: Slot, chunk: ChunkIndex, into: Uint8Array): Promise<HeldRead> {
    const { device, waiter } = this.#parts;
    const bytes = into.subarray(0, chunkLength(chunk, this.core.memory.sizeBytes));
    return readFrozenChunk(
      this.core,
      { device, waiter, spill: this.#spill(slot) },
      slot,
      chunk,
      bytes,
    );
  }

  #spill(slot: Slot): Spill {
    return present(this.#parts.spills[slot.index], 'every slot has a spill');
  }

  /** Under the closed gate the slot stops being active, so no section stands between its test and
   * its claim; claims already won are waited for; then states and bits are free again. */
  async #end(slot: Slot, map: BlockMap, how: 'drop' | 'merge'): Promise<void> {
    const { control } = this.core;
    const { clock, waiter } = this.#parts;
    const deactivate = (): number => Atomics.store(control, slot.base + M.SLOT_ACTIVE, 0);
    while ((await this.#underGate(deactivate)) === 'busy') await clock.sleep(CUT_TIMEOUT_MS);
    let freed = 0;
    for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
      freed += 1;
      if (freed % CHUNKS_FREED_PER_TURN === 0) await waiter.turn();
      for (;;) {
        const value = Atomics.load(control, M.CLAIM_SEQUENCE);
        if (Atomics.load(slot.states, chunk) !== M.CLAIMED) break;
        await waiter.wait(control, { word: M.CLAIM_SEQUENCE, value });
      }
      Atomics.store(slot.states, chunk, M.FREE);
    }
    if (how === 'merge') this.pending(slot.index).merge(map);
    map.clearAll();
    // All FREE, and nobody claims in a slot that is not active.
    const { states, records } = present(this.core.memory.slots[slot.index], 'it has its memory');
    for (const memory of [map.memory.bits, states, records]) discard(memory);
  }

  #slot(target: number): Slot {
    return present(this.core.slots[target], 'the target has a slot');
  }
}
