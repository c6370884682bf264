// Packs that points need, and how much of them, from the tables of their trees; trees that several
// points share are read once. For a prune, a repack and for who verifies. Memory: twice
// ROWS_KEPT_MAX rows, or those of one point.
import { hex } from '../base/random.js';
import { PACKS_IN_PAGE, type PackName } from '../format/archive-node.js';
import {
  type ArchivePoint,
  type PointPlace,
  pointKey,
  type TreeRef,
} from '../format/archive-objects.js';
import { StoreError } from '../store/store.js';
import type { Archive } from './archive.js';
import { Kept } from './kept.js';
import { type PackParts, PointTrees } from './tree.js';

/** A pack, and what of it is needed; no parts where only a root or a table stands in it. */
export interface NeededPack extends PackName, PackParts {
  readonly number: number;
}

/** By name. */
export type Packs = ReadonlyMap<string, NeededPack>;

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
    const all = new Map<string, NeededPack>();
    for (const tree of trees) {
      for (const pack of (await this.#packsOf(tree)).values()) add(all, pack);
    }
    return all;
  }

  #packsOf(ref: TreeRef): Promise<Packs> {
    return this.#trees.get(`${hex(ref.pack.name)} ${ref.place.offset}`, async () => {
      const packs = new Map<string, NeededPack>();
      const [tree] = new PointTrees(this.#archive, [ref]).trees;
      if (tree === undefined) return packs;
      const root = await tree.root();
      const { ownParts } = root;
      const own = { liveParts: ownParts, parts: ownParts };
      add(packs, { ...ref.pack, number: ref.place.pack, ...own });
      for (const [page, { pack, ref: at }] of root.packPages) {
        // The table itself may stand in a pack that nothing else of this tree is in.
        if (pack !== null) add(packs, { ...pack, number: at.place.pack, liveParts: 0, parts: 0 });
        for (const [number, row] of (await tree.packPage(page)) ?? []) {
          add(packs, { ...row, number: PACKS_IN_PAGE * page + number });
        }
      }
      return packs;
    });
  }
}

/** What several need of a pack is needed together. */
function add(packs: Map<string, NeededPack>, pack: NeededPack): void {
  const found = packs.get(hex(pack.name));
  const liveParts = pack.liveParts + (found?.liveParts ?? 0);
  const parts = Math.max(pack.parts, found?.parts ?? 0, liveParts);
  packs.set(hex(pack.name), { ...pack, liveParts, parts });
}
