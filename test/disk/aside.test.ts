// Reads that leave the guest's page cache alone (H22, H28), against a real file system: which pages
// are in before and after. Pages are of 4 KiB; the disk has 4 MiB, and
// chunk 3 (pages 48..63) is the one that is read.
import assert from 'node:assert/strict';
import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { residency } from '../../src/disk/residency.js';
import { scratch } from '../real.js';
import { type CachePages, cachePages, needPageCache } from './cache-pages.js';

const CHUNK = 65_536;
const AT = 3 * CHUNK;
const ALL = Array.from({ length: 16 }, (_, index) => 48 + index);
const seed = Number(process.env['HAST_SEED'] ?? 20_261_121);

interface Rig {
  readonly device: Device;
  readonly pages: CachePages;
  readonly content: Buffer;
}

/** A device on a cold file of random bytes; null after skipping. */
function rig(t: TestContext, options: { readAhead?: boolean; sizeBytes?: number } = {}) {
  const { sizeBytes = 4 * MIB, ...more } = options;
  const folder = scratch(t);
  if (!needPageCache(t, folder)) return null;
  t.diagnostic(`HAST_SEED=${seed}`);
  const path = join(folder, 'disk.raw');
  const fd = openSync(path, 'w+');
  const content = Buffer.from(seededRandom(seed).bytes(sizeBytes));
  writeSync(fd, content);
  const device = openFileDevice(fd, path, 'file', sizeBytes, { ownsFd: true, ...more });
  t.after(() => device.close());
  const pages = cachePages(t, path);
  pages.cold();
  assert.deepEqual(pages.in(0, sizeBytes / 4096), [], 'the file is cold');
  return { device, pages, content } satisfies Rig;
}

async function readChunk(
  { device, content }: Rig,
  how: 'read' | 'readAside' | 'readMedium',
  offset = AT,
  length = CHUNK,
): Promise<void> {
  const into = new Uint8Array(length);
  await device[how](offset, into);
  const same = Buffer.compare(into, content.subarray(offset, offset + length)) === 0;
  assert.ok(same, `${how} of ${length} bytes at ${offset}`);
}

/** Calls of read(2) and its kin that this process made, and bytes that they gave. */
function readsMade(): { calls: number; bytes: number } {
  const text = readFileSync('/proc/self/io', 'latin1');
  const field = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
  return { calls: field('syscr'), bytes: field('rchar') };
}

for (const readAhead of [true, false]) {
  test(`a cold chunk read aside leaves nothing; read-ahead ${readAhead}`, async (t) => {
    const made = rig(t, { readAhead });
    if (made === null) return;
    await readChunk(made, 'readAside');
    assert.deepEqual(made.pages.in(0, 1024), []);
    await readChunk(made, 'readAside', AT + 512, 5000);
    assert.deepEqual(made.pages.in(0, 1024), [], 'pages read in part go too');
    await readChunk(made, 'read');
    assert.deepEqual(made.pages.in(48, 16), ALL, 'a plain read leaves all');
  });
}

test('a hot page in a cold chunk stays, whichever it is, and all of a hot chunk', async (t) => {
  const made = rig(t);
  if (made === null) return;
  for (const hot of [[48], [63], [55], [50, 51, 60], [48, 50, 52, 54, 56, 58, 60, 62], ALL]) {
    made.pages.cold();
    made.pages.warm(...hot);
    assert.deepEqual(made.pages.in(0, 1024), hot);
    await readChunk(made, 'readAside');
    assert.deepEqual(made.pages.in(0, 1024), hot, `hot were ${hot}`);
  }
});

test('neighbours of the range are not touched, at any offset', async (t) => {
  const made = rig(t);
  if (made === null) return;
  const random = seededRandom(seed + 1);
  for (let turn = 0; turn < 60; turn += 1) {
    made.pages.cold();
    const hot = Array.from({ length: 40 }, () => 40 + random.below(40));
    made.pages.warm(...hot);
    const before: number[] = made.pages.in(0, 1024);
    const offset = 40 * 4096 + random.below(60_000);
    await readChunk(made, random.below(2) === 0 ? 'readAside' : 'readMedium', offset, 70_000);
    assert.deepEqual(made.pages.in(0, 1024), before, `turn ${turn}`);
  }
});

test('a wholly cold chunk costs one pread, not one for each page', async (t) => {
  const made = rig(t);
  if (made === null) return;
  const own = readsMade(); // looking is reading too: as often in both
  const still = readsMade();
  await readChunk(made, 'readAside');
  const cold = readsMade();
  made.pages.warm(...ALL);
  const warm = readsMade();
  await readChunk(made, 'readAside');
  const hot = readsMade();
  const looking = still.calls - own.calls;
  // The thread pool wakes the event loop by a read or two.
  const calls = [cold.calls - still.calls - looking, hot.calls - warm.calls - looking];
  assert.ok(
    calls.every((count) => count >= 1 && count <= 4),
    `calls: ${calls}`,
  );
});

for (const how of ['readAside', 'readMedium'] as const) {
  test(`dirty pages are seen by ${how}, stay, and reach the medium`, async (t) => {
    const made = rig(t);
    if (made === null) return;
    const random = seededRandom(seed + 2);
    for (let turn = 0; turn < 40; turn += 1) {
      const page = 48 + random.below(16);
      const bytes = Buffer.from(random.bytes(4096));
      made.device.writeNow(page * 4096, bytes);
      made.content.set(bytes, page * 4096);
      await readChunk(made, how);
      assert.ok(made.pages.in(48, 16).includes(page), 'what the guest wrote stays');
    }
    made.pages.cold();
    await readChunk(made, 'readMedium');
    assert.deepEqual(made.pages.in(48, 16), []);
  });
}

test('a guest that writes while chunks are read aside loses nothing', async (t) => {
  const made = rig(t);
  if (made === null) return;
  const random = seededRandom(seed + 3);
  for (let turn = 0; turn < 100; turn += 1) {
    const reads = [0, 1, 2, 3].map((chunk) => {
      const into = new Uint8Array(CHUNK);
      const how = random.below(2) === 0 ? 'readAside' : 'readMedium';
      return made.device[how](AT + chunk * CHUNK, into);
    });
    for (let write = 0; write < 8; write += 1) {
      const at = AT + random.below(4 * CHUNK - 5000);
      const bytes = Buffer.from(random.bytes(1 + random.below(5000)));
      made.device.writeNow(at, bytes);
      made.content.set(bytes, at);
      if (write % 3 === 0) await sleep(0);
    }
    await Promise.all(reads);
    if (turn % 10 === 0) made.pages.cold();
    await readChunk(made, 'read', AT, 4 * CHUNK);
  }
});

test('readMedium finds the medium and not the cache, and leaves the cache alone', async (t) => {
  const made = rig(t);
  if (made === null) return;
  await readChunk(made, 'readMedium');
  assert.deepEqual(made.pages.in(0, 1024), [], 'nothing is brought in');
  made.pages.warm(...ALL, 64);
  await readChunk(made, 'readMedium');
  assert.deepEqual(made.pages.in(0, 1024), [...ALL, 64], 'nothing is evicted');
});

test('the last sector of an odd disk, and a disk made smaller', async (t) => {
  const sizeBytes = MIB + 3 * 4096 + 512;
  const folder = scratch(t);
  if (!needPageCache(t, folder)) return;
  const path = join(folder, 'odd.raw');
  const fd = openSync(path, 'w+');
  const content = Buffer.from(seededRandom(seed).bytes(sizeBytes));
  writeSync(fd, content);
  const device = openFileDevice(fd, path, 'file', sizeBytes, { ownsFd: true });
  t.after(() => device.close());
  const pages = cachePages(t, path);
  pages.cold();
  const made: Rig = { device, pages, content };
  for (const how of ['readAside', 'readMedium'] as const) {
    await readChunk(made, how, MIB, 3 * 4096 + 512);
    await readChunk(made, how, sizeBytes - 1, 1);
    assert.deepEqual(pages.in(0, 260), [], `${how} leaves the short last page out`);
  }
  ftruncateSync(fd, MIB + 1000);
  for (const how of ['readAside', 'readMedium'] as const) {
    await assert.rejects(device[how](MIB, new Uint8Array(4096)), {
      fault: { code: 'DISK_SHORT_READ', path, offset: MIB, wanted: 4096, got: 1000 },
    });
  }
});

test('prefetch brings a cold range in, and no more than 8 MiB of it', async (t) => {
  const made = rig(t, { sizeBytes: 16 * MIB });
  if (made === null) return;
  // The kernel may be slow, and a page that it is short of is not brought in: asked for again.
  const prefetched = async (offset: number, bytes: number, wanted: number) => {
    for (let turn = 0; turn < 1500 && made.pages.in(0, 4096).length < wanted; turn += 1) {
      if (turn % 100 === 0) made.device.prefetch(offset, bytes);
      await sleep(20);
    }
    return made.pages.in(0, 4096);
  };
  const first = Array.from({ length: 2048 }, (_, page) => page);
  assert.deepEqual(await prefetched(0, 16 * MIB, 2048), first);
  assert.deepEqual(
    await prefetched(12 * MIB, 4096, 2049),
    [...first, 3072],
    'one page is one page',
  );
});

test('residency: a range of no bytes, too long a range, a bad descriptor', (t) => {
  const path = join(scratch(t), 'file');
  const fd = openSync(path, 'w+');
  t.after(() => openFileDevice(fd, path, 'file', 512, { ownsFd: true }).close());
  assert.deepEqual(residency(fd, 8192, 0), { firstPage: 2, isIn: [] });
  assert.equal(residency(fd, 0, 2 ** 40), null);
  assert.equal(residency(99_999, 0, 4096), null);
});
