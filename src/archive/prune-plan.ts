// Which points go, and beside which kept ones they stand. Pure.
import type { ArchivePoint, KeptPoint, PointPlace } from '../format/archive-objects.js';

export interface GoingPoint {
  readonly point: KeptPoint;
  /** The nearest kept point before it; null: it is the oldest. */
  readonly before: PointPlace | null;
  /** The nearest kept point behind it: at least the newest one. */
  readonly behind: PointPlace;
}

/** The points that `last` names as going, oldest first. */
export function prunePlan(last: ArchivePoint): readonly GoingPoint[] {
  const kept = [last.place, ...last.kept.map(({ place }) => place)].sort(byPlace);
  const going = [...last.going].sort((a, b) => byPlace(a.place, b.place));
  return going.map((point) => ({
    point,
    before: kept.filter((place) => byPlace(place, point.place) < 0).at(-1) ?? null,
    behind: kept.find((place) => byPlace(place, point.place) > 0) ?? last.place,
  }));
}

const byPlace = (one: PointPlace, other: PointPlace): number =>
  one.epoch - other.epoch || one.sequence - other.sequence;
