// The story that the walk crashes at every step: made new, first copy by passes, rounds with a
// guest that writes before, between and while they run, what was written before put back, a clean
// stop and a start. And what follows any crash: recovery by the real code, contact, a round, older
// content put back, another round; with the checks of checks.ts after each.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { CHUNK_BYTES, SECTOR_BYTES } from '../../src/base/units.js';
import {
  droppedIsDurable,
  historyTrue,
  marksCover,
  replicaAtPoint,
  same,
  senderTableTrue,
} from './checks.js';
import { DISK, growDisk } from './nodes.js';
import type { Pair, Side } from './pair.js';

/** Told of every whole round, for checks in a run without a crash. */
export type Look = (pair: Pair) => Promise<void> | void;

/** What a guest writes, by the number of its writes. */
type Some = (count: number) => Promise<void>;

/** Both ends are made new, and a guest has written. */
async function madeNew(pair: Pair): Promise<Some> {
  await pair.startReplica();
  await pair.startPrimary();
  const some: Some = (count) => pair.guest.some(pair.primaryNode.disk, count);
  await some(3);
  return some;
}

/** ... and the replica's disk has the first point. */
async function filled(pair: Pair): Promise<Some> {
  const some = await madeNew(pair);
  pair.connect();
  await pair.meet();
  await pair.wholeRound();
  return some;
}

export async function story(pair: Pair, look: Look = () => {}): Promise<void> {
  const some = await madeNew(pair);
  pair.during = () => some(1);
  pair.connect();
  assert.equal(await pair.meet(), 'fill', 'a new replica has no point');
  await pair.wholeRound();
  await look(pair);
  pair.during = null;
  await some(4);
  await pair.guest.same(pair.primaryNode.disk, pair.primaryNode.bytes());
  await pair.primaryNode.primary.dirty.checkpoint();
  await some(2);
  pair.during = () => some(1);
  assert.equal(await pair.contact(), 'ready');
  await pair.round();
  // Not waited for: the next round is staged while this one is applied (H25).
  await pair.guest.putBack(pair.primaryNode.disk, pair.cuts[0]?.image ?? new Uint8Array(0));
  await pair.wholeRound();
  await look(pair);
  pair.during = null;
  await some(2);
  await pair.primaryNode.disk.flush();
  await pair.primaryNode.primary.closeClean();
  pair.link?.cut();
  await pair.startPrimary();
  await some(2);
  pair.connect();
  assert.equal(await pair.contact(), 'ready');
  pair.during = () => some(1);
  await pair.wholeRound();
  pair.during = null;
  await look(pair);
}

/** First copy and two rounds over a link that may be lost anywhere; the first connection must
 * stand. */
export async function rounds(pair: Pair): Promise<void> {
  const some = await madeNew(pair);
  const meet = async (): Promise<void> => {
    for (let tries = 0; tries < 3; tries += 1) {
      pair.connect();
      try {
        await pair.meet();
        return;
      } catch (error) {
        if (!isLost(error)) throw error;
      }
    }
  };
  await meet();
  pair.during = () => some(1);
  await pair.round();
  for (let round = 0; round < 2; round += 1) {
    await some(2);
    await pair.round();
  }
  pair.during = null;
  await meet();
}

/** Somebody writes the replica's disk while its daemon is down: two clean chunks and, in a part,
 * one that is dirty. It is found, and the next round mends it (H28). */
export async function drift(pair: Pair): Promise<void> {
  const some = await filled(pair);
  await some(2);
  await pair.wholeRound();
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  for (const offset of [70_000, 135_000, 200_000]) pair.receiverWorld.flip(DISK, offset);
  pair.suspicious = true;
  pair.drifted = true;
  await pair.startReplica();
  await some(2);
  await pair.replicaNode.replica.compared();
  pair.connect();
  await pair.contact();
  pair.during = () => some(1);
  await pair.wholeRound();
  pair.suspicious = false;
  await pair.wholeRound();
  pair.during = null;
}

/** The disk grows between two rounds, by what the resource's last chunk lacks and two more (H14);
 * the new area is not all zeroes at either end. */
export async function growth(pair: Pair): Promise<void> {
  const some = await filled(pair);
  await some(3);
  await pair.round();
  pair.link?.cut();
  await some(2);
  await grow(pair, pair.shape.sizeBytes + 2 * CHUNK_BYTES + SECTOR_BYTES);
  await pair.startPrimary();
  await some(2);
  pair.connect();
  await pair.contact();
  pair.during = () => some(1);
  await pair.wholeRound();
  await pair.round();
  pair.during = null;
}

/** `hastctl resize` up to where the primary starts again; the link has been cut. */
export async function grow(pair: Pair, sizeBytes: number): Promise<void> {
  const { primary, resourceFile } = pair.primaryNode;
  await growDisk(pair.senderWorld, sizeBytes, 3);
  await primary.closeClean();
  await resourceFile.update((state) => ({ ...state, sizeBytes }));
}

/** What holds whenever a round has just been applied, whatever the guest wrote meanwhile. */
export function lookAtRound(pair: Pair): void {
  replicaAtPoint(pair, pair.replicaNode);
  senderTableTrue(pair, pair.primaryNode);
  const { point } = pair.replicaNode.replica.record;
  if (point !== null) {
    const { image } = pair.cutOf(point);
    marksCover(pair.primaryNode, image, `after point ${point.number}`);
    droppedIsDurable(pair.primaryNode, image);
  }
}

/** D1: without a guest, the next round makes both disks the same. */
async function roundMakesEqual(pair: Pair, what: string): Promise<void> {
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `D1: ${what}`);
  lookAtRound(pair);
}

/** Everything that must hold after a crash of `side` (null: only the link was lost). `compare`:
 * settles and makes a point before the guest goes on, else the guest is quicker. */
export async function recover(pair: Pair, side: Side | null, compare: boolean): Promise<void> {
  if (pair.replica === null) await pair.startReplica();
  if (side === 'receiver' && !pair.suspicious) replicaAtPoint(pair, pair.replicaNode);
  // What was changed behind its back is found before anything else happens to it (H28).
  await pair.replicaNode.replica.compared();
  if (pair.primary === null) await pair.startPrimary();
  senderTableTrue(pair, pair.primaryNode);
  pair.connect();
  const found = await pair.meet();
  const { point } = pair.target.state;
  if (point !== null) marksCover(pair.primaryNode, pair.cutOf(point).image, 'at contact');
  if (found === 'ready' && compare) {
    await pair.settle();
    assert.ok(point !== null, 'a target that is ready has a point');
    marksCover(pair.primaryNode, pair.cutOf(point).image, 'after settle');
  }
  if (compare) await roundMakesEqual(pair, 'the round after the crash');
  const { disk, primary } = pair.primaryNode;
  for (const cut of pair.cuts.slice(-3)) await pair.guest.putBack(disk, cut.image, 2);
  await primary.dirty.checkpoint();
  await roundMakesEqual(pair, 'the round after older content was put back');
  await historyTrue(pair, pair.replicaNode);
  if (compare) await primary.closeClean();
}

/** True for the end that the other side's crash makes of a story. */
export const isLost = (error: unknown): boolean => codeOf(error) === 'TARGET_LOST';
