// Whether every pack that points need is there with its length: a request for each, of no data.
// Errors that say nothing of the archive (no network, no rights) end it; what is damaged is
// reported, and the rest goes on.
import type { Archive } from '../archive/archive.js';
import { PointTrees, type SharedTrees, type Tree } from '../archive/tree.js';
import { mapAhead } from '../base/ahead.js';
import { describeError } from '../base/errors.js';
import type { PackName } from '../format/archive-node.js';
import { type ArchivePoint, packKey } from '../format/archive-objects.js';
import { isDamage } from './frames.js';

const HEADS_AHEAD = 16;

/** Something that is not as it should be, and the points that need it. */
export interface DamagedPart {
  /** Object, or object and offset. */
  readonly place: string;
  readonly why: string;
  /** Numbers, newest first. */
  readonly points: readonly number[];
}

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
  const shared: SharedTrees = new Map();
  const needed = new Map<string, { readonly pack: PackName; readonly points: number[] }>();
  const damaged: DamagedPart[] = [];
  for (const point of points) {
    signal.throwIfAborted();
    const { number } = point.to;
    const names = new Map<string, PackName>();
    for (const tree of new PointTrees(archive, point.trees, shared).trees) {
      names.set(packKey(tree.ref.pack.name), tree.ref.pack);
      try {
        for (const pack of await packsOf(tree)) names.set(packKey(pack.name), pack);
      } catch (error) {
        if (!isDamage(error)) throw error;
        const place = `${store.url}/${packKey(tree.ref.pack.name)}`;
        damaged.push({ place, why: describeError(error), points: [number] });
      }
    }
    for (const [key, pack] of names) {
      const known = needed.get(key);
      if (known === undefined) needed.set(key, { pack, points: [number] });
      else known.points.push(number);
    }
  }
  let [done, bytes] = [0, 0];
  const look = async ([key, need]: readonly [string, NeededPack]) => {
    signal.throwIfAborted();
    return { key, need, facts: await store.head(key) };
  };
  for await (const { key, need, facts } of mapAhead(needed, HEADS_AHEAD, look)) {
    done += 1;
    onProgress(done, needed.size);
    const place = `${store.url}/${key}`;
    const wanted = need.pack.bytes;
    if (facts?.bytes === wanted) bytes += wanted;
    else {
      const why = facts === null ? 'it is not there' : `${facts.bytes} bytes, and not ${wanted}`;
      damaged.push({ place, why, points: need.points });
    }
  }
  return { packs: needed.size, bytes, damaged: joined(damaged) };
}

interface NeededPack {
  readonly pack: PackName;
  readonly points: readonly number[];
}

/** All that a tree needs; the one that its root is in is known. */
async function packsOf(tree: Tree): Promise<readonly PackName[]> {
  const packs: PackName[] = [];
  for (const [number, { pack }] of (await tree.root()).packPages) {
    if (pack !== null) packs.push(pack);
    const rows = await tree.packPage(number);
    if (rows !== null) packs.push(...rows.values());
  }
  return packs;
}

/** The same of several points is one. */
export function joined(parts: readonly DamagedPart[]): readonly DamagedPart[] {
  const all = new Map<string, DamagedPart>();
  for (const part of parts) {
    const id = `${part.place} ${part.why}`;
    const known = all.get(id);
    const points = [...new Set([...(known?.points ?? []), ...part.points])];
    all.set(id, { ...part, points });
  }
  return [...all.values()];
}
