// The judgements of a simulated run that look at whole disks (DESIGN.md §3): a replica is exactly
// one point (C1, D2), not behind one that somebody was told of; a primary has marked all in which
// it differs from a target (W1, D1), and has what its guests were promised (W3); a chain reads as
// its cuts (Q1).

import { digestOf, equalBytes } from '../../src/base/digest.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount, chunkLength } from '../../src/base/units.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { decodeFrame } from '../../src/format/frame.js';
import { blockSpans } from '../../src/format/frame-spans.js';
import { unpack } from '../../src/format/pack.js';
import type { PointEntry } from '../../src/format/resource-state.js';
import type { Replica } from '../../src/receive/replica.js';
import { recordOf } from '../../src/round/contact.js';
import type { CrashWorld } from '../world/memory-files.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import { DISK, type Machine, STATE } from './machine.js';
import { type Cut, marksCover, same, type Truth } from './truth.js';

/** The replica's raw disk, as long as the resource is, without what nobody knows of (drift.ts). */
function replicaDisk(truth: Truth, world: CrashWorld, replica: Replica): Uint8Array {
  const { parts, record } = replica;
  const { sizeBytes } = parts.resourceFile.state;
  const disk = (world.peek(DISK) ?? new Uint8Array(0)).subarray(0, sizeBytes);
  if (record.point === null) return disk;
  return truth.drifts.without(parts.node, disk, truth.cut(record.point.id, 'a replica has it'));
}

/** C1, D2: the replica is at rest, at a point, and at none before `last`. */
export function atPoint(
  truth: Truth,
  world: CrashWorld,
  name: string,
  replica: Replica,
  last: Cut | null,
): void {
  const { point, chain } = replica.record;
  if (point === null) {
    if (last !== null) throw new Broken(`C1: ${name}: acknowledged point ${last.number} is gone`);
    return;
  }
  const cut = truth.cut(point.id, `${name} stands at it`);
  if (last !== null && cut.order < last.order) {
    throw new Broken(`C1: ${name}: at point ${cut.number}, behind ${last.number}, acknowledged`);
  }
  const disk = replicaDisk(truth, world, replica);
  truth.damaged(cut, chain.at(-1)?.damaged ?? [], disk);
  same(disk, cut.image, `C1: ${name} at point ${cut.number}`);
  truth.judged += 1;
}

/** Its own table, all of it, is true for its disk. */
export function tableTrue(truth: Truth, world: CrashWorld, name: string, replica: Replica): void {
  if (replica.record.point === null) return;
  const disk = replicaDisk(truth, world, replica);
  for (let chunk = 0; chunk < chunkCount(disk.length); chunk += 1) {
    const start = chunk * CHUNK_BYTES;
    const content = disk.subarray(start, start + chunkLength(chunk, disk.length));
    const entry = replica.table.get(chunk);
    if (entry === null || !equalBytes(entry, digestOf(content))) {
      throw new Broken(`C2: ${name}: its digest of chunk ${chunk} is not true`);
    }
  }
}

/** W1, D1 for every target whose point is known; C1 of one that was a replica until now. */
export function primaryTrue(truth: Truth, machine: Machine, daemon: Daemon): void {
  const { primary } = daemon;
  if (primary === null) return;
  const { volume, rounds } = primary.parts.primary;
  const { state } = primary.parts.resourceFile;
  const disk = (machine.diskBytes ?? new Uint8Array(0)).subarray(0, state.sizeBytes);
  for (const { target, slot, resourceFile } of rounds) {
    const { point, away } = recordOf(resourceFile, target);
    if (point === null || away) continue;
    const { image } = truth.cut(point.id, `${machine.name} knows ${target} at it`);
    marksCover(volume, slot, disk, image, machine.untracked, `${machine.name} for ${target}`);
  }
}

/** C1: who was promoted begins its epoch at a whole point; no guest has written there yet. */
export function promotedWhole(truth: Truth, machine: Machine, daemon: Daemon): void {
  const state = daemon.primary?.parts.resourceFile.state;
  const epoch = state?.epochs.at(-1);
  if (state === undefined || state.written || epoch === undefined || epoch.parent === null) return;
  const { image } = truth.cut(epoch.parent, `${machine.name} was promoted at it`);
  const disk = (machine.diskBytes ?? new Uint8Array(0)).subarray(0, image.length);
  same(disk, image, `C1: ${machine.name} was promoted`);
}

/** D1, H6: the same of what is durable of its disk: no bit was dropped before it was flushed. */
export function droppedIsDurable(truth: Truth, machine: Machine, daemon: Daemon): void {
  const { primary } = daemon;
  const medium = machine.world.afterCrash('all', seededRandom(1)).peek(DISK);
  if (primary === null || medium === null) return;
  const { volume, rounds } = primary.parts.primary;
  const { sizeBytes } = primary.parts.resourceFile.state;
  for (const { target, slot, resourceFile } of rounds) {
    const { point, away } = recordOf(resourceFile, target);
    if (point === null || away) continue;
    const { image } = truth.cut(point.id, `${machine.name} knows ${target} at it`);
    const what = `on the medium of ${machine.name} for ${target}`;
    marksCover(volume, slot, medium.subarray(0, sizeBytes), image, machine.untracked, what);
  }
}

/** C3: what is applied comes from the newest epoch that the replica knows. */
export function ofThisEpoch(truth: Truth, name: string, replica: Replica): void {
  const { point } = replica.record;
  const epoch = replica.parts.resourceFile.state.epochs.at(-1);
  if (point === null || epoch === undefined) return;
  const { epoch: from, number } = truth.cut(point.id, `${name} stands at it`);
  if (from !== hex(epoch.id)) throw new Broken(`C3: ${name}: point ${number} is of another epoch`);
}

/** Q1, H26, H32: every point of the chain reads as its cut; 'at rest' no file is left over. */
export async function historyTrue(
  truth: Truth,
  world: CrashWorld,
  name: string,
  replica: Replica,
  mayBeLost: boolean,
  when: 'at work' | 'at rest',
): Promise<void> {
  const chain = [...replica.record.chain];
  const [oldest] = chain;
  // At work, a merge beside it would remove what it is going to read.
  const isHeld = when === 'at work' && oldest !== undefined;
  const reader = isHeld ? replica.readers.open(oldest) : null;
  try {
    const undos = await chainTrue(truth, world, name, replica, chain, mayBeLost);
    if (when === 'at rest') noLeftovers(name, await world.list(STATE), undos);
  } finally {
    await reader?.close();
  }
}

/** Names of the undos. */
async function chainTrue(
  truth: Truth,
  world: CrashWorld,
  name: string,
  replica: Replica,
  chain: readonly PointEntry[],
  mayBeLost: boolean,
): Promise<readonly string[]> {
  let disk: Uint8Array = replicaDisk(truth, world, replica).slice();
  const undos: string[] = [];
  let hasRotted = false;
  for (const { point, undo, lost, damaged } of [...chain].reverse()) {
    const cut = truth.cut(point.id, `${name} keeps it`);
    if (undo !== null) {
      undos.push(undo);
      hasRotted ||= truth.rotted.has(`${replica.parts.node} ${STATE}/${undo}`);
      if (!hasRotted) disk = await undone(world, undo, disk);
    }
    // Nobody can read it, nor what lies behind it; the names of the files are still looked at.
    if (hasRotted) continue;
    if (lost.length > 0 && !mayBeLost) {
      throw new Broken(`Q1: ${name}: chunks ${lost} of point ${cut.number} are lost`);
    }
    for (const chunk of [...lost, ...damaged]) {
      const [from, to] = [chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES];
      disk.set(cut.image.subarray(from, Math.min(to, disk.length)), from);
    }
    same(disk, cut.image, `Q1: ${name}: history at point ${cut.number}`);
  }
  return undos;
}

async function undone(world: CrashWorld, undo: string, disk: Uint8Array): Promise<Uint8Array> {
  const handle = await world.open(`${STATE}/${undo}`, 'read');
  const changeset = await openChangeset(handle);
  const { sizeBytes } = changeset.header;
  const older = disk.slice(0, sizeBytes);
  for await (const { bytes: stored } of changeset.frames()) {
    const frame = decodeFrame(stored, undo, unpack, older.length);
    for (const { offset, length, bytes } of blockSpans(frame, older.length)) {
      if (bytes === null) older.fill(0, offset, offset + length);
      else older.set(bytes, offset);
    }
  }
  await handle.close();
  return older;
}

/** W5: a primary has nothing staged: what it got as a replica is of an epoch that has ended. */
export async function nothingStaged(world: CrashWorld, name: string): Promise<void> {
  const staged = (await world.list(STATE)).filter((file) => /^(stage|room)-/.test(file));
  if (staged.length > 0) throw new Broken(`W5: ${name}: staged at a primary: ${staged.join(', ')}`);
}

function noLeftovers(name: string, files: readonly string[], undos: readonly string[]): void {
  const odd = files.filter((file) => {
    if (/^undo-/.test(file)) return !undos.includes(file);
    return /^(stage|committed|room)-/.test(file) || file.endsWith('.tmp');
  });
  if (odd.length > 0) throw new Broken(`W5: ${name}: left over at rest: ${odd.join(', ')}`);
}
