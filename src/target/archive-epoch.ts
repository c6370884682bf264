// Whose turn it is in an archive: the epoch of a primary is made before its points. Where there are
// points already that is when its first round begins, not when it ends: a promoted node compares
// everything then, which may take hours, and the node before, which may not know of it yet, would
// otherwise make a point meanwhile, again and again (C3).
import type { Archive } from '../archive/archive.js';
import type { Random } from '../base/random.js';
import { ID_BYTES } from '../base/units.js';
import type { ArchivePoint, PointPlace } from '../format/archive-objects.js';
import { sameId } from '../lineage/lineage.js';
import type { Begin } from './target.js';

/** Makes the epoch the newest one, if it is not; false: another one has come. `last`: the newest
 * point. Errors of the store. */
export async function claimEpoch(
  archive: Archive,
  last: ArchivePoint | null,
  { epoch, from }: Pick<Begin, 'epoch' | 'from'>,
  random: Random,
): Promise<boolean> {
  await archive.mendEpochs(random);
  if (sameId(archive.epochs.at(-1)?.epoch.id, epoch.id)) return true;
  const at = from === null ? null : (last?.place ?? null);
  const next = { epoch, place: archive.epochs.length + 1, from: at };
  return (await archive.putEpoch(next, random.bytes(ID_BYTES))) === 'stored';
}

/** Where the next point of the newest epoch will stand. */
export function nextPlace(archive: Archive, last: ArchivePoint | null): PointPlace {
  const epoch = archive.epochs.length;
  const isFirst = last === null || last.place.epoch !== epoch;
  return { epoch, sequence: isFirst ? 1 : last.place.sequence + 1 };
}
