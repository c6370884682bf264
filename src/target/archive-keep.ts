// Which points an archive keeps when another one is made, by the rule of `retain` and by what is
// pinned. What is not kept any more is named as going, and a prune removes it (archive/prune.ts).
// Before a point is named so, its pin is looked for: a request for each, at most LOOKS_MAX a round;
// the others stay until the next. A point found pinned is looked at again after a day.

import type { Archive } from '../archive/archive.js';
import { pinAt } from '../archive/pins.js';
import {
  type ArchivePoint,
  GOING_POINTS_MAX,
  KEPT_POINTS_MAX,
  type KeptPoint,
  pointKey,
} from '../format/archive-objects.js';
import { keptPoints, type RetainRule } from '../retention/keep.js';

const LOOKS_MAX = 32;
const PIN_BELIEVED_MS = 24 * 3_600_000;

export interface KeepRule {
  readonly rule: RetainRule;
  /** Of hours, days and weeks. */
  readonly timezone: string;
}

export interface Named {
  readonly kept: readonly KeptPoint[];
  readonly going: readonly KeptPoint[];
}

export class ArchiveKeep {
  readonly #rule: () => KeepRule;
  readonly #nowMs: () => number;
  /** Key of a point, and when it was seen to be pinned. */
  readonly #pinned = new Map<string, number>();
  /** Keys of points that have been removed. */
  readonly #gone = new Set<string>();

  constructor(rule: () => KeepRule, nowMs: () => number) {
    this.#rule = rule;
    this.#nowMs = nowMs;
  }

  /** A prune has removed these, and found those pinned. */
  notePruned(removed: readonly KeptPoint[], pinned: readonly KeptPoint[]): void {
    for (const { place } of removed) this.#gone.add(pointKey(place));
    for (const { place } of pinned) this.#pinned.set(pointKey(place), this.#nowMs());
  }

  /** What the point `next`, which follows `last`, names. */
  async beside(archive: Archive, last: ArchivePoint | null, next: KeptPoint): Promise<Named> {
    if (last === null) return { kept: [], going: [] };
    const own = { place: last.place, number: last.to.number, timeMs: last.to.timeMs };
    const isPinned = ({ place }: KeptPoint): boolean => {
      const seenMs = this.#pinned.get(pointKey(place));
      return seenMs !== undefined && this.#nowMs() - seenMs < PIN_BELIEVED_MS;
    };
    const rescued = last.going.filter(isPinned);
    const rows = byNewest([own, ...last.kept, ...rescued]);
    const { rule, timezone } = this.#rule();
    const all = [...rows, next].map((point) => ({ ...point, pinned: isPinned(point) }));
    const stays = new Set(
      [...keptPoints(all, rule, timezone).keys()].map((p) => pointKey(p.place)),
    );
    const gone = ({ place }: KeptPoint): boolean => this.#gone.has(pointKey(place));
    const stillGoing = last.going.filter((point) => !isPinned(point) && !gone(point));
    // What is named nowhere is never removed: the others stay until there is room.
    const looks = Math.min(LOOKS_MAX, GOING_POINTS_MAX - stillGoing.length);
    const leaving = new Set<string>();
    for (const { place } of rows
      .filter((row) => !stays.has(pointKey(row.place)))
      .toReversed()
      .slice(0, Math.max(0, looks))) {
      const key = pointKey(place);
      if ((await pinAt(archive, place)) === null) leaving.add(key);
      else this.#pinned.set(key, this.#nowMs());
    }
    const kept = rows.filter(({ place }) => !leaving.has(pointKey(place)));
    const going = [...rows.filter(({ place }) => leaving.has(pointKey(place))), ...stillGoing];
    // Only where next to nothing may be removed (a store under lock): the oldest are named no more.
    return { kept: kept.slice(0, KEPT_POINTS_MAX), going: byNewest(going) };
  }

  /** The points of the newest one, itself first, and what keeps each now; none: nothing does. Asks
   * for the pins of those. */
  async explained(
    archive: Archive,
    last: ArchivePoint,
  ): Promise<readonly (KeptPoint & { readonly keptBy: readonly string[] })[]> {
    const own = { place: last.place, number: last.to.number, timeMs: last.to.timeMs };
    const { rule, timezone } = this.#rule();
    const all = byNewest([own, ...last.kept]).map((point) => ({ ...point, pinned: false }));
    const reasons = keptPoints(all, rule, timezone);
    const explained: (KeptPoint & { readonly keptBy: readonly string[] })[] = [];
    for (const point of all) {
      const keptBy = reasons.get(point);
      const pin = keptBy === undefined ? await pinAt(archive, point.place) : null;
      explained.push({ ...point, keptBy: keptBy ?? (pin === null ? [] : [`pin ${pin.name}`]) });
    }
    return explained;
  }

  /** The next point is made: what was gone before it is named no more. */
  committed({ going }: ArchivePoint): void {
    const named = new Set(going.map(({ place }) => pointKey(place)));
    for (const key of this.#gone) if (!named.has(key)) this.#gone.delete(key);
  }
}

const byNewest = (points: readonly KeptPoint[]): KeptPoint[] =>
  [...points].sort((a, b) => b.place.epoch - a.place.epoch || b.place.sequence - a.place.sequence);
