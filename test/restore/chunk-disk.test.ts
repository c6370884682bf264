// A point of chunks as a disk for the NBD server, and its chunks written to a disk of its own: what
// is read is the point, and only what differs is written.
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestOf, isZero } from '../../src/base/digest.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { seededRandom } from '../../src/base/random.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  chunkCount,
  MIB,
} from '../../src/base/units.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { reserveSpace } from '../../src/disk/syscalls.js';
import { ChunkDisk } from '../../src/restore/chunk-disk.js';
import { type ChunkSource, chunksOf } from '../../src/restore/chunk-source.js';
import { restoreChunks } from '../../src/restore/chunks-to-disk.js';
import { type RestoreBegun, restoreOnto } from '../../src/restore/onto-path.js';
import { coded } from '../crash/ladder-material.js';
import { scratch } from '../real.js';
import { CrashWorld } from '../world/memory-files.js';
import { openWorldDevice } from '../world/world-device.js';

/** The last chunk is short; every third one is zeroes, and some blocks of another two. */
const SIZE = 8 * MIB + 4096 + 512;
const random = seededRandom(3);
const image = Buffer.from(random.bytes(SIZE));
for (let chunk = 0; chunk < chunkCount(SIZE); chunk += 3) {
  image.fill(0, chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
}
for (const block of [0, 5, 6, BLOCKS_PER_CHUNK - 1]) {
  const at = CHUNK_BYTES + block * BLOCK_BYTES;
  image.fill(0, at, at + BLOCK_BYTES);
}
image.fill(0, SIZE - BLOCK_BYTES - 512, SIZE - 512);

interface Counted extends ChunkSource {
  asked: number;
  failing: boolean;
}

function reader(): Counted {
  const content = (chunk: number): Buffer =>
    image.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
  const it: Counted = {
    asked: 0,
    failing: false,
    sizeBytes: SIZE,
    chunk: async (chunk) => {
      it.asked += 1;
      // Some take longer than those behind them.
      for (let turns = chunk % 5; turns > 0; turns -= 1) await Promise.resolve();
      if (it.failing) throw Object.assign(new TypeError('no'), { code: 'EIO' });
      return chunk % 3 === 0 ? null : content(chunk);
    },
    digest: async (chunk) => digestOf(content(chunk)),
    close: async () => {},
  };
  return it;
}

test('any range reads as the point; chunks beside each other are asked for once', async () => {
  const source = reader();
  const disk = new ChunkDisk(source);
  assert.deepEqual([disk.sizeBytes, disk.readOnly], [SIZE, true]);
  for (let count = 0; count < 300; count += 1) {
    const length = 512 * random.below(count % 10 === 0 ? 600 : 20);
    const offset = 512 * random.below((SIZE - length) / 512 + 1);
    const into = Buffer.alloc(length, 7);
    await disk.read(offset, into);
    assert.ok(into.equals(image.subarray(offset, offset + length)), `${length} bytes at ${offset}`);
  }
  source.asked = 0;
  const small = new ChunkDisk(source);
  for (let at = 0; at < 32; at += 1) await small.read(CHUNK_BYTES + at * 2048, Buffer.alloc(2048));
  assert.equal(source.asked, 1);
  await Promise.all([1, 2, 3].map((at) => small.read(5 * CHUNK_BYTES + at, Buffer.alloc(9))));
  assert.equal(source.asked, 2, 'also while it is on its way');
});

test('a chunk that could not be read is asked for again', async () => {
  const source = reader();
  const disk = new ChunkDisk(source);
  source.failing = true;
  await assert.rejects(Promise.resolve(disk.read(0, Buffer.alloc(512))), coded('EIO'));
  source.failing = false;
  await disk.read(0, Buffer.alloc(512));
});

/** Of vm1@42, unless another number is given. */
async function restored(
  path: string,
  { delta = false, signal = new AbortController().signal, number = 42 } = {},
) {
  const id = number.toString(16).padStart(32, '0');
  const point = { id, number, time: '2026-11-20T02:00:00.000Z' };
  const mark = { hastRestore: 1 as const, archive: 'vm1', point, sizeBytes: SIZE };
  const begun: RestoreBegun[] = [];
  const order = {
    ...{ path, delta, signal, command: 'hastctl restore --delta' },
    onBegin: (how: RestoreBegun) => void begun.push(how),
    onProgress: () => {},
  };
  const counts = await restoreOnto(nodeFiles(reserveSpace), mark, order, (device, options) =>
    restoreChunks(chunksOf(reader()), SIZE, device, options),
  );
  return { ...counts, how: begun[0]?.how };
}

test('a new file is sparse and whole; again, nothing is written', async (t) => {
  const path = join(scratch(t), 'new.img');
  const first = await restored(path);
  assert.ok(!existsSync(`${path}.hast-restore`), 'it is finished');
  assert.ok(readFileSync(path).equals(image));
  const blocks = Array.from({ length: Math.ceil(SIZE / BLOCK_BYTES) }, (_, block) =>
    image.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES),
  );
  const content = blocks.filter((block) => !isZero(block));
  const contentBytes = content.reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual([first.writtenBytes, first.equalBytes], [contentBytes, 0]);
  const fd = openSync(path, 'r');
  t.after(() => closeSync(fd));
  const device = openFileDevice(fd, path, 'file', SIZE, { ownsFd: false });
  assert.ok(device.nextData(0) >= CHUNK_BYTES, 'the first chunk is a hole');
  await device.close();
  await assert.rejects(restored(path), coded('RESTORE_EXISTS'));
  const again = await restored(path, { delta: true });
  assert.deepEqual([again.writtenBytes, again.equalBytes], [0, SIZE]);
});

const there = (t: TestContext, bytes: Uint8Array): string => {
  const path = join(scratch(t), 'old.img');
  writeFileSync(path, bytes);
  return path;
};

test('onto what is there: nothing old survives, what is right is left alone', async (t) => {
  const path = there(t, image);
  const old = Buffer.from(image);
  old.fill(1, 0, 10);
  old.fill(2, 4 * CHUNK_BYTES + 9, 4 * CHUNK_BYTES + 10);
  writeFileSync(path, old);
  assert.equal((await restored(path, { delta: true })).writtenBytes, 2 * CHUNK_BYTES);
  assert.ok(readFileSync(path).equals(image));
  const shorter = there(t, Buffer.alloc(3 * CHUNK_BYTES, 9));
  await restored(shorter, { delta: true });
  assert.ok(readFileSync(shorter).equals(image));
  const longer = there(t, Buffer.alloc(SIZE + 512, 9));
  await restored(longer, { delta: true });
  assert.ok(readFileSync(longer).equals(image));
});

test('interrupted, it stops, and the same again goes on with what is there', async (t) => {
  const path = join(scratch(t), 'new.img');
  const stop = new AbortController();
  stop.abort(new TypeError('stopped'));
  await assert.rejects(restored(path, { signal: stop.signal }), /stopped/);
  assert.ok(existsSync(`${path}.hast-restore`));
  await assert.rejects(restored(path, { number: 41 }), (error: Error) => {
    assert.match(error.message, /is an unfinished restore of vm1@42, and vm1@41 is another point/);
    return coded('RESTORE_OTHER')(error);
  });
  assert.equal((await restored(path)).how, 'go-on');
  assert.ok(readFileSync(path).equals(image));
  assert.ok(!existsSync(`${path}.hast-restore`));
  await assert.rejects(restored(path), coded('RESTORE_EXISTS'));
});

test('after a failed flush what the page cache shows is not believed (H18)', async () => {
  const world = new CrashWorld();
  world.plant('/disk', SIZE);
  const run = (target: 'fresh' | 'compare') => {
    const options = { target, signal: new AbortController().signal };
    return restoreChunks(chunksOf(reader()), SIZE, openWorldDevice(world, '/disk'), options);
  };
  const durable = () => world.afterCrash('all', seededRandom(1)).peek('/disk') ?? Buffer.alloc(0);
  world.failNext({ operation: 'sync', path: '/disk' }, 'ENOSPC');
  await assert.rejects(run('fresh'), coded('DISK_FAILED'));
  assert.ok(image.equals(world.peek('/disk') ?? Buffer.alloc(0)), 'it looks written');
  assert.ok(!image.equals(durable()));
  assert.ok((await run('compare')).writtenBytes > 0);
  assert.ok(image.equals(durable()));
});
