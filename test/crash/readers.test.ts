// Readers of every point that a replica retains, while rounds are applied over its disk and points
// are dropped (H32): what is handed out is the image of the cut, whatever the step; the files of
// dropped points go when their last reader does, or at the next start.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { READERS_MAX } from '../../src/history/chain-readers.js';
import type { ReplicaPoint } from '../../src/history/point-reader.js';
import { same } from './checks.js';
import { another, coded, large, ready, shape, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, type Shape } from './nodes.js';
import { newWorld, Pair } from './pair.js';
import { allTrue, entryOf, imageOf } from './past-images.js';
import { growth, story } from './story.js';

const LIMIT = limited(120_000);
/** Of the receiver's turns, at each of which readers may come. */
const STRIDE = 13;

/** Undo files are those that the chain names, and no others. */
async function chainAlone(pair: Pair): Promise<void> {
  const named = pair.replicaNode.replica.record.chain.flatMap(({ undo }) => undo ?? []);
  assert.deepEqual(await stateFiles(pair, 'undo-'), named.sort());
}

interface Told {
  turns: number;
  points: number;
}

/** Runs `tale`; at turn `at` of the receiver all points are begun to be read, `pause` turns between
 * two chunks. */
async function readBeside(
  tale: (pair: Pair) => Promise<void>,
  from: Shape,
  at: number,
  pause: number,
): Promise<Told> {
  const pair = new Pair({ ...from, retain: 2 }, 40);
  const told = { turns: 0, points: 0 };
  let reading: Promise<number> | null = null;
  const wait = async (): Promise<void> => {
    for (let count = 0; count < pause; count += 1) await Promise.resolve();
  };
  pair.receiverWorld = newWorld(null, async () => {
    if (reading === null && told.turns === at && pair.replica?.replica.isOpen === true) {
      reading = allTrue(pair, wait);
      // Judged at the end.
      reading.catch(() => undefined);
    } else if (reading === null && told.turns < at) told.turns += 1;
  });
  await tale(pair);
  await pair.replicaNode.replica.idle();
  told.points = (await reading) ?? 0;
  await allTrue(pair);
  await chainAlone(pair);
  return told;
}

for (const [what, tale, pauses] of [
  ['rounds', story, [0, 7, 150]],
  ['a growth (H14)', growth, [0, 30]],
] as const) {
  test(`all points read beside ${what}, begun at any step`, LIMIT, async () => {
    for (const pause of pauses) {
      let points = 0;
      for (let at = 0; ; at += STRIDE) {
        const told = await readBeside(tale, shape, at + (pause % STRIDE), pause);
        points += told.points;
        if (told.turns < at + (pause % STRIDE)) break;
      }
      assert.ok(points > 20, `${points} points were read`);
    }
  });
}

test('a reader of a point outlives it; its files go when it leaves', LIMIT, async () => {
  const pair = await ready(41);
  const { replica } = pair.replicaNode;
  const reader = replica.readers.open(entryOf(pair, 1));
  const later: ReplicaPoint[] = [];
  for (let round = 0; round < 6; round += 1) {
    const point = await another(pair);
    if (round < 2) later.push(replica.readers.open(entryOf(pair, point.number)));
  }
  assert.equal(replica.record.chain.length, shape.retain);
  assert.equal((await stateFiles(pair, 'undo-')).length, 6, 'all undos back to the first point');
  for (const each of [reader, ...later]) {
    const { point } = each.entry;
    same(await imageOf(each), pair.cutOf(point).image, `dropped point ${point.number}`);
  }
  await reader.close();
  assert.equal((await stateFiles(pair, 'undo-')).length, 5, 'only its own');
  await assert.rejects(reader.chunk(0), coded('POINT_CLOSED'));
  for (const each of later) await each.close();
  await chainAlone(pair);
});

test('a crash while a dropped point is read: the next start is clean', LIMIT, async () => {
  const pair = await ready(42);
  pair.replicaNode.replica.readers.open(entryOf(pair, 1));
  for (let round = 0; round < 5; round += 1) await another(pair);
  assert.equal((await stateFiles(pair, 'undo-')).length, 5);
  pair.link?.cut();
  await turn();
  for (const loss of ['none', 'all'] as const) {
    const after = pair.fork('receiver', loss, 7, 'live');
    await after.startReplica();
    await chainAlone(after);
    await allTrue(after);
  }
});

test('the end of the role ends the readers, and waits for what they read', LIMIT, async () => {
  const pair = await ready(43);
  const { readers } = pair.replicaNode.replica;
  for (let round = 0; round < 4; round += 1) await another(pair);
  const reader = readers.open(entryOf(pair, 4));
  for (let round = 0; round < 4; round += 1) await another(pair);
  const reading = Array.from({ length: 4 }, (_, chunk) => reader.chunk(chunk));
  pair.link?.cut();
  await turn();
  const closed = pair.replicaNode.replica.close();
  await Promise.all([...reading, closed, reader.ended]);
  await assert.rejects(reader.chunk(0), coded('POINT_CLOSED'));
  await chainAlone(pair);
  assert.throws(() => readers.open(entryOf(pair, 9)), coded('POINT_CLOSED'));
});

test('readers are counted', LIMIT, async () => {
  const pair = await ready(44);
  const { readers } = pair.replicaNode.replica;
  const open = Array.from({ length: READERS_MAX }, () => readers.open(entryOf(pair, 1)));
  assert.throws(() => readers.open(entryOf(pair, 1)), coded('POINT_READERS'));
  await open[0]?.close();
  await open[0]?.close();
  await readers.open(entryOf(pair, 1)).close();
});

test('an apply that fails: the points before it are read all the same', LIMIT, async () => {
  const pair = await ready(47, {}, large);
  await another(pair);
  const { replica } = pair.replicaNode;
  const reader = replica.readers.open(entryOf(pair, 2));
  pair.receiverWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
  await pair.primaryNode.disk.write(0, Buffer.alloc(CHUNK_BYTES * 3, 9));
  await pair.round();
  await replica.applyEnded();
  assert.notEqual(replica.applyError, null);
  assert.deepEqual(
    replica.record.chain.map(({ point }) => point.number),
    [1, 2],
  );
  const { image } = pair.cutOf(reader.entry.point);
  assert.notDeepEqual(pair.replicaNode.bytes(), image, 'blocks of the third have been written');
  same(await imageOf(reader), image, 'the second');
  await allTrue(pair);
});

test('by seed: readers that come, stay and go while rounds run', LIMIT, async (t) => {
  for (let seed = 70; seed < 90; seed += 1) {
    t.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    const pair = new Pair({ ...large, retain: 1 + random.below(3) }, seed);
    let live = true;
    let read = 0;
    const pauses = async (): Promise<void> => {
      for (let count = random.below(40); count > 0; count -= 1) await Promise.resolve();
    };
    await pair.startReplica();
    await pair.startPrimary();
    pair.connect();
    await pair.meet();
    await pair.wholeRound();
    const reading = Promise.all(
      [1, 2, 3].map(async () => {
        while (live) {
          const { chain } = pair.replicaNode.replica.record;
          const entry = chain[random.below(chain.length)];
          assert.ok(entry !== undefined);
          const reader = pair.replicaNode.replica.readers.open(entry);
          const { image } = pair.cutOf(entry.point);
          same(await imageOf(reader, pauses), image, `point ${entry.point.number}`);
          await reader.close();
          read += 1;
          await turn();
        }
      }),
    );
    pair.during = () => pair.guest.some(pair.primaryNode.disk, 1);
    for (let round = 0; round < 6; round += 1) {
      await pair.guest.some(pair.primaryNode.disk, 6);
      await pair.wholeRound();
    }
    live = false;
    await reading;
    await chainAlone(pair);
    assert.ok(read >= 3);
  }
});
