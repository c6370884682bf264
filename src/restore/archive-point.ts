// A point of an archive as it is read for a guest. Opening costs no request; the first read of a
// place costs the nodes of the index above it, which are fetched in blocks, since nodes stand close
// to each other, and then the frames. Memory: NODE_BLOCKS of NODE_BLOCK_BYTES, and what a
// ChunkReader keeps.
import type { Archive } from '../archive/archive.js';
import { ChunkReader } from '../archive/chunk-reader.js';
import { PackBlocks } from '../archive/pack-blocks.js';
import { PointTrees } from '../archive/tree.js';
import { equalBytes } from '../base/digest.js';
import { type ChunkIndex, chunkLength } from '../base/units.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { zeroDigest } from '../format/digest-table.js';
import { type ChunkTaker, type PointReader, REGION_CHUNKS } from './point-reader.js';

const NODE_BLOCKS = 16;
const NODE_BLOCK_BYTES = 256 * 1024;

export class ArchivePointReader implements PointReader {
  readonly sizeBytes: number;
  readonly #chunks: ChunkReader;

  constructor({ store, keyOf }: Archive, point: ArchivePoint) {
    const blocks = new PackBlocks(store, NODE_BLOCKS, NODE_BLOCK_BYTES);
    const trees = new PointTrees({ store, keyOf, blocks }, point.trees);
    this.sizeBytes = point.sizeBytes;
    this.#chunks = new ChunkReader({ store, keyOf }, trees, point.sizeBytes);
  }

  async contents(region: number): Promise<Uint8Array> {
    const bits = new Uint8Array(REGION_CHUNKS / 8);
    for (const { chunk, digest } of (await this.#chunks.entries(region)).values()) {
      const length = chunkLength(chunk, this.sizeBytes);
      if (length <= 0 || equalBytes(digest, zeroDigest(length))) continue;
      const inRegion = chunk % REGION_CHUNKS;
      bits[inRegion >> 3] = (bits[inRegion >> 3] ?? 0) | (1 << (inRegion & 7));
    }
    return bits;
  }

  read(chunks: readonly ChunkIndex[], taker: ChunkTaker): Promise<void> {
    return this.#chunks.read(chunks, taker);
  }
}
