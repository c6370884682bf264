// The index of a round: a tree of what it brought, and, where there are many trees already, one
// tree in place of the newest ones, so that a reader lays few over each other and what is written
// for that is a small share of what the rounds were. After it returns all packs are durable.
import { assert, present } from '../base/assert.js';
import { MASK_ALL } from '../base/units.js';
import { type LeafEntry, regionOf } from '../format/archive-leaf.js';
import type { TreeRef } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import type { Journal } from './journal.js';
import type { PackWriter } from './pack-writer.js';
import { mergedRuns } from './runs.js';
import type { PointTrees, Tree } from './tree.js';
import { mergeTrees, TreeWriter, type UnnamedTree } from './tree-writer.js';

/** Trees of a point, at most, after its round. */
export const TREES_OF_POINT_MAX = 12;

export interface IndexOrder {
  readonly packs: PackWriter;
  readonly journal: Journal;
  readonly firstRun: number;
  readonly pack: Pack;
  /** Of the point before, newest first. */
  readonly older: readonly Tree[];
  readonly olderNames: PointTrees | null;
}

export interface IndexParts {
  readonly trees: readonly TreeRef[];
}

export async function writeIndex(order: IndexOrder): Promise<IndexParts> {
  const { packs, older, olderNames } = order;
  // Pieces count only in packs that are durable.
  await packs.flush();
  const nameOf = async (number: number) => {
    const own = order.journal.packOf(number);
    return own ?? present(olderNames, 'a first point has all its packs').nameOf(number);
  };
  const tree = await roundTree(order, nameOf);
  await packs.flush();
  return { trees: [named(tree, packs), ...older.map(({ ref }) => ref)] };
}

async function roundTree(
  { packs, journal, firstRun, pack, older }: IndexOrder,
  nameOf: (pack: number) => Promise<{ name: Uint8Array; bytes: number }>,
): Promise<UnnamedTree> {
  const writer = new TreeWriter(packs, pack);
  let leaf: LeafEntry[] = [];
  for await (const entry of mergedRuns(journal, firstRun)) {
    if (older.length === 0 && isZeroes(entry)) continue;
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

/** Where nothing is below it, it says nothing. */
const isZeroes = ({ pieces }: LeafEntry): boolean =>
  pieces.every(({ mask, zero }) => mask === zero) &&
  pieces.reduce((all, { mask }) => all | mask, 0) <= MASK_ALL;

function named(tree: UnnamedTree, packs: PackWriter): TreeRef {
  const pack = packs.packs.find(({ number }) => number === tree.place.pack);
  assert(pack !== undefined, 'the pack of a root is closed');
  return { ...tree, pack: { name: pack.name, bytes: pack.bytes } };
}

export { mergeTrees };
