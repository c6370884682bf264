// Volume: the round thread's side of a live disk. It cuts, checkpoints, and owns each target's
// pending and frozen maps; data threads only mark (tracked-disk.ts). Knows no rounds and no files
// but the spill: the caller publishes what `pages` says, in the order of RULES.md §1.
// Promises: W2 and D2 through core.ts; H4 (a gate that cannot close in time opens again); H15
// (a cut is O(1), folding comes after); H16 (frozen and pending are per target).
import { assert, present } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { Mutex } from '../base/sync.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { BlockMap } from '../tracking/block-map.js';
import { type Core, closeGate, openGate, readFrozen, release, type Slot, swap } from './core.js';
import { HoldTimes } from './hold-times.js';
import * as M from './memory.js';
import type { Spill } from './spill.js';
import { runWaiting, type Waiter } from './waiter.js';

/** How long a cut may wait for open sections before it opens the gate again (H4). */
export const CUT_TIMEOUT_MS = 1000;

export interface VolumeParts {
  readonly device: Device;
  readonly spill: Spill;
  readonly waiter: Waiter;
  readonly clock: Clock;
  /** Makes it durable that an fdatasync has failed. */
  readonly onSuspect: (error: unknown) => Promise<void>;
}

/** A target's chunks as of a cut; stands until `end`. */
export interface FrozenSet {
  /** Wall time just before the gate closed, and just after it opened. */
  readonly beganMs: number;
  readonly endedMs: number;
  readonly map: BlockMap;
  /** Fills `into` with the chunk as of the cut. 'failed': preserve failed, the round is lost. */
  read(chunk: ChunkIndex, into: Uint8Array): Promise<'read' | 'failed'>;
  /** No more preserve for this chunk (ladder step 5). */
  release(chunk: ChunkIndex): void;
  readonly failed: boolean;
  /** Ends the set: 'drop' forgets the bits (D1: committed and hardened), 'merge' gives them back
   * to the target's pending map. */
  end(how: 'drop' | 'merge'): Promise<void>;
}

export class Volume {
  readonly core: Core;
  readonly holds = new HoldTimes();
  readonly #parts: VolumeParts;
  readonly #order = new Mutex();

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

  get spillBytesMax(): number {
    return Atomics.load(this.core.control, M.SPILL_MAX) * CHUNK_BYTES;
  }

  get spillBytes(): number {
    const records = Atomics.load(this.core.control, M.SPILL_USED) * CHUNK_BYTES;
    return Math.min(records, this.spillBytesMax);
  }

  /** Dirty bytes of `target`: pending, frozen, and the live map, which counts for every target. */
  dirtyBytes(target: number): number {
    const live = this.core.liveMap().count().blocks;
    const held = this.maps(target).reduce((sum, map) => sum + map.count().blocks, 0);
    return Math.min((live + held) * 4096, this.core.memory.sizeBytes);
  }

  /** True when any of blocks first..last is marked for `target`, now. */
  isDirty(target: number, first: number, last: number): boolean {
    const maps = [this.core.liveMap(), ...this.maps(target)];
    return maps.some((map) => map.anyMarked(first, last));
  }

  /** Ladder step 2 for `target`: freezes its pending blocks and all that was written since the
   * last checkpoint. 'busy': the gate could not close within CUT_TIMEOUT_MS; try later. */
  cut(target: number): Promise<FrozenSet | 'busy'> {
    return this.#order.run(async () => {
      const slot = this.#slot(target);
      assert(!slot.active, 'one frozen set per target at a time');
      if (this.core.slots.every((other) => !other.active)) {
        Atomics.store(this.core.control, M.SPILL_USED, 0);
        await this.#parts.spill.empty();
      }
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

  async #underGate<T>(work: () => T): Promise<{ value: T } | 'busy'> {
    const start = this.#parts.clock.monotonicMs();
    const { control } = this.core;
    try {
      const steps = closeGate(this.core);
      const left = (): number =>
        Math.max(0, start + CUT_TIMEOUT_MS - this.#parts.clock.monotonicMs());
      const closed = await runWaiting(steps, control, this.#parts.waiter, left);
      return closed === 'timeout' ? 'busy' : { value: work() };
    } finally {
      openGate(this.core);
      this.holds.add(this.#parts.clock.monotonicMs() - start);
    }
  }

  /** Folds the swapped live map into the frozen map of `slot` and every other target's pending
   * one, takes it off the list, then clears it: in this order (proof of H15 in core.ts). */
  #fold(swapped: number, slot: Slot | null): void {
    const from = present(this.core.live[swapped], 'there are two live maps');
    for (const other of this.core.slots) {
      if (other === slot) {
        const frozen = Atomics.load(this.core.control, other.base + M.SLOT_FROZEN);
        present(other.maps[frozen], 'a slot has two maps').merge(from);
      } else this.pending(other.index).merge(from);
    }
    if (slot !== null) Atomics.store(this.core.control, slot.base + M.SLOT_SWAPPED, -1);
    from.clearAll();
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

  async #read(slot: Slot, chunk: ChunkIndex, into: Uint8Array): Promise<'read' | 'failed'> {
    const { device, spill, waiter } = this.#parts;
    const bytes = into.subarray(0, chunkLength(chunk, this.core.memory.sizeBytes));
    const offset = chunk * CHUNK_BYTES;
    const steps = readFrozen(
      this.core,
      slot,
      chunk,
      () => (device.readCached(offset, bytes) ? undefined : device.read(offset, bytes)),
      (record) => spill.readNow(record, bytes),
    );
    const result = await runWaiting(steps, this.core.control, waiter);
    assert(result !== 'timeout', 'reading a frozen chunk has no time limit');
    return result.value;
  }

  /** Under the closed gate the slot stops being active, so no section stands between its test and
   * its claim; claims already won are waited for; then states and bits are free again. */
  async #end(slot: Slot, map: BlockMap, how: 'drop' | 'merge'): Promise<void> {
    const { control } = this.core;
    const { clock, waiter } = this.#parts;
    const deactivate = (): number => Atomics.store(control, slot.base + M.SLOT_ACTIVE, 0);
    while ((await this.#underGate(deactivate)) === 'busy') await clock.sleep(CUT_TIMEOUT_MS);
    for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
      for (;;) {
        const value = Atomics.load(control, M.CLAIM_SEQUENCE);
        if (Atomics.load(slot.states, chunk) !== M.CLAIMED) break;
        await waiter.wait(control, { word: M.CLAIM_SEQUENCE, value });
      }
      Atomics.store(slot.states, chunk, M.FREE);
    }
    if (how === 'merge') this.pending(slot.index).merge(map);
    map.clearAll();
  }

  #slot(target: number): Slot {
    return present(this.core.slots[target], 'the target has a slot');
  }
}
