// Packs that points need, from the tables of their trees; trees that several points share are read
// once. For a prune and for who verifies. Memory: twice ROWS_KEPT_MAX rows, or those of one point.
import { hex } from '../base/random.js';
import type { PackName } from '../format/archive-node.js';
import {
  type ArchivePoint,
  type PointPlace,
  pointKey,
  type TreeRef,
} from '../format/archive-objects.js';
import { StoreError } from '../store/store.js';
import type { Archive } from './archive.js';
import { Kept } from './kept.js';
import { PointTrees } from './tree.js';

/** By name. */
export type Packs = ReadonlyMap<string, PackName>;

/** Rows of packs, some 250 bytes each. */
const ROWS_KEPT_MAX = 250_000;

const weigh = (packs: Packs): number => packs.size;

export class PackTables {
  readonly #archive: Archive;
  readonly #trees = new Kept<string, Packs>(ROWS_KEPT_MAX, weigh);
  readonly #points = new Kept<string, Packs>(ROWS_KEPT_MAX, weigh);

  constructor(archive: Archive) {
    this.#archive = archive;
  }

  /** Of the point at `place`, which is kept; null needs none. Error STORE_MISSING. */
  of(place: PointPlace | null, last: ArchivePoint): Promise<Packs> {
    if (place === null) return Promise.resolve(new Map());
    const key = pointKey(place);
    return this.#points.get(key, async () => {
      const isLast = key === pointKey(last.place);
      const point = isLast ? last : await this.#archive.point(place);
      if (point !== null) return this.packsOf(point);
      throw new StoreError({ code: 'STORE_MISSING', url: this.#archive.store.url, key });
    });
  }

  async packsOf({ trees }: ArchivePoint): Promise<Packs> {
    const all = new Map<string, PackName>();
    for (const tree of trees) {
      for (const [name, pack] of await this.#packsOf(tree)) all.set(name, pack);
    }
    return all;
  }

  #packsOf(ref: TreeRef): Promise<Packs> {
    return this.#trees.get(`${hex(ref.pack.name)} ${ref.place.offset}`, async () => {
      const packs = new Map<string, PackName>([[hex(ref.pack.name), ref.pack]]);
      const [tree] = new PointTrees(this.#archive, [ref]).trees;
      if (tree === undefined) return packs;
      for (const [page, { pack }] of (await tree.root()).packPages) {
        // The table itself may stand in a pack that nothing else of this tree is in.
        if (pack !== null) packs.set(hex(pack.name), pack);
        for (const { name, bytes } of (await tree.packPage(page))?.values() ?? []) {
          packs.set(hex(name), { name, bytes });
        }
      }
      return packs;
    });
  }
}
