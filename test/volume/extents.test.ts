// Runs of a tracked disk: dirty bitmaps against a naive look at every block, wherever a bit stands
// between write and commit; holes; limits. Of the holes that reads are told: read-holes.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, systemRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import type { StatusRun } from '../../src/disk/disk.js';
import { BASE_ALLOCATION } from '../../src/nbd/meta-context.js';
import { BLOCKS_PER_PAGE } from '../../src/tracking/block-map.js';
import { contextsOf, DIRTY_BITMAP, Extents } from '../../src/volume/extents.js';
import * as M from '../../src/volume/memory.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { type Tracked, trackedOn } from '../nbd/tracked.js';

const PAGE_BYTES = BLOCKS_PER_PAGE * BLOCK_BYTES;
const B = `${DIRTY_BITMAP}b`;
const C = `${DIRTY_BITMAP}c`;
const [DATA, HOLE] = [0, 3];

const onMemory = (sizeBytes: number): Tracked & { readonly device: MemoryDevice } => {
  const device = new MemoryDevice({ sizeBytes });
  return { ...trackedOn(device), device };
};
const shape = (runs: readonly StatusRun[]): [number, number][] =>
  runs.map(({ length, flags }) => [length, flags]);

test('the contexts: allocation, then a bitmap for each target', () => {
  assert.deepEqual(contextsOf(['b', 'c']), ['base:allocation', B, C]);
  assert.deepEqual(onMemory(MIB).disks[0].contexts, contextsOf(['b', 'c']));
});

test('dirty runs: live maps count for every target, its own maps for one', () => {
  const { disks, core } = onMemory(MIB + 512);
  const [disk] = disks;
  const dirty = (context: string) => shape(disk.status(context, 0, MIB + 512, 100));
  assert.deepEqual(dirty(B), [[MIB + 512, 0]]);
  assert.equal(disk.write(8192, new Uint8Array(4096)), 'done');
  const written: [number, number][] = [
    [8192, 0],
    [4096, 1],
    [MIB + 512 - 12_288, 0],
  ];
  assert.deepEqual(dirty(B), written);
  assert.deepEqual(dirty(C), written);
  // The short last block, frozen for b alone; the other live map, as between a cut and its fold.
  core.slots[0]?.maps[0]?.mark(256, 256);
  core.live[1]?.mark(0, 0);
  assert.deepEqual(dirty(B), [
    [4096, 1],
    [4096, 0],
    [4096, 1],
    [MIB - 12_288, 0],
    [512, 1],
  ]);
  assert.deepEqual(dirty(C), [
    [4096, 1],
    [4096, 0],
    [4096, 1],
    [MIB + 512 - 12_288, 0],
  ]);
  core.slots[1]?.maps[1]?.markAll();
  assert.deepEqual(dirty(C), [[MIB + 512, 1]]);
});

test('ranges need not be aligned; as many runs as are asked for', () => {
  const { disks } = onMemory(MIB);
  const [disk] = disks;
  disk.write(4096, new Uint8Array(4096));
  assert.deepEqual(shape(disk.status(B, 100, 5000, 10)), [
    [3996, 0],
    [1004, 1],
  ]);
  assert.deepEqual(shape(disk.status(B, 100, 5000, 1)), [[3996, 0]]);
  assert.deepEqual(shape(disk.status(B, 8191, 1, 1)), [[1, 1]]);
  assert.deepEqual(shape(disk.status(B, 5000, 8192, 1)), [[3192, 1]]);
});

test('random marks in all maps, against a look at each block', (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  const random = seededRandom(seed);
  for (let round = 0; round < 20; round += 1) {
    const sizeBytes = 3 * PAGE_BYTES + (1 + random.below(40)) * 512;
    const blocks = Math.ceil(sizeBytes / BLOCK_BYTES);
    const { disks, core } = onMemory(sizeBytes);
    const maps = [...core.live, ...(core.slots[0]?.maps ?? [])];
    const model = new Uint8Array(blocks);
    Atomics.store(core.control, (core.slots[0]?.base ?? 0) + M.SLOT_FROZEN, random.below(2));
    for (let i = 0; i < 30; i += 1) {
      const first = random.below(blocks);
      const last = Math.min(blocks - 1, first + random.below(random.below(2) === 0 ? 3 : 5000));
      maps[random.below(maps.length)]?.mark(first, last);
      model.fill(1, first, last + 1);
    }
    if (random.below(3) === 0) {
      maps[random.below(maps.length)]?.markPage(1);
      model.fill(1, BLOCKS_PER_PAGE, 2 * BLOCKS_PER_PAGE);
    }
    const offset = random.below(sizeBytes);
    for (let at = offset; at < sizeBytes; ) {
      const runs = disks[0].status(B, at, sizeBytes - at, 1 + random.below(20));
      assert.ok(runs.length > 0);
      for (const { length, flags } of runs) {
        const [first, last] = [at, at + length - 1].map((one) => Math.floor(one / BLOCK_BYTES));
        for (let block = first ?? 0; block <= (last ?? 0); block += 1) {
          assert.equal(flags, model[block], `block ${block} of ${blocks}`);
        }
        at += length;
      }
    }
  }
});

test('a call looks into few pages only; clean and full ones cost nothing', () => {
  const { disks, core } = onMemory(64 * PAGE_BYTES);
  for (let page = 0; page < 64; page += 1) {
    core.slots[0]?.maps[0]?.mark(page * BLOCKS_PER_PAGE, page * BLOCKS_PER_PAGE);
  }
  const some = disks[0].status(B, 0, 64 * PAGE_BYTES, 1000);
  const told = some.reduce((sum, { length }) => sum + length, 0);
  assert.ok(told >= PAGE_BYTES && told < 64 * PAGE_BYTES);
  assert.deepEqual(shape(disks[0].status(C, 0, 64 * PAGE_BYTES, 1000)), [[64 * PAGE_BYTES, 0]]);
});

test('holes of the device are told, data too', () => {
  const { disks, device } = onMemory(MIB);
  device.writeNow(65_536, new Uint8Array(8192));
  const told = (context: string) => shape(disks[0].status(context, 0, MIB, 100));
  assert.deepEqual(told(BASE_ALLOCATION), [
    [65_536, HOLE],
    [8192, DATA],
    [MIB - 65_536 - 8192, HOLE],
  ]);
  assert.deepEqual(shape(disks[0].status(BASE_ALLOCATION, 66_000, 100, 1)), [[100, DATA]]);
});

test('data is believed for a second, and not after this thread has made a hole', async () => {
  const { disks, device, core } = onMemory(MIB);
  let nowMs = 0;
  const clock = { wallMs: () => 0, monotonicMs: () => nowMs, sleep: async () => {} };
  const extents = new Extents(core, device, [], clock);
  const told = () => shape(extents.status(BASE_ALLOCATION, 0, MIB, 100));
  device.writeNow(0, new Uint8Array(MIB));
  let asked = 0;
  const { nextHole } = device;
  device.nextHole = (from) => {
    asked += 1;
    return nextHole.call(device, from);
  };
  for (let i = 0; i < 10; i += 1) assert.deepEqual(told(), [[MIB, DATA]]);
  assert.equal(asked, 1);
  device.punchNow(0, MIB);
  assert.deepEqual(told(), [[MIB, DATA]], 'another thread did it');
  nowMs = 1001;
  assert.deepEqual(told(), [[MIB, HOLE]]);

  const [disk] = disks;
  const allocation = () => shape(disk.status(BASE_ALLOCATION, 0, MIB, 100));
  device.writeNow(0, new Uint8Array(MIB));
  assert.deepEqual(allocation(), [[MIB, DATA]]);
  assert.equal(await disk.zero(0, 65_536, true, true), 'done');
  await disk.trim(65_536, 65_536);
  assert.deepEqual(allocation(), [
    [131_072, HOLE],
    [MIB - 131_072, DATA],
  ]);
});

test('a hole punched between two questions is told as something', () => {
  const { device, core } = onMemory(MIB);
  const extents = new Extents(core, device, []);
  device.nextData = (from) => from;
  device.nextHole = (from) => from;
  const runs = extents.status(BASE_ALLOCATION, 100, 10_000, 10);
  assert.deepEqual(shape(runs), [[10_000, DATA]]);
});

test('FAST_ZERO: where holes can be made; else nothing is done', async () => {
  const { disks, device } = onMemory(3 * MIB);
  const [disk] = disks;
  const content = new Uint8Array(4096);
  device.writeNow(0, new Uint8Array(3 * MIB).fill(1));
  assert.equal(await disk.zero(0, 3 * MIB, false, true), 'slow', 'allocated zeroes');
  device.punches = false;
  assert.equal(await disk.zero(0, 3 * MIB, true, true), 'slow');
  device.readCached(0, content);
  assert.ok(content.every((byte) => byte === 1));
  assert.equal(await disk.zero(0, MIB, true, false), 'done', 'not asked to be fast');
  device.punches = true;
  assert.equal(await disk.zero(MIB, 2 * MIB, true, true), 'done');
  assert.equal(device.allocatedBlocks, 256);
  // One that begins fast is finished, whatever happens on the way.
  device.writeNow(0, new Uint8Array(3 * MIB).fill(1));
  const { punchNow } = device;
  device.punchNow = (offset, length) => offset < MIB && punchNow.call(device, offset, length);
  assert.equal(await disk.zero(0, 3 * MIB, true, true), 'done');
  device.readCached(2 * MIB, content);
  assert.ok(content.every((byte) => byte === 0));
});

test('CACHE reaches the device', () => {
  const { disks, device } = onMemory(MIB);
  disks[0].prefetch(4096, 65_536);
  assert.equal(device.counts.prefetch, 1);
});
