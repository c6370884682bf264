// The disk of a crash world: a Device whose un-synced writes can be lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { GIB, MIB } from '../../src/base/units.js';
import { CrashWorld, WorldStopped } from './memory-files.js';
import { openWorldDevice, type WorldDeviceOptions } from './world-device.js';

const SIZE = 4 * MIB + 512;

function disk(options: WorldDeviceOptions = {}, sizeBytes = SIZE) {
  const world = new CrashWorld();
  world.plant('/disk', sizeBytes);
  return { world, device: openWorldDevice(world, '/disk', options) };
}

const filled = (length: number, value: number) => new Uint8Array(length).fill(value);

test('reads what was written, to the last short block', async () => {
  const { device } = disk();
  assert.equal(device.sizeBytes, SIZE);
  device.writeNow(SIZE - 512, filled(512, 7));
  await device.write(4096, filled(4096, 8));
  const into = new Uint8Array(512);
  await device.read(SIZE - 512, into);
  assert.deepEqual(into, filled(512, 7));
  assert.equal(device.readCached(4096, into), true);
  assert.deepEqual(into, filled(512, 8));
});

test('nothing beyond the size is touched (H14)', () => {
  const { device } = disk();
  assert.throws(() => device.writeNow(SIZE - 511, filled(512, 1)), /inside the disk/);
  assert.throws(() => device.readCached(SIZE, filled(1, 1)), /inside the disk/);
  assert.throws(() => device.punchNow(0, SIZE + 1), /inside the disk/);
  assert.throws(() => device.zeroNow(0, MIB + 1, true), /at most 1 MiB/);
});

test('an un-synced write is lost, a synced one stays, each is a step', async () => {
  const { world, device } = disk();
  device.writeNow(0, filled(512, 1));
  await device.sync();
  device.writeNow(512, filled(512, 2));
  assert.equal(world.steps, 3);
  const left = world.afterCrash('all', seededRandom(1)).peek('/disk');
  assert.deepEqual([left?.[0], left?.[512], left?.length], [1, 0, SIZE]);
});

test('readCached finds it always, never, or by the seed', () => {
  const into = new Uint8Array(1);
  const hits = (options: WorldDeviceOptions) => {
    const { device } = disk(options);
    return Array.from({ length: 40 }, () => device.readCached(0, into));
  };
  assert.deepEqual(new Set(hits({})), new Set([true]));
  assert.deepEqual(new Set(hits({ cached: 'never' })), new Set([false]));
  assert.deepEqual(new Set(hits({ cached: seededRandom(3) })), new Set([true, false]));
  assert.deepEqual(hits({ cached: seededRandom(3) }), hits({ cached: seededRandom(3) }));
});

test('zeroes and holes read as zeroes and are lost as writes are', async () => {
  for (const how of ['zero', 'allocate', 'punch'] as const) {
    const { world, device } = disk();
    device.writeNow(0, filled(200_000, 9));
    await device.sync();
    if (how === 'punch') assert.equal(device.punchNow(100, 131_072), true);
    else device.zeroNow(100, 131_072, how === 'zero');
    const into = new Uint8Array(131_074);
    await device.read(99, into);
    assert.deepEqual([into[0], into[1], into[131_072], into[131_073]], [9, 0, 0, 9], how);
    const left = world.afterCrash('all', seededRandom(1)).peek('/disk');
    assert.equal(left?.[5000], 9, 'the zeroes were not synced');
  }
  assert.equal(disk({ punch: false }).device.punchNow(0, 4096), false);
});

test('nextData finds data on a sparse giant', () => {
  const { device } = disk({}, 8 * GIB);
  assert.equal(device.nextData(0), 8 * GIB);
  device.writeNow(5 * GIB + 70_000, filled(10, 1));
  assert.equal(device.nextData(0), 5 * GIB + 69_632);
  assert.equal(device.nextData(6 * GIB), 8 * GIB);
  device.punchNow(5 * GIB, MIB);
  assert.equal(device.nextData(0), 8 * GIB);
});

test('injected failures come out as DISK_FAILED with the place', async () => {
  const { world, device } = disk();
  world.failNext({ operation: 'read', path: '/disk' }, 'EIO');
  await assert.rejects(device.read(512, new Uint8Array(512)), (error) => {
    assert.match(String(error), /\/disk: read at byte 512 failed: EIO/);
    return codeOf(error) === 'DISK_FAILED';
  });
  world.failNext({ operation: 'write' }, 'ENOSPC');
  assert.throws(
    () => device.writeNow(0, filled(512, 1)),
    (error) => codeOf(error) === 'DISK_FAILED',
  );
  world.failNext({ operation: 'sync' }, 'EIO');
  await assert.rejects(device.sync(), (error) => codeOf(error) === 'DISK_FAILED');
  assert.throws(
    () => openWorldDevice(world, '/none'),
    (error) => codeOf(error) === 'DISK_MISSING',
  );
});

test('after a failed sync the cache differs from the disk until it is dropped (H18)', async () => {
  const { world, device } = disk();
  device.writeNow(0, filled(512, 1));
  await device.sync();
  device.writeNow(0, filled(512, 2));
  world.failNext({ operation: 'sync' }, 'EIO');
  await assert.rejects(device.sync());
  device.writeNow(512, filled(512, 3));
  const into = new Uint8Array(1024);
  await device.read(0, into);
  assert.deepEqual([into[0], into[512]], [2, 3]);
  device.dropCached(0, 4096);
  await device.read(0, into);
  assert.deepEqual([into[0], into[512]], [1, 3], 'what is dirty stays in the cache');
});

test('a stopped world: calls that cannot wait throw', () => {
  const { world, device } = disk();
  world.crashAt(1);
  device.writeNow(0, filled(512, 1));
  assert.throws(() => device.writeNow(0, filled(512, 2)), WorldStopped);
  assert.throws(() => device.readCached(0, filled(512, 0)), WorldStopped);
  assert.equal(world.peek('/disk')?.[0], 1);
});
