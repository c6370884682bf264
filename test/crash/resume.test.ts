// What is staged is not sent again (D3, H31), and what had changed at the target is found and
// mended (H28): plain scenarios without a crash of a machine, on both ladders.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { newCounts } from '../../src/round/parts.js';
import type { ResumingTarget } from '../../src/target/resuming.js';
import { historyTrue, same, senderTableTrue } from './checks.js';
import { another, coded, cutAt, large, ready, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';
import type { Pair } from './pair.js';

const LIMIT = limited(20_000);

/** Every chunk of the disk gets content of its own. */
async function overwrite(pair: Pair, seed: number, from = 0): Promise<void> {
  const { disk } = pair.primaryNode;
  for (let offset = from; offset < disk.sizeBytes; offset += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, disk.sizeBytes - offset);
    const bytes = Buffer.alloc(length, (seed * 31 + offset / CHUNK_BYTES) % 255);
    bytes.writeUInt32LE(offset + seed, 0);
    await disk.write(offset, bytes);
  }
}

const staged = (pair: Pair): Promise<string[]> => stateFiles(pair, 'stage-');

test('a round cut off: the next one takes over what is staged, by digest', LIMIT, async () => {
  for (const restart of [false, true]) {
    const pair = await ready(1, {}, large);
    await overwrite(pair, 1);
    cutAt(pair, 'put', 3);
    await assert.rejects(pair.round(), coded('TARGET_LOST'));
    pair.during = null;
    await turn();
    assert.equal((await staged(pair)).length, 1);
    if (restart) await pair.startReplica();
    // Two chunks have other content now, of one of them a part.
    await pair.primaryNode.disk.write(0, Buffer.alloc(4096, 250));
    await pair.primaryNode.disk.write(CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 251));
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `restart ${restart}`);
    assert.ok(counts.reusedBytes >= 40 * CHUNK_BYTES, `${counts.reusedBytes} bytes were reused`);
    const sent = counts.sentBytes + counts.reusedBytes;
    assert.ok(sent <= large.sizeBytes, 'nothing was sent that is staged');
    assert.deepEqual(await staged(pair), [], 'what was staged is gone with the commit');
    senderTableTrue(pair, pair.primaryNode);
    await historyTrue(pair, pair.replicaNode);
  }
});

test('several rounds cut off: what all of them staged is taken over', LIMIT, async () => {
  const pair = await ready(2, {}, large);
  await overwrite(pair, 2);
  for (const at of [1, 2, 3]) {
    const counts = newCounts('round');
    // Each gets one frame further than the one before; what it took over counts as a frame too.
    let frames = 0;
    pair.during = async (call) => {
      if (call !== 'put') return;
      if (frames === 1) pair.link?.cut();
      frames += 1;
    };
    await assert.rejects(pair.round(counts), coded('TARGET_LOST'));
    pair.during = null;
    await turn();
    assert.ok((await staged(pair)).length <= at, 'kept as files');
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
  }
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round that went through');
  assert.ok(counts.sentBytes <= 2 * 1024 * 1024, `${counts.sentBytes} bytes were left to send`);
});

test('staged bytes that have rotted are not taken over (C2)', LIMIT, async () => {
  const pair = await ready(3, {}, large);
  await overwrite(pair, 3);
  cutAt(pair, 'put', 2);
  await assert.rejects(pair.round(), coded('TARGET_LOST'));
  pair.during = null;
  await turn();
  const [stage] = await staged(pair);
  pair.receiverWorld.flip(`${STATE}/${stage}`, 5000);
  await pair.startReplica();
  pair.connect();
  await pair.contact();
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'a round over a damaged stage');
});

test('what is staged from another point is worth nothing', LIMIT, async () => {
  const pair = await ready(4, {}, large);
  await overwrite(pair, 4);
  cutAt(pair, 'put', 2);
  await assert.rejects(pair.round(), coded('TARGET_LOST'));
  pair.during = null;
  await turn();
  const [old] = await staged(pair);
  const path = `${STATE}/${old}`;
  const handle = await pair.receiverWorld.open(path, 'read');
  const bytes = new Uint8Array(await handle.size());
  await handle.read(bytes, 0);
  await handle.close();
  pair.connect();
  await pair.contact();
  await pair.wholeRound();
  // It comes back from nowhere, after a point has been made.
  pair.receiverWorld.plant(path, bytes);
  await pair.startReplica();
  await overwrite(pair, 4);
  pair.link?.cut();
  pair.connect();
  await pair.contact();
  const counts = newCounts('round');
  await pair.primaryNode.disk.write(0, Buffer.alloc(4096, 77));
  await pair.wholeRound(counts);
  assert.equal(counts.reusedBytes, 0);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after');
});

/** A round over a link that is cut at every `every`-th call, and made again. */
async function resumed(pair: Pair, every: number): Promise<ResumingTarget> {
  let calls = 0;
  pair.during = async (call) => {
    if (call === 'outcome' || call === 'begin') return;
    calls += 1;
    if (calls % every === 0) pair.link?.cut();
  };
  return pair.resuming(pair.target);
}

test('a live sender goes on at the watermark, however often it is cut (D3)', LIMIT, async () => {
  for (const every of [2, 3, 4]) {
    const pair = await ready(5, {}, large);
    await overwrite(pair, 5);
    const target = await resumed(pair, every);
    const counts = newCounts('round');
    const { point } = await pair.roundTo(target, counts);
    pair.during = null;
    await pair.target.applied(point);
    assert.ok(target.reconnects > 0, 'it was cut');
    assert.equal(counts.reusedBytes, 0, 'one round, nothing to take over');
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `cut at every ${every}th call`);
    senderTableTrue(pair, pair.primaryNode);
    assert.equal(pair.replicaNode.replica.record.chain.length, 2, 'one point was made');
    await another(pair);
  }
});

test('a replica restarted under a round: it fails, the next takes over', LIMIT, async () => {
  const pair = await ready(6, {}, large);
  await overwrite(pair, 6);
  const target = await resumed(pair, 1_000_000);
  let puts = 0;
  pair.during = async (call) => {
    if (call !== 'put') return;
    puts += 1;
    if (puts !== 3) return;
    pair.link?.cut();
    await turn();
    await pair.replicaNode.replica.close();
    await pair.startReplica();
  };
  await assert.rejects(pair.roundTo(target, newCounts('round')), coded('TARGET_LOST'));
  pair.during = null;
  pair.connect();
  assert.equal(await pair.contact(), 'ready');
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  assert.ok(counts.reusedBytes > 0, 'what was staged is taken over');
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after');
});

test('a disk changed while the replica was down: found, and mended by a round', LIMIT, async () => {
  const pair = await ready(7, {}, large);
  await another(pair);
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  // Two clean chunks and one that will be dirty in a part.
  for (const chunk of [3, 17, 40]) pair.receiverWorld.flip(DISK, chunk * CHUNK_BYTES + 99);
  await pair.startReplica();
  const { replica } = pair.replicaNode;
  assert.notEqual(replica.record.suspect, null, 'it is suspect at once');
  pair.connect();
  await pair.contact();
  while (replica.comparing !== null) await turn();
  assert.deepEqual([...(replica.doubts?.from(0) ?? [])], [3, 17, 40]);
  await pair.primaryNode.disk.write(40 * CHUNK_BYTES, Buffer.alloc(4096, 5));
  pair.connect();
  await pair.contact();
  assert.equal(pair.target.state.suspect, true);
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  assert.equal(counts.driftChunks, 3);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'all of it is mended');
  assert.equal(replica.record.suspect, null);
  assert.equal(replica.doubts, null);
  await another(pair);
});

test('a suspect replica commits nothing that leaves a doubt (H28)', LIMIT, async () => {
  const pair = await ready(8, {}, large);
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  pair.receiverWorld.flip(DISK, 5 * CHUNK_BYTES + 1);
  const knobs = { link: (link: Pair['target']) => forgetful(link) };
  Object.assign(pair.knobs, knobs);
  await pair.startReplica();
  while (pair.replicaNode.replica.comparing !== null) await turn();
  pair.connect();
  await pair.contact();
  await pair.primaryNode.disk.write(0, Buffer.alloc(4096, 5));
  await assert.rejects(pair.round(), /suspect\): 1 chunks that are in doubt/);
});

/** A sender that does not ask for what is in doubt. */
function forgetful(link: Pair['target']): Pair['target'] {
  return new Proxy(link, {
    get(real, name) {
      if (name === 'doubts') return async () => ({ chunks: [], complete: true });
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });
}

test('touched but not changed: compared, and trusted again', LIMIT, async () => {
  let touched = false;
  const prints = (real: Parameters<NonNullable<Pair['knobs']['prints']>>[0]) => ({
    ...real,
    differs: (...args: Parameters<typeof real.differs>) =>
      touched ? 'modification time' : real.differs(...args),
  });
  const pair = await ready(9, { prints });
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  touched = true;
  await pair.startReplica();
  touched = false;
  const { replica } = pair.replicaNode;
  assert.match(replica.record.suspect ?? '', /modification time/);
  while (replica.comparing !== null) await turn();
  assert.equal(replica.record.suspect, null);
  pair.connect();
  await pair.contact();
  await another(pair);
});

test(
  'drift found while the round before is applied is mended in the same round (H25)',
  LIMIT,
  async () => {
    const pair = await ready(10, {}, large);
    await overwrite(pair, 10, 2 * 1024 * 1024);
    await pair.round();
    // Not applied yet, most likely: the next round's frames are verified at its commit.
    pair.receiverWorld.flip(DISK, 2 * CHUNK_BYTES + 7);
    await pair.primaryNode.disk.write(2 * CHUNK_BYTES + 8192, Buffer.alloc(4096, 6));
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    assert.equal(counts.driftChunks, 1);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'mended');
  },
);
