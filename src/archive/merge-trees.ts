// Trees of an archive's index into one: what is in none of the newer ones is referred to, and not
// read below its page; where several have a region, of each block the newest counts. A repack names
// packs that the merged tree leaves: nodes in these are written anew, changed or not.
import { present } from '../base/assert.js';
import { type Leaf, mergeLeaves } from '../format/archive-leaf.js';
import { type NodeRef, PAGE_LEAVES, type Page } from '../format/archive-node.js';
import type { Tree } from './tree.js';
import { type Leaving, NONE_LEAVES, type TreeWriter } from './tree-writer.js';

/** Puts all of `trees`, newest first, into `writer`, which was made over the last of them. Nodes in
 * packs of `leaving` are written anew though nothing in them has changed. */
export async function mergeTrees(
  writer: TreeWriter,
  trees: readonly Tree[],
  leaving: Leaving = NONE_LEAVES,
): Promise<void> {
  const under = present(trees.at(-1), 'there is a tree');
  const newer = trees.slice(0, -1);
  writer.merges(newer, leaving);
  const roots = await Promise.all(trees.map((tree) => tree.root()));
  const numbers = new Set(roots.flatMap(({ pages }) => [...pages.keys()]));
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const below = roots.at(-1)?.pages.get(number);
    const above = await Promise.all(newer.map((tree) => tree.page(number)));
    const isChanged = above.some((page) => page !== null);
    if (below !== undefined && !isChanged && !(await hasNodeIn(under, number, below, leaving))) {
      await writer.keepPage(number, below);
      continue;
    }
    if (below !== undefined) writer.drop(below);
    await mergePage(writer, number, { under, newer, above, leaving });
  }
}

/** A page of `tree`, or any leaf of it, stands in one of the packs. */
async function hasNodeIn(
  tree: Tree,
  number: number,
  { place }: NodeRef,
  packs: Leaving,
): Promise<boolean> {
  if (packs.size === 0) return false;
  const leaves = [...((await tree.page(number))?.values() ?? [])];
  return packs.has(place.pack) || leaves.some((leaf) => packs.has(leaf.place.pack));
}

interface Merging {
  readonly under: Tree;
  readonly newer: readonly Tree[];
  /** The page in each of these; null: it has none. */
  readonly above: readonly (Page | null)[];
  readonly leaving: Leaving;
}

async function mergePage(
  writer: TreeWriter,
  number: number,
  { under, newer, above, leaving }: Merging,
): Promise<void> {
  const below: Page = (await under.page(number)) ?? new Map();
  const leaves = new Set([below, ...above].flatMap((page) => [...(page?.keys() ?? [])]));
  for (const leaf of [...leaves].sort((one, other) => one - other)) {
    const region = number * PAGE_LEAVES + leaf;
    const ref = below.get(leaf);
    const having = newer.filter((_, at) => above[at]?.has(leaf));
    if (ref !== undefined && having.length === 0 && !leaving.has(ref.place.pack)) {
      await writer.keepLeaf(region, ref);
      continue;
    }
    let all: Leaf = [];
    for (const tree of having) all = mergeLeaves(all, (await tree.leaf(region)) ?? []);
    if (ref !== undefined) {
      const old = (await under.leaf(region)) ?? [];
      writer.drop(ref, old);
      all = mergeLeaves(all, old);
    }
    await writer.leaf(all, ref !== undefined);
  }
}
