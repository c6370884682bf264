// Whether every pack that points need is there with its length: a request for each, of no data.
// Errors that say nothing of the archive (no network, no rights) end it; what is damaged is
// reported, and the rest goes on.
import type { Archive } from '../archive/archive.js';
import { type DamagedPart, joined } from '../archive/damage.js';
import { NeededPacks } from '../archive/needed-packs.js';
import { mapAhead } from '../base/ahead.js';
import type { PackName } from '../format/archive-node.js';
import { type ArchivePoint, packKey } from '../format/archive-objects.js';

const HEADS_AHEAD = 16;

export interface PacksChecked {
  readonly packs: number;
  readonly bytes: number;
  readonly damaged: readonly DamagedPart[];
}

export async function checkPacks(
  archive: Archive,
  points: readonly ArchivePoint[],
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<PacksChecked> {
  const { store } = archive;
  const needed = await NeededPacks.of(archive, points, signal);
  const { packs } = needed;
  const damaged: DamagedPart[] = needed.damaged.map(({ place, why, points }) => ({
    place,
    why,
    points,
  }));
  let [done, bytes] = [0, 0];
  const look = async ([name, pack]: readonly [string, PackName]) => {
    signal.throwIfAborted();
    return { name, pack, facts: await store.head(packKey(pack.name)) };
  };
  for await (const { name, pack, facts } of mapAhead(packs, HEADS_AHEAD, look)) {
    done += 1;
    onProgress(done, packs.size);
    if (facts?.bytes === pack.bytes) bytes += pack.bytes;
    else {
      const why =
        facts === null ? 'it is not there' : `${facts.bytes} bytes, and not ${pack.bytes}`;
      const numbers = needed.pointsOf(name).map(({ number }) => number);
      damaged.push({ place: `${store.url}/${packKey(pack.name)}`, why, points: numbers });
    }
  }
  return { packs: packs.size, bytes, damaged: joined(damaged) };
}
