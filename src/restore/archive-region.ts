// A region of a disk (256 chunks, 16 MiB) as of a point of an archive, whole: every chunk is
// checked against its digest (Q1). Memory: what the caller hands in, and what Frames has under way.
import { notWhole, type Wanted } from '../archive/laying.js';
import type { PointTrees } from '../archive/tree.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkLength, MASK_ALL } from '../base/units.js';
import { LEAF_CHUNKS, type Leaf, type LeafEntry } from '../format/archive-leaf.js';
import type { Frames } from './frames.js';
import { layChunks } from './laying.js';

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

/** Puts the content of the entries of the region that are wanted in their places in `bytes`, which
 * is as long as the region and may hold anything. Errors FORMAT_BAD, those of the store. */
export async function readRegion(
  { url, frames, trees, sizeBytes }: RegionSource,
  region: number,
  entries: Leaf,
  bytes: Uint8Array,
): Promise<void> {
  const wanted = entries.map((entry): Wanted => {
    const at = (entry.chunk - region * LEAF_CHUNKS) * CHUNK_BYTES;
    const own = bytes.subarray(at, at + chunkLength(entry.chunk, sizeBytes));
    // A block that was the short last one of a smaller disk writes no more than it has.
    own.fill(0, fillsWhole(entry) ? own.length - BLOCK_BYTES : 0);
    return { entry, bytes: own };
  });
  const nameOf = (pack: number) => trees.nameOf(pack);
  const end = (region + 1) * LEAF_CHUNKS;
  const [damaged] = await layChunks(frames, nameOf, wanted, end, false);
  if (damaged === undefined) return;
  throw notWhole(url, damaged.wanted.entry);
}

/** Its pieces write each block of a whole chunk. */
function fillsWhole({ pieces }: LeafEntry): boolean {
  const mask = pieces.reduce((all, piece) => all | (piece.mask & ~piece.zero), 0);
  return mask === MASK_ALL;
}
