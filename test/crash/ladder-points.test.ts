// Both ladders without a crash of a machine, from the commit on: points that cannot be applied, are
// kept, rolled back, promoted, or gone. RULES.md §1 and the rules cited.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { hex, seededRandom } from '../../src/base/random.js';
import { promoted } from '../../src/care/promote.js';
import { RoundError } from '../../src/round/parts.js';
import { historyTrue, same } from './checks.js';
import { another, beginOf, coded, ready, refusedAs, shape, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';
import type { Pair } from './pair.js';

const LIMIT = limited(20_000);

const undos = (pair: Pair): string[] =>
  pair.replicaNode.replica.record.chain.flatMap(({ undo }) => undo ?? []);

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
