// PointReader: content of a disk as of a restore point, as it is read for a guest: a point of an
// archive, or of a replica's history. Guarantee of every implementation (Q1): what is handed over
// is the whole chunk and has the digest that the point says. Who reads many chunks asks for them
// together: neighbours cost one request then.
import type { ChunkIndex } from '../base/units.js';

/** Chunks whose facts are looked up together: 16 MiB of disk. */
export const REGION_CHUNKS = 256;

export interface PointReader {
  readonly sizeBytes: number;
  /** One bit for each chunk of a region, the lowest of the first byte first: 0: it is all zeroes.
   * Rejects with what it could not be looked up for. */
  contents(region: number): Promise<Uint8Array>;
  /** Reads `chunks`, ascending, of one region. Each is put, or fails, once before it resolves; it
   * never rejects. Bounds its own memory: the rest waits. */
  read(chunks: readonly ChunkIndex[], taker: ChunkTaker): Promise<void>;
}

/** Takes what is read, as soon as it is there. */
export interface ChunkTaker {
  /** The whole chunk, verified; the memory is used again when this returns. */
  put(chunk: ChunkIndex, bytes: Uint8Array): void;
  fail(chunk: ChunkIndex, error: unknown): void;
  /** Of a chunk that nobody asked for, but which is whole in what was read. */
  wants(chunk: ChunkIndex): boolean;
}

export const hasContent = (contents: Uint8Array, chunk: ChunkIndex): boolean => {
  const inRegion = chunk % REGION_CHUNKS;
  return ((contents[inRegion >> 3] ?? 0) & (1 << (inRegion & 7))) !== 0;
};
