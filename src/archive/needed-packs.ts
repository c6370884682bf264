// The packs that points need, from the tables of their trees: roots and tables are read, each tree
// once however many points share it, and no chunk. A tree whose table is damaged is reported, and
// the rest goes on. Memory: a name for each pack of each tree.
import { describeError } from '../base/errors.js';
import { hex } from '../base/random.js';
import { PACKS_IN_PAGE, type PackName } from '../format/archive-node.js';
import { type ArchivePoint, type PointPlace, packKey } from '../format/archive-objects.js';
import type { Archive } from './archive.js';
import { type DamagedPart, isDamage } from './damage.js';
import { PointTrees, type Tree } from './tree.js';

/** A point as far as it needs packs. */
export interface NeedingPoint {
  readonly place: PointPlace;
  readonly number: number;
}

export interface NeededPart extends DamagedPart {
  /** The points themselves. */
  readonly needing: readonly NeedingPoint[];
}

interface TreePacks {
  /** In hex. */
  readonly names: ReadonlySet<string>;
  /** Why its table cannot be read; null: it can. */
  readonly why: string | null;
}

export class NeededPacks {
  /** By name in hex. */
  readonly packs: ReadonlyMap<string, PackName>;
  readonly #url: string;
  readonly #trees: ReadonlyMap<string, TreePacks>;
  /** As they came. */
  readonly #points: readonly (NeedingPoint & { readonly trees: readonly string[] })[];

  private constructor(
    url: string,
    packs: ReadonlyMap<string, PackName>,
    trees: ReadonlyMap<string, TreePacks>,
    points: readonly (NeedingPoint & { readonly trees: readonly string[] })[],
  ) {
    this.#url = url;
    this.packs = packs;
    this.#trees = trees;
    this.#points = points;
  }

  /** `points`: newest first. Errors of the store. */
  static async of(
    archive: Archive,
    points: Iterable<ArchivePoint> | AsyncIterable<ArchivePoint>,
    signal: AbortSignal,
  ): Promise<NeededPacks> {
    const packs = new Map<string, PackName>();
    const trees = new Map<string, TreePacks>();
    const rows: (NeedingPoint & { readonly trees: readonly string[] })[] = [];
    for await (const { place, to, trees: refs } of points) {
      signal.throwIfAborted();
      const ids: string[] = [];
      for (const tree of new PointTrees(archive, refs).trees) {
        const { pack, place: at } = tree.ref;
        const id = `${packKey(pack.name)} ${at.offset}`;
        ids.push(id);
        if (!trees.has(id)) trees.set(id, await packsOf(tree, packs));
      }
      rows.push({ place, number: to.number, trees: ids });
    }
    return new NeededPacks(archive.store.url, packs, trees, rows);
  }

  /** Tables that cannot be read. */
  get damaged(): readonly NeededPart[] {
    return [...this.#trees].flatMap(([id, { why }]) => {
      if (why === null) return [];
      const needing = this.#points.filter(({ trees }) => trees.includes(id));
      const points = needing.map(({ number }) => number);
      return [{ place: `${this.#url}/${id.split(' ')[0]}`, why, points, needing }];
    });
  }

  /** Who needs the pack, newest first. */
  pointsOf(name: string): readonly NeedingPoint[] {
    const has = (id: string): boolean => this.#trees.get(id)?.names.has(name) === true;
    return this.#points.filter(({ trees }) => trees.some(has));
  }
}

/** Numbers that packs of these names have in the table of a tree. Errors FORMAT_BAD, of the store.
 */
export async function numbersIn(
  tree: Tree,
  names: ReadonlySet<string>,
): Promise<ReadonlySet<number>> {
  const numbers = new Set<number>();
  // The pack that the root is in has no row.
  if (names.has(hex(tree.ref.pack.name))) numbers.add(tree.ref.place.pack);
  for (const page of (await tree.root()).packPages.keys()) {
    for (const [at, { name }] of (await tree.packPage(page)) ?? []) {
      if (names.has(hex(name))) numbers.add(page * PACKS_IN_PAGE + at);
    }
  }
  return numbers;
}

/** All that a tree needs, as far as its table can be read; they are put into `all`, too. */
async function packsOf(tree: Tree, all: Map<string, PackName>): Promise<TreePacks> {
  const names = new Set<string>();
  const add = (pack: PackName): void => {
    const name = hex(pack.name);
    names.add(name);
    all.set(name, all.get(name) ?? { name: pack.name, bytes: pack.bytes });
  };
  add(tree.ref.pack);
  try {
    for (const [number, { pack }] of (await tree.root()).packPages) {
      if (pack !== null) add(pack);
      for (const row of (await tree.packPage(number))?.values() ?? []) add(row);
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { names, why: describeError(error) };
  }
  return { names, why: null };
}
