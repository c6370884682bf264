// What differs between two points of a replica, from the indexes of the undos between them; no
// content is read. A chunk whose digest is the same at both is the same. Of one that differs those
// blocks are named that rounds have written in between, and all that lies beyond the end of the
// smaller disk (H14): a block that was written and got its old content again is named too, if its
// chunk differs. Memory: a bit a block of the disk (32 MiB a TiB). Ranges are bytes.

import { equalBytes } from '../base/digest.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
} from '../base/units.js';
import { allocateMap, BlockMap } from '../tracking/block-map.js';
import type { ReplicaPoint } from './point-reader.js';

/** Ranges handed out together, and chunks looked at before the caller has its turn again. */
const RANGES_TOGETHER = 1024;
const CHUNKS_TOGETHER = 256;

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** `older` is read; the first `undos` of its undos lead back to it from a point of `newerBytes`.
 * Ranges ascend and do not touch; there may be none yet, so that who called can let others go on.
 * Errors as ReplicaPoint.digest. */
export async function* differences(
  older: ReplicaPoint,
  undos: number,
  newerBytes: number,
): AsyncGenerator<readonly Range[]> {
  const map = new BlockMap(allocateMap(older.sizeBytes));
  const between = older.undos.slice(0, undos);
  const chunks = chunkCount(older.sizeBytes);
  for (const undo of between) {
    await older.use(async ({ indexOf }) => {
      for await (const entries of (await indexOf(undo)).pieces()) {
        for (let i = 0; i < entries.count; i += 1) {
          const chunk = entries.chunk(i);
          if (chunk < chunks) map.orWord(chunk >>> 1, entries.mask(i) << ((chunk & 1) * 16));
        }
      }
    });
  }
  const ranges = new Ranges();
  let looked = 0;
  for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
    looked += 1;
    if (looked % CHUNKS_TOGETHER === 0 || ranges.done.length >= RANGES_TOGETHER) {
      yield ranges.take();
    }
    if (await isSame(older, undos, chunk)) continue;
    ranges.add(chunk, map.chunkMask(chunk), older.sizeBytes);
  }
  ranges.extend(older.sizeBytes, newerBytes);
  const last = ranges.end();
  if (last.length > 0) yield last;
}

async function isSame(older: ReplicaPoint, undos: number, chunk: ChunkIndex): Promise<boolean> {
  const [one, other] = [await older.laterDigest(chunk, 0), await older.laterDigest(chunk, undos)];
  return one !== null && other !== null && equalBytes(one, other);
}

/** Joins what touches. */
class Ranges {
  done: Range[] = [];
  #open: { offset: number; length: number } | null = null;

  add(chunk: ChunkIndex, mask: number, sizeBytes: number): void {
    for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
      if ((mask & (1 << block)) === 0) continue;
      const offset = chunk * CHUNK_BYTES + block * BLOCK_BYTES;
      this.extend(offset, Math.min(offset + BLOCK_BYTES, sizeBytes));
    }
  }

  /** Bytes from..to-1; nothing when there are none. */
  extend(from: number, to: number): void {
    if (from >= to) return;
    const open = this.#open;
    if (open !== null && open.offset + open.length === from) {
      open.length += to - from;
      return;
    }
    if (open !== null) this.done.push(open);
    this.#open = { offset: from, length: to - from };
  }

  /** What cannot grow any more. */
  take(): readonly Range[] {
    const { done } = this;
    this.done = [];
    return done;
  }

  end(): readonly Range[] {
    return this.#open === null ? this.take() : [...this.take(), this.#open];
  }
}
