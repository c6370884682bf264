// What a reader of an old point does not hand out: chunks that were lost, rot of the disk or of a
// kept file (Q1, H27). And what differs between two points.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { differences, type Range } from '../../src/history/point-diff.js';
import { BadBlocks } from './bad-blocks.js';
import { same } from './checks.js';
import { coded, ready, shape, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, type Knobs, STATE } from './nodes.js';
import { Pair } from './pair.js';
import { allTrue, entryOf, imageOf } from './past-images.js';
import { growth, story } from './story.js';

const LIMIT = limited(60_000);

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
