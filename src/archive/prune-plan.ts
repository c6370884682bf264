// Which points go, and beside which kept ones they stand. Pure.
import type { ArchivePoint, KeptPoint, PointPlace } from '../format/archive-objects.js';

export interface GoingPoint {
  readonly point: KeptPoint;
  /** The nearest kept point before it; null: it is the oldest. */
  readonly before: PointPlace | null;
  /** The nearest point behind it that is there then: at least the newest one. */
  readonly behind: PointPlace;
}

/** Those of the points that `last` names as going that do, oldest first; `pinned` stay. */
export function prunePlan(
  last: ArchivePoint,
  going: readonly KeptPoint[],
  pinned: readonly KeptPoint[],
): readonly GoingPoint[] {
  const staying = [...last.kept, ...pinned].map(({ place }) => place);
  const kept = [last.place, ...staying].sort(byPlace);
  const oldestFirst = [...going].sort((a, b) => byPlace(a.place, b.place));
  // The next one that goes is still there, and whole, when this one is removed.
  const there = [...kept, ...going.map(({ place }) => place)].sort(byPlace);
  return oldestFirst.map((point) => ({
    point,
    before: kept.filter((place) => byPlace(place, point.place) < 0).at(-1) ?? null,
    behind: there.find((place) => byPlace(place, point.place) > 0) ?? last.place,
  }));
}

const byPlace = (one: PointPlace, other: PointPlace): number =>
  one.epoch - other.epoch || one.sequence - other.sequence;
