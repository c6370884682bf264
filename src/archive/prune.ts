// Prune: points that the newest one names as going are removed, and the packs that only they need.
// Which packs those are is read from the tables of a few points, without a list: what one point
// needs and an earlier one does not, is new; what no later one needs any more is never needed again
// (each index is made of the one before). So a pack of a point that goes is needed by another one
// only if the nearest kept point before it or behind it needs it.
//
// No point goes that is younger than GRACE_MS (archive.ts); nothing is asked of those.
//
// Order, each step a crash point: head written (readers without a list begin there) | pins looked
// for (pins.ts says why that is in time) | packs noted in the journal as garbage, durably | the
// point removed | its packs removed | forgotten in the journal. So at every moment a point that is
// there is whole, and what a crash leaves is known to the next prune. What a prune noted of a point
// that it did not come to remove is garbage only when that point has gone: a prune that ends before
// it has asked for all of them removes nothing that others noted; one that finds the point pinned
// takes the note back, durably, before the point can be kept again. Packs of a class with a
// minimum of days stay until those are over, for they are paid for; the journal says until when.
import { codeOf } from '../base/errors.js';
import { hex } from '../base/random.js';
import type { GarbagePack } from '../format/archive-journal.js';
import type { PackName } from '../format/archive-node.js';
import { type ArchivePoint, type KeptPoint, packKey, pointKey } from '../format/archive-objects.js';
import { type Archive, GRACE_MS } from './archive.js';
import type { Journal } from './journal.js';
import { PackTables } from './pack-tables.js';
import { pinAt } from './pins.js';
import { prunePlan } from './prune-plan.js';

const HOUR_MS = 3_600_000;
/** Objects that one request of an S3 store may remove. */
const REMOVE_MAX = 1000;

export interface PruneOptions {
  readonly nowMs: number;
  /** Days for which a pack is paid for, of the class that packs are put in; 0: none. */
  readonly minimumDays: number;
  /** Nothing is removed nor written. */
  readonly dryRun: boolean;
  /** Asked between two points: what is not done is done the next time. */
  readonly stopped: () => boolean;
}

export interface PruneResult {
  /** Points that were removed, or would be. */
  readonly removed: readonly KeptPoint[];
  /** Points that go no more, for they are pinned. */
  readonly pinned: readonly KeptPoint[];
  readonly packs: number;
  readonly packBytes: number;
  /** Packs that nobody needs and that stay until their class's minimum of days is over. */
  readonly heldPacks: number;
  readonly heldBytes: number;
}

/** `last`: the newest point. Errors of the store; then the next prune goes on. */
export async function prune(
  archive: Archive,
  journal: Journal,
  last: ArchivePoint,
  { nowMs, minimumDays, dryRun, stopped }: PruneOptions,
): Promise<PruneResult> {
  const removed: KeptPoint[] = [];
  const pinned: KeptPoint[] = [];
  const found: GarbagePack[] = [];
  const tables = new PackTables(archive);
  if (!dryRun) await archive.putHead(last.place);
  const going: KeptPoint[] = [];
  const isOld = ({ timeMs }: KeptPoint): boolean => nowMs - timeMs >= GRACE_MS;
  const young = last.going.filter((point) => !isOld(point));
  let isWhole = true;
  const ends = (): boolean => {
    if (stopped()) isWhole = false;
    return !isWhole;
  };
  // All of them first: what is pinned needs its packs, as what is kept does.
  for (const point of last.going.filter(isOld)) {
    if (ends()) break;
    // A pin of a point that is gone may be left of somebody who died before he took it back.
    if ((await archive.point(point.place)) === null) removed.push(point);
    else if ((await pinAt(archive, point.place)) !== null) pinned.push(point);
    else going.push(point);
  }
  for (const { point, before, behind } of prunePlan(last, going, [...pinned, ...young])) {
    if (ends()) break;
    const stands = await archive.point(point.place);
    if (stands !== null) {
      const needed = new Set<string>();
      for (const place of [before, behind]) {
        for (const name of (await tables.of(place, last)).keys()) needed.add(name);
      }
      const keepUntilHour =
        minimumDays === 0 ? 0 : Math.ceil(point.timeMs / HOUR_MS) + 24 * minimumDays;
      const packs = await packsLeft(tables, stands);
      const garbage = packs.filter(({ name }) => !needed.has(hex(name)));
      const rows = garbage.map(({ name, bytes }) => ({ name, bytes, number: 0, keepUntilHour }));
      found.push(...rows);
      if (!dryRun) {
        await journal.addGarbage(rows);
        await archive.store.remove([pointKey(point.place)]);
      }
    }
    removed.push(point);
  }
  const noted = isWhole ? await notNeeded(archive, tables, journal, pinned, dryRun) : [];
  const garbage = new Map([...noted, ...found].map((pack) => [hex(pack.name), pack] as const));
  const isDue = ({ keepUntilHour }: GarbagePack): boolean => keepUntilHour * HOUR_MS <= nowMs;
  const due = [...garbage.values()].filter(isDue);
  const held = [...garbage.values()].filter((pack) => !isDue(pack));
  if (!dryRun && due.length > 0) {
    for (let at = 0; at < due.length; at += REMOVE_MAX) {
      const some = due.slice(at, at + REMOVE_MAX);
      await archive.store.remove(some.map(({ name }) => packKey(name)));
      await journal.forget(some);
    }
  }
  const sum = (packs: readonly GarbagePack[]): number => packs.reduce((all, p) => all + p.bytes, 0);
  return {
    removed,
    pinned,
    packs: due.length,
    packBytes: sum(due),
    heldPacks: held.length,
    heldBytes: sum(held),
  };
}

/** What the journal has noted as garbage, without what pinned points need: that is taken back. */
async function notNeeded(
  archive: Archive,
  tables: PackTables,
  journal: Journal,
  pinned: readonly KeptPoint[],
  dryRun: boolean,
): Promise<readonly GarbagePack[]> {
  const noted = new Map(journal.garbage.map((pack) => [hex(pack.name), pack] as const));
  const needed: GarbagePack[] = [];
  for (const { place } of noted.size === 0 ? [] : pinned) {
    const stands = await archive.point(place);
    for (const name of stands === null ? [] : (await tables.packsOf(stands)).keys()) {
      const pack = noted.get(name);
      if (pack === undefined) continue;
      noted.delete(name);
      needed.push(pack);
    }
  }
  if (!dryRun && needed.length > 0) await journal.forget(needed);
  return [...noted.values()];
}

/** All that a point needs; nothing where it cannot be read any more: nor can the point, then, and
 * it must not hold up the others. */
async function packsLeft(tables: PackTables, point: ArchivePoint): Promise<readonly PackName[]> {
  try {
    return [...(await tables.packsOf(point)).values()];
  } catch (error) {
    if (codeOf(error) !== 'STORE_MISSING') throw error;
    return [];
  }
}
