// The points of an archive with all that each says of itself: one small object is read for each,
// several at a time. A point that is pruned meanwhile is left out; one whose object is damaged, or
// not there though the point is kept, has the error in place of what it would say.
import type { Archive } from '../archive/archive.js';
import { type DamagedPart, isDamage } from '../archive/damage.js';
import { mapAhead } from '../base/ahead.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { keptPoint, type ShownPoint, shownPoints } from './archive-source.js';
import { newestReadable } from './newest-readable.js';

const POINTS_AHEAD = 8;

export type PointRow = ShownPoint &
  (
    | { readonly point: ArchivePoint; readonly error: null }
    | { readonly point: null; readonly error: unknown }
  );

export interface PointTable {
  /** Newest first. */
  readonly rows: readonly PointRow[];
  /** Newer points, which cannot be read, nor their numbers. */
  readonly newer: readonly DamagedPart[];
}

export async function pointTable(archive: Archive): Promise<PointTable> {
  const newest = await newestReadable(archive);
  const rows: PointRow[] = [];
  const read = async (shown: ShownPoint): Promise<PointRow | null> => {
    try {
      const point = await keptPoint(archive, shown.place);
      return point === null ? null : { ...shown, point, error: null };
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { ...shown, point: null, error };
    }
  };
  for await (const row of mapAhead(await shownPoints(archive, newest), POINTS_AHEAD, read)) {
    if (row !== null) rows.push(row);
  }
  return { rows, newer: newest.damaged };
}
