// The index of a round: a tree of what it brought, merged with the newest trees before it as long
// as those are not much larger, so that a point has few trees (their number grows as the logarithm
// of its leaves) and what is written for that is a small share of what the rounds were. A tree that
// is merged is read once, from the store, in blocks. A repack (repack.ts) has all trees merged that
// name a pack which is to be left, and nodes in it written anew. After it returns all packs are
// durable.
import { present } from '../base/assert.js';
import { type LeafEntry, regionOf } from '../format/archive-leaf.js';
import { PACK_NAME_BYTES, type PackName } from '../format/archive-node.js';
import type { TreeRef } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import type { Archive } from './archive.js';
import type { Journal } from './journal.js';
import { mergeTrees } from './merge-trees.js';
import { PackBlocks } from './pack-blocks.js';
import type { PackWriter } from './pack-writer.js';
import { mergedRuns } from './runs.js';
import { type NameOf, PointTrees, Tree } from './tree.js';
import { type Leaving, TreeWriter, type UnnamedTree } from './tree-writer.js';

/** A tree is merged with those above it when it has at most so many times their leaves. */
const MERGE_FACTOR = 2;
/** Of the trees that are merged; a MiB each. */
const BLOCKS_KEPT = 16;

export interface IndexOrder {
  readonly archive: Archive;
  readonly packs: PackWriter;
  readonly journal: Journal;
  /** Of the pieces of this round. */
  readonly firstRun: number;
  readonly pack: Pack;
  /** Trees of the point before, newest first. */
  readonly older: readonly TreeRef[];
  /** Packs that a repack leaves. */
  readonly leaving: Leaving;
}

/** Trees of the new point, newest first. */
export async function writeIndex(order: IndexOrder): Promise<readonly TreeRef[]> {
  const { archive, packs, journal, older, leaving } = order;
  const before = new PointTrees(archive, older, archive.trees);
  const nameOf: NameOf = async (number) =>
    packs.packs.find((pack) => pack.number === number) ??
    journal.packOf(number) ??
    before.nameOf(number);
  const own = await roundTree(order, nameOf);
  const count = Math.max(mergedCount([own, ...older]), 1 + (await depthOf(before.trees, leaving)));
  if (count === 1) return [await ended(packs, own), ...older];
  const { store, keyOf } = archive;
  const reader = { store, keyOf, blocks: new PackBlocks(store, BLOCKS_KEPT), own: packs };
  const trees = [{ ...own, pack: UNNAMED }, ...older.slice(0, count - 1)].map(
    (ref) => new Tree(reader, ref, nameOf),
  );
  const writer = new TreeWriter(packs, order.pack, present(trees.at(-1), 'there are trees'));
  await mergeTrees(writer, trees, leaving);
  return [await ended(packs, await writer.end(nameOf)), ...older.slice(count - 1)];
}

/** Of the tree of the round itself, which is read from where it is being written. */
const UNNAMED: PackName = { name: new Uint8Array(PACK_NAME_BYTES), bytes: 0 };

/** How many of the newest trees become one. */
function mergedCount(trees: readonly UnnamedTree[]): number {
  let leaves = 0;
  let count = 0;
  for (const tree of trees) {
    if (count > 0 && tree.leaves > MERGE_FACTOR * leaves) break;
    leaves += tree.leaves;
    count += 1;
  }
  return count;
}

/** How many of the trees, newest first, there are down to the last that names any of the packs. */
async function depthOf(trees: readonly Tree[], packs: Leaving): Promise<number> {
  if (packs.size === 0) return 0;
  for (let at = trees.length - 1; at >= 0; at -= 1) {
    if (await names(present(trees[at], 'it is one of them'), packs)) return at + 1;
  }
  return 0;
}

/** A part of it, its root or its table is in one of the packs. */
async function names(tree: Tree, packs: Leaving): Promise<boolean> {
  for (const { ref } of (await tree.root()).packPages.values()) {
    if (packs.has(ref.place.pack)) return true;
  }
  for (const pack of packs) if ((await tree.partsOf(pack)) !== null) return true;
  return false;
}

async function roundTree(
  { packs, journal, firstRun, pack, older }: IndexOrder,
  nameOf: NameOf,
): Promise<UnnamedTree> {
  const writer = new TreeWriter(packs, pack);
  let leaf: LeafEntry[] = [];
  for await (const entry of mergedRuns(journal, firstRun, (number) => packs.has(number))) {
    // Where nothing is below it, a chunk of zeroes says nothing.
    if (older.length === 0 && entry.pieces.every(({ place }) => place === null)) continue;
    const first = leaf[0];
    if (first !== undefined && regionOf(first.chunk) !== regionOf(entry.chunk)) {
      await writer.leaf(leaf);
      leaf = [];
    }
    leaf.push(entry);
  }
  if (leaf.length > 0) await writer.leaf(leaf);
  return writer.end(nameOf);
}

/** The pack of its root is closed, and with that named. */
async function ended(packs: PackWriter, tree: UnnamedTree): Promise<TreeRef> {
  await packs.flush();
  const { name, bytes }: PackName = present(
    packs.packs.find(({ number }) => number === tree.place.pack),
    'the pack of a root is closed',
  );
  return { ...tree, pack: { name, bytes } };
}
