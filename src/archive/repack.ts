// Repack: packs of which kept points need little are left by the newest point, so that they go, by
// the ordinary prune, with the last older point that needs them. Nothing that is stored is changed
// or removed here: what the newest point still needs of such a pack the next round sends again from
// the disk, and its index refers to that. Until the older points have gone both are stored.
//
// Which packs those are is read from the tables of the kept points, without a list. What a point
// needs of a pack an older one needs as well, if it is not older than the pack (prune.ts): so the
// oldest point that has a pack says what of it any point needs, and all kept points since hold it.
// Memory: a row for each pack of the newest point.
import { present } from '../base/assert.js';
import { BLOCK_BYTES, type ChunkIndex } from '../base/units.js';
import { LEAF_CHUNKS, regionOf } from '../format/archive-leaf.js';
import { type ArchivePoint, type KeptPoint, pointKey } from '../format/archive-objects.js';
import type { Archive } from './archive.js';
import { type NeededPack, PackTables } from './pack-tables.js';
import { PACK_BYTES } from './pack-writer.js';
import { pinAt } from './pins.js';
import type { PointTrees } from './tree.js';
import type { Leaving } from './tree-writer.js';

const DAY_MS = 24 * 3_600_000;
/** Requests of a round beside its packs: the rest of its index, its point, the head. */
const PUTS_BESIDE = 3;
/** Leaves that are read for one answer: 1 GiB of disk. */
const REGIONS_MAX = 64;

/** A pack of the newest point. */
export interface PackUse {
  readonly pack: NeededPack;
  /** What any kept point needs of it, and the most that was ever needed: parts. */
  readonly liveParts: number;
  readonly parts: number;
  /** Which of the points, the newest first, is the oldest that needs it. */
  readonly oldest: number;
}

export interface PackUses {
  /** The newest first. */
  readonly points: readonly KeptPoint[];
  readonly packs: readonly PackUse[];
}

export interface RepackOptions {
  readonly nowMs: number;
  /** Days for which a pack is paid for, of the class that packs are put in; 0: none. */
  readonly minimumDays: number;
  /** A pack is left when less of it is needed by any kept point, 1 to 100. */
  readonly belowPercent: number;
}

export interface RepackPlan {
  /** Numbers of the packs that the newest point is to leave. */
  readonly leaving: Leaving;
  readonly packBytes: number;
  /** Of these bytes, what kept points need: by parts, so about. */
  readonly neededBytes: number;
  /** Of the disk, before compression: what the newest point needs of them; about, for a part of its
   * index counts as a block. */
  readonly sendBytes: number;
  /** PUT requests for that, about. */
  readonly puts: number;
  /** Points that need any of them, the newest first: they go with the last of these. */
  readonly holders: readonly KeptPoint[];
  /** Mostly dead too, and paid for until their class's minimum of days is over. */
  readonly youngPacks: number;
  readonly youngBytes: number;
}

/** Blocks of a chunk that do not change, and stand in a pack that is left. */
export interface Move {
  readonly chunk: ChunkIndex;
  readonly mask: number;
}

/** `next`: where more may be; null: there is no more. */
export interface Moves {
  readonly moves: readonly Move[];
  readonly next: ChunkIndex | null;
}

/** What points need of the packs of the newest one, `last`. A small object and the tables that it
 * does not share are read for each point that is kept. Errors of the store, FORMAT_BAD. */
export async function packUses(archive: Archive, last: ArchivePoint): Promise<PackUses> {
  const points: KeptPoint[] = [
    { place: last.place, number: last.to.number, timeMs: last.to.timeMs },
  ];
  const tables = new PackTables(archive);
  const packs = new Map<string, PackUse>();
  for (const [name, pack] of await tables.packsOf(last)) {
    packs.set(name, { pack, liveParts: pack.liveParts, parts: pack.parts, oldest: 0 });
  }
  for (const kept of await olderPoints(archive, last)) {
    const point = await archive.point(kept.place);
    // It was removed meanwhile.
    if (point === null) continue;
    points.push(kept);
    for (const [name, { liveParts, parts }] of await tables.packsOf(point)) {
      const use = packs.get(name);
      if (use === undefined) continue;
      packs.set(name, {
        pack: use.pack,
        liveParts: Math.max(use.liveParts, liveParts),
        parts: Math.max(use.parts, parts),
        oldest: points.length - 1,
      });
    }
  }
  return { points, packs: [...packs.values()] };
}

/** Kept, or pinned, the newest first. */
async function olderPoints(archive: Archive, last: ArchivePoint): Promise<readonly KeptPoint[]> {
  const pinned: KeptPoint[] = [];
  for (const point of last.going) {
    if ((await pinAt(archive, point.place)) !== null) pinned.push(point);
  }
  const key = ({ place }: KeptPoint): string => pointKey(place);
  return [...last.kept, ...pinned].sort((a, b) => (key(a) < key(b) ? 1 : -1));
}

/** Pure. */
export function repackPlan(
  { points, packs }: PackUses,
  { nowMs, minimumDays, belowPercent }: RepackOptions,
): RepackPlan {
  const isMostlyDead = ({ liveParts, parts }: PackUse): boolean =>
    100 * liveParts < belowPercent * parts;
  // A pack is not younger than the oldest point that needs it.
  const isYoung = ({ oldest }: PackUse): boolean => {
    const { timeMs } = present(points[oldest], 'a pack is needed by a point');
    return minimumDays > 0 && nowMs - timeMs < minimumDays * DAY_MS;
  };
  const dead = packs.filter(isMostlyDead);
  const young = dead.filter(isYoung);
  const chosen = dead.filter((use) => !isYoung(use));
  const sum = (uses: readonly PackUse[], of: (use: PackUse) => number): number =>
    uses.reduce((all, use) => all + of(use), 0);
  const sendBytes = BLOCK_BYTES * sum(chosen, ({ pack }) => pack.liveParts);
  const oldest = chosen.reduce((most, use) => Math.max(most, use.oldest), -1);
  return {
    leaving: new Set(chosen.map(({ pack }) => pack.number)),
    packBytes: sum(chosen, ({ pack }) => pack.bytes),
    neededBytes: sum(chosen, ({ pack, liveParts, parts }) =>
      Math.ceil((pack.bytes * liveParts) / parts),
    ),
    sendBytes,
    puts: chosen.length === 0 ? 0 : Math.ceil(sendBytes / PACK_BYTES) + PUTS_BESIDE,
    holders: points.slice(0, oldest + 1),
    youngPacks: young.length,
    youngBytes: sum(young, ({ pack }) => pack.bytes),
  };
}

/** Blocks that stand in packs of `leaving`, from chunk `first` on, ascending. */
export async function movesFrom(
  trees: PointTrees,
  leaving: Leaving,
  first: ChunkIndex,
): Promise<Moves> {
  const moves: Move[] = [];
  let regions = 0;
  for await (const region of trees.regions(regionOf(first))) {
    if (regions === REGIONS_MAX) return { moves, next: region * LEAF_CHUNKS };
    regions += 1;
    for (const { chunk, pieces } of await trees.leaf(region)) {
      let mask = 0;
      for (const piece of pieces) {
        if (piece.place !== null && leaving.has(piece.place.pack)) mask |= piece.mask & ~piece.zero;
      }
      if (mask !== 0 && chunk >= first) moves.push({ chunk, mask });
    }
  }
  return { moves, next: null };
}
