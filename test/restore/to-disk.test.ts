// Points of an archive restored onto disks: new ones, stale ones, and ones that an interrupted
// restore has left; each is the image of its cut in the end, and only what differs is fetched.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes, isZero } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES } from '../../src/base/units.js';
import type { RegionSource } from '../../src/restore/archive-region.js';
import { checkPacks } from '../../src/restore/check-packs.js';
import { Frames } from '../../src/restore/frames.js';
import { layHere } from '../../src/restore/lay-frames.js';
import { type RestoreOptions, restoreToDisk } from '../../src/restore/to-disk.js';
import { makeArchive } from '../archive/directory-archive.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import { CrashWorld } from '../world/memory-files.js';
import { openWorldDevice } from '../world/world-device.js';

const DISK = '/disk';
const never = new AbortController().signal;

interface Made {
  readonly objects: MemoryObjects;
  readonly images: readonly Uint8Array[];
}

async function made(chunks: number): Promise<Made> {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(5), objects, null, chunks * CHUNK_BYTES + 512);
  const images: Uint8Array[] = [];
  for (let round = 0; round < 5; round += 1) {
    for (let times = 0; times < 8; times += 1) sender.write();
    await sender.round();
    images.push(sender.disk.slice());
  }
  return { objects, images };
}

async function sourceOf(objects: MemoryObjects, sequence: number) {
  const store = new MemoryStore(objects);
  const archive = await Archive.open(store, null);
  const point = await archive?.point({ epoch: 1, sequence });
  assert.ok(archive && point);
  const trees = new PointTrees(archive, point.trees);
  const { sizeBytes } = point;
  const frames = new Frames(store, layHere(archive.keyOf));
  const source: RegionSource = { url: store.url, frames, trees, sizeBytes };
  return { source, store };
}

async function restored(
  { objects }: Made,
  sequence: number,
  before: Uint8Array | number,
  target: RestoreOptions['target'],
) {
  const world = new CrashWorld();
  world.plant(DISK, before);
  const { source, store } = await sourceOf(objects, sequence);
  const device = openWorldDevice(world, DISK);
  const counts = await restoreToDisk(source, device, { target, signal: never });
  await device.close();
  const left = world.afterCrash('all', seededRandom(1)).peek(DISK) ?? new Uint8Array(0);
  return { disk: left, counts, store };
}

test('every point onto a new disk, durable in the end', async () => {
  const all = await made(300);
  for (const [at, image] of all.images.entries()) {
    const { disk, counts } = await restored(all, at + 1, image.length, 'fresh');
    assert.ok(equalBytes(disk, image), `point ${at + 1}`);
    assert.equal(counts.doneBytes, image.length);
  }
});

test('what is zeroes to the block stays a hole of a new disk', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(6), objects, null, 64 * CHUNK_BYTES);
  for (let times = 0; times < 12; times += 1) sender.write();
  await sender.round();
  const { disk } = sender;
  const world = new CrashWorld();
  world.plant(DISK, disk.length);
  const { source } = await sourceOf(objects, 1);
  const inner = openWorldDevice(world, DISK);
  let written = 0;
  const device = new Proxy(inner, {
    get(real, name) {
      const value: unknown = Reflect.get(real, name, real);
      if (typeof value !== 'function') return value;
      if (name !== 'write') return value.bind(real);
      return async (offset: number, bytes: Uint8Array) => {
        for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
          assert.ok(!isZero(bytes.subarray(at, at + BLOCK_BYTES)), `zeroes at ${offset + at}`);
        }
        written += bytes.length;
        await real.write(offset, bytes);
      };
    },
  });
  const counts = await restoreToDisk(source, device, { target: 'fresh', signal: never });
  await inner.close();
  assert.ok(equalBytes(world.peek(DISK) ?? new Uint8Array(0), disk));
  assert.ok(written > 0 && written < disk.length);
  assert.deepEqual([counts.writtenBytes, counts.equalBytes], [written, 0]);
});

test('onto a stale disk: only what differs is fetched and written', async () => {
  const all = await made(300);
  const [older, newer] = [all.images[2], all.images[3]];
  assert.ok(older && newer);
  const { disk, counts } = await restored(all, 4, older, 'compare');
  assert.ok(equalBytes(disk, newer));
  const whole = await restored(all, 4, newer.length, 'fresh');
  assert.ok(counts.writtenBytes < 0.75 * newer.length);
  const again = await restored(all, 4, newer, 'compare');
  assert.ok(again.store.counts.downBytes < whole.store.counts.downBytes / 2);
  assert.equal(again.counts.writtenBytes, 0);
});

test('onto a disk full of something else: zeroes come back, too', async () => {
  const all = await made(40);
  const image = all.images[1];
  assert.ok(image);
  const { disk } = await restored(all, 2, new Uint8Array(image.length).fill(7), 'compare');
  assert.ok(equalBytes(disk, image));
});

test('frames of scattered writes, which many regions need, are fetched once', async () => {
  const shape = { sizeBytes: 160 * 1024 * 1024, rounds: 4, blocks: 200 };
  const { objects, images } = await makeArchive(8, shape);
  const image = images[3];
  assert.ok(image);
  const { disk, store } = await restored({ objects, images }, 4, image.length, 'fresh');
  assert.ok(equalBytes(disk, image));
  const archive = await Archive.open(new MemoryStore(objects), null);
  const point = await archive?.point({ epoch: 1, sequence: 4 });
  assert.ok(archive && point);
  const needed = await checkPacks(archive, [point], never, () => {});
  const { downBytes } = store.counts;
  assert.ok(downBytes <= needed.bytes, `${downBytes} of ${needed.bytes}`);
});

test('interrupted, it goes on by being begun again', async () => {
  const all = await made(600);
  const image = all.images[4];
  assert.ok(image);
  const world = new CrashWorld();
  world.plant(DISK, image.length);
  const { source } = await sourceOf(all.objects, 5);
  const stop = new AbortController();
  const device = openWorldDevice(world, DISK);
  const onProgress = (): void => stop.abort(new Error('enough'));
  const options = { target: 'fresh', signal: stop.signal, onProgress } as const;
  await assert.rejects(restoreToDisk(source, device, options), /enough/);
  const half = world.peek(DISK) ?? new Uint8Array(0);
  assert.ok(!equalBytes(half, image));
  const { disk } = await restored(all, 5, half, 'compare');
  assert.ok(equalBytes(disk, image));
});

test('after a failed flush what the page cache shows is not believed (H18)', async () => {
  const all = await made(300);
  const image = all.images[4];
  assert.ok(image);
  const world = new CrashWorld();
  world.plant(DISK, image.length);
  const run = async (target: RestoreOptions['target']) => {
    const device = openWorldDevice(world, DISK);
    const { source } = await sourceOf(all.objects, 5);
    return await restoreToDisk(source, device, { target, signal: never });
  };
  const durable = () => world.afterCrash('all', seededRandom(1)).peek(DISK) ?? new Uint8Array(0);
  const failsOnce = () => world.failNext({ operation: 'sync', path: DISK }, 'ENOSPC');
  failsOnce();
  await assert.rejects(run('fresh'), /ENOSPC/);
  assert.ok(equalBytes(world.peek(DISK) ?? new Uint8Array(0), image), 'it looks written');
  assert.ok(!equalBytes(durable(), image));
  assert.ok((await run('compare')).writtenBytes > 0);
  assert.ok(equalBytes(durable(), image));
  // What was written before us fails only now: that is no failure of ours.
  const device = openWorldDevice(world, DISK);
  device.writeNow(CHUNK_BYTES, new Uint8Array(CHUNK_BYTES).fill(9));
  failsOnce();
  assert.equal((await run('compare')).writtenBytes, 0);
  assert.ok(equalBytes(durable(), image));
  assert.ok(equalBytes(world.peek(DISK) ?? new Uint8Array(0), image), 'nor is it read');
});

test('a pack with one wrong byte is found and named; nothing wrong is written', async () => {
  const all = await made(40);
  const image = all.images[4];
  assert.ok(image);
  for (const [key, object] of [...all.objects].filter(([name]) => name.startsWith('packs/'))) {
    const bytes = object.bytes.slice();
    bytes[60] = (bytes[60] ?? 0) ^ 1;
    const objects = new Map(all.objects);
    objects.set(key, { ...object, bytes });
    const world = new CrashWorld();
    world.plant(DISK, image.length);
    const device = openWorldDevice(world, DISK);
    const { source } = await sourceOf(objects, 5);
    const restoring = restoreToDisk(source, device, { target: 'fresh', signal: never });
    const ended = await restoring.then(
      () => null,
      (error: unknown) => String(error),
    );
    if (ended !== null) assert.match(ended, /memory:\/\/bucket.*(checksum|not the one|not whole)/);
    else assert.ok(equalBytes(world.peek(DISK) ?? new Uint8Array(0), image), key);
  }
});
