// Changes over a restore point: what a guest writes, zeroes and trims is what it reads, in whatever
// pieces and however many at a time; what is under it never changes; a file with a name goes on
// where it was left, also after a crash. Seeded: HAST_SEED repeats a run.
import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { type Random, seededRandom, systemRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { BASE_ALLOCATION, READ_CONTEXT } from '../../src/nbd/meta-context.js';
import { BlockBits } from '../../src/restore/block-bits.js';
import { OverlayDisk } from '../../src/restore/overlay-disk.js';
import { OverlayFile, type OverlayOf } from '../../src/restore/overlay-file.js';
import { cachePages, needPageCache } from '../disk/cache-pages.js';
import { loopDevice } from '../disk/processes.js';
import { MemoryDisk } from '../nbd/memory-disk.js';
import { needRoot, needTool, scratch } from '../real.js';

const SIZE_BYTES = 2 * MIB + 3 * BLOCK_BYTES + 512;
const OF: OverlayOf = {
  resource: new Uint8Array(16).fill(1),
  point: new Uint8Array(16).fill(2),
  sizeBytes: SIZE_BYTES,
};

function seeded(t: TestContext): Random {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  return seededRandom(seed);
}

/** A disk of seeded content that answers by turns at once and later. */
function pointOf(random: Random): MemoryDisk {
  const disk = new MemoryDisk(SIZE_BYTES, true);
  disk.content.set(random.bytes(SIZE_BYTES));
  disk.pace = 'mixed';
  return disk;
}

async function readOf(disk: OverlayDisk, offset: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length, 0xee);
  await disk.read(offset, into);
  return into;
}

/** One act on the disk and on what it ought to be. */
async function act(random: Random, disk: OverlayDisk, want: Buffer): Promise<void> {
  const length = 1 + random.below([100, 512, 9000, 3 * BLOCK_BYTES, 500_000][random.below(5)] ?? 1);
  let offset = random.below(SIZE_BYTES - length + 1);
  if (random.below(4) === 0) offset = SIZE_BYTES - length;
  if (random.below(2) === 0) offset -= offset % BLOCK_BYTES;
  const kind = random.below(8);
  if (kind < 4) {
    const bytes = random.bytes(length);
    await disk.write(offset, bytes);
    want.set(bytes, offset);
  } else if (kind === 4) {
    const fast = random.below(2) === 0;
    const done = await disk.zero(offset, length, random.below(2) === 0, fast);
    if (done === 'done') want.fill(0, offset, offset + length);
    else assert.ok(fast, 'only who asked for it hears of slow');
  } else if (kind === 5) {
    await disk.trim(offset, length);
    // Advice: each block is as it was, or zeroes.
    const got = await readOf(disk, offset, length);
    for (let at = 0; at < length; at += 1) {
      const is = got[at] ?? 0;
      if (is !== want[offset + at]) assert.equal(is, 0);
    }
    want.set(got, offset);
  } else {
    assert.ok((await readOf(disk, offset, length)).equals(want.subarray(offset, offset + length)));
  }
}

test('what is written, zeroed and trimmed is read; below nothing changes', async (t) => {
  const random = seeded(t);
  const below = pointOf(random);
  const before = Buffer.from(below.content);
  const want = Buffer.from(below.content);
  const folder = scratch(t);
  const file = OverlayFile.temporary(folder, SIZE_BYTES);
  assert.deepEqual(readdirSync(folder), [], 'it has no name');
  const disk = new OverlayDisk(below, file);
  for (let times = 0; times < 600; times += 1) await act(random, disk, want);
  assert.ok((await readOf(disk, 0, SIZE_BYTES)).equals(want));
  assert.ok(below.content.equals(before));
  await disk.flush();
  await file.close();
});

test('writers of parts of the same blocks at the same time lose nothing', async (t) => {
  const random = seeded(t);
  const below = pointOf(random);
  const want = Buffer.from(below.content);
  const file = OverlayFile.temporary(scratch(t), SIZE_BYTES);
  const disk = new OverlayDisk(below, file);
  for (let times = 0; times < 40; times += 1) {
    const start = random.below(SIZE_BYTES - 4 * BLOCK_BYTES);
    const pieces: Promise<void>[] = [];
    for (let at = start; at < start + 3 * BLOCK_BYTES; ) {
      const bytes = random.bytes(1 + random.below(700)).slice();
      want.set(bytes, at);
      const sooner = disk.write(at, bytes);
      const copied = sooner === 'done' ? Promise.resolve() : sooner;
      bytes.fill(0xdd); // the caller's buffer is used again
      pieces.push(copied);
      at += bytes.length;
    }
    await Promise.all(pieces);
  }
  assert.ok((await readOf(disk, 0, SIZE_BYTES)).equals(want));
  await file.close();
});

test('a block whose rest cannot be read is an error, and good again later', async (t) => {
  const random = seeded(t);
  const below = pointOf(random);
  below.pace = 'later';
  const disk = new OverlayDisk(below, OverlayFile.temporary(scratch(t), SIZE_BYTES));
  below.fault = () => Object.assign(new TypeError('no'), { code: 'EIO' });
  await assert.rejects(async () => await disk.write(100, new Uint8Array(10)), { code: 'EIO' });
  await assert.rejects(async () => await disk.read(0, new Uint8Array(10)), { code: 'EIO' });
  await disk.write(BLOCK_BYTES, new Uint8Array(BLOCK_BYTES).fill(7));
  assert.ok((await readOf(disk, BLOCK_BYTES, 4)).equals(Buffer.from([7, 7, 7, 7])), 'its own');
  below.fault = () => null;
  await disk.write(100, new Uint8Array(10).fill(9));
  const want = Buffer.from(below.content.subarray(0, BLOCK_BYTES)).fill(9, 100, 110);
  assert.ok((await readOf(disk, 0, BLOCK_BYTES)).equals(want));
});

test('status: what lies above goes before what is below', async (t) => {
  const below = new MemoryDisk(SIZE_BYTES, true);
  const disk = new OverlayDisk(below, OverlayFile.temporary(scratch(t), SIZE_BYTES));
  await disk.write(MIB, new Uint8Array(8 * BLOCK_BYTES).fill(1));
  below.content.fill(5, 0, 4 * BLOCK_BYTES);
  await disk.zero(0, 2 * BLOCK_BYTES, true, true);
  const flags: number[] = [];
  for (let at = 0; at < SIZE_BYTES; ) {
    const runs = await disk.status(BASE_ALLOCATION, at, SIZE_BYTES - at, 4);
    assert.ok(runs.length > 0);
    for (const run of runs) {
      for (let left = 0; left < run.length; left += BLOCK_BYTES) flags.push(run.flags);
      at += run.length;
    }
  }
  const want = flags.map((_flag, block) => {
    const at = block * BLOCK_BYTES;
    const isData = (at >= MIB && at < MIB + 8 * BLOCK_BYTES) || block === 2 || block === 3;
    return isData ? 0 : 3;
  });
  assert.deepEqual(flags, want);
  assert.deepEqual(disk.status(READ_CONTEXT, 0, BLOCK_BYTES, 4), [
    { length: BLOCK_BYTES, flags: 0 },
  ]);
});

test('a file with a name goes on where it was flushed', async (t) => {
  const random = seeded(t);
  const below = pointOf(random);
  const want = Buffer.from(below.content);
  const folder = scratch(t);
  const path = join(folder, 'changes');
  for (let times = 0; times < 4; times += 1) {
    const file = await OverlayFile.named(path, OF);
    const disk = new OverlayDisk(below, file);
    assert.ok((await readOf(disk, 0, SIZE_BYTES)).equals(want), `life ${times}`);
    for (let acts = 0; acts < 60; acts += 1) await act(random, disk, want);
    await disk.flush();
    // A crash now: what a copy has is what a process that died has left.
    const crashed = join(folder, `crashed-${times}`);
    copyFileSync(path, crashed);
    const again = await OverlayFile.named(crashed, OF);
    const left = await readOf(new OverlayDisk(below, again), 0, SIZE_BYTES);
    assert.ok(left.equals(want), `crash of life ${times}`);
    await again.close();
    await act(random, disk, want);
    await file.close();
  }
});

test('a file with a name is read from the medium again (H18)', async (t) => {
  const path = join(scratch(t), 'changes');
  if (!needPageCache(t, dirname(path))) return;
  const content = seeded(t).bytes(MIB);
  const file = await OverlayFile.named(path, OF);
  const disk = new OverlayDisk(new MemoryDisk(SIZE_BYTES, true), file);
  await disk.write(0, content);
  await file.close();
  const pages = MIB / BLOCK_BYTES;
  const cache = cachePages(t, path);
  readFileSync(path);
  assert.equal(cache.in(1, pages).length, pages, 'all of it is in the page cache');
  // What is written and not flushed stays: only clean pages may say what the medium has not.
  const fd = openSync(path, 'r+');
  writeSync(fd, new Uint8Array(BLOCK_BYTES).fill(5), 0, BLOCK_BYTES, 101 * BLOCK_BYTES);
  closeSync(fd);
  const again = await OverlayFile.named(path, OF);
  t.after(() => again.close());
  // The header has been read again, and brings its neighbours.
  assert.deepEqual(cache.in(64, pages - 64), []);
  const got = await readOf(new OverlayDisk(new MemoryDisk(SIZE_BYTES, true), again), 0, MIB);
  content.fill(5, 100 * BLOCK_BYTES, 101 * BLOCK_BYTES);
  assert.ok(got.equals(content));
});

test('a file of something else, or in use, is refused and left alone', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'changes');
  const file = await OverlayFile.named(path, OF);
  const refused = async (place: string, of: OverlayOf, code: string): Promise<void> => {
    const found = await OverlayFile.named(place, of).then(
      () => null,
      (error: unknown) => codeOf(error),
    );
    assert.equal(found, code);
  };
  await refused(path, OF, 'OVERLAY_IN_USE');
  await file.close();
  await refused(path, { ...OF, point: new Uint8Array(16) }, 'OVERLAY_OTHER');
  await refused(path, { ...OF, resource: new Uint8Array(16) }, 'OVERLAY_OTHER');
  await refused(path, { ...OF, sizeBytes: SIZE_BYTES + 512 }, 'OVERLAY_OTHER');
  const image = join(folder, 'image');
  writeFileSync(image, Buffer.alloc(MIB, 1));
  await refused(image, OF, 'OVERLAY_OTHER');
  assert.equal(statSync(image).size, MIB);
  writeFileSync(image, 'text');
  await refused(image, OF, 'OVERLAY_OTHER');
  await refused(join(folder, 'no', 'such'), OF, 'OVERLAY_UNUSABLE');
  assert.ok(!existsSync(join(folder, 'no')));
  // A crash after the header: the rest is made.
  truncateSync(path, BLOCK_BYTES);
  await (await OverlayFile.named(path, OF)).close();
  assert.ok(statSync(path).size > SIZE_BYTES);
});

test('a device is no file of changes, and not one byte of it is written', async (t) => {
  const code = (path: string): Promise<string | null> =>
    OverlayFile.named(path, OF).then(
      () => null,
      (error: unknown) => codeOf(error),
    );
  assert.equal(await code('/dev/null'), 'OVERLAY_OTHER');
  if (!needRoot(t) || !needTool(t, 'losetup')) return;
  const image = join(scratch(t), 'image');
  const content = seeded(t).bytes(MIB);
  writeFileSync(image, content);
  assert.equal(await code(loopDevice(t, image)), 'OVERLAY_OTHER');
  assert.ok(readFileSync(image).equals(content));
});

test('block bits: as a set says it, in runs, and what has changed', () => {
  const random = seededRandom(4);
  const bits = new BlockBits();
  const want = new Set<number>();
  const blocks = 100_000;
  for (let times = 0; times < 60; times += 1) {
    const first = random.below(blocks);
    const end = Math.min(blocks, first + 1 + random.below(times % 3 === 0 ? 40_000 : 40));
    if (end - first > 1000 && times % 9 !== 0) continue;
    bits.set(first, end);
    for (let block = first; block < end; block += 1) want.add(block);
  }
  let at = 0;
  while (at < blocks) {
    const next = bits.runEnd(at, blocks);
    assert.ok(next > at);
    for (let block = at; block < next; block += 1) {
      assert.equal(bits.has(block), want.has(at), `block ${block}`);
      assert.equal(want.has(block), want.has(at), `block ${block}`);
    }
    if (next < blocks) assert.notEqual(want.has(next), want.has(at));
    at = next;
  }
  const again = new BlockBits();
  for (const [number, page] of bits.takeChanged()) again.load(number, page);
  assert.equal(bits.takeChanged().size, 0);
  for (const block of want) assert.ok(again.has(block));
  bits.set(0, blocks);
  assert.equal(bits.runEnd(0, blocks), blocks);
});
