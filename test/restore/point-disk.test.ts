// A point of an archive as a read-only disk: whatever range is read, in whatever order and however
// many at a time, it is the image of the cut; requests are few and shared; what cannot be had is an
// error of its place and no more. Seeded: HAST_SEED repeats a run.
import assert from 'node:assert/strict';
import { ftruncateSync, writeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { codeOf } from '../../src/base/errors.js';
import { silentLog } from '../../src/base/log.js';
import { type Random, seededRandom, systemRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, MIB } from '../../src/base/units.js';
import type { Secret } from '../../src/format/archive-identity.js';
import { BASE_ALLOCATION, READ_CONTEXT } from '../../src/nbd/meta-context.js';
import { ArchivePointReader } from '../../src/restore/archive-point.js';
import { FileChunks } from '../../src/restore/chunk-caches.js';
import { namelessFile } from '../../src/restore/overlay-file.js';
import { PointDisk } from '../../src/restore/point-disk.js';
import { Sender } from '../archive/sender.js';
import { scratch } from '../real.js';
import { type MemoryObjects, MemoryStore, type StoreWeather } from '../store/memory-store.js';

const SEALED: Secret = { kind: 'passphrase', text: 'correct horse battery' };

function seeded(t: TestContext): Random {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  return seededRandom(seed);
}

interface Made {
  readonly objects: MemoryObjects;
  readonly secret: Secret | null;
  readonly images: readonly Uint8Array[];
}

/** Five rounds; the size is a multiple of neither a chunk nor a block. */
async function made(random: Random, chunks: number, secret: Secret | null = null): Promise<Made> {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(random, objects, secret, chunks * CHUNK_BYTES + 3 * 4096 + 512);
  const images: Uint8Array[] = [];
  for (let round = 0; round < 5; round += 1) {
    for (let times = 0; times < 20; times += 1) sender.write();
    await sender.round();
    images.push(sender.disk.slice());
  }
  return { objects, secret, images };
}

async function opened(
  { objects, secret }: Made,
  sequence: number,
  weather: StoreWeather = {},
  more: { readonly file?: FileChunks; readonly memoryBytes?: number } = {},
) {
  const store = new MemoryStore(objects, weather);
  const archive = await Archive.open(store, secret);
  const point = await archive?.point({ epoch: 1, sequence });
  assert.ok(archive && point);
  const { file = null, memoryBytes = 4 * MIB } = more;
  const disk = new PointDisk({ reader: new ArchivePointReader(archive, point), file, memoryBytes });
  return { disk, store };
}

async function readOf(disk: PointDisk, offset: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await disk.read(offset, into);
  return into;
}

function same(image: Uint8Array, offset: number, got: Uint8Array): void {
  const wanted = image.subarray(offset, offset + got.length);
  assert.ok(Buffer.from(got).equals(wanted), `${got.length} bytes at ${offset}`);
}

/** A range of any kind: bytes, blocks, chunks, long ones, the very end. */
function anyRange(random: Random, sizeBytes: number): readonly [number, number] {
  const kind = random.below(6);
  const lengthMax = [512, 4096, CHUNK_BYTES, 300_000, 3 * MIB, 1][kind] ?? 1;
  const length = 1 + random.below(Math.min(lengthMax, sizeBytes));
  if (kind === 5) return [sizeBytes - length, length];
  const offset = random.below(sizeBytes - length + 1);
  if (random.below(2) === 0) return [offset, length];
  const aligned = Math.floor(offset / 4096) * 4096;
  return [aligned, Math.min(length, sizeBytes - aligned)];
}

for (const secret of [null, SEALED]) {
  const kind = secret === null ? 'open' : 'sealed';
  test(`reads of all kinds, of every point, ${kind}`, async (t) => {
    const random = seeded(t);
    const all = await made(random, 300, secret);
    for (const [at, image] of all.images.entries()) {
      const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
      const { disk } = await opened(all, at + 1, { turn }, { memoryBytes: MIB });
      for (let times = 0; times < 25; times += 1) {
        const ranges = Array.from({ length: 8 }, () => anyRange(random, image.length));
        const got = await Promise.all(ranges.map(([from, length]) => readOf(disk, from, length)));
        for (const [i, bytes] of got.entries()) same(image, ranges[i]?.[0] ?? 0, bytes);
      }
      same(image, 0, await readOf(disk, 0, image.length));
      await disk.close();
    }
  });
}

test('opening costs few requests, and many readers of one place one more', async (t) => {
  const all = await made(seeded(t), 300);
  const { disk, store } = await opened(all, 5);
  await disk.open();
  const before = store.counts.get;
  assert.ok(before <= 12, `${before} requests to open it`);
  const image = all.images[4] ?? new Uint8Array(0);
  const chunk = image.findIndex((byte) => byte !== 0);
  const reads = Array.from({ length: 50 }, (_, i) => readOf(disk, chunk + i, 10));
  for (const [i, got] of (await Promise.all(reads)).entries()) same(image, chunk + i, got);
  const one = store.counts.get - before;
  assert.ok(one <= 12, `${one} requests for one chunk: a few pieces, each asked for once`);
  await readOf(disk, chunk, 100);
  assert.equal(store.counts.get - before, one, 'it is kept');
});

test('reading on is read ahead, in joined requests', async (t) => {
  const random = seeded(t);
  const objects: MemoryObjects = new Map();
  const sender = new Sender(random, objects, null, 1024 * CHUNK_BYTES);
  for (let at = 0; at < sender.disk.length; at += 4096) sender.disk.set(random.bytes(600), at);
  sender.packBytes = 32 * MIB;
  await sender.round();
  const all = { objects, secret: null, images: [sender.disk] };
  const { disk, store } = await opened(all, 1, {}, { memoryBytes: 16 * MIB });
  const step = 4 * CHUNK_BYTES;
  for (let at = 0; at < sender.disk.length; at += step) {
    same(sender.disk, at, await readOf(disk, at, step));
  }
  const reads = sender.disk.length / step;
  const { get, downBytes } = store.counts;
  assert.ok(get < reads / 2, `${get} requests for ${reads} reads`);
  let stored = 0;
  for (const { bytes } of objects.values()) stored += bytes.length;
  assert.ok(downBytes < 1.2 * stored, `${downBytes} bytes of ${stored}: each once`);
  await disk.close();
});

test('status tells zeroes where nothing is, and never where something is', async (t) => {
  const all = await made(seeded(t), 700);
  const image = all.images[4] ?? new Uint8Array(0);
  const { disk, store } = await opened(all, 5);
  let holes = 0;
  for (let at = 0; at < image.length; ) {
    const runs = await disk.status(BASE_ALLOCATION, at, image.length - at, 7);
    assert.ok(runs.length >= 1 && runs.length <= 7);
    for (const { length, flags } of runs) {
      const isZero = image.subarray(at, at + length).every((byte) => byte === 0);
      if (flags === 3) {
        assert.ok(isZero, `zeroes at ${at}`);
        holes += length;
      }
      at += length;
    }
    assert.ok(at <= image.length);
  }
  let zeroes = 0;
  for (let at = 0; at < image.length; at += CHUNK_BYTES) {
    const chunk = image.subarray(at, at + CHUNK_BYTES);
    if (chunk.every((byte) => byte === 0)) zeroes += chunk.length;
  }
  assert.ok(zeroes > 0);
  assert.equal(holes, zeroes, 'all chunks of zeroes are told');
  const { get } = store.counts;
  const [first] = disk.status(READ_CONTEXT, 0, image.length, 1) as readonly { length: number }[];
  assert.ok(first && first.length > 0, 'known by now, and answered at once');
  const hole = Math.floor(image.length / CHUNK_BYTES);
  for (let chunk = 0; chunk < hole; chunk += 1) {
    const bytes = image.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    if (bytes.some((byte) => byte !== 0)) continue;
    assert.equal(disk.read(chunk * CHUNK_BYTES, new Uint8Array(512)), 'done');
  }
  assert.equal(store.counts.get, get, 'zeroes cost no request');
});

test('a store that fails is an error of that read, and good again later', async (t) => {
  const random = seeded(t);
  const all = await made(random, 300);
  const image = all.images[4] ?? new Uint8Array(0);
  let stormy = true;
  const fails = () => (stormy && random.below(2) === 0 ? ('before' as const) : null);
  stormy = false;
  const { disk } = await opened(all, 5, { fails });
  stormy = true;
  let failed = 0;
  for (let times = 0; times < 100; times += 1) {
    const [offset, length] = anyRange(random, image.length);
    try {
      same(image, offset, await readOf(disk, offset, length));
    } catch (error) {
      assert.equal(codeOf(error), 'POINT_UNREADABLE');
      assert.match(String(error), /at byte \d+ of the disk: memory:\/\/bucket/);
      failed += 1;
    }
  }
  assert.ok(failed > 0, 'the storm was felt');
  stormy = false;
  await new Promise((resolve) => setImmediate(resolve)); // requests of the storm have ended
  same(image, 0, await readOf(disk, 0, image.length));
});

test('who waited for what another had asked for in the storm asks again', async (t) => {
  const all = await made(seeded(t), 40);
  const image = all.images[4] ?? new Uint8Array(0);
  let answer: 'before' | null = null;
  const gates: (() => void)[] = [];
  let held = false;
  const turn = (): Promise<void> =>
    held ? new Promise((resolve) => gates.push(resolve)) : Promise.resolve();
  const { disk } = await opened(all, 5, { turn, fails: () => answer });
  const chunk = Math.floor(image.findIndex((byte) => byte !== 0) / CHUNK_BYTES);
  await disk.open();
  held = true;
  answer = 'before';
  const lost = readOf(disk, chunk * CHUNK_BYTES, 10);
  const joined = readOf(disk, chunk * CHUNK_BYTES + 10, 10);
  await new Promise((resolve) => setImmediate(resolve));
  const first = gates.splice(0);
  assert.ok(first.length > 0, 'a request is on its way');
  held = false;
  for (const go of first) go();
  await assert.rejects(
    lost.finally(() => {
      answer = null;
    }),
    /at byte/,
  );
  same(image, chunk * CHUNK_BYTES + 10, await joined);
});

test('a damaged frame is an error where it is needed; nothing wrong is handed out', async (t) => {
  const random = seeded(t);
  const all = await made(random, 40);
  const image = all.images[4] ?? new Uint8Array(0);
  let [damaged, good] = [0, 0];
  for (const [key, object] of [...all.objects].filter(([name]) => name.startsWith('packs/'))) {
    const bytes = object.bytes.slice();
    bytes[60] = (bytes[60] ?? 0) ^ 1; // in the body of the first record
    const objects = new Map(all.objects);
    objects.set(key, { ...object, bytes });
    const { disk } = await opened({ ...all, objects }, 5);
    for (let at = 0; at < image.length; at += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, image.length - at);
      try {
        same(image, at, await readOf(disk, at, length));
        good += 1;
      } catch (error) {
        assert.equal(codeOf(error), 'POINT_UNREADABLE', String(error));
        damaged += 1;
      }
    }
  }
  assert.ok(damaged > 0 && good > 0, `${damaged} chunks damaged, ${good} good`);
});

test('a cache on disk keeps what was read; what has rotted there is fetched again', async (t) => {
  const all = await made(seeded(t), 300);
  const image = all.images[4] ?? new Uint8Array(0);
  const fd = namelessFile(scratch(t));
  const file = new FileChunks(fd, 64 * MIB, silentLog);
  const { disk, store } = await opened(all, 5, {}, { file, memoryBytes: 1 });
  const readAll = async (): Promise<number> => {
    const before = store.counts.get;
    for (let at = 0; at < image.length; at += CHUNK_BYTES) {
      same(image, at, await readOf(disk, at, Math.min(CHUNK_BYTES, image.length - at)));
    }
    return store.counts.get - before;
  };
  assert.ok((await readAll()) > 0);
  await readAll(); // what was not written in time
  assert.equal(await readAll(), 0, 'all of it is on disk');
  for (let at = 0; at < 64 * MIB; at += 4096) writeSync(fd, Buffer.from('rot'), 0, 3, at + 100);
  await readAll();
  ftruncateSync(fd, 0);
  await readAll();
  await disk.close();
});
