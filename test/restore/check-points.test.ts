// Archives that are whole are found whole, with each record read once; of damaged ones every chunk
// that a restore could not give is found, no other, and the check goes on to the end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { ChunkReader } from '../../src/archive/chunk-reader.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkCount } from '../../src/base/units.js';
import { LEAF_CHUNKS } from '../../src/format/archive-leaf.js';
import { packKey } from '../../src/format/archive-objects.js';
import { REGION_BYTES } from '../../src/restore/archive-region.js';
import { checkPacks } from '../../src/restore/check-packs.js';
import { checkPoints } from '../../src/restore/check-points.js';
import { pointTable } from '../../src/restore/point-table.js';
import { makeArchive } from '../archive/directory-archive.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const MIB = 1024 * 1024;
const never = new AbortController().signal;
const quiet = (): void => {};

const pointsOf = async (archive: Archive) =>
  (await pointTable(archive)).rows.flatMap(({ point }) => (point === null ? [] : [point]));

async function opened(objects: MemoryObjects) {
  const store = new MemoryStore(objects);
  const archive = await Archive.open(store, null);
  assert.ok(archive);
  const points = await pointsOf(archive);
  return { store, archive, points };
}

async function checked(objects: MemoryObjects, share = 1, only: number | null = null) {
  const { store, archive, points } = await opened(objects);
  const chosen = points.filter(({ to }) => only === null || to.number === only);
  const before = store.counts.downBytes;
  const options = { share, random: seededRandom(9), signal: never, onProgress: quiet };
  const result = await checkPoints(archive, chosen, options);
  const all = [...result.damaged, ...result.index].flatMap(({ points: of }) => of);
  assert.deepEqual(new Set(result.damagedPoints), new Set(all));
  return { ...result, downBytes: store.counts.downBytes - before };
}

/** `3 17`: point and chunk that cannot be read, by another reader. */
async function unreadable(objects: MemoryObjects): Promise<string[]> {
  const { archive, points } = await opened(objects);
  const found: string[] = [];
  for (const point of points) {
    const trees = new PointTrees(archive, point.trees);
    const reader = new ChunkReader(archive, trees, point.sizeBytes);
    for (let chunk = 0; chunk < chunkCount(point.sizeBytes); chunk += 1) {
      await reader.chunk(chunk).catch(() => found.push(`${point.to.number} ${chunk}`));
    }
  }
  return found.sort();
}

const numbersOf = (texts: readonly string[]): number[] =>
  [...new Set(texts.map((text) => Number(text.split(' ')[0])))].sort((a, b) => a - b);

/** Numbers of the points that a check names, for whatever. */
function named({ damagedPoints }: Awaited<ReturnType<typeof checked>>): number[] {
  return [...damagedPoints].sort((a, b) => a - b);
}

const packsOf = (objects: MemoryObjects): string[] =>
  [...objects.keys()].filter((key) => key.startsWith('packs/'));

function flipped(objects: MemoryObjects, key: string, at: number): MemoryObjects {
  const object = objects.get(key);
  assert.ok(object);
  const bytes = object.bytes.slice();
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  return new Map(objects).set(key, { ...object, bytes });
}

const SHAPE = { sizeBytes: 36 * MIB + 512, rounds: 4, blocks: 60 };

test('a whole archive: nothing is damaged, and no byte is read twice', async () => {
  const { objects } = await makeArchive(11, SHAPE);
  const all = await checked(objects);
  assert.deepEqual([all.damagedChunks, all.index.length], [0, 0]);
  const { archive, points } = await opened(objects);
  const needed = (await checkPacks(archive, points, never, quiet)).bytes;
  assert.ok(all.downBytes <= needed, `${all.downBytes} of ${needed}`);
  const one = await checked(objects, 1, 4);
  assert.ok(one.chunks < all.chunks, 'versions that only older points have are not looked at');
  const sample = await checked(objects, 0.2);
  assert.ok(sample.chunks > 0 && sample.chunks < all.chunks / 2, `${sample.chunks} chunks`);
  const smallest = await checked(objects, 1e-7);
  assert.ok(smallest.chunks > 0 && smallest.chunks <= 16, `${smallest.chunks} chunks`);
});

test('a flipped byte: exactly the chunks that nobody could read, of all points', async () => {
  const { objects } = await makeArchive(12, { ...SHAPE, sizeBytes: 20 * MIB });
  const random = seededRandom(13);
  let hits = 0;
  for (const key of packsOf(objects)) {
    const size = objects.get(key)?.bytes.length ?? 0;
    const damaged = flipped(objects, key, random.below(size));
    const wanted = await unreadable(damaged);
    const result = await checked(damaged);
    assert.deepEqual(named(result), numbersOf(wanted), key);
    if (result.index.length > 0) continue; // a node of the index: nobody knows what is below it
    const found = result.damaged.flatMap(({ chunk, points }) =>
      points.map((point) => `${point} ${chunk}`),
    );
    assert.deepEqual(found.sort(), wanted, key);
    hits += wanted.length;
    for (const { offset, chunk, places } of result.damaged) {
      assert.equal(offset, chunk * CHUNK_BYTES);
      const bad = places.filter(({ why }) => why !== null);
      assert.ok(bad.length === 1 && bad[0]?.place.includes(key), JSON.stringify(places));
    }
  }
  assert.ok(hits > 10, `${hits} damaged chunks were found`);
});

test('a node of the index: the points that need it are named, the others are checked', async () => {
  const { objects } = await makeArchive(14, SHAPE);
  const { points } = await opened(objects);
  const newest = points[0];
  const tree = newest?.trees[0];
  assert.ok(newest && tree);
  const key = packsOf(objects).find((name) =>
    name.endsWith(Buffer.from(tree.pack.name).toString('hex')),
  );
  assert.ok(key);
  const damaged = flipped(objects, key, tree.place.offset + tree.place.bytes - 1);
  const result = await checked(damaged);
  assert.equal(result.index.length, 1);
  const users = points.filter(({ trees }) =>
    trees.some(({ check }) => equalBytes(check, tree.check)),
  );
  assert.deepEqual(
    result.index[0]?.points,
    users.map(({ to }) => to.number),
  );
  assert.ok(result.chunks > 0);
  assert.equal(result.damagedChunks, 0);
});

test('a leaf that trees of several points have: each of these points is named', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(17);
  const sender = new Sender(random, objects, null, 5 * REGION_BYTES + 512);
  sender.dirty.clear();
  for (let region = 0; region < 5; region += 1) {
    // Each round has a region of its own, and its tree the leaves of the rounds before it.
    const chunk = region * LEAF_CHUNKS + random.below(LEAF_CHUNKS);
    sender.disk.set(random.bytes(BLOCK_BYTES), chunk * CHUNK_BYTES);
    sender.dirty.set(chunk, 1);
    await sender.round();
  }
  const { archive, points } = await opened(objects);
  const seen = new Map<string, Set<string>>();
  const places = new Map<string, { readonly key: string; readonly at: number }>();
  for (const { trees } of points) {
    const all = new PointTrees(archive, trees);
    for (const tree of all.trees) {
      for (const { place } of (await tree.page(0))?.values() ?? []) {
        const key = packKey((await all.nameOf(place.pack)).name);
        const id = `${key} ${place.offset}`;
        const root = `${packKey(tree.ref.pack.name)} ${tree.ref.place.offset}`;
        seen.set(id, (seen.get(id) ?? new Set()).add(root));
        places.set(id, { key, at: place.offset + place.bytes - 1 });
      }
    }
  }
  const shared = [...seen].filter(([, roots]) => roots.size > 1);
  assert.ok(shared.length >= 2, `${shared.length} of ${seen.size} leaves are in several trees`);
  for (const [id] of seen) {
    const { key, at } = places.get(id) ?? { key: '', at: 0 };
    const damaged = flipped(objects, key, at);
    const result = await checked(damaged);
    assert.deepEqual(named(result), numbersOf(await unreadable(damaged)), id);
    assert.equal(result.index.length, 1, id);
  }
});

test('a table of packs: its points are named with their chunks, and it goes on', async () => {
  const { objects } = await makeArchive(18, { ...SHAPE, sizeBytes: 6 * MIB });
  const { archive, points } = await opened(objects);
  const tables = new Map<string, { readonly key: string; readonly at: number }>();
  for (const { trees } of points) {
    for (const tree of new PointTrees(archive, trees).trees) {
      for (const { ref, pack } of (await tree.root()).packPages.values()) {
        const key = packKey((pack ?? tree.ref.pack).name);
        const { offset, bytes } = ref.place;
        tables.set(`${key} ${offset}`, { key, at: offset + bytes - 1 });
      }
    }
  }
  let chunks = 0;
  for (const [id, { key, at }] of tables) {
    const damaged = flipped(objects, key, at);
    const result = await checked(damaged);
    assert.ok(result.index.length > 0, id);
    const found = named(result);
    for (const number of numbersOf(await unreadable(damaged)))
      assert.ok(found.includes(number), id);
    for (const { places } of result.damaged) {
      assert.ok(places.some(({ place, why }) => why !== null && / pack \d+ at /.test(place)));
    }
    chunks += result.damagedChunks;
  }
  assert.ok(tables.size >= 4 && chunks > 0, `${tables.size} tables, ${chunks} chunks`);
});

test('a pack that is gone, or short: found by a look at the packs alone', async () => {
  const { objects } = await makeArchive(15, { ...SHAPE, sizeBytes: 18 * MIB });
  const look = async (of: MemoryObjects) => {
    const { store, archive, points } = await opened(of);
    const before = store.counts.downBytes;
    const result = await checkPacks(archive, points, never, quiet);
    return { ...result, downBytes: store.counts.downBytes - before };
  };
  const whole = await look(objects);
  assert.deepEqual(whole.damaged, []);
  assert.ok(whole.downBytes < whole.bytes / 20, 'it reads roots and tables');
  let found = 0;
  for (const key of packsOf(objects)) {
    const gone = new Map(objects);
    gone.delete(key);
    const missing = await look(gone);
    if (missing.damaged.length === 0) continue; // of the first pass, and needed by nothing
    found += 1;
    assert.ok(
      missing.damaged.every(({ place }) => place.endsWith(key)),
      key,
    );
    const object = objects.get(key);
    assert.ok(object);
    const cut = new Map(objects).set(key, { ...object, bytes: object.bytes.slice(0, -1) });
    assert.ok(
      (await look(cut)).damaged.some(({ why }) => / bytes, and not /.test(why)),
      key,
    );
    // And by reading: its chunks, each with what is missing.
    const read = await checked(gone);
    assert.deepEqual(named(read), numbersOf(await unreadable(gone)), key);
    if (read.index.length > 0) continue;
    const chunks = read.damaged.flatMap(({ chunk, points }) => points.map((p) => `${p} ${chunk}`));
    assert.deepEqual(chunks.sort(), await unreadable(gone));
  }
  assert.equal(found, whole.packs);
});

test('a store that does not answer ends it, and is no damage', async () => {
  const { objects } = await makeArchive(16, { ...SHAPE, sizeBytes: 8 * MIB });
  const fails = (request: string, key: string) =>
    request === 'get' && key.startsWith('packs/') ? ('before' as const) : null;
  const store = new MemoryStore(objects, { fails });
  const archive = await Archive.open(store, null);
  assert.ok(archive);
  const points = await pointsOf(archive);
  const options = { share: 1, random: seededRandom(1), signal: never, onProgress: quiet };
  await assert.rejects(checkPoints(archive, points, options), /STORE_UNREACHABLE|failed for now/);
});
