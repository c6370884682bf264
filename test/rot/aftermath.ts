// What comes after a damage: both ends are opened by the real recovery code, an operator takes the
// way out that a message names where nothing else is left, and everything that was promised must
// hold: no wrong point, no lost mark, history true or said to be lost, and the next rounds make
// both disks the same, also after older content was put back (H7).
import assert from 'node:assert/strict';
import { codeOf } from '../../src/base/errors.js';
import { hex } from '../../src/base/random.js';
import { chunkCount } from '../../src/base/units.js';
import { scrubStep } from '../../src/care/scrub.js';
import { sameId } from '../../src/lineage/lineage.js';
import { recordOf } from '../../src/round/contact.js';
import type { DigestTable } from '../../src/tracking/digest-table.js';
import { historyTrue, marksCover, replicaAtPoint, same, senderTableTrue } from '../crash/checks.js';
import { type PrimaryNode, type ReplicaNode, STATE } from '../crash/nodes.js';
import type { Pair } from '../crash/pair.js';
import type { Heard } from './heard.js';

/** What an operator did, or what happened by itself, beside nothing. */
export type WayOut =
  | 'rolled back'
  | 'compared'
  | 'create --force'
  | 'points lost'
  | 'background pass';

export interface Aftermath {
  /** What both ends knew when they were open: equal to that of an undamaged start, nothing has
   * come of the damage. */
  readonly facts: string;
  readonly ways: readonly WayOut[];
}

/** Opens both ends of `pair` and goes on with it; throws where a promise is broken. `blind`: marks
 * may be lost that only the background pass can find; it is run before they are asked for. */
export async function aftermath(pair: Pair, heard: Heard, blind = false): Promise<Aftermath> {
  const ways = new Set<WayOut>();
  await openReplica(pair, heard, ways);
  await pair.startPrimary();
  const facts = JSON.stringify([primaryFacts(pair.primaryNode), replicaFacts(pair.replicaNode)]);
  if (pair.primaryNode.primary.belief === 'all') ways.add('compared');
  await pair.replicaNode.replica.compared();
  if (pair.replicaNode.replica.record.suspect !== null) ways.add('compared');
  else {
    atSomePoint(pair);
    await history(pair, heard, ways);
  }
  if (!blind) senderTableTrue(pair, pair.primaryNode);
  await contact(pair, heard, ways);
  if (blind) {
    await passOver(pair, ways);
    await pair.wholeRound();
    await passOver(pair, ways);
  }
  const { point } = pair.target.state;
  if (point !== null) {
    marksCover(pair.primaryNode, pair.cutOf(point).image, 'at contact');
    await pair.settle();
    marksCover(pair.primaryNode, pair.cutOf(point).image, 'after settle');
  }
  await roundMakesEqual(pair, 'the round after it');
  for (const cut of pair.cuts) await pair.guest.putBack(pair.primaryNode.disk, cut.image, 3);
  await roundMakesEqual(pair, 'the round after older content was put back');
  await history(pair, heard, ways);
  await pair.primaryNode.primary.closeClean();
  await pair.replicaNode.replica.close();
  return { facts, ways: [...ways] };
}

/** A whole background pass of the primary (H11). */
async function passOver(pair: Pair, ways: Set<WayOut>): Promise<void> {
  const { parts, primary, resourceFile } = pair.primaryNode;
  const trusted = (): boolean => {
    const { point, proposed } = recordOf(resourceFile, parts.target);
    return proposed === null && sameId(parts.table.point?.id, point?.id);
  };
  const { target, slot, table, compute, log } = parts;
  const targets = [{ target, slot, table, trusted }];
  const { volume } = primary;
  const chunks = chunkCount(resourceFile.state.sizeBytes);
  const { signal } = new AbortController();
  const { untracked } = await scrubStep({ volume, compute, targets, log }, 0, chunks, signal);
  if (untracked.length > 0) ways.add('background pass');
}

/** C1; a state that neither copy can tell of is made anew, the disk stays. */
async function openReplica(pair: Pair, heard: Heard, ways: Set<WayOut>): Promise<void> {
  try {
    await pair.startReplica();
    if (pair.replicaNode.replica.record.lostPoint !== null) ways.add('rolled back');
    if (pair.replicaNode.replica.applyError === null) return;
    heard.error(pair.replicaNode.replica.applyError);
    await pair.replicaNode.replica.close();
  } catch (error) {
    const lost = ['STATE_UNREADABLE', 'STATE_MISSING', 'FORMAT_VERSION'];
    if (!lost.includes(codeOf(error) ?? '')) throw error;
    heard.error(error);
  }
  await createForce(pair, ways);
}

/** `hastctl create --force` on the replica, and its role again. */
async function createForce(pair: Pair, ways: Set<WayOut>): Promise<void> {
  ways.add('create --force');
  for (const name of await pair.receiverWorld.list(STATE)) {
    await pair.receiverWorld.remove(`${STATE}/${name}`);
  }
  pair.receiverWorld.settle();
  await pair.startReplica();
}

/** Where no data may move, the message says what to do. */
async function contact(pair: Pair, heard: Heard, ways: Set<WayOut>): Promise<void> {
  pair.connect();
  try {
    await pair.meet();
    return;
  } catch (error) {
    assert.equal(codeOf(error), 'TARGET_DIVERGED', String(error));
    assert.match(String(error), /hastctl create --force/);
    heard.error(error);
  }
  pair.link?.cut();
  await pair.replicaNode.replica.close();
  await createForce(pair, ways);
  pair.connect();
  assert.equal(await pair.meet(), 'fill');
}

/** C1: at one whole point, whichever. */
function atSomePoint(pair: Pair): void {
  const node = pair.replicaNode;
  const { point } = node.replica.record;
  if (point === null) return;
  same(node.bytes(), pair.cutOf(point).image, `C1: the replica at point ${point.number}`);
}

async function roundMakesEqual(pair: Pair, what: string): Promise<void> {
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `D1: ${what}`);
  replicaAtPoint(pair, pair.replicaNode);
  senderTableTrue(pair, pair.primaryNode);
}

/** Every point reads as its cut, or what is read says which file is bad. */
async function history(pair: Pair, heard: Heard, ways: Set<WayOut>): Promise<void> {
  const before = heard.lines.length;
  try {
    await historyTrue(pair, pair.replicaNode);
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (!['FORMAT_BAD', 'FORMAT_VERSION', 'FILE_FAILED'].includes(code)) throw error;
    heard.error(error);
    ways.add('points lost');
  }
  const { chain } = pair.replicaNode.replica.record;
  if (chain.some(({ lostChunks }) => lostChunks > 0)) ways.add('points lost');
  assert.ok(heard.lines.length - before <= 1, 'one file is bad');
}

function entriesOf(table: DigestTable, sizeBytes: number): readonly string[] {
  const chunks = Array.from({ length: chunkCount(sizeBytes) }, (_, chunk) => table.get(chunk));
  return chunks.map((digest) => (digest === null ? '-' : hex(digest)));
}

function primaryFacts({ primary, parts, resourceFile }: PrimaryNode): unknown {
  const { sizeBytes, targets } = resourceFile.state;
  const chunks = Array.from({ length: chunkCount(sizeBytes) }, (_, chunk) => chunk);
  return {
    belief: primary.belief,
    dirty: chunks.map((chunk) =>
      primary.volume.maps(0).reduce((mask, map) => mask | map.chunkMask(chunk), 0),
    ),
    table: parts.table.point,
    entries: entriesOf(parts.table, sizeBytes),
    targets,
  };
}

function replicaFacts({ replica, resourceFile }: ReplicaNode): unknown {
  const { sizeBytes } = resourceFile.state;
  if (!replica.isOpen) return { open: false };
  return {
    record: { ...replica.record, fingerprint: null },
    table: replica.table.point,
    entries: entriesOf(replica.table, sizeBytes),
    apply: replica.applyError?.message ?? null,
  };
}
