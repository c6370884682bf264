// What the target holds, chunk by chunk, as far as it may be believed (H7): the own table while
// its point is the one the target has just named, else the target's own answer, fetched in bulk
// for windows that have dirty chunks. A target that has not grown yet answers
// that it does not know those behind its end (H14).
import { assert } from '../base/assert.js';
import { isZero } from '../base/digest.js';
import { type ChunkIndex, chunkCount, DIGEST_BYTES } from '../base/units.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import type { DigestTable } from '../tracking/digest-table.js';

/** Chunks asked for at once: 1 GiB of disk, 256 KiB of digests. */
export const WINDOW_CHUNKS = 16_384;

export interface KnownDigests {
  /** True when they come from the own table: unchanged entries need not be written again. */
  readonly fromTable: boolean;
  /** The digest of a chunk at the target, null when unknown. Ask in ascending order. */
  of(chunk: ChunkIndex): Promise<Uint8Array | null>;
}

/** `point`: where the target stands; null: the passes that fill it have just ended, and the table
 * has what they sent (H43). */
export function knownDigests(
  table: DigestTable,
  target: Target,
  point: PointRef | null,
  sizeBytes: number,
): KnownDigests {
  if (point === null || sameId(table.point?.id, point.id)) {
    return { fromTable: true, of: async (chunk) => table.get(chunk) };
  }
  const chunks = chunkCount(sizeBytes);
  let window: { first: ChunkIndex; digests: Uint8Array } | null = null;
  return {
    fromTable: false,
    of: async (chunk) => {
      const first = Math.floor(chunk / WINDOW_CHUNKS) * WINDOW_CHUNKS;
      if (window?.first !== first) {
        const count = Math.min(WINDOW_CHUNKS, chunks - first);
        window = { first, digests: await fetchDigests(target, first, count, point) };
      }
      const at = (chunk - first) * DIGEST_BYTES;
      const digest = window.digests.subarray(at, at + DIGEST_BYTES);
      return isZero(digest) ? null : digest;
    },
  };
}

/** Zeroes when the target's digests are not true for `point`. */
export async function fetchDigests(
  target: Target,
  first: ChunkIndex,
  count: number,
  point: PointRef | null,
): Promise<Uint8Array> {
  const answer = await target.digests(first, count, 'table');
  assert(answer.digests.length === count * DIGEST_BYTES, 'the session checks the length');
  return sameId(answer.at?.id, point?.id) ? answer.digests : new Uint8Array(count * DIGEST_BYTES);
}
