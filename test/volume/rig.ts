// A volume in one thread, for tests: two data threads' disks and the round thread's Volume over one
// memory and one device. What a real thread would do at the same time comes in at awaits.
import { systemClock } from '../../src/base/clock.js';
import { MIB } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { Core, type WriteIntentPage } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import type { Spill } from '../../src/volume/spill.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import { Volume } from '../../src/volume/volume.js';
import { atomicsWaiter } from '../../src/volume/waiter.js';

export interface Rig {
  readonly volume: Volume;
  /** Two data threads' disks. */
  readonly disks: readonly [TrackedDisk, TrackedDisk];
  readonly device: Device;
  readonly control: Int32Array;
  /** Turns given to other work, and troubles told. */
  readonly turns: () => number;
  readonly troubles: string[];
}

export function makeRig(
  device: Device,
  spill: Spill,
  targets: number,
  spillBytes: number,
  writeIntent: WriteIntentPage = () => {},
): Rig {
  const { sizeBytes } = device;
  const shape = { sizeBytes, extentBytes: 2 * MIB, targets, spillBytes };
  const memory = M.allocateVolume(shape);
  const troubles: string[] = [];
  let turns = 0;
  const waiter = atomicsWaiter(() => {
    turns += 1;
    return new Promise((resolve) => setImmediate(resolve));
  });
  const onTrouble = (what: string): void => void troubles.push(what);
  const parts = { device, spill, writeIntent, waiter, onTrouble };
  const core = new Core(memory, M.THREADS_MAX - 1);
  return {
    volume: new Volume(core, {
      device,
      spill,
      waiter,
      clock: systemClock,
      onSuspect: async () => {},
    }),
    disks: [
      new TrackedDisk(new Core(memory, 0), parts),
      new TrackedDisk(new Core(memory, 1), parts),
    ],
    device,
    control: core.control,
    turns: () => turns,
    troubles,
  };
}

export const filled = (length: number, value: number): Uint8Array =>
  new Uint8Array(length).fill(value);
