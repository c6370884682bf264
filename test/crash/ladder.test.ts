// Both ladders without a crash of a machine, in plain scenarios: who is refused and why, what a
// failing disk or file system does, what stays after it. RULES.md §1 and the rules cited.
// Longer than 300 lines: each scenario is short, and they share nothing but their material.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { digestOf } from '../../src/base/digest.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { promoted } from '../../src/care/promote.js';
import { indexAccumulator } from '../../src/format/changeset-index.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import { ReplicaSession } from '../../src/receive/session.js';
import { newCounts, RoundError } from '../../src/round/parts.js';
import { CrashWorld } from '../world/memory-files.js';
import { historyTrue, same } from './checks.js';
import {
  another,
  beginOf,
  coded,
  frameOf,
  ready,
  refusedAs,
  shape,
  started,
} from './ladder-material.js';
import { DISK, STATE } from './nodes.js';
import { Pair } from './pair.js';

/** What hangs in memory leaves nothing to wait for: the timer keeps node until the limit. */
const LIMIT = { timeout: 20_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const undos = (pair: Pair): string[] =>
  pair.replicaNode.replica.record.chain.flatMap(({ undo }) => undo ?? []);

const stateFiles = async (pair: Pair, prefix: string): Promise<string[]> =>
  (await pair.receiverWorld.list(STATE)).filter((name) => name.startsWith(prefix));

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

test(
  'a point that cannot be applied: said, refused, repaired at the next start (H25)',
  LIMIT,
  async () => {
    const pair = await ready(10);
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.receiverWorld.failNext({ operation: 'write', path: DISK }, 'EIO');
    const { point } = await pair.round();
    await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
    const { replica } = pair.replicaNode;
    assert.match(replica.applyError?.message ?? '', /EIO/);
    assert.equal(hex(replica.point?.id ?? point.id), hex(point.id), 'committed stays committed');
    await pair.guest.some(pair.primaryNode.disk, 1);
    await assert.rejects(pair.round(), refusedAs('apply-failed'));
    pair.link?.cut();
    await turn();
    await pair.startReplica();
    same(pair.replicaNode.bytes(), pair.cutOf(point).image, 'C1: the point after a restart');
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    await another(pair);
    await historyTrue(pair, pair.replicaNode);
  },
);

test('the last N points are kept; with the others goes their undo', LIMIT, async () => {
  const pair = await ready(11, {}, { ...shape, retain: 2 });
  for (let count = 0; count < 4; count += 1) {
    await another(pair);
    await turn();
    const { chain } = pair.replicaNode.replica.record;
    assert.equal(chain.length, 2);
    assert.deepEqual(await stateFiles(pair, 'undo-'), undos(pair));
    assert.deepEqual(await stateFiles(pair, 'committed-'), []);
  }
  await historyTrue(pair, pair.replicaNode);
});

test(
  'an unreadable committed file: back to the point before, by the undo (C1)',
  LIMIT,
  async () => {
    const pair = await ready(12);
    const from = await another(pair);
    await pair.guest.some(pair.primaryNode.disk, 5);
    pair.receiverWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
    const { point } = await pair.round();
    await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
    pair.receiverWorld.flip(`${STATE}/committed-${hex(point.id)}`, 300);
    pair.link?.cut();
    await turn();
    await pair.startReplica();
    const { record, table } = pair.replicaNode.replica;
    assert.deepEqual(record.point, from, 'the point before');
    same(pair.replicaNode.bytes(), pair.cutOf(from).image, 'C1: rolled back');
    assert.deepEqual(table.point, from);
    assert.ok(record.lostPoint !== null, 'and it is said');
    assert.deepEqual(await stateFiles(pair, 'committed-'), []);
    await historyTrue(pair, pair.replicaNode);
    // Opened once more it needs no compare: the fingerprint is that of the disk rolled back.
    await pair.startReplica();
    assert.equal(pair.replicaNode.replica.record.suspect, null);
    // The primary hears of it, compares everything with the point before, and goes on.
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after a lost point');
    assert.equal(pair.replicaNode.replica.record.lostPoint, null);
  },
);

test(
  'after a promotion no data moves: ahead, or diverged when both went on (H24, H37)',
  LIMIT,
  async () => {
    for (const [bothWent, relation] of [
      [false, 'ahead'],
      [true, 'diverged'],
    ] as const) {
      const pair = await ready(13);
      const old = pair.replicaNode.resourceFile.state;
      if (bothWent) await another(pair);
      const { resourceFile } = pair.replicaNode;
      const before = bothWent
        ? { ...resourceFile.state, replica: old.replica }
        : resourceFile.state;
      const next = promoted(before, 'b', seededRandom(1));
      assert.equal(next.epochs.length, 2);
      assert.equal(next.epochs[1]?.number, 2);
      assert.deepEqual(next.epochs[1]?.parent, before.replica.point?.id, 'from its last point');
      assert.equal(next.written, false);
      await resourceFile.update(() => next);
      pair.connect();
      const was = pair.replicaNode.bytes();
      await assert.rejects(pair.contact(), (error: unknown) => {
        assert.ok(error instanceof RoundError && error.fault.code === 'TARGET_DIVERGED');
        assert.equal(error.fault.relation, relation);
        return true;
      });
      await assert.rejects(pair.target.begin(beginOf(pair)), refusedAs('not-secondary'));
      same(pair.replicaNode.bytes(), was, 'no data moved');
    }
  },
);

test('a replica set back to an older point is behind: no data moves', LIMIT, async () => {
  const pair = await ready(14);
  const older = pair.receiverWorld.afterCrash('none', seededRandom(1));
  await another(pair);
  pair.link?.cut();
  pair.receiverWorld = older;
  await pair.startReplica();
  pair.connect();
  await assert.rejects(pair.contact(), coded('TARGET_DIVERGED'));
});

test(
  'an fdatasync that fails at the primary: no bit is dropped, no round runs (H18)',
  LIMIT,
  async () => {
    const pair = await ready(15);
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.senderWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
    await assert.rejects(pair.round(), coded('ROUND_HARDEN_FAILED'));
    assert.ok(pair.primaryNode.primary.volume.dirtyBytes(0) > 0);
    await assert.rejects(pair.primaryNode.disk.flush(), coded('DISK_SUSPECT'));
    await assert.rejects(pair.round(), coded('ROUND_SUSPECT'));
    await pair.primaryNode.primary.closeClean();
    await pair.startPrimary();
    assert.equal(pair.primaryNode.primary.belief, 'all', 'everything is in doubt');
    pair.senderWorld.evict(DISK);
    pair.connect();
    await pair.contact();
    await pair.settle();
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'what the medium has');
  },
);

test(
  'a spill that cannot keep: the guest goes on, the round fails, the next one does it',
  LIMIT,
  async () => {
    const pair = await ready(16, {}, { ...shape, spillBytes: 0 });
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.during = async (call) => {
      if (call === 'begin')
        await pair.guest.putBack(pair.primaryNode.disk, new Uint8Array(shape.sizeBytes), 8);
    };
    await assert.rejects(pair.round(), coded('ROUND_SPILL_FULL'));
    pair.during = null;
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the next round');
  },
);
