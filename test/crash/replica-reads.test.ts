// Sectors of the replica's disk that cannot be read: they end no first copy, and no question about
// a chunk (H20, H29). What it cannot tell it says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, DIGEST_BYTES } from '../../src/base/units.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts } from '../../src/round/parts.js';
import { BadBlocks } from './bad-blocks.js';
import { same } from './checks.js';
import { another, coded, large, ready, started } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);
const UNKNOWN = hex(new Uint8Array(DIGEST_BYTES));
const BAD = 100;
const BAD_CHUNK = Math.floor((BAD * BLOCK_BYTES) / CHUNK_BYTES);

test(
  'a first copy over a disk with a bad sector: that chunk is sent, and written',
  LIMIT,
  async () => {
    const bad = new BadBlocks();
    const pair = new Pair(large, 3, { replicaDevice: bad.knob });
    const { parts } = await readyToFill(pair);
    bad.blocks.add(BAD);
    const counts = newCounts('pass');
    await fillByPasses(parts, pair.target, counts, new AbortController().signal);
    assert.equal(bad.blocks.size, 0, 'it has been written');
    const equal = large.sizeBytes - CHUNK_BYTES;
    assert.equal(counts.skippedBytes, equal, 'what could be read is equal and was not sent');
    await pair.meet();
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the first point');
    await another(pair);
  },
);

/** The replica's disk has the content already; both ends are connected. */
async function readyToFill(pair: Pair) {
  pair.receiverWorld.plant(DISK, pair.senderWorld.peek(DISK) ?? new Uint8Array(0));
  await started(pair);
  assert.equal(await pair.contact(), 'fill');
  return pair.primaryNode;
}

test('digests of a first copy: unknown is that chunk alone', LIMIT, async () => {
  const bad = new BadBlocks();
  const pair = new Pair(large, 4, { replicaDevice: bad.knob });
  await readyToFill(pair);
  pair.during = async (call) => {
    if (call === 'put') pair.link?.cut();
  };
  bad.blocks.add(BAD);
  await assert.rejects(pair.meet(), coded('TARGET_LOST'));
  pair.during = null;
  pair.connect();
  await pair.contact();
  const count = large.sizeBytes / CHUNK_BYTES;
  const { at, digests } = await pair.target.digests(0, count, 'table');
  assert.equal(at, null);
  const unknown = [...Array(count).keys()].filter(
    (chunk) => hex(digests.subarray(chunk * DIGEST_BYTES, (chunk + 1) * DIGEST_BYTES)) === UNKNOWN,
  );
  assert.deepEqual(unknown, [BAD_CHUNK]);
});

test('a deep verification is told of the sector: it has a point to compare', LIMIT, async () => {
  const bad = new BadBlocks();
  const pair = await ready(5, { replicaDevice: bad.knob }, large);
  bad.blocks.add(BAD);
  await assert.rejects(pair.target.digests(0, 64, 'disk'), coded('DISK_FAILED'));
});

test('a chunk that cannot be read there either: it cannot tell', LIMIT, async () => {
  const bad = new BadBlocks();
  const pair = await ready(6, { replicaDevice: bad.knob }, large);
  const { point } = pair.replicaNode.replica.record;
  assert.ok(point !== null);
  bad.blocks.add(BAD);
  assert.equal(await pair.target.chunk(BAD_CHUNK, point), null);
  const whole = await pair.target.chunk(BAD_CHUNK + 1, point);
  assert.equal(whole?.length, CHUNK_BYTES);
});
