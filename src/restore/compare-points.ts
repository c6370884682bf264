// What differs between two points, by the digests in their trees: no data is read, and of the trees
// only what is not the same node in both. Chunks are compared; what has no entry is zeroes. Of
// disks of two sizes, what only one of them has differs unless it is zeroes. Offsets are bytes.
import type { PointTrees, Tree } from '../archive/tree.js';
import { equalBytes } from '../base/digest.js';
import { hex } from '../base/random.js';
import { CHUNK_BYTES, chunkCount, chunkLength } from '../base/units.js';
import { LEAF_CHUNKS, type Leaf, type LeafEntry, mergeLeaves } from '../format/archive-leaf.js';
import { type NodeRef, PAGE_LEAVES, type Page } from '../format/archive-node.js';
import { zeroDigest } from '../format/digest-table.js';

export interface ComparedPoint {
  readonly trees: PointTrees;
  readonly sizeBytes: number;
}

export interface Difference {
  readonly offset: number;
  readonly length: number;
}

export interface DifferenceCounts {
  readonly bytes: number;
  readonly ranges: number;
}

/** `isOne`: both are of one archive, so that references can be compared. Calls `found` for each
 * range, ascending. */
export async function comparePoints(
  one: ComparedPoint,
  other: ComparedPoint,
  isOne: boolean,
  found: (difference: Difference) => void,
): Promise<DifferenceCounts> {
  const end = Math.max(one.sizeBytes, other.sizeBytes);
  const counts = { bytes: 0, ranges: 0 };
  let open: { offset: number; length: number } | null = null;
  const close = (): void => {
    if (open === null) return;
    counts.bytes += open.length;
    counts.ranges += 1;
    found(open);
    open = null;
  };
  for await (const chunk of differing(one, other, isOne, chunkCount(end))) {
    const offset = chunk * CHUNK_BYTES;
    const length = chunkLength(chunk, end);
    if (open !== null && open.offset + open.length === offset) open.length += length;
    else {
      close();
      open = { offset, length };
    }
  }
  close();
  return counts;
}

/** Where a region is in the trees of a point, newest first. */
interface Reference {
  readonly tree: Tree;
  readonly ref: NodeRef;
}

async function* differing(
  one: ComparedPoint,
  other: ComparedPoint,
  isOne: boolean,
  chunks: number,
): AsyncGenerator<number> {
  const isSame = (some: readonly Reference[], others: readonly Reference[]): boolean =>
    (isOne && textOf(some) === textOf(others)) || some.length + others.length === 0;
  const regions = Math.ceil(chunks / LEAF_CHUNKS);
  for (let page = 0; page * PAGE_LEAVES < regions; page += 1) {
    const both = await Promise.all([one, other].map(({ trees }) => pagesAt(trees, page)));
    const [pages = [], otherPages = []] = both;
    if (isSame(pages, otherPages)) continue;
    const [leaves = [], otherLeaves = []] = await Promise.all(both.map((refs) => read(refs, page)));
    for (let at = 0; at < PAGE_LEAVES && page * PAGE_LEAVES + at < regions; at += 1) {
      const refs = leavesAt(leaves, at);
      const otherRefs = leavesAt(otherLeaves, at);
      if (isSame(refs, otherRefs)) continue;
      const region = page * PAGE_LEAVES + at;
      // A leaf that both have is read once.
      const known = new Map<string, Promise<LeafEntry[]>>();
      const own = await merged(refs, region, isOne ? known : new Map());
      const theirs = await merged(otherRefs, region, isOne ? known : new Map());
      yield* differingChunks(own, one.sizeBytes, theirs, other.sizeBytes);
    }
  }
}

const textOf = (refs: readonly Reference[]): string => refs.map(({ ref }) => idOf(ref)).join(' ');
const idOf = ({ place, check }: NodeRef): string => `${place.pack}:${place.offset}:${hex(check)}`;

async function pagesAt({ trees }: PointTrees, page: number): Promise<readonly Reference[]> {
  const roots = await Promise.all(trees.map((tree) => tree.root()));
  return trees.flatMap((tree, i) => {
    const ref = roots[i]?.pages.get(page);
    return ref === undefined ? [] : [{ tree, ref }];
  });
}

interface ReadPage {
  readonly tree: Tree;
  readonly page: Page;
}

async function read(refs: readonly Reference[], number: number): Promise<readonly ReadPage[]> {
  const pages = await Promise.all(refs.map(({ tree }) => tree.page(number)));
  return refs.flatMap(({ tree }, i) => {
    const page = pages[i] ?? null;
    return page === null ? [] : [{ tree, page }];
  });
}

const leavesAt = (pages: readonly ReadPage[], at: number): readonly Reference[] =>
  pages.flatMap(({ tree, page }) => {
    const ref = page.get(at);
    return ref === undefined ? [] : [{ tree, ref }];
  });

async function merged(
  refs: readonly Reference[],
  region: number,
  known: Map<string, Promise<LeafEntry[]>>,
): Promise<Leaf> {
  const leaves = await Promise.all(
    refs.map(({ tree, ref }) => {
      const id = idOf(ref);
      const reading = known.get(id) ?? tree.leafOf(ref, region);
      known.set(id, reading);
      return reading;
    }),
  );
  return leaves.reduce<Leaf>((all, leaf) => mergeLeaves(all, leaf), []);
}

/** Chunks of one region, ascending. */
function* differingChunks(
  one: Leaf,
  oneBytes: number,
  other: Leaf,
  otherBytes: number,
): Generator<number> {
  const digests = new Map(other.map(({ chunk, digest }) => [chunk, digest]));
  const own = new Map(one.map(({ chunk, digest }) => [chunk, digest]));
  const chunks = [...new Set([...own.keys(), ...digests.keys()])].sort((a, b) => a - b);
  for (const chunk of chunks) {
    const mine = own.get(chunk) ?? null;
    const theirs = digests.get(chunk) ?? null;
    const lengths = [chunkLength(chunk, oneBytes), chunkLength(chunk, otherBytes)] as const;
    if (isDifferent(mine, lengths[0], theirs, lengths[1])) yield chunk;
  }
}

/** Lengths of 0 and less: the chunk lies behind the end of that disk. */
function isDifferent(
  one: Uint8Array | null,
  oneBytes: number,
  other: Uint8Array | null,
  otherBytes: number,
): boolean {
  const isNothing = (digest: Uint8Array | null, length: number): boolean =>
    digest === null || length <= 0 || equalBytes(digest, zeroDigest(length));
  const nothing = [isNothing(one, oneBytes), isNothing(other, otherBytes)];
  if (nothing[0] === true || nothing[1] === true) return nothing[0] !== nothing[1];
  return one === null || other === null || !equalBytes(one, other);
}
