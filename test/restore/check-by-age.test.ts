// Verification with a memory: every pack has its turn within the days that the budget takes, the
// longest ago first; rot is found then, wherever it is, and named as a whole verification names it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Looks } from '../../src/archive/looks.js';
import { seededRandom } from '../../src/base/random.js';
import type { DamagedChunk } from '../../src/restore/check-points.js';
import { StoreError } from '../../src/store/store.js';
import { makeArchive } from '../archive/directory-archive.js';
import { coded } from '../crash/ladder-material.js';
import type { MemoryObjects } from '../store/memory-store.js';
import { allOf, DAY_MS, flip, Looker, MEMORY, MIB, packsOf, SHAPE } from './looker.js';

const byChunk = (damaged: readonly DamagedChunk[]): DamagedChunk[] =>
  [...damaged].sort((a, b) => a.chunk - b.chunk || (a.points[0] ?? 0) - (b.points[0] ?? 0));

test('a budget a day: every pack in its turn, each once, and then the oldest again', async () => {
  const { objects } = await makeArchive(11, SHAPE);
  const { packs } = await allOf(objects);
  const looker = new Looker(objects);
  const budget = 6 * MIB;
  const days = Math.ceil(packs.bytes / 2 / MIB);
  let [read, count, took] = [0, 0, 0];
  for (let day = 0; day < days && read < packs.bytes; day += 1) {
    const result = await looker.look(budget);
    assert.ok(result.bytesRead <= budget && result.packsRead > 0);
    assert.ok(result.downBytes < result.bytesRead + 200_000, 'and tables');
    assert.equal(result.looked.bytes, packs.bytes);
    read += result.bytesRead;
    count += result.packsRead;
    took += 1;
    assert.equal(result.looked.neverBytes, packs.bytes - read);
    assert.equal(result.looked.in30DaysBytes, read);
    assert.deepEqual([result.damagedPacks, result.damagedChunks, result.index], [[], 0, []]);
  }
  assert.deepEqual([read, count], [packs.bytes, packs.packs], 'each once');
  assert.ok(took > 3, `${took} days`);
  const first = looker.nowMs - (took - 1) * DAY_MS;
  const { looked } = await looker.look(budget);
  assert.ok((looked.oldestMs ?? 0) > first, 'the longest ago had its turn again');
  looker.day += 40;
  const late = await looker.look(budget);
  assert.equal(late.looked.in30DaysBytes, late.bytesRead);
  assert.equal(late.looked.in90DaysBytes, packs.bytes);
});

test('rot in any pack: found within the days of the budget, with the chunks it is in', async () => {
  const { objects } = await makeArchive(12, SHAPE);
  const { packs } = await allOf(objects);
  const random = seededRandom(13);
  let [inChunks, inIndex] = [0, 0];
  for (const key of packsOf(objects)) {
    const rotten: MemoryObjects = new Map(objects);
    flip(rotten, key, random.below(objects.get(key)?.bytes.length ?? 0));
    const wanted = await allOf(rotten).catch(() => null);
    const looker = new Looker(rotten);
    let found = null;
    for (let day = 0; day < packs.packs && found === null; day += 1) {
      const result = await looker.look(5 * MIB);
      if (result.damagedPacks.length + result.index.length > 0) found = result;
      else if (result.looked.neverBytes === 0) break;
    }
    if (found === null) {
      assert.equal(wanted?.chunks.damagedChunks, 0, 'no point needs the pack');
      continue;
    }
    if (wanted === null || wanted.chunks.index.length > 0) {
      inIndex += 1;
      continue;
    }
    assert.ok(found.damagedPacks[0]?.place.endsWith(key));
    assert.deepEqual(byChunk(found.damaged), byChunk(wanted.chunks.damaged), key);
    inChunks += found.damagedChunks;
    const again = await looker.look(5 * MIB);
    assert.equal(again.damagedChunks, found.damagedChunks, 'it is remembered');
    assert.equal(again.looked.damaged, 1);
    rotten.set(key, objects.get(key) ?? assert.fail());
    const mended = await looker.look(10 * MIB);
    assert.deepEqual(mended.damagedPacks, [], 'it was put back');
    assert.equal(mended.looked.damaged, 0);
  }
  assert.ok(inChunks > 5, `${inChunks} chunks`);
  assert.ok(inChunks + inIndex > 7, `${inIndex} in the index`);
});

test('a pack that is gone or short is found by every pass, whatever is its turn', async () => {
  const { objects } = await makeArchive(15, SHAPE);
  const looker = new Looker(new Map(objects));
  while ((await looker.look(8 * MIB)).looked.neverBytes > 0);
  let found = 0;
  for (const key of packsOf(objects)) {
    const object = objects.get(key);
    assert.ok(object);
    looker.objects.delete(key);
    const gone = await looker.look(MIB);
    if (gone.damagedPacks.length === 0 && gone.index.length === 0) {
      looker.objects.set(key, object);
      continue; // of the first pass, and needed by nothing
    }
    found += 1;
    if (gone.damagedPacks.length > 0) {
      assert.equal(gone.damagedPacks[0]?.why, 'it is not there');
      assert.ok(gone.damagedPacks[0]?.points.includes(4) || gone.points.length > 0);
    }
    looker.objects.set(key, { ...object, bytes: object.bytes.slice(0, -1) });
    const short = await looker.look(MIB);
    assert.ok(short.damagedPacks.length + short.index.length > 0, key);
    looker.objects.set(key, object);
    const back = await looker.look(MIB);
    assert.deepEqual([back.damagedPacks, back.looked.damaged], [[], 0], key);
  }
  assert.ok(found > 5, `${found} packs`);
});

test('where lists are denied each pack is asked for in its turn', async () => {
  const { objects } = await makeArchive(16, SHAPE);
  const looker = new Looker(new Map(objects));
  looker.weather = {
    done: (operation) => {
      const fault = { url: 'memory://bucket', operation, key: 'packs/', text: 'no' };
      if (operation === 'list') throw new StoreError({ code: 'STORE_DENIED', ...fault });
    },
  };
  const first = await looker.look(6 * MIB);
  assert.ok(first.packsRead > 0 && looker.store.counts.head === first.packsRead);
  const [lost = ''] = packsOf(objects).filter((key) => (objects.get(key)?.bytes.length ?? 0) > MIB);
  looker.objects.delete(lost);
  let found = false;
  for (let day = 0; day < 20 && !found; day += 1) {
    const { damagedPacks, index } = await looker.look(6 * MIB);
    found = [...damagedPacks, ...index].some(({ place }) => place.endsWith(lost));
  }
  assert.ok(found);
});

test('what was damaged on the way is read again, and is whole', async () => {
  const { objects } = await makeArchive(17, { ...SHAPE, sizeBytes: 8 * MIB });
  const looker = new Looker(objects);
  const [key = ''] = packsOf(objects).filter(
    (each) => (objects.get(each)?.bytes.length ?? 0) > MIB,
  );
  const good = objects.get(key) ?? assert.fail();
  let reads = 0;
  looker.weather = {
    turn: async () => {},
    fails: (request, of) => {
      if (request !== 'get' || of !== key) return null;
      // The first read of it only.
      if (reads === 0) flip(objects, key, 100);
      if (reads === 1) objects.set(key, good);
      reads += 1;
      return null;
    },
  };
  const result = await looker.look(100 * MIB);
  assert.ok(reads > 1);
  assert.deepEqual([result.damagedPacks, result.index], [[], []]);
});

test('a store that does not answer ends it; what was read until then is remembered', async () => {
  const { objects } = await makeArchive(18, SHAPE);
  const { packs } = await allOf(objects);
  const looker = new Looker(objects);
  let left = 6;
  looker.weather = {
    fails: (request, key) => {
      if (request !== 'get' || !key.startsWith('packs/')) return null;
      const { length } = objects.get(key)?.bytes ?? [];
      if (length !== undefined && length > 3 * MIB) left -= 1;
      return left < 0 ? 'before' : null;
    },
  };
  await assert.rejects(looker.look(100 * MIB), coded('STORE_UNREACHABLE'));
  looker.weather = {};
  const next = await looker.look(100 * MIB);
  assert.ok(next.packsRead === packs.packs && next.looked.neverBytes === 0);
  const { looks } = await Looks.open(looker.world, MEMORY);
  assert.equal(looks.summary(looker.nowMs).neverBytes, 0);
});
