// Real tracked disks on a file for tests of the guest-facing server: two threads' disks over one
// volume memory, as two data threads have them, and the core to look at and move its maps.
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { nextTurn } from '../../src/base/clock.js';
import { MIB } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { Core } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import { atomicsWaiter } from '../../src/volume/waiter.js';
import { newWriteCounters } from '../../src/volume/write-sections.js';
import { scratch } from '../real.js';

export const TARGETS = ['b', 'c'] as const;

export interface Tracked {
  readonly path: string;
  readonly disks: readonly [TrackedDisk, TrackedDisk];
  readonly core: Core;
}

/** A volume on `device`, nothing dirty. */
export function trackedOn(device: Device, path = device.path): Tracked {
  const memory = M.allocateVolume({
    sizeBytes: device.sizeBytes,
    extentBytes: 2 * MIB,
    targets: TARGETS.length,
    spillBytes: MIB,
    metaflush: false,
  });
  const disk = (thread: number): TrackedDisk =>
    new TrackedDisk(new Core(memory, thread), {
      device,
      spills: [],
      writeIntent: () => {},
      flushIntent: async () => {},
      waiter: atomicsWaiter(nextTurn),
      nowMs: () => 0,
      counters: newWriteCounters(),
      onTrouble: () => {},
      repair: null,
      targets: TARGETS,
    });
  return { path, disks: [disk(0), disk(1)], core: new Core(memory, M.THREADS_MAX - 1) };
}

/** A sparse file of `sizeBytes`, closed and removed after the test. */
export function trackedFile(t: TestContext, sizeBytes: number, folder = scratch(t)): Tracked {
  const path = join(folder, 'disk.raw');
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, sizeBytes);
  const device = openFileDevice(fd, path, 'file', sizeBytes, { ownsFd: false });
  t.after(async () => {
    await device.close();
    closeSync(fd);
  });
  return trackedOn(device, path);
}
