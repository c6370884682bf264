// Volume on every kind of device: memory with and without a page cache, a file, a loop device.
import { openSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { nodeFiles } from '../../src/base/node-files.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import type { Device } from '../../src/disk/device.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { fileSpill, type Spill } from '../../src/volume/spill.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { loopDevice } from '../disk/processes.js';
import { needRoot, needTool, scratch } from '../real.js';
import { memorySpill } from './memory-spill.js';
import { describeVolumeContract, TARGETS } from './volume-contract.js';

const slots = Array.from({ length: TARGETS }, (_, slot) => slot);

/** One a target. */
function spillsIn(t: TestContext, folder: string): Promise<Spill[]> {
  const open = async (slot: number): Promise<Spill> => {
    const handle = await nodeFiles(() => {}).open(join(folder, `spill${slot}`), 'truncate');
    t.after(() => handle.close());
    return fileSpill(handle);
  };
  return Promise.all(slots.map(open));
}

for (const cached of [true, false]) {
  describeVolumeContract(cached ? 'memory' : 'memory, nothing cached', async (_t, sizeBytes) => {
    const device = new MemoryDevice({ sizeBytes });
    device.cached = cached;
    device.punches = cached;
    return { device, spills: slots.map(memorySpill) };
  });
}

async function fileDevice(folder: string, sizeBytes: number): Promise<Device> {
  const path = join(folder, 'disk.raw');
  await createSparseFile(path, sizeBytes);
  return openFileDevice(openSync(path, 'r+'), path, 'file', sizeBytes, { ownsFd: true });
}

describeVolumeContract('file', async (t, sizeBytes) => {
  const folder = scratch(t);
  return { device: await fileDevice(folder, sizeBytes), spills: await spillsIn(t, folder) };
});

describeVolumeContract('loop device', async (t, sizeBytes) => {
  if (!needTool(t, 'losetup') || !needRoot(t)) return null;
  const folder = scratch(t);
  const backing = join(folder, 'backing.raw');
  await createSparseFile(backing, sizeBytes);
  const path = loopDevice(t, backing);
  const device = openFileDevice(openSync(path, 'r+'), path, 'block', sizeBytes, { ownsFd: true });
  return { device, spills: await spillsIn(t, folder) };
});
