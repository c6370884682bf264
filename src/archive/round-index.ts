// The index of a round: a tree of what it brought, merged with the newest trees before it as long
// as those are not much larger, so that a point has few trees (their number grows as the logarithm
// of its leaves) and what is written for that is a small share of what the rounds were. A tree that
// is merged is read once, from the store, in blocks. After it returns all packs are durable.
import { present } from '../base/assert.js';
import { type LeafEntry, regionOf } from '../format/archive-leaf.js';
import { PACK_NAME_BYTES, type PackName } from '../format/archive-node.js';
import type { TreeRef } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import type { Archive } from './archive.js';
import type { Journal } from './journal.js';
import { PackBlocks } from './pack-blocks.js';
import type { PackWriter } from './pack-writer.js';
import { mergedRuns } from './runs.js';
import { type NameOf, PointTrees, Tree } from './tree.js';
import { mergeTrees, TreeWriter, type UnnamedTree } from './tree-writer.js';

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
}

/** Trees of the new point, newest first. */
export async function writeIndex(order: IndexOrder): Promise<readonly TreeRef[]> {
  const { archive, packs, journal, older } = order;
  const before = new PointTrees(archive, older, archive.trees);
  const nameOf: NameOf = async (number) =>
    packs.packs.find((pack) => pack.number === number) ??
    journal.packOf(number) ??
    before.nameOf(number);
  const own = await roundTree(order, nameOf);
  const count = mergedCount([own, ...older]);
  if (count === 1) return [await ended(packs, own), ...older];
  const { store, keyOf } = archive;
  const reader = { store, keyOf, blocks: new PackBlocks(store, BLOCKS_KEPT), own: packs };
  const trees = [{ ...own, pack: UNNAMED }, ...older.slice(0, count - 1)].map(
    (ref) => new Tree(reader, ref, nameOf),
  );
  const writer = new TreeWriter(packs, order.pack, present(trees.at(-1), 'there are trees'));
  await mergeTrees(writer, trees);
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
