// Both ladders without a crash of a machine, up to the commit: which round is refused and why, what
// is asked for and staged, sessions that come and go. RULES.md §1 and the rules cited.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { digestOf } from '../../src/base/digest.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { indexAccumulator } from '../../src/format/changeset-index.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import { ReplicaSession } from '../../src/receive/session.js';
import { newCounts } from '../../src/round/parts.js';
import { CrashWorld } from '../world/memory-files.js';
import { same } from './checks.js';
import {
  another,
  beginOf,
  frameOf,
  ready,
  refusedAs,
  shape,
  started,
  stateFiles,
} from './ladder-material.js';
import { limited } from './limit.js';
import { DISK } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);

test(
  'a round that cannot be committed is refused at its begin, and by what it says',
  LIMIT,
  async () => {
    const pair = await ready(1);
    const { target } = pair;
    const other = { id: pair.random.bytes(16), number: 7, timeMs: 7 };
    const epoch = { id: pair.random.bytes(16), number: 9, parent: other.id, node: 'x' };
    const refusals = [
      ['wrong-from', { from: other }],
      ['wrong-from', { from: null }],
      ['wrong-from', { resource: other.id }],
      ['wrong-from', { kind: 'pass' as const }],
      ['wrong-epoch', { epoch }],
      ['size', { sizeBytes: shape.sizeBytes - 512 }],
      ['gone', { resumeAt: 1 }],
    ] as const;
    for (const [reason, change] of refusals) {
      await assert.rejects(target.begin(beginOf(pair, change)), refusedAs(reason));
    }
    await pair.replicaNode.replica.markSuspect('somebody wrote it');
    await assert.rejects(target.begin(beginOf(pair)), refusedAs('suspect', /somebody wrote it/));
    assert.deepEqual(await stateFiles(pair, 'stage-'), [], 'nothing of them was staged');
  },
);

test(
  'a round for which there is no space is refused with numbers; nothing is lost (H29)',
  LIMIT,
  async () => {
    const pair = new Pair(shape, 2);
    const capacityBytes = 3 * 1024 * 1024;
    pair.receiverWorld = new CrashWorld({ capacityBytes });
    pair.receiverWorld.plant('/state/.made', 0);
    await started(pair);
    await pair.meet();
    await pair.wholeRound();
    const spaceBytes = 8 * 1024 * 1024;
    const refused = refusedAs('no-space', /8\.0 MiB .*ENOSPC/);
    await assert.rejects(pair.target.begin(beginOf(pair, { spaceBytes })), refused);
    assert.deepEqual(await stateFiles(pair, 'stage-'), []);
    await another(pair);
  },
);

test('an older epoch is fenced once a newer one has been taken (C3)', LIMIT, async () => {
  const pair = await ready(3);
  const { target } = pair;
  const old = beginOf(pair);
  const parent = old.from?.id ?? null;
  const epoch = { id: pair.random.bytes(16), number: 2, parent, node: 'c' };
  await target.begin({ ...beginOf(pair), epoch });
  await assert.rejects(target.begin(old), refusedAs('wrong-epoch', /epoch 1 ended when 2 began/));
});

test(
  'a chunk that does not fit is asked for whole; without it no point is made (C2, H28)',
  LIMIT,
  async () => {
    const pair = await ready(4);
    const { target, replicaNode } = pair;
    const before = replicaNode.bytes();
    const begin = beginOf(pair);
    await target.begin(begin);
    const block = Buffer.alloc(4096, 1);
    const entry = { chunk: 0, mask: 1, zero: 0, digest: digestOf(block) };
    const index = indexAccumulator();
    index.addEntries(0, [entry], block.length);
    const { indexDigest } = index.totals();
    await target.put(0, await frameOf(block, entry.digest));
    assert.deepEqual(target.takeWanted(), [0]);
    assert.deepEqual(target.takeWanted(), [], 'told once');
    const { round, from, to } = begin;
    const facts = { consistency: 'crash' as const, damaged: [] };
    const commit = { round, from, to, frames: 1, indexDigest, ...facts };
    assert.deepEqual(await target.commit(commit), { outcome: 'wanted' });
    assert.deepEqual(target.takeWanted(), [0], 'and at the commit again');
    const whole = { ...entry, mask: 0xffff };
    const bytes = Buffer.alloc(CHUNK_BYTES, 1);
    const frame = await inlineCompute(packRaw).frame(1, [whole], [bytes]);
    const bad = refusedAs('bad-frame', /chunk 0 does not have the digest/);
    await assert.rejects(target.put(1, frame), bad, 'whole and wrong is no drift');
    same(replicaNode.bytes(), before, 'the replica');
    assert.equal(replicaNode.replica.record.suspect, null);
  },
);

test('drift under a round: the chunk goes whole in the same round (H28)', LIMIT, async () => {
  const pair = await ready(5);
  pair.receiverWorld.flip(DISK, 4096 + 5);
  await pair.primaryNode.disk.write(0, Buffer.alloc(4096, 9));
  const counts = newCounts('round');
  await pair.wholeRound(counts);
  assert.equal(counts.driftChunks, 1);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'what had changed is mended');
  assert.equal(pair.replicaNode.replica.driftChunks, 1);
  assert.equal(pair.primaryNode.resourceFile.state.targets['b']?.driftChunks, 1);
  const lost = pair.replicaNode.replica.record.chain.map((entry) => entry.lost);
  assert.deepEqual(lost, [[0], []], 'the older point cannot have that chunk any more (H27)');
});

test('what is abandoned may be taken over; another round follows (H31)', LIMIT, async () => {
  const pair = await ready(6);
  const begin = beginOf(pair);
  await pair.target.begin(begin);
  const chunk = pair.replicaNode.bytes().slice(0, CHUNK_BYTES);
  chunk.fill(7, 0, 4096);
  await pair.target.put(0, await frameOf(chunk.subarray(0, 4096), digestOf(chunk)));
  assert.equal(await pair.target.staged(1), 1);
  assert.equal((await stateFiles(pair, 'stage-')).length, 1);
  await pair.target.abandon(begin.round);
  assert.equal((await stateFiles(pair, 'stage-')).length, 1, 'kept for the next round');
  assert.equal(await pair.target.outcome(begin.round), 'none');
  const gone = refusedAs('gone');
  await assert.rejects(pair.target.begin({ ...begin, resumeAt: 1 }), gone);
  await another(pair);
  assert.deepEqual(await stateFiles(pair, 'stage-'), [], 'and gone with its commit');
});

test('a second session waits for the writer of the first (C3)', LIMIT, async () => {
  const pair = await ready(7);
  const first = new ReplicaSession(pair.replicaNode.replica);
  await pair.target.close();
  await first.begin(beginOf(pair));
  const second = new ReplicaSession(pair.replicaNode.replica);
  let begun = false;
  const waiting = second.begin(beginOf(pair)).then(() => {
    begun = true;
  });
  await turn();
  assert.equal(begun, false, 'the first session still writes');
  await first.close();
  await waiting;
  await second.close();
  pair.connect();
  await pair.contact();
  await another(pair);
});

test(
  'a session closed while it waits does nothing any more, and holds nothing',
  LIMIT,
  async () => {
    const pair = await ready(8);
    await pair.target.close();
    const [first, second, third] = [0, 1, 2].map(
      () => new ReplicaSession(pair.replicaNode.replica),
    );
    assert.ok(first && second && third);
    await first.begin(beginOf(pair));
    const late = second.begin(beginOf(pair));
    late.catch(() => undefined);
    await second.close();
    await first.close();
    await assert.rejects(late, 'a closed session begins nothing');
    await assert.rejects(second.begin(beginOf(pair)), 'nor later');
    assert.equal((await stateFiles(pair, 'stage-')).length, 1, 'the first one is parked (D3)');
    await third.begin(beginOf(pair));
    await third.close();
  },
);

test(
  'a repeated question for a round gets the same answer; commit is idempotent (D4)',
  LIMIT,
  async () => {
    const pair = await ready(9);
    const point = await another(pair);
    const again = {
      round: point.id,
      from: null,
      to: point,
      frames: 0,
      indexDigest: point.id,
      consistency: 'crash' as const,
      damaged: [],
    };
    assert.deepEqual(await pair.target.commit(again), { outcome: 'committed' });
    assert.equal(await pair.target.outcome(point.id), 'committed');
    assert.equal(await pair.target.outcome(pair.random.bytes(16)), 'none');
    await pair.target.applied(point);
    assert.equal(pair.replicaNode.replica.record.chain.length, 2, 'no second point was made');
    await another(pair);
  },
);
