// Findings of a review with the eyes of an attacker and of somebody whose power fails: each test is
// a story in which an archive must not lose, mix or hide anything. Disks are small, packs too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PointTrees } from '../../src/archive/tree.js';
import { present } from '../../src/base/assert.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import { chunkCount, MIB } from '../../src/base/units.js';
import {
  type ArchivePoint,
  epochKey,
  HEAD_KEY,
  pointKey,
} from '../../src/format/archive-objects.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import {
  archiveOf,
  begun,
  committed,
  downBehind,
  failOnce,
  garbageOf,
  lastOf,
  MIB_CHUNKS,
  packsOf,
  pointTo,
  reads,
  senderOf,
  sent,
} from './review-world.js';

test('D1: a first copy whose last pass ends in an open pack loses nothing', async () => {
  const objects: MemoryObjects = new Map();
  const sender = senderOf(seededRandom(101), objects, 5);
  const target = await sender.open();
  const to = pointTo(sender);
  const fill = sender.random.bytes(16);
  const pass = begun(sender, to, { kind: 'pass', round: fill, fill });
  await sent(sender, pass, 0, chunkCount(sender.disk.length));
  // The guest has written nothing meanwhile: the round at the end of the passes is empty.
  const begin = begun(sender, to, { fill });
  const totals = await sent(sender, begin, 0, 0);
  assert.deepEqual(await committed(target, begin, totals), { outcome: 'committed' });
  await reads(objects, await lastOf(objects), sender.disk);
});

test('D1: a pack of a pass that could not be put is not passed over', async () => {
  const objects: MemoryObjects = new Map();
  const sender = senderOf(seededRandom(102), objects, 5);
  const target = await sender.open();
  const to = pointTo(sender);
  const fill = sender.random.bytes(16);
  try {
    const pass = begun(sender, to, { kind: 'pass', round: fill, fill });
    // The put begins with the fourth frame; its failure is not seen before the pass ends.
    await target.begin(pass);
    failOnce(present(sender.store, 'it is open'), 'packs/');
    await sent(sender, pass, 0, 4 * MIB_CHUNKS);
    const begin = begun(sender, to, { fill });
    const totals = await sent(sender, begin, 4 * MIB_CHUNKS, chunkCount(sender.disk.length));
    await committed(target, begin, totals);
  } catch {
    return; // told: the first copy begins again
  }
  await reads(objects, await lastOf(objects), sender.disk);
});

test('what the new point needs is never garbage, though its table cannot be read', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(106);
  const sender = senderOf(random, objects, 12);
  await sender.round();
  sender.disk.set(random.bytes(8 * MIB), 0);
  await sender.open();
  await sent(sender, begun(sender, pointTo(sender)), 0, 8 * MIB_CHUNKS);
  await sender.close();
  const target = await sender.open();
  const begin = begun(sender, pointTo(sender));
  const totals = await sent(sender, begin, 0, 8 * MIB_CHUNKS);
  // From the head on the link is down: the point is made.
  downBehind(present(sender.store, 'it is open'), HEAD_KEY);
  await committed(target, begin, totals).catch(() => undefined);
  await sender.close();
  const needed = await packsOf(objects, await lastOf(objects));
  const lost = (await garbageOf(sender)).filter((key) => needed.has(key));
  assert.deepEqual(lost, [], 'a prune may remove garbage');
});

test('H23: a full state directory after the point was made leaves its packs needed', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(107);
  const sender = senderOf(random, objects, 4);
  await sender.round();
  sender.disk.set(random.bytes(MIB), 0);
  const target = await sender.open();
  const begin = begun(sender, pointTo(sender));
  const totals = await sent(sender, begin, 0, MIB_CHUNKS);
  sender.world.failNext({ operation: 'rename' }, 'ENOSPC');
  const answer = await committed(target, begin, totals).catch((error: unknown) => error);
  sender.world.mend();
  assert.deepEqual(answer, { outcome: 'committed' }, 'the point stands');
  // The same target goes on, as it does when rounds follow each other.
  const next = pointTo(sender);
  await target.begin(begun(sender, next, { from: begin.to }));
  await target.abandon();
  await sender.close();
  const needed = await packsOf(objects, await lastOf(objects));
  const lost = (await garbageOf(sender)).filter((key) => needed.has(key));
  assert.deepEqual(lost, []);
});

test('a pack that only an older point needs, which is kept, is no garbage', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(108);
  const a = senderOf(random, objects, 4);
  await a.round();
  // A makes a point and dies before its journal says so.
  a.disk.set(random.bytes(MIB), 0);
  const target = await a.open();
  const begin = begun(a, pointTo(a));
  const totals = await sent(a, begin, 0, MIB_CHUNKS);
  a.world.failNext({ operation: 'rename' }, 'EIO');
  await committed(target, begin, totals).catch(() => undefined);
  a.world = a.world.afterKill();
  a.target = null;
  const older = await lastOf(objects);
  // B is promoted and writes all of that anew, and the disk's other parts, too.
  const b = senderOf(random, objects, 4);
  b.epoch = { id: random.bytes(16), number: 2, parent: older.to.id, node: 'b' };
  b.number = 10;
  const other = await b.open();
  const whole = begun(b, pointTo(b));
  assert.deepEqual(
    await committed(other, whole, await sent(b, whole, 0, chunkCount(b.disk.length))),
    { outcome: 'committed' },
  );
  await b.close();
  const newest = await lastOf(objects);
  assert.ok(newest.kept.some(({ place }) => equalPlaces(place, older.place)));
  // A comes back, with the journal that it had.
  await a.open();
  await a.close();
  const needed = await packsOf(objects, older);
  const lost = (await garbageOf(a)).filter((key) => needed.has(key));
  assert.deepEqual(lost, []);
});

const equalPlaces = (one: ArchivePoint['place'], other: ArchivePoint['place']): boolean =>
  one.epoch === other.epoch && one.sequence === other.sequence;

/** Rounds of node a, then of b, which was promoted; `onEpoch` sees b's store before its epoch. */
async function twoEpochs(objects: MemoryObjects, random: Random, crashed: boolean) {
  const a = senderOf(random, objects, 1);
  await a.round();
  a.write();
  await a.round();
  const parent = (await lastOf(objects)).to.id;
  const b = senderOf(random, objects, 1);
  b.epoch = { id: random.bytes(16), number: 2, parent, node: 'b' };
  b.number = 10;
  await b.round();
  // As the crash between the two objects of an epoch leaves it; a round after that stands already.
  if (crashed) objects.delete(epochKey(2));
  b.write();
  await b.round();
  return { a, b };
}

test('C3: an epoch whose second object a crash prevented is found behind a prune', async () => {
  const objects: MemoryObjects = new Map();
  const { b } = await twoEpochs(objects, seededRandom(109), true);
  // A prune: the first point of the first epoch is kept no more.
  objects.delete(pointKey({ epoch: 1, sequence: 1 }));
  const last = await (await archiveOf(objects)).last();
  assert.equal(last?.to.number, b.number, 'the newest point is found');
});

test('C3: the head of a primary that was fenced, written late, hides no newer point', async () => {
  const objects: MemoryObjects = new Map();
  const { b } = await twoEpochs(objects, seededRandom(110), false);
  const archive = await archiveOf(objects);
  // a had hung in the request that writes the head of its last point; b has pruned meanwhile.
  await archive.putHead({ epoch: 1, sequence: 2 });
  objects.delete(pointKey({ epoch: 2, sequence: 1 }));
  const last = await (await archiveOf(objects)).last();
  assert.equal(last?.to.number, b.number, 'the newest point is found');
});

test('a head that was written late within an epoch hides no newer point', async () => {
  const objects: MemoryObjects = new Map();
  const sender = senderOf(seededRandom(111), objects, 1);
  for (let round = 0; round < 4; round += 1) {
    await sender.round();
    sender.write();
  }
  // Of points 1 to 4 the second is kept (it is the newest of its day), the third is pruned.
  const archive = await archiveOf(objects);
  await archive.putHead({ epoch: 1, sequence: 2 });
  objects.delete(pointKey({ epoch: 1, sequence: 3 }));
  const last = await (await archiveOf(objects)).last();
  assert.equal(last?.to.number, 4, 'the newest point is found');
});

test('H23: a committed round is told as committed though another point followed', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(114);
  const a = senderOf(random, objects, 1);
  const mine = await a.round();
  const b = senderOf(random, objects, 1);
  b.epoch = { id: random.bytes(16), number: 2, parent: mine.id, node: 'b' };
  b.number = 10;
  await b.round();
  const target = await a.open();
  assert.notEqual(await target.outcome(mine.id), 'none', hex(mine.id));
  await a.close();
});

test('what could not be read for a moment is read when it is asked for again', async () => {
  const objects: MemoryObjects = new Map();
  const sender = senderOf(seededRandom(116), objects, 1);
  await sender.round();
  const { trees } = await lastOf(objects);
  let left = 1;
  const fails = () => {
    left -= 1;
    return left === 0 ? ('before' as const) : null;
  };
  const store = new MemoryStore(objects, { fails });
  const point = new PointTrees({ store, keyOf: () => null }, trees);
  await assert.rejects(point.leaf(0), /failed for now/);
  const leaf = await point.leaf(0);
  assert.equal(leaf.length, chunkCount(sender.disk.length));
});

test('D4: a second attempt of a round whose point stands goes on from that', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(119);
  const sender = senderOf(random, objects, 3);
  await sender.round();
  sender.disk.set(random.bytes(MIB), 0);
  // Four frames fill a pack, so that the index is in one of its own.
  sender.packBytes = 1_050_200;
  const target = await sender.open();
  const begin = begun(sender, pointTo(sender));
  const totals = await sent(sender, begin, 0, MIB_CHUNKS);
  const store = present(sender.store, 'it is open');
  const put = store.put.bind(store);
  store.put = async (key, bytes, how, storageClass) => {
    const made = await put(key, bytes, how, storageClass);
    if (!key.startsWith('points/')) return made;
    store.put = put;
    await store.read('nowhere', 0, 1); // its answer is lost
    return made;
  };
  const packs = () => [...objects.keys()].filter((key) => key.startsWith('packs/')).length;
  const before = packs();
  await assert.rejects(committed(target, begin, totals));
  assert.equal(packs() - before, 2, 'the frames, and the index');
  const again = await sent(sender, begin, 0, MIB_CHUNKS);
  assert.deepEqual(await committed(target, begin, again), { outcome: 'committed' });
  await sender.close();
  const last = await lastOf(objects);
  const needed = await packsOf(objects, last);
  const lost = (await garbageOf(sender)).filter((key) => needed.has(key));
  assert.deepEqual(lost, [], 'what stands there is the first attempt, and needs its packs');
  sender.write();
  await sender.round();
  await reads(objects, await lastOf(objects), sender.disk);
});

test('a copy of an epoch under another number does not empty the archive', async () => {
  const objects: MemoryObjects = new Map();
  const sender = senderOf(seededRandom(118), objects, 1);
  const { number } = await sender.round();
  // Who may only add objects, to a bucket that keeps what there is, adds this one.
  const copy = present(objects.get(epochKey(1)), 'it was made');
  objects.set(epochKey(2), copy);
  const archive = await archiveOf(objects);
  const last = await archive.last().catch(() => 'refused');
  const isKnown = last === 'refused' || (last !== null && typeof last === 'object');
  assert.ok(isKnown, `point ${number} is found, or the copy is refused, and not an empty archive`);
});
