// What the background pass is tried on: a real Volume over a MemoryDevice, a guest's TrackedDisk,
// and targets whose rounds are played by hand (cut, table, drop), so that a test can stop in one.
import assert from 'node:assert/strict';
import { systemClock } from '../../src/base/clock.js';
import { digestOf } from '../../src/base/digest.js';
import { type Log, silentLog } from '../../src/base/log.js';
import {
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  MIB,
} from '../../src/base/units.js';
import type { ScrubParts, ScrubTarget } from '../../src/care/scrub.js';
import type { Device } from '../../src/disk/device.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { Core } from '../../src/volume/core.js';
import { allocateVolume, THREADS_MAX } from '../../src/volume/memory.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import { type FrozenSet, Volume } from '../../src/volume/volume.js';
import { atomicsWaiter } from '../../src/volume/waiter.js';
import { newWriteCounters } from '../../src/volume/write-sections.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { memorySpill } from '../volume/memory-spill.js';

/** Nine chunks, the last of one block and one sector. */
export const SIZE_BYTES = 8 * CHUNK_BYTES + 4608;
export const CHUNKS = chunkCount(SIZE_BYTES);

const pointOf = (number: number): PointRef => ({
  id: new Uint8Array(16).fill(number),
  number,
  timeMs: number,
});

class HandTable {
  readonly digests = new Map<ChunkIndex, Uint8Array>();
  point: PointRef | null = pointOf(1);

  get(chunk: ChunkIndex): Uint8Array | null {
    return this.digests.get(chunk) ?? null;
  }
}

/** A target's table and record, and its rounds. */
export class HandTarget implements ScrubTarget {
  readonly target: string;
  readonly slot: number;
  readonly table = new HandTable();
  proposed = false;
  readonly #volume: Volume;
  #recorded = pointOf(1);
  #frozen: FrozenSet | null = null;

  constructor(volume: Volume, slot: number) {
    this.#volume = volume;
    this.slot = slot;
    this.target = `t${slot}`;
  }

  readonly trusted = (): boolean =>
    !this.proposed && this.table.point?.number === this.#recorded.number;

  get inRound(): boolean {
    return this.#frozen !== null;
  }

  /** The table becomes what the disk holds, as after a first round. */
  async fill(): Promise<void> {
    for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
      const bytes = new Uint8Array(chunkLength(chunk, SIZE_BYTES));
      await this.#volume.device.read(chunk * CHUNK_BYTES, bytes);
      this.table.digests.set(chunk, digestOf(bytes));
    }
  }

  /** Ladder steps 2 and 3. */
  async begin(): Promise<void> {
    const frozen = await this.#volume.cut(this.slot);
    assert.ok(frozen !== 'busy');
    this.#frozen = frozen;
    this.proposed = true;
  }

  /** Ladder steps 7 to 9. */
  async commit(): Promise<void> {
    const frozen = this.#frozen;
    assert.ok(frozen);
    this.table.point = null;
    for (let chunk = frozen.map.nextChunk(0); chunk >= 0; chunk = frozen.map.nextChunk(chunk + 1)) {
      const bytes = new Uint8Array(CHUNK_BYTES);
      assert.notEqual(await frozen.read(chunk, bytes), 'failed');
      const length = chunkLength(chunk, SIZE_BYTES);
      this.table.digests.set(chunk, digestOf(bytes.subarray(0, length)));
    }
    this.#recorded = pointOf(this.#recorded.number + 1);
    this.table.point = this.#recorded;
    this.proposed = false;
    await frozen.end('drop');
    this.#frozen = null;
  }

  async fail(): Promise<void> {
    await this.#frozen?.end('merge');
    this.#frozen = null;
    this.proposed = false;
  }
}

/** Moments of a step at which something else may come between. */
export type Moment = 'before' | 'reading' | 'read' | 'hashed';
export const MOMENTS: readonly Moment[] = ['before', 'reading', 'read', 'hashed'];

export interface ScrubRig {
  readonly memory: MemoryDevice;
  readonly volume: Volume;
  readonly guest: TrackedDisk;
  readonly targets: readonly HandTarget[];
  readonly parts: ScrubParts;
  readonly warnings: Readonly<Record<string, unknown>>[];
  /** Called at each moment; 'reading' and 'read' come for each chunk read. */
  at: (moment: Moment) => Promise<void>;
}

export async function scrubRig(targetCount = 1): Promise<ScrubRig> {
  const memory = new MemoryDevice({ sizeBytes: SIZE_BYTES });
  for (let chunk = 0; chunk < CHUNKS - 2; chunk += 1) {
    memory.writeNow(chunk * CHUNK_BYTES, new Uint8Array(CHUNK_BYTES).fill(chunk + 1));
  }
  const rig: { at: ScrubRig['at'] } = { at: async () => {} };
  const device: Device = new Proxy(memory, {
    get: (real, name) => {
      const value: unknown = Reflect.get(real, name, real);
      if (typeof value !== 'function') return value;
      if (name !== 'readMedium') return value.bind(real);
      return async (offset: number, into: Uint8Array) => {
        await rig.at('reading');
        await real.readMedium(offset, into);
        await rig.at('read');
      };
    },
  });
  const shape = { sizeBytes: SIZE_BYTES, extentBytes: 2 * MIB, targets: targetCount };
  const all = allocateVolume({ ...shape, spillBytes: MIB, metaflush: false });
  const waiter = atomicsWaiter(async () => {});
  const spills = Array.from({ length: targetCount }, () => memorySpill());
  const common = { device, spills, waiter };
  const volume = new Volume(new Core(all, THREADS_MAX - 1), {
    ...common,
    clock: systemClock,
    onSuspect: async () => {},
  });
  const targets = spills.map((_, slot) => new HandTarget(volume, slot));
  for (const target of targets) await target.fill();
  const guest = new TrackedDisk(new Core(all, 0), {
    ...common,
    targets: targets.map(({ target }) => target),
    writeIntent: () => {},
    flushIntent: async () => {},
    nowMs: () => 0,
    counters: newWriteCounters(),
    repair: null,
    onTrouble: () => {},
  });
  const warnings: Record<string, unknown>[] = [];
  const log: Log = { ...silentLog, warn: (_, fields) => void warnings.push({ ...fields }) };
  const inline = inlineCompute(packRaw);
  const compute = {
    digests: async (bytes: Uint8Array, lengths: readonly number[]) => {
      const digests = await inline.digests(bytes, lengths);
      await rig.at('hashed');
      return digests;
    },
  };
  const parts: ScrubParts = { volume, compute, targets, log };
  return Object.assign(rig, { memory, volume, guest, targets, parts, warnings });
}
