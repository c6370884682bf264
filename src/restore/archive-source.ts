// A point of an archive, found by what a person writes: from there on everything is read through
// its trees. Opening takes a few requests, however long the chain of points is: the identity, the
// head, the point, and for the name of a pinned one that.
import type { Archive } from '../archive/archive.js';
import { allPins, pinOf } from '../archive/pins.js';
import { PointTrees } from '../archive/tree.js';
import { errorClass } from '../base/errors.js';
import type { ArchivePoint, KeptPoint } from '../format/archive-objects.js';
import { type PointSpec, pickPoint } from '../lineage/point-spec.js';
import type { RegionSource } from './archive-region.js';
import { Frames } from './frames.js';

export type RestoreFault =
  | { code: 'ARCHIVE_MISSING'; url: string }
  | { code: 'ARCHIVE_EMPTY'; url: string }
  | { code: 'POINT_UNKNOWN'; where: string; point: string; known: string };

export const RestoreError = errorClass<RestoreFault>('RestoreError', {
  ARCHIVE_MISSING: (f) =>
    `${f.url}: there is no archive (an archive is named by the url of its block and the resource: ` +
    's3://BUCKET/PREFIX/RESOURCE)',
  ARCHIVE_EMPTY: (f) => `${f.url}: the archive has no point yet: its first round has not ended`,
  POINT_UNKNOWN: (f) => `${f.where} has no point ${f.point}; it has ${f.known}`,
});

/** A point as it is shown. */
export interface ShownPoint extends KeptPoint {
  /** Of a pinned point. */
  readonly name: string | null;
}

/** The points that are kept, newest first. Asks for a list of the pins. */
export async function shownPoints(archive: Archive): Promise<readonly ShownPoint[]> {
  const last = await archive.last();
  if (last === null) return [];
  const pins = await allPins(archive);
  const nameOf = ({ place }: KeptPoint): string | null =>
    pins.find(
      ({ point }) => point.place.epoch === place.epoch && point.place.sequence === place.sequence,
    )?.name ?? null;
  return keptOf(last).map((point) => ({ ...point, name: nameOf(point) }));
}

/** The point itself and those that it keeps, newest first. */
export const keptOf = ({ place, to, kept }: ArchivePoint): readonly KeptPoint[] => [
  { place, number: to.number, timeMs: to.timeMs },
  ...kept,
];

/** `text`: as it was written. Errors ARCHIVE_EMPTY, POINT_UNKNOWN, FORMAT_BAD, of the store. */
export async function findPoint(
  archive: Archive,
  spec: PointSpec,
  text: string,
): Promise<ArchivePoint> {
  const { url } = archive.store;
  const last = await archive.last();
  if (last === null) throw new RestoreError({ code: 'ARCHIVE_EMPTY', url });
  const points = keptOf(last).map((point) => ({ ...point, name: null }));
  const chosen =
    spec.kind === 'name'
      ? (await pinOf(archive, spec.name))?.point
      : pickPoint<ShownPoint>(points, spec);
  const isLast =
    chosen?.place.epoch === last.place.epoch && chosen.place.sequence === last.place.sequence;
  if (isLast) return last;
  const found = chosen == null ? null : await archive.point(chosen.place);
  if (found !== null) return found;
  throw new RestoreError({ code: 'POINT_UNKNOWN', where: url, point: text, known: range(points) });
}

/** What is read of a point. */
export function sourceOf(archive: Archive, point: ArchivePoint): RegionSource {
  const { store, keyOf } = archive;
  const trees = new PointTrees(archive, point.trees);
  const frames = new Frames(store, keyOf);
  return { url: store.url, frames, trees, sizeBytes: point.sizeBytes };
}

function range(points: readonly KeptPoint[]): string {
  const [newest, oldest] = [points[0], points.at(-1)];
  if (newest === undefined || oldest === undefined) return 'none';
  const count = points.length === 1 ? '1 point' : `${points.length} points`;
  return `${count}, ${oldest.number} to ${newest.number}`;
}
