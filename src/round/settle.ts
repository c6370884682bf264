// Settle (H12): doubtful chunks are compared with the table without freezing anything; the export
// serves meanwhile. A mark is dropped only if
//  - the table is true for the point we know the target at (nothing is proposed), when settling
//    began and still when the mark is dropped: a contact meanwhile may find the target at an older
//    point, and marks what lies between (contact.ts),
//  - the content read is the table's,
//  - an fdatasync of the disk has succeeded after the read (H6), and
//  - no write section touched the chunk since: the live map has no mark in it, and the live maps
//    were not swapped meanwhile, so that no mark can have moved elsewhere. A section that began
//    before the read and writes after it had marked the live map before the read.
import { BufferPool, mapAhead } from '../base/ahead.js';
import {
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkLength,
  DIGEST_BYTES,
  MASK_ALL,
  MIB,
} from '../base/units.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { BlockMap } from '../tracking/block-map.js';
import { isMediumError } from '../volume/repair.js';
import { recordOf } from './contact.js';
import { isUnchanged } from './outflow.js';
import type { RoundCounts, RoundParts } from './parts.js';

/** Chunks read between two fdatasyncs: 64 MiB. */
const BATCH_CHUNKS = 1024;
const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 4;

/** Compares every wholly marked pending chunk; returns the number of marks dropped. Chunks whose
 * marks cannot be dropped stay dirty: too many cost a hash, too few cost the copy. */
export async function settle(
  parts: RoundParts,
  counts: RoundCounts,
  signal: AbortSignal,
): Promise<number> {
  const { volume } = parts;
  const point = trustedPoint(parts);
  if (point === null || volume.suspect) return 0;
  const pending = volume.pending(parts.slot);
  const pool = new BufferPool(GROUP_CHUNKS * CHUNK_BYTES);
  counts.totalBytes = pending.count().chunks * CHUNK_BYTES;
  let dropped = 0;
  for (const batch of batches(pending)) {
    const ended = signal.aborted || !sameId(trustedPoint(parts)?.id, point.id);
    if (ended || volume.suspect) break;
    const swaps = volume.swaps;
    const equal: ChunkIndex[] = [];
    const read = (chunks: readonly ChunkIndex[]) => readGroup(parts, chunks, pool);
    for await (const group of mapAhead(groups(batch), GROUPS_AHEAD, read)) {
      equal.push(...group);
    }
    counts.readBytes += batch.length * CHUNK_BYTES;
    counts.doneBytes += batch.length * CHUNK_BYTES;
    if (equal.length === 0) continue;
    await volume.sync();
    dropped += await drop(parts, point, equal, swaps);
  }
  counts.skippedBytes = dropped * CHUNK_BYTES;
  return dropped;
}

/** Where the target stands and the table is true for; null: no such point. */
function trustedPoint({ resourceFile, target, table }: RoundParts): PointRef | null {
  const record = recordOf(resourceFile, target);
  const { point } = table;
  return record.proposed === null && sameId(point?.id, record.point?.id) ? point : null;
}

/** Between cuts, so that no mark moves while it is looked at. */
function drop(
  parts: RoundParts,
  point: PointRef,
  equal: readonly ChunkIndex[],
  swaps: number,
): Promise<number> {
  const { volume } = parts;
  return volume.betweenCuts(async () => {
    if (volume.swaps !== swaps || volume.suspect) return 0;
    if (!sameId(trustedPoint(parts)?.id, point.id)) return 0;
    const live = volume.core.liveMap();
    const pending = volume.pending(parts.slot);
    let dropped = 0;
    for (const chunk of equal) {
      const first = chunk * BLOCKS_PER_CHUNK;
      if (live.anyMarked(first, first + BLOCKS_PER_CHUNK - 1)) continue;
      pending.clearChunk(chunk, MASK_ALL);
      dropped += 1;
    }
    return dropped;
  });
}

/** Those of `chunks` whose content is the table's. */
async function readGroup(
  parts: RoundParts,
  chunks: readonly ChunkIndex[],
  pool: BufferPool,
): Promise<readonly ChunkIndex[]> {
  const { sizeBytes } = parts.resourceFile.state;
  const bytes = pool.take();
  try {
    const lengths = chunks.map((chunk) => chunkLength(chunk, sizeBytes));
    const unread = new Set<ChunkIndex>();
    await Promise.all(
      chunks.map(async (chunk, at) => {
        const into = bytes.subarray(at * CHUNK_BYTES, at * CHUNK_BYTES + (lengths[at] ?? 0));
        try {
          await parts.volume.device.readAside(chunk * CHUNK_BYTES, into);
        } catch (error) {
          if (!isMediumError(error)) throw error;
          unread.add(chunk); // stays dirty: the round reads it block by block (H21)
        }
      }),
    );
    const digests = await parts.compute.digests(bytes, lengths);
    return chunks.filter((chunk, at) => {
      if (unread.has(chunk)) return false;
      const digest = digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
      return isUnchanged(digest, parts.table.get(chunk));
    });
  } finally {
    pool.give(bytes);
  }
}

function* batches(pending: BlockMap): Generator<readonly ChunkIndex[]> {
  let batch: ChunkIndex[] = [];
  for (let chunk = pending.nextChunk(0); chunk >= 0; chunk = pending.nextChunk(chunk + 1)) {
    batch.push(chunk);
    if (batch.length < BATCH_CHUNKS) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function* groups(batch: readonly ChunkIndex[]): Generator<readonly ChunkIndex[]> {
  for (let at = 0; at < batch.length; at += GROUP_CHUNKS) yield batch.slice(at, at + GROUP_CHUNKS);
}
