// A volume in one thread, for tests: two data threads' disks and the round thread's Volume over one
// memory and one device. What a real thread would do at the same time comes in at awaits.
import { present } from '../../src/base/assert.js';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { MIB } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { Core, type WriteIntentPage } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import type { RepairParts } from '../../src/volume/repair.js';
import type { Spill } from '../../src/volume/spill.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import { Volume } from '../../src/volume/volume.js';
import { atomicsWaiter } from '../../src/volume/waiter.js';
import { newWriteCounters, type WriteCounters } from '../../src/volume/write-sections.js';
import { memorySpill } from './memory-spill.js';

export interface Rig {
  readonly volume: Volume;
  /** Two data threads' disks, and what each counts. */
  readonly disks: readonly [TrackedDisk, TrackedDisk];
  readonly counters: readonly [WriteCounters, WriteCounters];
  readonly device: Device;
  readonly memory: M.VolumeMemory;
  readonly control: Int32Array;
  /** Turns given to other work, and troubles told. */
  readonly turns: () => number;
  readonly troubles: string[];
}

/** What a test replaces. */
export interface RigParts {
  readonly targets?: number;
  /** Of each target; default 16 MiB. */
  readonly spillBytes?: number;
  /** One a target; default in memory. */
  readonly spills?: readonly Spill[];
  readonly extentBytes?: number;
  readonly metaflush?: boolean;
  readonly writeIntent?: WriteIntentPage;
  readonly flushIntent?: () => Promise<void>;
  readonly repair?: RepairParts['repair'];
  readonly clock?: Clock;
  readonly onSuspect?: (error: unknown) => Promise<void>;
}

export function makeRig(device: Device, options: RigParts = {}): Rig {
  const { targets = 1, spillBytes = 16 * MIB, clock = systemClock } = options;
  const { extentBytes = 2 * MIB, metaflush = false } = options;
  const { sizeBytes } = device;
  const shape = { sizeBytes, extentBytes, targets, spillBytes, metaflush };
  const memory = M.allocateVolume(shape);
  const spills = options.spills ?? Array.from({ length: targets }, memorySpill);
  if (targets > 0) present(spills[targets - 1], 'a spill for each target');
  const troubles: string[] = [];
  let turns = 0;
  const waiter = atomicsWaiter(() => {
    turns += 1;
    return new Promise((resolve) => setImmediate(resolve));
  });
  const parts = {
    device,
    spills,
    writeIntent: options.writeIntent ?? ((): void => {}),
    flushIntent: options.flushIntent ?? (async (): Promise<void> => {}),
    waiter,
    nowMs: () => clock.monotonicMs(),
    onTrouble: (what: string): void => void troubles.push(what),
    repair: options.repair ?? null,
    targets: Array.from({ length: targets }, (_, slot) => `target${slot}`),
  };
  const core = new Core(memory, M.THREADS_MAX - 1);
  const onSuspect = options.onSuspect ?? (async (): Promise<void> => {});
  const counters = [newWriteCounters(), newWriteCounters()] as const;
  return {
    volume: new Volume(core, { device, spills, waiter, clock, onSuspect }),
    disks: [
      new TrackedDisk(new Core(memory, 0), { ...parts, counters: counters[0] }),
      new TrackedDisk(new Core(memory, 1), { ...parts, counters: counters[1] }),
    ],
    counters,
    device,
    memory,
    control: core.control,
    turns: () => turns,
    troubles,
  };
}

export const filled = (length: number, value: number): Uint8Array =>
  new Uint8Array(length).fill(value);
