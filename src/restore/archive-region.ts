// Chunks of a disk as of a point of an archive, whole: every one is checked against its digest
// (Q1). The index has them by regions (256 chunks, 16 MiB). Memory: what the caller hands in, what
// Frames has under way, and what lay-frames.ts keeps.
import { notWhole, type Wanted } from '../archive/laying.js';
import type { PointTrees } from '../archive/tree.js';
import { BLOCK_BYTES, CHUNK_BYTES, type ChunkIndex, chunkLength, MASK_ALL } from '../base/units.js';
import { LEAF_CHUNKS, type Leaf, type LeafEntry } from '../format/archive-leaf.js';
import type { Frames } from './frames.js';
import { type Asked, askAhead, layChunks } from './laying.js';

export const REGION_BYTES = LEAF_CHUNKS * CHUNK_BYTES;

export interface RegionSource {
  /** Of the archive, for messages. */
  readonly url: string;
  readonly frames: Frames;
  readonly trees: PointTrees;
  readonly sizeBytes: number;
}

export const regionLength = (region: number, sizeBytes: number): number =>
  Math.min(REGION_BYTES, sizeBytes - region * REGION_BYTES);

/** What `readChunks` of these entries will fetch is asked for now, if there is room. */
export const askChunks = ({ frames, trees }: RegionSource, entries: Leaf): Asked =>
  askAhead(frames, (pack) => trees.nameOf(pack), entries);

/** Puts the content of the entries that are wanted in their places in `bytes`, which has room for
 * chunks from `first` on and may hold anything; content of later ones may be wanted later. `asked`:
 * for these entries. Errors FORMAT_BAD, those of the store. */
export async function readChunks(
  { url, frames, trees, sizeBytes }: RegionSource,
  first: ChunkIndex,
  entries: Leaf,
  bytes: Uint8Array,
  asked: Asked | null = null,
): Promise<void> {
  const wanted = entries.map((entry): Wanted => {
    const at = (entry.chunk - first) * CHUNK_BYTES;
    const own = bytes.subarray(at, at + chunkLength(entry.chunk, sizeBytes));
    // A block that was the short last one of a smaller disk writes no more than it has.
    own.fill(0, fillsWhole(entry) ? own.length - BLOCK_BYTES : 0);
    return { entry, bytes: own };
  });
  const nameOf = (pack: number) => trees.nameOf(pack);
  const end = first + Math.ceil(bytes.length / CHUNK_BYTES);
  const [damaged] = await layChunks(frames, nameOf, wanted, end, false, asked);
  if (damaged === undefined) return;
  throw notWhole(url, damaged.wanted.entry);
}

/** Its pieces write each block of a whole chunk. */
function fillsWhole({ pieces }: LeafEntry): boolean {
  const mask = pieces.reduce((all, piece) => all | (piece.mask & ~piece.zero), 0);
  return mask === MASK_ALL;
}
