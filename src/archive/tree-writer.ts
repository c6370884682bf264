// Writes a tree of an archive's index into packs: leaves in ascending order of their regions, then
// pages, the table of packs, the root. What did not change since an older tree ("under") is
// referred to, not written. Guarantee: a tree's table names every pack that its nodes and pieces
// are in, with what of it is needed, but the one that its root is in, which is named by whoever
// refers to the root. Memory: one page of references, and a few numbers for each pack.
import { present } from '../base/assert.js';
import { bitCount } from '../base/units.js';
import { encodeLeaf, type Leaf, regionOf } from '../format/archive-leaf.js';
import {
  encodeNode,
  encodePackPage,
  encodePage,
  encodeRoot,
  type NodeRef,
  PACKS_IN_PAGE,
  PAGE_LEAVES,
  type PackName,
  type PackPageRef,
  type PackRow,
} from '../format/archive-node.js';
import type { TreeRef } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import type { PackWriter } from './pack-writer.js';
import type { NameOf, Tree } from './tree.js';

/** Bytes of a node's record above its raw rows, at most. */
const NODE_OVERHEAD_BYTES = 128;
const PACK_ROW_BYTES = 48;
const ROOT_ROW_BYTES = 24;
const ROOT_PACK_ROW_BYTES = 60;

/** Numbers of packs in which no node of a merged tree may be left. */
export type Leaving = ReadonlySet<number>;
export const NONE_LEAVES: Leaving = new Set();

/** A tree without the name of the pack of its root, which is not closed yet. */
export type UnnamedTree = Omit<TreeRef, 'pack'>;

export class TreeWriter {
  readonly #packs: PackWriter;
  readonly #pack: Pack;
  readonly #under: Tree | null;
  /** Trees that are merged into it. */
  #newer: readonly Tree[] = [];
  #leaving: Leaving = NONE_LEAVES;
  readonly #pages = new Map<number, NodeRef>();
  /** Blocks and nodes of packs that this tree needs, less what `under` needed: by pack. */
  readonly #needs = new Map<number, number>();
  #leaves: number;
  #page: { readonly number: number; readonly leaves: Map<number, NodeRef> } | null = null;

  constructor(packs: PackWriter, pack: Pack, under: Tree | null = null) {
    this.#packs = packs;
    this.#pack = pack;
    this.#under = under;
    this.#leaves = under?.ref.leaves ?? 0;
  }

  /** These are put into it: what their tables know of packs goes on here. */
  merges(newer: readonly Tree[], leaving: Leaving): void {
    this.#newer = newer;
    this.#leaving = leaving;
  }

  /** The next leaf, new; `replaces`: one of `under`. */
  async leaf(leaf: Leaf, replaces = false): Promise<void> {
    const region = regionOf(present(leaf[0], 'a leaf has entries').chunk);
    this.#count(leaf, 1);
    if (!replaces) this.#leaves += 1;
    await this.keepLeaf(region, await this.#node(encodeLeaf(leaf)));
  }

  /** The next leaf, as `under` has it. */
  async keepLeaf(region: number, ref: NodeRef): Promise<void> {
    const number = Math.floor(region / PAGE_LEAVES);
    if (this.#page?.number !== number) await this.#endPage();
    this.#page ??= { number, leaves: new Map() };
    this.#page.leaves.set(region % PAGE_LEAVES, ref);
  }

  /** The next page, as `under` has it. */
  async keepPage(number: number, ref: NodeRef): Promise<void> {
    await this.#endPage();
    this.#pages.set(number, ref);
  }

  /** A leaf or page of `under` that is needed no more; `leaf`: with its pieces. */
  drop({ place }: NodeRef, leaf: Leaf | null = null): void {
    this.#need(place.pack, -1);
    if (leaf !== null) this.#count(leaf, -1);
  }

  /** Ends the tree. `nameOf`: of packs that are not of this round. */
  async end(nameOf: NameOf): Promise<UnnamedTree> {
    await this.#endPage();
    if (this.#under !== null) {
      // What is in the pack of its root has had no row so far.
      this.#need(this.#under.ref.place.pack, (await this.#under.root()).ownParts);
    }
    const byPage = this.#byPage(await this.#leavingPages());
    if ((await this.#tailBytes(byPage)) > this.#packs.room) await this.#packs.close();
    const packPages = await this.#underPackPages();
    for (const [page, numbers] of byPage) {
      const rows = await this.#rows(page, numbers, nameOf);
      packPages.delete(page);
      if (rows.size > 0) {
        const { body, check } = encodeNode(encodePackPage(rows), this.#pack);
        const ref = { place: await this.#packs.add('node', body), check };
        packPages.set(page, { ref, pack: null });
      }
    }
    return this.#root(packPages);
  }

  /** Pages of the table of `under`, named. */
  async #underPackPages(): Promise<Map<number, PackPageRef>> {
    const found = new Map<number, PackPageRef>();
    if (this.#under === null) return found;
    const { packPages } = await this.#under.root();
    const own = this.#under.ref.pack;
    for (const [page, { ref, pack }] of packPages) found.set(page, { ref, pack: pack ?? own });
    return found;
  }

  /** Rows of a page of the table: those of `under`, with what has changed. */
  async #rows(
    page: number,
    numbers: readonly number[],
    nameOf: NameOf,
  ): Promise<Map<number, PackRow>> {
    const rows = new Map((await this.#under?.packPage(page)) ?? []);
    const closed = new Map(this.#packs.packs.map((pack) => [pack.number, pack] as const));
    for (const number of numbers) {
      const row = rows.get(number % PACKS_IN_PAGE);
      const liveParts = (row?.liveParts ?? 0) + (this.#needs.get(number) ?? 0);
      rows.delete(number % PACKS_IN_PAGE);
      // The pack that the root will be in has no name yet.
      if (liveParts <= 0 || number >= this.#packs.packNumber) continue;
      const { name, bytes }: PackName = row ?? closed.get(number) ?? (await nameOf(number));
      const parts = Math.max(liveParts, await this.#partsSoFar(number));
      rows.set(number % PACKS_IN_PAGE, { name, bytes, liveParts, parts });
    }
    return sorted(rows);
  }

  /** The most that any of the trees in whose place this one stands knows to have been needed of a
   * pack. */
  async #partsSoFar(pack: number): Promise<number> {
    let most = 0;
    for (const tree of [...this.#newer, ...(this.#under === null ? [] : [this.#under])]) {
      most = Math.max(most, (await tree.partsOf(pack))?.parts ?? 0);
    }
    return most;
  }

  async #root(packPages: Map<number, PackPageRef>): Promise<UnnamedTree> {
    const bytes = ROOT_ROW_BYTES * this.#pages.size + ROOT_PACK_ROW_BYTES * packPages.size;
    const room = this.#packs.bytesOf(NODE_OVERHEAD_BYTES + bytes);
    if (room > this.#packs.room) await this.#packs.close();
    // Pages of the table whose packs are closed by now are named.
    for (const [page, { ref, pack }] of packPages) {
      const closed = this.#packs.packs.find(({ number }) => number === ref.place.pack);
      if (pack === null && closed !== undefined) packPages.set(page, { ref, pack: closed });
    }
    const packs = this.#packs.packNumber + 1;
    const ownParts = this.#needs.get(packs - 1) ?? 0;
    const pages = sorted(this.#pages);
    const raw = encodeRoot({ packs, ownParts, pages, packPages: sorted(packPages) });
    const { body, check } = encodeNode(raw, this.#pack);
    return { place: await this.#packs.add('node', body), check, leaves: this.#leaves };
  }

  async #endPage(): Promise<void> {
    const page = this.#page;
    this.#page = null;
    if (page === null) return;
    this.#pages.set(page.number, await this.#node(encodePage(page.leaves)));
  }

  async #node(raw: Uint8Array): Promise<NodeRef> {
    const { body, check } = encodeNode(raw, this.#pack);
    const place = await this.#packs.add('node', body);
    this.#need(place.pack, 1);
    return { place, check };
  }

  #count(leaf: Leaf, sign: 1 | -1): void {
    for (const { pieces } of leaf) {
      for (const { place, mask, zero } of pieces) {
        if (place !== null) this.#need(place.pack, sign * bitCount(mask & ~zero));
      }
    }
  }

  #need(pack: number, parts: number): void {
    this.#needs.set(pack, (this.#needs.get(pack) ?? 0) + parts);
  }

  /** Pages of the table of `under` that stand in packs which are left. */
  async #leavingPages(): Promise<number[]> {
    const pages = (await this.#under?.root())?.packPages ?? [];
    return [...pages].flatMap(([page, { ref }]) =>
      this.#leaving.has(ref.place.pack) ? [page] : [],
    );
  }

  /** Packs whose need has changed, by page of the table; `anew`: pages that are written anyway. */
  #byPage(anew: readonly number[]): Map<number, number[]> {
    const pages = new Map<number, number[]>(anew.map((page) => [page, []]));
    for (const [number] of sorted(this.#needs)) {
      const page = Math.floor(number / PACKS_IN_PAGE);
      const numbers = pages.get(page);
      if (numbers === undefined) pages.set(page, [number]);
      else numbers.push(number);
    }
    return pages;
  }

  /** Of the table and the root, at most. */
  async #tailBytes(byPage: ReadonlyMap<number, readonly number[]>): Promise<number> {
    const under = (await this.#under?.root())?.packPages.size ?? 0;
    const rootPages = under + byPage.size;
    const root = ROOT_ROW_BYTES * this.#pages.size + ROOT_PACK_ROW_BYTES * rootPages;
    let bytes = this.#packs.bytesOf(NODE_OVERHEAD_BYTES + root);
    for (const numbers of byPage.values()) {
      const rows = under === 0 ? numbers.length : PACKS_IN_PAGE;
      bytes += this.#packs.bytesOf(NODE_OVERHEAD_BYTES + PACK_ROW_BYTES * rows);
    }
    return bytes;
  }
}

/** By number, ascending. */
const sorted = <T>(rows: ReadonlyMap<number, T>): Map<number, T> =>
  new Map([...rows].sort(([one], [other]) => one - other));
