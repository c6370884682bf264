// Readers of every point that a replica retains, while rounds are applied over its disk and points
// are dropped (H32): what is handed out is the image of the cut, whatever the step; files of dropped
// points go when their last reader does, or at the next start. And what cannot be handed out is
// said (Q1, H27).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount, chunkLength } from '../../src/base/units.js';
import type { PointEntry } from '../../src/format/resource-state.js';
import { READERS_MAX } from '../../src/history/chain-readers.js';
import { differences, type Range } from '../../src/history/point-diff.js';
import type { ReplicaPoint } from '../../src/history/point-reader.js';
import { BadBlocks } from './bad-blocks.js';
import { same } from './checks.js';
import { another, coded, large, ready, shape, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, type Knobs, type Shape, STATE } from './nodes.js';
import { newWorld, Pair } from './pair.js';
import { growth, story } from './story.js';

const LIMIT = limited(120_000);

/** The whole disk as of the point, `wait` before each chunk. */
async function imageOf(
  reader: ReplicaPoint,
  wait: () => Promise<void> = async () => {},
): Promise<Uint8Array> {
  const image = new Uint8Array(reader.sizeBytes);
  for (let chunk = 0; chunk < chunkCount(image.length); chunk += 1) {
    await wait();
    const bytes = await reader.chunk(chunk);
    if (bytes === null) continue;
    assert.equal(bytes.length, chunkLength(chunk, image.length));
    image.set(bytes, chunk * CHUNK_BYTES);
  }
  return image;
}

const entryOf = (pair: Pair, number: number): PointEntry => {
  const found = pair.replicaNode.replica.record.chain.find(({ point }) => point.number === number);
  assert.ok(found !== undefined, `point ${number} is retained`);
  return found;
};

/** Every retained point, read at once and compared. */
async function allTrue(pair: Pair, wait?: () => Promise<void>): Promise<number> {
  const { readers, record } = pair.replicaNode.replica;
  const opened = record.chain.map((entry) => readers.open(entry));
  await Promise.all(
    opened.map(async (reader) => {
      try {
        const { point } = reader.entry;
        same(await imageOf(reader, wait), pair.cutOf(point).image, `read at point ${point.number}`);
      } finally {
        await reader.close();
      }
    }),
  );
  return opened.length;
}

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
  test(`all points read beside ${what}, begun at every step`, LIMIT, async () => {
    for (const pause of pauses) {
      let points = 0;
      for (let at = 0; ; at += 5) {
        const told = await readBeside(tale, shape, at + (pause % 5), pause);
        points += told.points;
        if (told.turns < at + (pause % 5)) break;
      }
      assert.ok(points > 50, `${points} points were read`);
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

/** Point 2 was made while chunk 0 of the replica was not what point 1 has. */
async function lostChunk(seed: number): Promise<Pair> {
  const pair = await ready(seed);
  pair.receiverWorld.flip(DISK, 4096 + 5);
  await pair.primaryNode.disk.write(0, Buffer.alloc(4096, 9));
  await pair.wholeRound();
  return pair;
}

test('a chunk that is lost at a point is an error that says so (H27)', LIMIT, async () => {
  const pair = await lostChunk(5);
  const { readers } = pair.replicaNode.replica;
  const [old, now] = [1, 2].map((number) => readers.open(entryOf(pair, number)));
  assert.ok(old !== undefined && now !== undefined);
  await assert.rejects(old.chunk(0), coded('POINT_CHUNK_LOST'));
  assert.equal((await old.digest(0)).length, 16, 'what it should be is known');
  const { image } = pair.cutOf(old.entry.point);
  for (let chunk = 1; chunk < 4; chunk += 1) {
    const bytes = (await old.chunk(chunk)) ?? new Uint8Array(CHUNK_BYTES);
    const start = chunk * CHUNK_BYTES;
    same(bytes, image.subarray(start, start + CHUNK_BYTES), 'the others are there');
  }
  same(await imageOf(now), pair.cutOf(now.entry.point).image, 'the newer point');
});

test('lost while it is being read, and noted then: the reader hears of it', LIMIT, async () => {
  const pair = await ready(5);
  const old = pair.replicaNode.replica.readers.open(entryOf(pair, 1));
  pair.receiverWorld.flip(DISK, 4096 + 5);
  await assert.rejects(old.chunk(0), coded('POINT_CHUNK_BAD'), 'nothing is noted yet');
  await pair.primaryNode.disk.write(0, Buffer.alloc(4096, 9));
  await pair.wholeRound();
  await assert.rejects(old.chunk(0), coded('POINT_CHUNK_LOST'));
});

test('rot of the disk or of a kept file is never handed out (Q1)', LIMIT, async () => {
  const bad = new BadBlocks();
  const knobs: Knobs = { replicaDevice: bad.knob };
  const pair = await ready(46, knobs);
  const before = pair.primaryNode.bytes();
  // Block 0 of chunk 1 is kept in the undo, the rest of the chunk stands on the disk.
  await pair.primaryNode.disk.write(CHUNK_BYTES, Buffer.alloc(4096, 9));
  await pair.wholeRound();
  const { readers } = pair.replicaNode.replica;
  const [first] = await stateFiles(pair, 'undo-');
  const open = () => readers.open(entryOf(pair, 1));
  let reader = open();
  same(await imageOf(reader), before, 'as it was');
  bad.blocks.add(20);
  await assert.rejects(reader.chunk(1), coded('DISK_FAILED'));
  bad.blocks.clear();
  await reader.close();
  pair.receiverWorld.flip(DISK, CHUNK_BYTES + 4096 * 3);
  reader = open();
  await assert.rejects(reader.chunk(1), coded('POINT_CHUNK_BAD'));
  await reader.close();
  pair.receiverWorld.flip(DISK, CHUNK_BYTES + 4096 * 3);
  const path = `${STATE}/${first}`;
  const size = pair.receiverWorld.sizeNow(path) ?? 0;
  for (let at = 0; at < size; at += 61) {
    pair.receiverWorld.flip(path, at);
    reader = open();
    const bytes = await reader.chunk(1).catch(coded('FORMAT_BAD'));
    if (bytes instanceof Uint8Array) same(bytes, before.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES), '');
    await reader.close();
    pair.receiverWorld.flip(path, at);
  }
  await allTrue(pair);
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

test('differences of two points, by what is kept alone', LIMIT, async () => {
  for (let seed = 50; seed < 62; seed += 1) {
    const pair = new Pair({ ...shape, retain: 9 }, seed);
    // Every second one grows on its way.
    await (seed % 2 === 0 ? story : growth)(pair);
    await pair.replicaNode.replica.idle();
    const { readers, record } = pair.replicaNode.replica;
    const { chain } = record;
    for (const [at, older] of chain.entries()) {
      for (const [to, newer] of chain.entries()) {
        if (to < at) continue;
        const reader = readers.open(older);
        const ranges: Range[] = [];
        for await (const some of differences(reader, to - at, newer.sizeBytes))
          ranges.push(...some);
        await reader.close();
        covers(ranges, pair.cutOf(older.point).image, pair.cutOf(newer.point).image);
        if (to === at) assert.deepEqual(ranges, []);
      }
    }
  }
});

/** Every differing block lies in a range; each range ascends and has a chunk that differs. */
function covers(ranges: readonly Range[], older: Uint8Array, newer: Uint8Array): void {
  const named = new Uint8Array(newer.length);
  let end = -1;
  for (const { offset, length } of ranges) {
    assert.ok(offset > end && length > 0 && offset + length <= newer.length);
    end = offset + length;
    named.fill(1, offset, end);
  }
  for (let at = 0; at < newer.length; at += 512) {
    const isSame = equalBytes(older.subarray(at, at + 512), newer.subarray(at, at + 512));
    const inRange = named[at] === 1;
    assert.ok(isSame || inRange, `sector at ${at} differs and is not named`);
    const start = at - (at % CHUNK_BYTES);
    const [one, other] = [older, newer].map((disk) => disk.subarray(start, start + CHUNK_BYTES));
    const differs = !equalBytes(one ?? older, other ?? newer);
    assert.ok(!inRange || differs, `chunk at ${start} is the same and named`);
  }
}

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
