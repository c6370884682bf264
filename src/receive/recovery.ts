// What a start finds of a replica that crashed: a committed round to be applied (again), a
// committed file that cannot be read any more, a torn page of the table, files that nothing names.
// A crash repeats from the first step whose result is missing (RULES.md §1, receiver).
//
// Rolling back gives up a point that the primary was told is committed, so it is done only where
// that point cannot be read any more, and so that a wrong verdict loses nothing for good:
// - A file is given up when it is damaged or its medium fails (unreadable.ts) in READINGS readings;
//   any other error fails the start, which has changed nothing then.
// - The primary hears of it only after the state and the new name are durable. A start that breaks
//   off before (where the whole file system fails, reading the undo or publishing does too) leaves
//   the file under its name, and one that finds it readable again applies it: the undo that stands
//   is not written again (H26), and the point is not lost any more.
// - The file is never deleted. It is lost-ROUND from then on; named committed-ROUND again by hand,
//   it is applied by the next start, as long as the replica stands at the point before it.
// - A point whose id is known is applied: its file is a leftover, whatever it reads like.
// An apply that broke off between its steps 8 and 9 has the point whole in the disk and is undone
// all the same: its size and consistency, which the state lacks, stand only in the file.
import { describeError } from '../base/errors.js';
import { type Files, FilesError } from '../base/files.js';
import type { ChangesetHeader } from '../format/changeset.js';
import { openChangeset } from '../format/changeset-reader.js';
import { frameHead } from '../format/frame.js';
import { unpack } from '../format/pack.js';
import type { PointEntry } from '../format/resource-state.js';
import { isUnreadable } from '../format/unreadable.js';
import { rollBack, undoName } from '../history/undo.js';
import { sameId } from '../lineage/lineage.js';
import type { TableWatch } from '../tracking/table-watch.js';
import { tableOfDisk } from './disk-digests.js';
import type { Receiving } from './receiving.js';
import { committedName, committedRound } from './stage.js';

/** How often a committed file is read before it is given up: an error may have been of the way to
 * the medium, and have passed. */
const READINGS = 2;

/** A replica that is being opened. */
export interface Recovering extends Receiving {
  ensureSize(sizeBytes: number): Promise<void>;
  /** Resolves when what was started to be applied has ended, well or not. */
  applyEnded(): Promise<void>;
}

/** Repeats the apply of what a crash left committed. True: there was one. */
export async function recoverCommitted(replica: Recovering): Promise<boolean> {
  const { files, log, resourceFile } = replica.parts;
  const names = await files.list(replica.directory);
  const applied = new Set(resourceFile.state.knownPoints.map(committedName));
  let found = false;
  for (const name of names) {
    const round = committedRound(name);
    if (round === null) continue;
    const path = `${replica.directory}/${name}`;
    const from = replica.record.point;
    if (applied.has(name) || (from !== null && name === committedName(from.id))) continue;
    const header = await readCommitted(replica, path);
    if (header !== 'unreadable' && !sameId(header.from?.id, from?.id)) continue;
    found = true;
    if (header === 'unreadable') {
      await loseCommitted(replica, name, round, names);
      continue;
    }
    log.info('finishing the apply of a committed point', { number: header.to.number });
    // A process that died may have renamed it, and its undo, without making that durable (H26).
    await files.syncDirectory(replica.directory);
    await replica.ensureSize(header.sizeBytes);
    replica.startApply(header.to, name);
    await replica.applyEnded();
  }
  if (!found) await rollBackOrphan(replica);
  return found;
}

/** The undo of the point at which the replica stands is made for an apply alone, and no committed
 * file is there for one: it was lost, and blocks of it may have been written. Back to the point,
 * and what was being applied is lost, as where the file cannot be read. */
async function rollBackOrphan(replica: Recovering): Promise<void> {
  const { files, log, resourceFile } = replica.parts;
  const { point, chain } = replica.record;
  if (point === null) return;
  const name = undoName(point);
  const path = `${replica.directory}/${name}`;
  const named = chain.some(({ undo }) => undo === name);
  if (named || !(await files.exists(path))) return;
  try {
    const { to } = await readThrough(files, path);
    log.error('a committed file is missing; its point is lost', {
      path: `${replica.directory}/${committedName(to.id)}`,
    });
    await rollBack(undoPartsOf(replica), point);
    await resourceFile.update((state) => ({
      ...state,
      replica: { ...state.replica, lostPoint: to.id, fingerprint: null },
    }));
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    log.error('a committed file is missing, and its undo is not whole', {
      path,
      why: describeError(error),
    });
  }
}

const undoPartsOf = ({ parts: { files, pack }, directory, device, table }: Recovering) => ({
  files,
  directory,
  device,
  table,
  pack,
});

/** Receiver ladder, last line: the committed file cannot be read any more. If its undo stands,
 * blocks may have been written: back to the point before; either way that point is lost. */
async function loseCommitted(
  replica: Recovering,
  name: string,
  lostPoint: Uint8Array,
  names: readonly string[],
): Promise<void> {
  const path = `${replica.directory}/${name}`;
  const from = replica.record.point;
  if (from !== null && names.includes(undoName(from))) {
    await rollBack(undoPartsOf(replica), from);
  }
  replica.parts.log.error('a committed point is unreadable and lost', { path });
  await replica.parts.resourceFile.update((state) => ({
    ...state,
    replica: { ...state.replica, lostPoint, fingerprint: null },
  }));
  await replica.parts.files.rename(path, path.replace('/committed-', '/lost-'));
  await replica.parts.files.syncDirectory(replica.directory);
}

/** A power failure may tear a page of the table while it is written (step 8); its entries are
 * then unknown. They are taken from the disk, which stands at the point since step 7. (H27 wants
 * an undo's digests never computed from what was read; that holds but for such a page, of which
 * nothing else is left here.) */
export async function mendTable(replica: Recovering): Promise<void> {
  const { table, device, parts, record } = replica;
  const { point } = table;
  if (point === null || record.suspect !== null || !sameId(point.id, record.point?.id)) return;
  const runs = [...table.unknownRuns(parts.resourceFile.state.sizeBytes)];
  if (runs.length === 0) return;
  parts.log.warn('pages of the digest table were torn; read again', { runs: runs.length });
  await table.beginChange();
  for (const { first, count } of runs) {
    await tableOfDisk(
      device,
      parts.compute,
      first,
      count,
      (chunk, digest) => table.set(chunk, digest),
      parts.resourceFile.state.sizeBytes,
    );
  }
  await table.finishChange(point);
}

/** One copy of the state was lost: the other one is written over both. Where there is no space for
 * that the one that is whole still counts. */
export async function mendCopies({ resourceFile, log }: Recovering['parts']): Promise<void> {
  const { trouble } = resourceFile;
  if (trouble === null) return;
  log.warn('a copy of the state is lost; the other one counts', { why: trouble });
  try {
    await resourceFile.update((state) => state);
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    log.warn('it could not be written again', { why: describeError(error) });
  }
}

/** What the table of the replica's disk may be true for: the point of its state, or one whose apply
 * a crash broke off after step 8. */
export async function watchOf({ parts, directory, record }: Recovering): Promise<TableWatch> {
  const names = await parts.files.list(directory);
  const committed = names.filter((name) => name.startsWith('committed-'));
  return {
    points: [
      ...(record.point === null ? [] : [record.point.id]),
      ...committed.map((name) => new Uint8Array(Buffer.from(name.slice(10), 'hex'))),
    ],
    bad: (place, why) => parts.log.warn('the digest table has lost digests', { place, why }),
  };
}

/** Undos that the published chain does not name (H32) and committed files that are applied. What
 * is staged stays: a round from the same point may take it over. */
export async function removeLeftovers(replica: Recovering): Promise<void> {
  const { files } = replica.parts;
  const named = new Set(replica.record.chain.map((entry: PointEntry) => entry.undo));
  for (const name of await files.list(replica.directory)) {
    const stray =
      name.endsWith('.part') ||
      committedRound(name) !== null ||
      (name.startsWith('undo-') && !named.has(name));
    if (stray) await files.remove(`${replica.directory}/${name}`);
  }
}

/** The header of a committed file, all of which has been read. Other errors than those of the
 * content or the medium are thrown. */
async function readCommitted(
  replica: Recovering,
  path: string,
): Promise<ChangesetHeader | 'unreadable'> {
  const { files, log } = replica.parts;
  for (let reading = 1; reading <= READINGS; reading += 1) {
    try {
      return await readThrough(files, path);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      log.warn('a committed file cannot be read', { path, reading, why: describeError(error) });
    }
  }
  return 'unreadable';
}

async function readThrough(files: Files, path: string): Promise<ChangesetHeader> {
  const handle = await files.open(path, 'read');
  try {
    const reader = await openChangeset(handle);
    const { sizeBytes } = reader.header;
    // The check of each body too: an apply that meets a bad one later has written half a point.
    for await (const { bytes } of reader.frames()) frameHead(bytes, path, unpack, sizeBytes);
    return reader.header;
  } finally {
    await handle.close();
  }
}
