// A tree of an archive's index, read node by node as it is asked for; what was read is kept, least
// recently used first out. And the trees of one point laid over each other: for a region, where
// each block of it stands; for a pack number, its name.
// Guarantee: nodes are those that the point refers to (checks of references, or seals); memory is
// bounded by NODES_KEPT_MAX.
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { hex } from '../base/random.js';
import {
  decodeLeaf,
  LEAF_CHUNKS,
  type Leaf,
  type LeafEntry,
  mergeLeaves,
} from '../format/archive-leaf.js';
import {
  decodeNode,
  decodePackPage,
  decodePage,
  decodeRoot,
  type NodeRef,
  PACKS_IN_PAGE,
  PAGE_LEAVES,
  type PackName,
  type PackRow,
  type Page,
  type Root,
} from '../format/archive-node.js';
import { packKey, type TreeRef } from '../format/archive-objects.js';
import { bad } from '../format/layout.js';
import { unpack } from '../format/pack.js';
import { Kept } from './kept.js';
import { type RecordReader, readRecord } from './records.js';

/** Of all trees of a point together, of 4 GiB of the disk each. */
const NODES_KEPT_MAX = 512;
const NODES_KEPT_MIN = 16;
const PACK_PAGES_KEPT_MAX = 64;
export const REGION_BYTES = LEAF_CHUNKS * 65_536;

/** Blocks and nodes of a pack: those that a tree needs, and the most that were ever needed. */
export type PackParts = Pick<PackRow, 'liveParts' | 'parts'>;

/** Name of a pack of the point; error FORMAT_BAD when it has none of that number. */
export type NameOf = (pack: number) => Promise<PackName>;

export class Tree {
  readonly ref: TreeRef;
  readonly #reader: RecordReader;
  readonly #nameOf: NameOf;
  #root: Promise<Root> | null = null;
  readonly #pages: Kept<number, Page | null>;
  readonly #packPages = new Kept<number, ReadonlyMap<number, PackRow> | null>(PACK_PAGES_KEPT_MAX);

  /** `nameOf`: of the packs that nodes of this tree are in; `among`: so many trees. */
  constructor(reader: RecordReader, ref: TreeRef, nameOf: NameOf, among = 1) {
    const kept = Math.max(NODES_KEPT_MIN, Math.floor(NODES_KEPT_MAX / among));
    this.#pages = new Kept(kept);
    this.#reader = reader;
    this.ref = ref;
    this.#nameOf = nameOf;
  }

  root(): Promise<Root> {
    if (this.#root !== null) return this.#root;
    const loading = this.#loadRoot();
    this.#root = loading;
    loading.catch(() => {
      this.#root = null; // a failure is not kept
    });
    return loading;
  }

  /** Page `page` of the disk, 4 GiB; null: nothing of it is here. */
  page(page: number): Promise<Page | null> {
    return this.#pages.get(page, async () => {
      const { pages, packs } = await this.root();
      const ref = pages.get(page);
      if (ref === undefined) return null;
      return decodePage(await this.#node(ref), packs, this.#place(ref));
    });
  }

  /** Null: nothing of the region is here. Not kept. */
  async leaf(region: number): Promise<LeafEntry[] | null> {
    const page = await this.page(Math.floor(region / PAGE_LEAVES));
    const ref = page?.get(region % PAGE_LEAVES);
    return ref === undefined ? null : this.leafOf(ref, region);
  }

  /** Of a reference that a page of this tree has. */
  async leafOf(ref: NodeRef, region: number): Promise<LeafEntry[]> {
    const { packs } = await this.root();
    return decodeLeaf(await this.#node(ref), region, packs, this.#place(ref));
  }

  /** Row of a pack in the table of this tree; null: it has none. */
  async packRow(pack: number): Promise<PackRow | null> {
    const rows = await this.packPage(Math.floor(pack / PACKS_IN_PAGE));
    return rows?.get(pack % PACKS_IN_PAGE) ?? null;
  }

  /** What of a pack this tree needs, also of the one that its root is in; null: nothing. */
  async partsOf(pack: number): Promise<PackParts | null> {
    if (pack !== this.ref.place.pack) return this.packRow(pack);
    const { ownParts } = await this.root();
    return { liveParts: ownParts, parts: ownParts };
  }

  packPage(number: number): Promise<ReadonlyMap<number, PackRow> | null> {
    return this.#packPages.get(number, async () => {
      const found = (await this.root()).packPages.get(number);
      if (found === undefined) return null;
      const { place, check } = found.ref;
      const pack = found.pack ?? this.ref.pack;
      const { body } = await readRecord(this.#reader, 'node', () => pack, place);
      const where = this.#place(found.ref);
      return decodePackPage(decodeNode(body, check, unpack, where), where);
    });
  }

  /** Regions from `first` on of which something is here, ascending. */
  async *regions(first = 0): AsyncGenerator<number> {
    const { pages } = await this.root();
    for (const number of pages.keys()) {
      if ((number + 1) * PAGE_LEAVES <= first) continue;
      const page = present(await this.page(number), 'the root has it');
      for (const leaf of page.keys()) {
        const region = number * PAGE_LEAVES + leaf;
        if (region >= first) yield region;
      }
    }
  }

  async #loadRoot(): Promise<Root> {
    const { pack, place, check } = this.ref;
    const where = `${this.#reader.store.url}/${packKey(pack.name)} at ${place.offset}`;
    const { body } = await readRecord(this.#reader, 'node', () => pack, place);
    return decodeRoot(decodeNode(body, check, unpack, where), where);
  }

  async #node({ place, check }: NodeRef): Promise<Uint8Array> {
    const name = (): Promise<PackName> => this.#nameOf(place.pack);
    const { body } = await readRecord(this.#reader, 'node', name, place);
    return decodeNode(body, check, unpack, this.#place({ place, check }));
  }

  #place({ place }: NodeRef): string {
    return `${this.#reader.store.url} pack ${place.pack} at ${place.offset}`;
  }
}

/** By the place of their root. */
export type SharedTrees = Map<string, Tree>;

/** The trees of a point, newest first. */
export class PointTrees {
  readonly trees: readonly Tree[];
  readonly #names = new Kept<number, PackName>(PACKS_IN_PAGE);

  /** `shared`: trees of other points of this archive, so that what several have is read once. */
  constructor(reader: RecordReader, refs: readonly TreeRef[], shared: SharedTrees | null = null) {
    const nameOf: NameOf = (pack) => this.nameOf(pack);
    this.trees = refs.map((ref) => {
      const id = `${hex(ref.pack.name)} ${ref.place.offset}`;
      const tree = shared?.get(id) ?? new Tree(reader, ref, nameOf, refs.length);
      shared?.set(id, tree);
      return tree;
    });
  }

  /** Of `shared`, all trees but these. */
  forgetOthers(shared: SharedTrees): void {
    for (const [id, tree] of shared) if (!this.trees.includes(tree)) shared.delete(id);
  }

  /** Error FORMAT_BAD when no table has the pack. */
  nameOf(pack: number): Promise<PackName> {
    return this.#names.get(pack, async () => {
      const found = await this.findName(pack);
      if (found !== null) return found;
      const place = this.trees[0]?.ref.place;
      throw bad(
        { what: 'archive index', place: `root in pack ${place?.pack}` },
        `no table has pack ${pack}`,
      );
    });
  }

  /** Null: no table has the pack. */
  async findName(pack: number): Promise<PackName | null> {
    for (const { ref } of this.trees) if (ref.place.pack === pack) return ref.pack;
    for (const tree of this.trees) {
      const row = await tree.packRow(pack);
      if (row !== null) return row;
    }
    return null;
  }

  /** A part of a table of packs stands in that pack, which then need not be in any table. */
  async hasTableIn(name: Uint8Array): Promise<boolean> {
    for (const tree of this.trees) {
      for (const { pack } of (await tree.root()).packPages.values()) {
        if (pack !== null && equalBytes(pack.name, name)) return true;
      }
    }
    return false;
  }

  /** All that is known of a region: of each block the newest. */
  async leaf(region: number): Promise<Leaf> {
    const leaves = await Promise.all(this.trees.map((tree) => tree.leaf(region)));
    let all: Leaf = [];
    for (const leaf of leaves) if (leaf !== null) all = mergeLeaves(all, leaf);
    return all;
  }

  /** Regions from `first` on of which something is known, ascending. */
  async *regions(first = 0): AsyncGenerator<number> {
    const sources = this.trees.map((tree) => tree.regions(first));
    const next = await Promise.all(sources.map((source) => source.next()));
    for (;;) {
      const at = next.flatMap((one) => (one.done === true ? [] : [one.value]));
      if (at.length === 0) return;
      const region = Math.min(...at);
      yield region;
      for (const [i, one] of next.entries()) {
        const source = sources[i];
        if (one.done !== true && one.value === region && source) next[i] = await source.next();
      }
    }
  }
}
