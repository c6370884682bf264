// The points of an archive with all that each says of itself: one small object is read for each,
// several at a time. A point that is pruned meanwhile is left out; what is damaged is an error.
import type { Archive } from '../archive/archive.js';
import { mapAhead } from '../base/ahead.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { type ShownPoint, shownPoints } from './archive-source.js';

const POINTS_AHEAD = 8;

export interface PointRow extends ShownPoint {
  readonly point: ArchivePoint;
}

/** Newest first. */
export async function pointTable(archive: Archive): Promise<readonly PointRow[]> {
  const rows: PointRow[] = [];
  const read = async (shown: ShownPoint): Promise<PointRow | null> => {
    const point = await archive.point(shown.place);
    return point === null ? null : { ...shown, point };
  };
  for await (const row of mapAhead(await shownPoints(archive), POINTS_AHEAD, read)) {
    if (row !== null) rows.push(row);
  }
  return rows;
}
