// The acts whose every crash is looked at: one commit, one apply, one apply that drops the oldest
// point, one table update at either end, one clean stop and start of either end. Each begins at a
// pair at rest, all of it durable, but for what a guest has just written. Promotion: promotion.ts.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { TABLE_ENTRIES_PER_PAGE } from '../../src/format/digest-table.js';
import { replicaAtPoint, same, senderTableTrue } from '../crash/checks.js';
import { DISK, type Shape } from '../crash/nodes.js';
import type { Pair, Side } from '../crash/pair.js';
import { lookAtRound, recover } from '../crash/story.js';
import { chainWhole, leftoversGone } from './chain.js';
import type { Act, Edge } from './explore.js';
import { atPoint, round, shape, writeBoth } from './moments.js';

const synced = { ...shape, metaflush: true };
/** Its tables have two pages, and a round changes both. */
const wide = { ...synced, sizeBytes: (TABLE_ENTRIES_PER_PAGE + 2) * CHUNK_BYTES };

/** The general judgement, and the chain before anything has been mended (H32). */
async function judge(pair: Pair, side: Side, compare: boolean): Promise<void> {
  await chainWhole(pair.receiverWorld);
  if (pair.replica === null) {
    await pair.startReplica();
    await leftoversGone(pair.replicaNode);
  }
  await recover(pair, side, compare);
}

/** What concerns the tables, at less cost than story.ts's: older content is put back (H7) where it
 * has changed at all, and one round follows. */
async function judgeTables(pair: Pair, side: Side, compare: boolean): Promise<void> {
  if (pair.replica === null) await pair.startReplica();
  if (side === 'receiver') replicaAtPoint(pair, pair.replicaNode);
  if (pair.primary === null) await pair.startPrimary();
  senderTableTrue(pair, pair.primaryNode);
  pair.connect();
  assert.equal(await pair.meet(), 'ready');
  const { disk } = pair.primaryNode;
  const older = pair.cuts.at(compare ? -2 : -3)?.image;
  assert.ok(older !== undefined, 'there are three points');
  const last = disk.sizeBytes - CHUNK_BYTES;
  for (const at of [0, last]) await disk.write(at, older.slice(at, at + CHUNK_BYTES));
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'D1: the round after the crash');
  lookAtRound(pair);
}

async function roundApplied(pair: Pair, edges: Parameters<typeof round>[1]): Promise<void> {
  const { point } = await round(pair, edges);
  await pair.target.applied(point);
}

/** From the reservation to the answer: sender steps 1 to 6, receiver steps 1 to 5. */
const commit = (name: string, size: Shape, sides: readonly Side[]): Act => ({
  name,
  shape: size,
  sides,
  before: async (pair) => {
    await atPoint(pair, 2);
    await writeBoth(pair);
    // What is written so far stands in TARGET.dirty alone, for no intent bit covers it (H9).
    await pair.primaryNode.primary.dirty.checkpoint();
  },
  run: async (pair, edge) => void (await round(pair, { answered: () => edge.close() })),
  judge,
});

/** From the question for a commit to the end of the apply: receiver steps 3 to 9. */
const apply: Act = {
  name: 'apply',
  shape,
  sides: ['receiver'],
  before: commit('', shape, []).before,
  run: (pair, edge) => roundApplied(pair, { asked: () => edge.open() }),
  judge,
};

/** Receiver step 9 of a round after which a point is too many, and the next open. */
const prune: Act = {
  name: 'prune',
  shape: { ...shape, retain: 2 },
  sides: ['receiver'],
  before: async (pair) => {
    await atPoint(pair, 2);
    await writeBoth(pair);
  },
  run: async (pair, edge) => {
    const { chain } = pair.replicaNode.replica.record;
    assert.equal(chain.length, 2, 'the next point is one too many');
    await roundApplied(pair, { asked: () => edge.open() });
    await restartReplica(pair);
    await leftoversGone(pair.replicaNode);
  },
  steps: (what) => /resource\.json|undo-|committed-/.test(what),
  judge,
};

/** Sender steps 7 to 9, of tables of one page. */
const tableOfTarget: Act = {
  name: 'table of the target',
  shape: synced,
  sides: ['sender'],
  before: commit('', shape, []).before,
  run: (pair, edge) => roundApplied(pair, { answered: () => edge.open() }),
  judge,
};

/** Sender step 7, receiver step 8, of tables of two pages, both of which change. */
const tablesOfTwoPages: Act = {
  name: 'tables of two pages',
  shape: wide,
  sides: ['sender', 'receiver'],
  before: async (pair) => {
    pair.senderWorld.plant(DISK, wide.sizeBytes);
    await atPoint(pair, 2);
    await writeBoth(pair);
  },
  run: (pair, edge) => roundApplied(pair, { asked: () => edge.open() }),
  // At the replica also while the state is published: from then on no apply is repeated.
  steps: (what, side) => (side === 'sender' ? /\.digests/ : /\.digests|resource\.json/).test(what),
  judge: judgeTables,
};

/** The guest's last writes, a clean stop, a start, its first writes. */
const stop = (name: string, size: Shape): Act => ({
  name,
  shape: size,
  sides: ['sender'],
  before: async (pair) => {
    await atPoint(pair, 2);
    await writeBoth(pair);
    pair.link?.cut();
    await turn();
  },
  run: async (pair) => {
    await pair.guest.some(pair.primaryNode.disk, 1);
    await pair.primaryNode.primary.closeClean();
    await pair.startPrimary();
    await pair.guest.some(pair.primaryNode.disk, 2);
    await pair.primaryNode.disk.flush();
    await pair.guest.some(pair.primaryNode.disk, 1);
  },
  judge,
});

/** The replica is stopped with a point that has just been committed, and started. */
const replicaStop: Act = {
  name: 'clean stop and start of the replica',
  shape,
  sides: ['receiver'],
  before: async (pair) => {
    await atPoint(pair, 2);
    await writeBoth(pair);
  },
  run: async (pair, edge: Edge) => {
    await round(pair, { answered: () => edge.open() });
    await restartReplica(pair);
  },
  judge,
};

async function restartReplica(pair: Pair): Promise<void> {
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  await pair.startReplica();
}

const bothSides = [commit('commit', shape, ['sender', 'receiver']), tablesOfTwoPages];
const of = (side: Side, acts: readonly Act[]): Act[] =>
  acts.filter(({ sides }) => sides.includes(side)).map((act) => ({ ...act, sides: [side] }));

export const senderActs: readonly Act[] = of('sender', [
  ...bothSides,
  commit('commit, metaflush', synced, ['sender']),
  tableOfTarget,
  stop('clean stop and start', shape),
  stop('clean stop and start, metaflush', synced),
]);

export const receiverActs: readonly Act[] = of('receiver', [
  ...bothSides,
  apply,
  prune,
  replicaStop,
]);
