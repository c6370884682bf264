// The newest point of an archive for who reads it: where the object of a point is damaged that
// nobody names yet, the points are listed, and the newest that can be read counts. Those behind it
// are damage that is said; nobody knows their numbers. Who writes an archive never
// asks here: what cannot be read there is no point to go on from.
import type { Archive } from '../archive/archive.js';
import { type DamagedPart, isDamage } from '../archive/damage.js';
import { describeError } from '../base/errors.js';
import { type ArchivePoint, POINTS_PREFIX, placeOf, pointKey } from '../format/archive-objects.js';

/** Damaged one behind the other: more is no archive any more. */
const DAMAGED_MAX = 64;

export interface Newest {
  /** Null: there is no point. */
  readonly last: ArchivePoint | null;
  /** Objects of newer points, newest first. */
  readonly damaged: readonly DamagedPart[];
}

/** Errors of the store; FORMAT_BAD where nothing can be read. */
export async function newestReadable(archive: Archive): Promise<Newest> {
  try {
    return { last: await archive.last(), damaged: [] };
  } catch (error) {
    if (!isDamage(error)) throw error;
    const found = await fromList(archive);
    if (found === null) throw error;
    const { url } = archive.store;
    const first = { place: url, why: describeError(error), points: [] };
    return { last: found.last, damaged: found.damaged.length > 0 ? found.damaged : [first] };
  }
}

async function fromList(archive: Archive): Promise<Newest | null> {
  const { store } = archive;
  let newest: string[] = [];
  for await (const { key } of store.list(POINTS_PREFIX)) {
    newest.push(key);
    if (newest.length > 2 * DAMAGED_MAX) newest = newest.slice(-DAMAGED_MAX);
  }
  const damaged: DamagedPart[] = [];
  for (const key of newest.toReversed().slice(0, DAMAGED_MAX)) {
    const place = placeOf(key);
    if (place === null) continue;
    try {
      const last = await archive.point(place);
      if (last !== null) return { last, damaged };
    } catch (error) {
      if (!isDamage(error)) throw error;
      const object = `${store.url}/${pointKey(place)}`;
      damaged.push({ place: object, why: describeError(error), points: [] });
    }
  }
  return null;
}
