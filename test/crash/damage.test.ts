// A local disk that cannot read some of its blocks any more: rounds go on, points say what they
// lack, clean blocks come back from the target (H20, H21).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, equalBytes } from '../../src/base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES } from '../../src/base/units.js';
import { newCounts } from '../../src/round/parts.js';
import { readWithRepair } from '../../src/volume/repair.js';
import { BadBlocks, failed } from './bad-blocks.js';
import { historyTrue, same } from './checks.js';
import { ready, shape, started } from './ladder-material.js';
import { limited } from './limit.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);

const large = { ...shape, sizeBytes: 512 * 1024 };

async function readyWithBad(seed: number): Promise<{ pair: Pair; bad: BadBlocks }> {
  const bad = new BadBlocks();
  const pair = await ready(seed, { primaryDevice: bad.knob }, large);
  return { pair, bad };
}

const record = (pair: Pair) => pair.primaryNode.resourceFile.state.targets['b'];

test(
  'an unreadable dirty block: the point keeps what was there, and says so (H21)',
  LIMIT,
  async () => {
    const { pair, bad } = await readyWithBad(1);
    const before = pair.replicaNode.bytes().slice();
    const { disk, primary } = pair.primaryNode;
    await disk.write(2 * CHUNK_BYTES, Buffer.alloc(3 * BLOCK_BYTES, 9));
    bad.blocks.add(2 * 16 + 1);
    const counts = newCounts('round');
    const { point } = await pair.wholeRound(counts);
    assert.equal(counts.damagedChunks, 1);
    const wanted = pair.primaryNode.bytes().slice();
    const at = (2 * 16 + 1) * BLOCK_BYTES;
    wanted.set(before.subarray(at, at + BLOCK_BYTES), at);
    same(pair.replicaNode.bytes(), wanted, 'all but the block that cannot be read');
    const [entry] = pair.replicaNode.replica.record.chain.slice(-1);
    assert.equal(entry?.consistency, 'damaged');
    assert.deepEqual(entry?.damaged, [2]);
    assert.equal(record(pair)?.damagedChunks, 1);
    assert.equal(primary.volume.dirtyBytes(0), BLOCK_BYTES, 'it stays dirty');
    assert.ok(primary.volume.isDirty(0, 2 * 16 + 1, 2 * 16 + 1));
    // The guest writes it again: the medium takes it, the next point is whole.
    await disk.write(at, Buffer.alloc(BLOCK_BYTES, 10));
    const next = newCounts('round');
    const { point: after_ } = await pair.wholeRound(next);
    assert.equal(next.damagedChunks, 0);
    assert.notDeepEqual(after_.id, point.id);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'whole again');
    assert.equal(record(pair)?.damagedChunks, 0);
    assert.equal(pair.replicaNode.replica.record.chain.at(-1)?.consistency, 'crash');
  },
);

test('an unreadable clean block beside a dirty one does no harm at all (H20)', LIMIT, async () => {
  const { pair, bad } = await readyWithBad(2);
  const image = pair.primaryNode.bytes().slice();
  await pair.primaryNode.disk.write(CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, 9));
  image.fill(9, CHUNK_BYTES, CHUNK_BYTES + BLOCK_BYTES);
  bad.blocks.add(16 + 7);
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  assert.equal(counts.damagedChunks, 0);
  same(pair.replicaNode.bytes(), image, 'the round');
  assert.equal(pair.replicaNode.replica.record.chain.at(-1)?.consistency, 'crash');
});

test('a bad block that a guest overwrites while it is frozen (H21, W2)', LIMIT, async () => {
  const { pair, bad } = await readyWithBad(3);
  const before = pair.replicaNode.bytes().slice();
  const { disk } = pair.primaryNode;
  await disk.write(3 * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 9));
  bad.blocks.add(3 * 16 + 2);
  pair.during = async (call) => {
    if (call !== 'begin') return;
    await disk.write(3 * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 11));
  };
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  pair.during = null;
  assert.equal(counts.damagedChunks, 1, 'nobody can say what stood there at the cut');
  same(pair.replicaNode.bytes(), before, 'so the chunk keeps what it had; nothing newer is in it');
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the next round has it');
});

test(
  'a disk with a bad block is copied for the first time; settle leaves it alone',
  LIMIT,
  async () => {
    const bad = new BadBlocks();
    const pair = new Pair(large, 4, { primaryDevice: bad.knob });
    bad.blocks.add(5);
    await started(pair);
    await pair.meet();
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    assert.equal(counts.damagedChunks, 1);
    const wanted = pair.primaryNode.bytes().slice();
    wanted.fill(0, 5 * BLOCK_BYTES, 6 * BLOCK_BYTES);
    same(pair.replicaNode.bytes(), wanted, 'zeroes where nothing could be read');
    pair.primaryNode.primary.volume.pending(0).markAll();
    assert.ok((await pair.settle()) > 0, 'what can be read is compared');
    assert.ok(pair.primaryNode.primary.volume.isDirty(0, 5, 5));
    bad.blocks.clear();
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'once it reads again');
    await historyTrue(pair, pair.replicaNode);
  },
);

test(
  'a guest reads a block that the disk cannot: it comes from the target, and is written back (H20)',
  LIMIT,
  async () => {
    const { pair, bad } = await readyWithBad(6);
    const { primary, parts } = pair.primaryNode;
    const { point } = parts.table;
    assert.ok(point);
    const image = pair.primaryNode.bytes().slice();
    const { volume } = primary;
    let asked = 0;
    const repair = async (chunk: number, mask: number) => {
      asked += 1;
      const { swaps } = volume;
      const bytes = await pair.target.chunk(chunk, point);
      const known = parts.table.get(chunk);
      const whole = bytes !== null && known !== null && equalBytes(digestOf(bytes), known);
      if (!whole) return null;
      await volume.writeBack(0, chunk, mask, bytes, swaps);
      return bytes;
    };
    const machinery = { device: volume.device, repair };
    bad.blocks.add(20);
    const into = new Uint8Array(CHUNK_BYTES);
    await readWithRepair(machinery, CHUNK_BYTES, into, failed(CHUNK_BYTES));
    same(into, image.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES), 'what the guest reads');
    assert.deepEqual([asked, volume.repairedBlocks, bad.blocks.size], [1, 1, 0]);
    assert.equal(primary.volume.dirtyBytes(0), 0, 'a repair marks nothing');
    // Dirty for the target: what it has is older, the guest gets an error.
    await pair.primaryNode.disk.write(21 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, 3));
    bad.blocks.add(21);
    await readWithRepair(machinery, 21 * BLOCK_BYTES, new Uint8Array(512), failed(0)).catch(
      () => undefined,
    );
    assert.equal(bad.blocks.has(21), true, 'a dirty block is never overwritten by a repair');
  },
);
