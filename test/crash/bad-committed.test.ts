// A committed file on a bad medium (receiver ladder, last line; C1): the replica opens all the
// same, at the point before; and nothing is given up that can still be read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { hex } from '../../src/base/random.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { BadMedium, type BadPlace } from './bad-medium.js';
import { historyTrue, same } from './checks.js';
import { another, coded, ready, shape, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';
import type { Pair } from './pair.js';

const LIMIT = limited(20_000);

interface HalfApplied {
  readonly pair: Pair;
  readonly medium: BadMedium;
  /** The point before, in the disk with some blocks of `to`. */
  readonly from: PointRef;
  /** Committed, its undo stands. */
  readonly to: PointRef;
}

/** A replica that has stopped in the middle of an apply. */
async function halfApplied(seed: number): Promise<HalfApplied> {
  const medium = new BadMedium();
  const pair = await ready(seed, { replicaFiles: medium.files }, shape);
  const from = await another(pair);
  await pair.guest.some(pair.primaryNode.disk, 5);
  pair.receiverWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
  const { point: to } = await pair.round();
  await assert.rejects(pair.target.applied(to), coded('APPLY_FAILED'));
  await stopReplica(pair);
  return { pair, medium, from, to };
}

async function stopReplica(pair: Pair): Promise<void> {
  pair.link?.cut();
  await turn();
  await pair.replica?.replica.close();
  pair.replica = null;
}

function opensAt(pair: Pair, point: PointRef, what: string): void {
  const { record, table } = pair.replicaNode.replica;
  assert.deepEqual(record.point, point, what);
  assert.deepEqual(table.point, point, what);
  same(pair.replicaNode.bytes(), pair.cutOf(point).image, what);
}

const failedFile = (errno: string) => (error: unknown) => {
  assert.equal(codeOf(error), 'FILE_FAILED', String(error));
  assert.match(String(error), new RegExp(errno));
  return true;
};

const PLACES: readonly [string, Omit<BadPlace, 'name'>][] = [
  ['its header', { errno: 'EIO' }],
  ['a frame', { errno: 'EIO', from: 400 }],
  ['its inode', { errno: 'EUCLEAN', open: true, from: Number.MAX_VALUE }],
];

for (const [what, place] of PLACES) {
  test(
    `a bad medium under ${what} of a committed file: back to the point before (C1)`,
    LIMIT,
    async () => {
      const { pair, medium, from, to } = await halfApplied(1);
      medium.places.push({ ...place, name: `committed-${hex(to.id)}` });
      await pair.startReplica();
      opensAt(pair, from, 'rolled back');
      assert.deepEqual(pair.replicaNode.replica.record.lostPoint, to.id, 'and it is said');
      assert.deepEqual(await stateFiles(pair, 'committed-'), []);
      await historyTrue(pair, pair.replicaNode);
      // The primary hears of it, compares everything with the point before, and goes on.
      pair.connect();
      assert.equal(await pair.contact(), 'ready');
      await pair.wholeRound();
      same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after a lost point');
      assert.equal(pair.replicaNode.replica.record.lostPoint, null);
    },
  );
}

test('nothing of it is applied yet: the point before stands, that is all', LIMIT, async () => {
  const medium = new BadMedium();
  const pair = await ready(2, { replicaFiles: medium.files }, shape);
  const from = await another(pair);
  await pair.guest.some(pair.primaryNode.disk, 5);
  medium.places.push({ name: '/committed-', errno: 'EIO' });
  const { point } = await pair.round();
  await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
  assert.deepEqual(await stateFiles(pair, 'undo-'), [await undoBefore(pair)], 'no undo of it');
  await stopReplica(pair);
  await pair.startReplica();
  opensAt(pair, from, 'never left');
});

async function undoBefore(pair: Pair): Promise<string> {
  const [entry] = pair.replicaNode.replica.record.chain.slice(-2);
  assert.ok(entry?.undo, 'the chain names it');
  return entry.undo;
}

test('an error that passes is not the medium: the point is applied', LIMIT, async () => {
  const { pair, medium, to } = await halfApplied(3);
  medium.places.push({ name: '/committed-', errno: 'EIO', from: 400, times: 1 });
  await pair.startReplica();
  opensAt(pair, to, 'applied');
  assert.equal(pair.replicaNode.replica.record.lostPoint, null);
});

test('another error says nothing of the file: no start, and nothing is lost', LIMIT, async () => {
  for (const errno of ['ENOMEM', 'EACCES', 'ENXIO']) {
    const { pair, medium, to } = await halfApplied(4);
    const disk = pair.receiverWorld.peek(DISK)?.slice();
    medium.places.push({ name: '/committed-', errno, from: 400 });
    await assert.rejects(pair.startReplica(), failedFile(errno));
    assert.deepEqual(pair.receiverWorld.peek(DISK), disk, 'nothing was written');
    assert.equal((await stateFiles(pair, 'committed-')).length, 1);
    medium.places.length = 0;
    await pair.startReplica();
    opensAt(pair, to, errno);
  }
});

test('it reads again before its loss was published: it is applied after all', LIMIT, async () => {
  for (const operation of ['write', 'rename'] as const) {
    const { pair, medium, to } = await halfApplied(5);
    medium.places.push({ name: '/committed-', errno: 'EIO' });
    const [committed] = await stateFiles(pair, 'committed-');
    const path =
      operation === 'write' ? `${STATE}/resource.json.new` : `${STATE}/${committed ?? ''}`;
    pair.receiverWorld.failNext({ operation, path }, 'EIO');
    await assert.rejects(pair.startReplica(), failedFile('EIO'));
    assert.deepEqual(await stateFiles(pair, 'lost-'), [], 'it keeps its name');
    medium.places.length = 0;
    await pair.startReplica();
    opensAt(pair, to, `after a ${operation} that failed`);
    assert.equal(pair.replicaNode.replica.record.lostPoint, null);
  }
});

test('what was given up is kept, and is applied when it has its name again', LIMIT, async () => {
  const { pair, medium, from, to } = await halfApplied(6);
  medium.places.push({ name: '/committed-', errno: 'EIO', from: 400 });
  await pair.startReplica();
  opensAt(pair, from, 'rolled back');
  const [lost] = await stateFiles(pair, 'lost-');
  assert.ok(lost, 'the file is there');
  await stopReplica(pair);
  medium.places.length = 0;
  const path = `${STATE}/${lost}`;
  await pair.receiverWorld.rename(path, path.replace('/lost-', '/committed-'));
  await pair.startReplica();
  opensAt(pair, to, 'applied after all');
  assert.equal(pair.replicaNode.replica.record.lostPoint, null);
  await historyTrue(pair, pair.replicaNode);
});

test('what the primary is told of a lost point outlives a power failure', LIMIT, async () => {
  const { pair, medium, from } = await halfApplied(7);
  medium.places.push({ name: '/committed-', errno: 'EIO' });
  await pair.startReplica();
  pair.receiverWorld = pair.receiverWorld.afterCrash('all', pair.random);
  medium.places.length = 0;
  await pair.startReplica();
  opensAt(pair, from, 'the file has not come back under its name');
});

test('the file of an applied point is a leftover, whatever it reads like', LIMIT, async () => {
  const medium = new BadMedium();
  const pair = await ready(8, { replicaFiles: medium.files }, shape);
  const older = await another(pair);
  const point = await another(pair);
  await stopReplica(pair);
  // As if its removal had failed when it was applied.
  const name = `committed-${hex(older.id)}`;
  pair.receiverWorld.plant(`${STATE}/${name}`, 4096);
  medium.places.push({ name, errno: 'EIO' });
  await pair.startReplica();
  opensAt(pair, point, 'as it stood');
  assert.equal(pair.replicaNode.replica.record.lostPoint, null, 'nothing is lost');
  assert.deepEqual(await stateFiles(pair, 'committed-'), []);
});

test('a file that is only named like a committed one is none, and stays', LIMIT, async () => {
  const pair = await ready(6, {}, shape);
  const from = await another(pair);
  await stopReplica(pair);
  const names = ['committed-', 'committed-x', `committed-${hex(from.id)}.bak`];
  for (const name of names)
    pair.receiverWorld.plant(`${STATE}/${name}`, Buffer.from('no changeset'));
  for (let times = 0; times < 2; times += 1) {
    await pair.startReplica();
    opensAt(pair, from, 'never left');
    assert.equal(pair.replicaNode.replica.record.lostPoint, null);
    await stopReplica(pair);
  }
  assert.deepEqual(await stateFiles(pair, 'committed-'), names.toSorted());
});
