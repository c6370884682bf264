// An old disk that is read chunk by chunk, near at hand: a point of a replica
// (history/point-reader.ts). What is far away is read by ranges, as point-reader.ts has it.
// Guarantee asked of an implementation (Q1): what is handed out has the digest of the point; else
// it is an error. Sizes are bytes; the last chunk may be short (H14).
import { mapAhead } from '../base/ahead.js';
import { type ChunkIndex, chunkCount } from '../base/units.js';

export interface ChunkSource {
  readonly sizeBytes: number;
  /** The content in memory that nobody changes; null: zeroes. Several may be asked for at once. */
  chunk(chunk: ChunkIndex): Promise<Uint8Array | null>;
  /** 16 bytes, not to be changed. */
  digest(chunk: ChunkIndex): Promise<Uint8Array>;
  /** Waits for what is being read. Can be called twice. */
  close(): Promise<void>;
}

export interface PointChunk {
  readonly chunk: ChunkIndex;
  /** Null: zeroes. */
  readonly bytes: Uint8Array | null;
}

/** Chunks asked for beside the one that is handed out. */
const CHUNKS_AHEAD = 4;

/** Chunks from..to-1, as far as the disk goes, in order. */
export function chunksOf(
  source: ChunkSource,
  from: ChunkIndex = 0,
  to: ChunkIndex = chunkCount(source.sizeBytes),
): AsyncGenerator<PointChunk> {
  return mapAhead(
    numbers(from, Math.min(to, chunkCount(source.sizeBytes))),
    CHUNKS_AHEAD,
    (chunk) => source.chunk(chunk).then((bytes) => ({ chunk, bytes })),
  );
}

function* numbers(from: number, to: number): Generator<number> {
  for (let number = from; number < to; number += 1) yield number;
}
