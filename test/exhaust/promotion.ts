// The act of promoting the replica: its secondary role is left, what is committed is applied, the
// epoch is published, it is opened as a primary and its first guest writes and flushes. Wherever it
// crashed (C1, C3, H37, H39): it is a replica at a whole point, or a primary whose epoch was
// durable before any guest wrote; the old primary finds it ahead or diverged and moves no data; and
// it can be made its replica.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { equalBytes } from '../../src/base/digest.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { SECTOR_BYTES } from '../../src/base/units.js';
import { takeEpoch } from '../../src/daemon/becoming-primary.js';
import { judgeReturn } from '../../src/daemon/remembered.js';
import type { ResourceState } from '../../src/format/resource-state.js';
import { type Epoch, sameId } from '../../src/lineage/lineage.js';
import { ReplicaSession } from '../../src/receive/session.js';
import { contact, recordOf } from '../../src/round/contact.js';
import { RoundError } from '../../src/round/parts.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { historyTrue, same } from '../crash/checks.js';
import { beginOf, refusedAs } from '../crash/ladder-material.js';
import { Link } from '../crash/link.js';
import { DISK, type Knobs, PrimaryNode, replicaOver, STATE } from '../crash/nodes.js';
import { newWorld, Pair, type Side } from '../crash/pair.js';
import { isLost, lookAtRound, recover } from '../crash/story.js';
import { chainWhole, leftoversGone } from './chain.js';
import type { Act } from './explore.js';
import { atPoint, round, shape, writeBoth } from './moments.js';

/** Names of the two nodes; the replica is promoted. */
const [OLD, NEW] = ['a', 'b'];

/** `under`: what goes on at the replica in the moment of the order. */
const promotion = (name: string, under: 'applying' | 'staged'): Act => ({
  name,
  shape,
  sides: ['receiver'],
  before: async (pair) => {
    await atPoint(pair, 2);
    await writeBoth(pair);
    if (under === 'staged') await stageOnly(pair);
  },
  run: async (pair, edge) => {
    if (under === 'applying') await round(pair, { answered: () => edge.open() });
    pair.link?.cut();
    await pair.replicaNode.replica.close();
    await pair.replicaNode.resourceFile.update((state) => ({ ...state, role: 'init' }));
    const node = await promote(pair, 'boot');
    await guestWrites(pair, node);
  },
  judge,
});

/** A round whose frames are all at the replica, and whose commit never arrives. */
async function stageOnly(pair: Pair): Promise<void> {
  pair.during = async (call) => {
    if (call === 'commit') pair.link?.cut();
  };
  await assert.rejects(pair.round(), isLost);
  pair.during = null;
  await turn();
}

/** As the daemon does it, from a role that has been left. */
async function promote(pair: Pair, bootId: string): Promise<PrimaryNode> {
  const { receiverWorld: world, knobs, random } = pair;
  const files = knobs.replicaFiles?.(world) ?? world;
  const file = await ResourceFile.load(files, STATE);
  await takeEpoch({
    node: NEW,
    random,
    file,
    replica: () => replicaOver(world, file, pair, bootId),
    targets: [OLD],
    disk: { path: DISK, sizeBytes: world.sizeNow(DISK) ?? 0 },
    acceptDrift: false,
  });
  const setting = { ...pair, shape: reversed(pair), knobs: asPrimary(knobs) };
  return PrimaryNode.open(world, setting, bootId);
}

const reversed = (pair: Pair) => ({ ...pair.shape, targets: [OLD] });

/** What is replaced at the node that was the replica. */
function asPrimary({ replicaFiles, replicaDevice, prints }: Knobs): Knobs {
  return {
    ...(replicaFiles === undefined ? {} : { primaryFiles: replicaFiles }),
    ...(replicaDevice === undefined ? {} : { primaryDevice: replicaDevice }),
    ...(prints === undefined ? {} : { prints }),
  };
}

/** The first guest of the new primary: two writes, a flush, a write. */
async function guestWrites(pair: Pair, node: PrimaryNode): Promise<void> {
  // roles.ts: before the first connection is handed over (H37).
  await node.resourceFile.update((state) => ({ ...state, written: true }));
  const write = async (offset: number, length: number): Promise<void> => {
    const bytes = pair.random.bytes(length);
    pair.promoted = [...pair.promoted, { offset, bytes, flushed: false }];
    await node.disk.write(offset, bytes);
  };
  await write(8192, 4096);
  await write(node.disk.sizeBytes - SECTOR_BYTES, SECTOR_BYTES);
  await node.disk.flush();
  pair.promoted = pair.promoted.map((each) => ({ ...each, flushed: true }));
  await write(70_656, 3 * SECTOR_BYTES);
}

async function judge(pair: Pair, side: Side, compare: boolean): Promise<void> {
  await chainWhole(pair.receiverWorld);
  const { state } = await ResourceFile.load(pair.receiverWorld, STATE);
  const isPromoted = state.epochs.at(-1)?.node === NEW;
  if (pair.promoted.length > 0) {
    assert.ok(isPromoted && state.written, 'C3: the epoch is durable before a guest writes (H37)');
  }
  if (!isPromoted && compare) {
    await pair.startReplica();
    await leftoversGone(pair.replicaNode);
    await recover(pair, side, compare);
    return;
  }
  const node = await promote(pair, 'again');
  epochsGrew(state.epochs, node.resourceFile.state);
  diskIsPoint(pair, node);
  await oldReturns(pair, node);
  await failBack(pair, node);
}

/** One epoch of the new primary, in whatever number of tries. */
function epochsGrew(before: readonly Epoch[], state: ResourceState): void {
  const { epochs, replica } = state;
  assert.equal(new Set(epochs.map(({ id }) => hex(id))).size, epochs.length, 'C3: one id each');
  assert.deepEqual(
    epochs.map(({ number, node }) => [number, node]),
    [
      [1, OLD],
      [2, NEW],
    ],
    'C3: a promotion makes one epoch',
  );
  assert.deepEqual(epochs.slice(0, before.length), before, 'C3: what was published stands');
  assert.ok(sameId(epochs[1]?.parent, replica.point?.id), 'C3: and began at the last point');
}

/** C1, W3: the new primary has its last point, none older than an acknowledged one, and what its
 * guest wrote: all that was flushed, and of the rest each sector or not. */
function diskIsPoint(pair: Pair, node: PrimaryNode): void {
  const { point } = node.resourceFile.state.replica;
  assert.ok(point !== null, 'C1: a replica that was promoted had a point');
  const cut = pair.cutOf(point);
  const acknowledged = pair.cuts.findLastIndex(({ answered }) => answered);
  assert.ok(pair.cuts.indexOf(cut) >= acknowledged, 'C1: set back behind an acknowledged point');
  const wanted = cut.image.slice();
  const found = node.bytes();
  for (const { offset, bytes, flushed } of pair.promoted) {
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const sector = bytes.subarray(at, at + SECTOR_BYTES);
      const from = offset + at;
      const has = equalBytes(sector, found.subarray(from, from + SECTOR_BYTES));
      if (flushed || has) wanted.set(sector, from);
    }
  }
  same(found, wanted, 'C1: the promoted disk');
}

/** C3, H38: the old primary is told so before it serves; and if it served, no data would move. */
async function oldReturns(pair: Pair, node: PrimaryNode): Promise<void> {
  if (pair.primary === null) await pair.startPrimary();
  const old = pair.primaryNode;
  const mine = old.resourceFile.state;
  const { state } = node.resourceFile;
  const theirs = {
    ...{ node: NEW, resource: state.name, target: OLD, resourceId: state.resource },
    ...{ role: 'init' as const, epochs: state.epochs, point: state.replica.point, proposed: null },
    ...{ sizeBytes: state.sizeBytes, suspect: false, timeoutMs: 1000 },
  };
  const answers = [{ target: NEW, theirs }];
  const asked = { state: mine, startAlone: 'serve' as const, occasion: 'order-alone' as const };
  assert.equal(judgeReturn({ ...asked, answers }).kind, 'newer', 'C3: it is fenced');
  const [disk, was] = [node.bytes(), pair.receiverWorld.fingerprint()];
  const replica = replicaOver(pair.receiverWorld, node.resourceFile, pair, 'again');
  const link = new Link(new ReplicaSession(replica));
  const last = recordOf(old.resourceFile, NEW).point;
  const isAhead = sameId(last?.id, state.epochs.at(-1)?.parent);
  await assert.rejects(contact(old.parts, link), (error: unknown) => {
    assert.ok(error instanceof RoundError && error.fault.code === 'TARGET_DIVERGED', String(error));
    assert.equal(error.fault.relation, isAhead ? 'ahead' : 'diverged', 'C3: it is recognised');
    return true;
  });
  await assert.rejects(link.begin(beginOf(pair)), refusedAs('not-secondary'));
  link.cut();
  await turn();
  same(node.bytes(), disk, 'C3: no data moved');
  assert.equal(pair.receiverWorld.fingerprint(), was, 'C3: nothing was written');
}

/** C4: the old primary, made anew on the disk it has, becomes a true replica of the new one. */
async function failBack(pair: Pair, node: PrimaryNode): Promise<void> {
  const next = new Pair(reversed(pair), 1, asPrimary(pair.knobs), pair);
  next.senderWorld = pair.receiverWorld;
  next.receiverWorld = newWorld(pair.senderWorld.afterCrash('none', seededRandom(1)).peek(DISK));
  next.primary = node;
  await next.startReplica();
  next.connect();
  assert.equal(await next.meet(), 'fill', 'made anew it has no point');
  for (let count = 0; count < 2; count += 1) {
    await next.wholeRound();
    same(next.replicaNode.bytes(), next.primaryNode.bytes(), 'D1: a round of the new primary');
    lookAtRound(next);
    await next.guest.some(node.disk, 2);
  }
  await historyTrue(next, next.replicaNode);
}

export const promotions: readonly Act[] = [
  promotion('promotion while a point is applied', 'applying'),
  promotion('promotion while a round is staged', 'staged'),
];
