// Every Device against the contract: memory, a file on disk, a file in memory, a loop device; then
// what only a real file can show: a disk that shrank, a full one, buffers that misses leave alone.
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import { poolShare } from '../../src/disk/device-pool.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { needRoot, needTool, scratch } from '../real.js';
import { cachePages, needPageCache } from './cache-pages.js';
import { type DeviceFixture, describeDeviceContract, ODD_BYTES } from './device-contract.js';
import { MemoryDevice } from './memory-device.js';
import { loopDevice } from './processes.js';

async function fileFixture(folder: string, sizeBytes: number): Promise<DeviceFixture> {
  const path = join(folder, 'disk.raw');
  await createSparseFile(path, sizeBytes);
  const device = openFileDevice(openSync(path, 'r+'), path, 'file', sizeBytes, { ownsFd: true });
  return {
    device,
    content: () => readFileSync(path),
    allocated: () => statSync(path).blocks * 512,
    punches: true,
    seesHoles: true,
  };
}

function memoryFolder(t: TestContext): string | null {
  if (!existsSync('/dev/shm') || statfsSync('/dev/shm').type !== 0x0102_1994) {
    t.skip('no tmpfs on /dev/shm');
    return null;
  }
  const folder = mkdtempSync('/dev/shm/hast-');
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function loopFixture(t: TestContext, sizeBytes: number): Promise<DeviceFixture | null> {
  if (!needTool(t, 'losetup') || !needRoot(t)) return null;
  const backing = join(scratch(t), 'backing.raw');
  await createSparseFile(backing, sizeBytes);
  const path = loopDevice(t, backing);
  const device = openFileDevice(openSync(path, 'r+'), path, 'block', sizeBytes, { ownsFd: true });
  return {
    device,
    content: () => readFileSync(path),
    allocated: () => statSync(backing).blocks * 512,
    punches: true,
    seesHoles: false,
  };
}

for (const cached of [true, false]) {
  describeDeviceContract(cached ? 'memory' : 'memory, uncached, no punching', async (_t, size) => {
    const device = new MemoryDevice({ sizeBytes: size });
    device.cached = cached;
    device.punches = cached;
    const content = () => {
      const twin = new Uint8Array(size);
      device.cached = true;
      assert.ok(device.readCached(0, twin));
      device.cached = cached;
      return twin;
    };
    const allocated = () => device.allocatedBlocks * 4096;
    return { device, content, allocated, punches: cached, seesHoles: true };
  });
}

describeDeviceContract('file on disk', (t, size) => fileFixture(scratch(t), size));

describeDeviceContract('file on tmpfs', async (t, size) => {
  const folder = memoryFolder(t);
  return folder === null ? null : fileFixture(folder, size);
});

describeDeviceContract('loop device', loopFixture);

test('a file longer than the disk keeps its tail (H14)', async (t) => {
  const path = join(scratch(t), 'long.raw');
  await createSparseFile(path, 2 * MIB);
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(4096, 0x77), 0, 4096, MIB + 512);
  const device = openFileDevice(fd, path, 'file', MIB + 512, { ownsFd: true });
  device.zeroNow(MIB, 512, true);
  device.zeroNow(MIB, 512, false);
  assert.ok(device.punchNow(MIB, 512));
  await device.close();
  const tail = readFileSync(path).subarray(MIB + 512, MIB + 512 + 4096);
  assert.ok(tail.every((byte) => byte === 0x77));
  assert.equal(statSync(path).size, 2 * MIB);
});

test('nextData stops at the end of the disk, not of the file', async (t) => {
  const path = join(scratch(t), 'long.raw');
  await createSparseFile(path, 4 * MIB);
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 3 * MIB);
  const device = openFileDevice(fd, path, 'file', MIB, { ownsFd: true });
  assert.equal(device.nextData(0), MIB);
  await device.close();
});

test('a disk made smaller is a short read, named', async (t) => {
  const path = join(scratch(t), 'short.raw');
  await createSparseFile(path, MIB);
  const fd = openSync(path, 'r+');
  const device = openFileDevice(fd, path, 'file', MIB, { ownsFd: true });
  ftruncateSync(fd, 6000);
  const into = new Uint8Array(4096);
  assert.equal(device.readCached(4096, into), false);
  await assert.rejects(device.read(4096, into), {
    fault: { code: 'DISK_SHORT_READ', path, offset: 4096, wanted: 4096, got: 6000 - 4096 },
  });
  await device.close();
});

test('what a disk made smaller lacks is no hole', async (t) => {
  const path = join(scratch(t), 'short.raw');
  await createSparseFile(path, 4 * MIB);
  const fd = openSync(path, 'r+');
  const device = openFileDevice(fd, path, 'file', 4 * MIB, { ownsFd: true });
  device.writeNow(MIB, Buffer.alloc(4096, 1));
  assert.equal(device.nextData(MIB + 4096), 4 * MIB);
  ftruncateSync(fd, 2 * MIB + 512);
  assert.equal(device.nextData(0), MIB);
  assert.equal(device.nextData(MIB + 4096), 2 * MIB + 512, 'a hole, then the end of the file');
  for (const from of [2 * MIB + 512, 3 * MIB, 4 * MIB]) assert.equal(device.nextData(from), from);
  await device.close();
});

test('a descriptor that cannot write says operation, place, errno', async (t) => {
  const path = join(scratch(t), 'ro.raw');
  await createSparseFile(path, MIB);
  const device = openFileDevice(openSync(path, 'r'), path, 'file', MIB, { ownsFd: true });
  const fault = { code: 'DISK_FAILED', operation: 'write', path, offset: 8192, errno: 'EBADF' };
  assert.throws(() => device.writeNow(8192, new Uint8Array(512)), { fault });
  await assert.rejects(device.write(8192, new Uint8Array(512)), { fault });
  const allocate = { fault: { ...fault, operation: 'fallocate' } };
  assert.throws(() => device.zeroNow(8192, 512, true), allocate);
  assert.throws(() => device.punchNow(8192, 4096), allocate);
  await device.close();
});

test('several devices share a descriptor; only the owner closes it', async (t) => {
  const path = join(scratch(t), 'shared.raw');
  await createSparseFile(path, MIB);
  const fd = openSync(path, 'r+');
  const guest = openFileDevice(fd, path, 'file', MIB, { ownsFd: false });
  const owner = openFileDevice(fd, path, 'file', MIB, { ownsFd: true, poolShare: poolShare(1) });
  guest.writeNow(0, Buffer.from('through one'));
  await guest.close();
  const back = new Uint8Array(11);
  await owner.read(0, back);
  assert.equal(Buffer.from(back).toString(), 'through one');
  await owner.close();
  assert.throws(() => closeSync(fd), { code: 'EBADF' });
});

test('readCached: a hit after a read, a miss after the cache was dropped', async (t) => {
  const folder = scratch(t);
  const { device, content } = await fileFixture(folder, ODD_BYTES);
  if (!needPageCache(t, folder)) return;
  const pages = cachePages(t, device.path);
  const bytes = Buffer.alloc(65_536, 0x5a);
  device.writeNow(MIB, bytes);
  await device.sync();
  const into = Buffer.alloc(65_536);
  assert.equal(device.readCached(MIB, into), true, 'just written');
  assert.deepEqual(into, bytes);
  pages.cold();
  assert.equal(device.readCached(MIB, into), false, 'dropped');
  await device.read(MIB, into);
  assert.deepEqual(into, bytes);
  assert.equal(device.readCached(MIB, into), true, 'read again');
  assert.deepEqual(Buffer.from(content().subarray(MIB, MIB + 65_536)), bytes);
  await device.close();
});

test('MemoryDevice fails where it is told to, and heals', async () => {
  const device = new MemoryDevice({ sizeBytes: MIB, path: 'm' });
  device.writeNow(0, Buffer.alloc(8192, 1));
  device.fail('read', 'EIO', 4096, 8192);
  assert.equal(device.readCached(4096, new Uint8Array(512)), false);
  await device.read(0, new Uint8Array(4096));
  const fault = { code: 'DISK_FAILED', operation: 'read', path: 'm', offset: 0, errno: 'EIO' };
  await assert.rejects(device.read(0, new Uint8Array(4097)), { fault });
  device.heal('read');
  await device.read(0, new Uint8Array(8192));
  device.fail('sync', 'ENOSPC');
  await assert.rejects(device.sync(), { fault: { ...fault, operation: 'sync', errno: 'ENOSPC' } });
  device.fail('write');
  assert.throws(() => device.writeNow(0, new Uint8Array(1)), { name: 'DiskError' });
  assert.equal(device.counts.sync, 1);
});
