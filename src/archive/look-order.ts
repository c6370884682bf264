// Which packs a pass reads within its budget, and in what order: some of those that were damaged
// before, for they may have been put back; then those that were never looked at, then those of
// longest ago. Pure.
import type { PackLook } from '../format/archive-looks.js';

/** Of the budget, for packs that were damaged before. */
const AGAIN_SHARE = 0.5;

export type LookRow = readonly [name: string, look: PackLook];

export interface LookBudget {
  /** Of packs; the first pack is read whatever it has, unless this is 0. */
  readonly budgetBytes: number;
  /** A pack that is whole and was looked at within this time is not read again. */
  readonly restMs: number;
  /** Wall time. */
  readonly nowMs: number;
}

/** Of `rows`, each once. */
export function chosenPacks(
  rows: readonly LookRow[],
  { budgetBytes, restMs, nowMs }: LookBudget,
): readonly LookRow[] {
  const byAge = (one: LookRow, other: LookRow): number =>
    one[1].lookedMs - other[1].lookedMs || (one[0] < other[0] ? -1 : 1);
  const damaged = rows.filter(([, { fault }]) => fault !== null).sort(byAge);
  const again = within(damaged, AGAIN_SHARE * budgetBytes, 0);
  const taken = new Set(again.map(([name]) => name));
  // A look that lies ahead was before the clock was set back: nobody knows when.
  const isRested = ({ lookedMs }: PackLook): boolean =>
    lookedMs === 0 || lookedMs > nowMs || nowMs - lookedMs >= restMs;
  const others = rows.filter(([name, row]) => !taken.has(name) && isRested(row)).sort(byAge);
  const spent = again.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  const atLeast = again.length === 0 && budgetBytes > 0 ? 1 : 0;
  return [...again, ...within(others, budgetBytes - spent, atLeast)];
}

/** Those at the beginning that have so many bytes together, and `atLeast` so many. */
function within(
  rows: readonly LookRow[],
  budgetBytes: number,
  atLeast: number,
): readonly LookRow[] {
  let [taken, bytes] = [0, 0];
  for (const [, row] of rows) {
    bytes += row.bytes;
    if (bytes > budgetBytes && taken >= atLeast) break;
    taken += 1;
  }
  return rows.slice(0, taken);
}
