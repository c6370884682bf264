// A local disk that cannot read some blocks, and a target that cannot tell what stood there: no
// round is refused for it, the point is damaged and names them, and the target's disk keeps what it
// had (H14, H20, H21, H28).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BLOCK_BYTES, CHUNK_BYTES } from '../../src/base/units.js';
import { newCounts } from '../../src/round/parts.js';
import { BadBlocks } from './bad-blocks.js';
import { same } from './checks.js';
import { another, large, ready, shape } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';
import type { Pair } from './pair.js';
import { grow } from './story.js';

const LIMIT = limited(20_000);

async function readyWithBad(seed: number, size = large): Promise<{ pair: Pair; bad: BadBlocks }> {
  const bad = new BadBlocks();
  return { pair: await ready(seed, { primaryDevice: bad.knob }, size), bad };
}

/** A round that names `chunks` damaged chunks and keeps the bad blocks dirty; then they read again,
 * and the next one makes both disks the same. */
async function damagedThenWhole(pair: Pair, bad: BadBlocks, chunks: number): Promise<void> {
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  assert.equal(counts.damagedChunks, chunks);
  const { volume } = pair.primaryNode.primary;
  for (const block of bad.blocks) assert.ok(volume.isDirty(0, block, block), `block ${block}`);
  bad.blocks.clear();
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'once it reads again');
  await another(pair);
}

const IN_NEW_CHUNK = { name: 'in a chunk that the target lacks', size: large, block: 0 };
const IN_OLD_LAST = { name: 'in the old last chunk, short until then', size: shape, block: 5 };

for (const { name, size, block } of [IN_NEW_CHUNK, IN_OLD_LAST]) {
  test(`the disk has grown; a block ${name}`, LIMIT, async () => {
    const { pair, bad } = await readyWithBad(31, size);
    pair.link?.cut();
    await grow(pair, size.sizeBytes + 2 * CHUNK_BYTES);
    await pair.startPrimary();
    pair.connect();
    await pair.contact();
    bad.blocks.add(Math.floor(size.sizeBytes / CHUNK_BYTES) * (CHUNK_BYTES / BLOCK_BYTES) + block);
    await damagedThenWhole(pair, bad, 1);
  });
}

test('the target has changed there: what it has stays, and counts as lost', LIMIT, async () => {
  const { pair, bad } = await readyWithBad(32);
  await pair.primaryNode.disk.write(0, Buffer.alloc(2 * BLOCK_BYTES, 9));
  bad.blocks.add(1);
  pair.receiverWorld.flip(DISK, 4196);
  const had = pair.replicaNode.bytes().slice(BLOCK_BYTES, 2 * BLOCK_BYTES);
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  assert.equal(counts.damagedChunks, 1);
  same(
    pair.replicaNode.bytes().slice(BLOCK_BYTES, 2 * BLOCK_BYTES),
    had,
    'nothing less than it had',
  );
  assert.deepEqual(
    [...pair.replicaNode.bytes().slice(0, 2)],
    [9, 9],
    'what could be read is there',
  );
  await damagedThenWhole(pair, bad, 1);
});

test('the target has lost its table', LIMIT, async () => {
  const { pair, bad } = await readyWithBad(33);
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  await pair.receiverWorld.remove(`${STATE}/disk.digests`);
  await pair.startReplica();
  pair.connect();
  await pair.contact();
  await pair.primaryNode.disk.write(0, Buffer.alloc(BLOCK_BYTES, 7));
  bad.blocks.add(3);
  const had = pair.replicaNode.bytes().slice(3 * BLOCK_BYTES, 4 * BLOCK_BYTES);
  await pair.wholeRound();
  same(pair.replicaNode.bytes().slice(3 * BLOCK_BYTES, 4 * BLOCK_BYTES), had, 'it has it still');
  bad.blocks.clear();
  await another(pair);
});

test('the target doubts all of its disk; a clean block here is bad', LIMIT, async () => {
  const { pair, bad } = await readyWithBad(34);
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  await pair.receiverWorld.remove(`${STATE}/disk.digests`);
  pair.receiverWorld.flip(DISK, 4 * CHUNK_BYTES + 7);
  bad.blocks.add(3);
  pair.suspicious = true;
  await pair.startReplica();
  await pair.replicaNode.replica.compared();
  pair.connect();
  await pair.contact();
  await pair.wholeRound();
  pair.suspicious = false;
  bad.blocks.clear();
  await another(pair);
});
