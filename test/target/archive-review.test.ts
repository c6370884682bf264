// What a second review of prunes and journals found: notes of a prune that broke off, while the
// next one yields, or its point was pinned; packs with nothing but tables of packs; points that
// come faster than they may go; requests for points that are too young to go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { Journal } from '../../src/archive/journal.js';
import { PackTables } from '../../src/archive/pack-tables.js';
import { prune } from '../../src/archive/prune.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import { type ArchivePoint, packKey, pinKey } from '../../src/format/archive-objects.js';
import { encodePin, nameKey } from '../../src/format/archive-pin.js';
import { ArchiveKeep } from '../../src/target/archive-keep.js';
import { archiveOf, garbageOf, lastOf } from '../archive/review-world.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const DAY_MS = 24 * 3_600_000;

/** Four points, of which three are going and are old; the first prune has noted the packs of the
 * oldest, and lost its link before it removed the point. */
async function brokenOff() {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(9), objects, null, 12 * CHUNK_BYTES);
  sender.rule = retainLast(1);
  for (let round = 0; round < 4; round += 1) {
    sender.disk.set(sender.random.bytes(CHUNK_BYTES), 0);
    sender.dirty.set(0, 0xffff);
    await sender.round();
  }
  const isCut = { now: true };
  const store = new MemoryStore(objects, {
    fails: (operation, key) =>
      isCut.now && operation === 'remove' && key.startsWith('points/') ? 'before' : null,
  });
  const archive = await Archive.open(store, null);
  const last = await archive?.last();
  assert.ok(archive && last);
  assert.equal(last.going.length, 3);
  const wanted = { resource: archive.identity.resource, from: last.to.id };
  const path = '/state/offsite.journal';
  const { journal } = await Journal.open(sender.world, path, {
    ...wanted,
    archive: archive.identity.id,
  });
  const options = {
    nowMs: sender.nowMs + 3 * DAY_MS,
    minimumDays: 0,
    dryRun: false,
    stopped: () => false,
  };
  await assert.rejects(prune(archive, journal, last, options));
  assert.ok(journal.garbage.length > 0, 'its packs are noted');
  isCut.now = false;
  return { objects, archive, last, journal, options };
}

/** Points that stand have all of their packs. */
async function areWhole(objects: MemoryObjects, archive: Archive, last: ArchivePoint) {
  let stand = 0;
  for (const { place } of [{ place: last.place }, ...last.going]) {
    const point = await archive.point(place);
    if (point === null) continue;
    stand += 1;
    const packs = await new PackTables(archive).packsOf(point);
    const missing = [...packs.values()].filter(({ name }) => !objects.has(packKey(name)));
    assert.deepEqual(missing, [], `point ${point.to.number} is whole`);
  }
  return stand;
}

test('a prune that yields removes nothing of what another one left standing', async () => {
  const { objects, archive, last, journal, options } = await brokenOff();
  for (let asked = 0; asked < 4; asked += 1) {
    let left = asked;
    const stopped = (): boolean => {
      left -= 1;
      return left < 0;
    };
    await prune(archive, journal, last, { ...options, stopped });
    await areWhole(objects, archive, last);
  }
  await prune(archive, journal, last, options);
  assert.equal(await areWhole(objects, archive, last), 1, 'in the end they are gone');
  assert.equal(journal.garbage.length, 0);
});

test('a point pinned after a prune broke off keeps its packs', async () => {
  const { objects, archive, last, journal, options } = await brokenOff();
  const [point] = last.going.toReversed();
  assert.ok(point);
  // As of somebody who died before he took it back.
  const entry = { bytes: encodePin({ name: 'good', point }), timeMs: 0 };
  objects.set(nameKey('good'), entry).set(pinKey(point.place), entry);
  const result = await prune(archive, journal, last, options);
  assert.deepEqual(
    result.pinned.map(({ number }) => number),
    [point.number],
  );
  assert.equal(await areWhole(objects, archive, last), 2);
  assert.equal(journal.garbage.length, 0, 'the note is taken back');
});

test('a pack with nothing but tables of packs is no garbage', async () => {
  const chunks = 1250;
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(9), objects, null, chunks * CHUNK_BYTES);
  sender.packBytes = 40_000;
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    sender.disk.set(sender.random.bytes(24_576), chunk * CHUNK_BYTES);
  }
  await sender.round();
  const needed = await new PackTables(await archiveOf(objects)).packsOf(await lastOf(objects));
  const lost = (await garbageOf(sender)).filter((key) => needed.has(key.slice(-64)));
  assert.deepEqual(lost, []);
});

for (const [seconds, days] of [
  [60, 1.3],
  [300, 3],
] as const) {
  test(`every ${seconds} s a point: each goes in the end, and none is forgotten`, async () => {
    let nowMs = 0;
    const rule = { rule: retainLast(24), timezone: 'UTC' };
    const keep = new ArchiveKeep(
      () => rule,
      () => nowMs,
    );
    const archive = await archiveOf(await oneRound());
    let last: ArchivePoint = await lastOf(await oneRound());
    const there = new Set<number>();
    for (let number = 1; number <= (days * DAY_MS) / (seconds * 1000); number += 1) {
      nowMs = number * seconds * 1000;
      const place = { epoch: 1, sequence: number };
      const next = { place, number, timeMs: nowMs };
      const named = number === 1 ? { kept: [], going: [] } : await keep.beside(archive, last, next);
      last = { ...last, ...named, place, to: { ...last.to, number, timeMs: nowMs } };
      there.add(number);
      const old = last.going.filter(({ timeMs }) => nowMs - timeMs >= DAY_MS);
      keep.notePruned(old, []);
      for (const point of old) there.delete(point.number);
      keep.committed(last);
    }
    const named = new Set([...last.kept, ...last.going].map(({ number }) => number));
    named.add(last.to.number);
    assert.deepEqual(
      [...there].filter((number) => !named.has(number)),
      [],
    );
    assert.ok(there.size < (1.1 * DAY_MS) / (seconds * 1000), 'those of a day');
  });
}

async function oneRound(): Promise<MemoryObjects> {
  const objects: MemoryObjects = new Map();
  await new Sender(seededRandom(3), objects, null, CHUNK_BYTES).round();
  return objects;
}

test('a prune asks nothing of points that are too young to go', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(4), objects, null, 4 * CHUNK_BYTES);
  sender.rule = retainLast(2);
  const asked: number[] = [];
  for (let round = 0; round < 40; round += 1) {
    sender.nowMs += 15 * 60_000;
    sender.dirty.set(0, 0xffff);
    sender.disk.set(sender.random.bytes(64), 0);
    const target = await sender.open();
    const before = target.wireBytes().requests?.get ?? 0;
    await sender.round();
    asked.push((sender.store?.counts.get ?? 0) - before);
  }
  assert.ok(Math.max(...asked.slice(3)) <= 8, `requests were ${asked}`);
});
