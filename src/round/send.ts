// Ladder step 5: read, hash, skip, pack, send the chunks of a frozen set, pipelined with bounded
// memory. A chunk is released as soon as it is skipped, or durable at the target.
import { BufferPool, mapAhead } from '../base/ahead.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength, DIGEST_BYTES, MIB } from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import type { BlockMap } from '../tracking/block-map.js';
import type { FrozenSet } from '../volume/volume.js';
import { knownDigests } from './known-digests.js';
import { isUnchanged, Outflow } from './outflow.js';
import { type RoundCounts, RoundError, type RoundParts, spillFull } from './parts.js';

/** Chunks read and hashed together, and how many such groups are under way. */
const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 4;

/** A group of chunks in memory: chunk i at i x 64 KiB of `bytes`. */
interface ReadGroup {
  readonly chunks: readonly ChunkIndex[];
  readonly bytes: Uint8Array;
  readonly digests: Uint8Array;
}

/** Sends what of `frozen` differs from the target at `from`; fills parts.entries for step 7. */
export async function sendFrozen(
  parts: RoundParts,
  target: Target,
  frozen: FrozenSet,
  from: PointRef | null,
  counts: RoundCounts,
  signal: AbortSignal,
): Promise<{ frames: number; indexDigest: Uint8Array }> {
  const { sizeBytes } = parts.resourceFile.state;
  const known = knownDigests(parts.table, target, from, sizeBytes);
  const outflow = new Outflow(target, parts.compute, (chunks) => {
    for (const chunk of chunks) frozen.release(chunk);
  });
  const pool = new BufferPool(GROUP_CHUNKS * CHUNK_BYTES);
  const read = (chunks: readonly ChunkIndex[]): Promise<ReadGroup> =>
    readGroup(parts, frozen, chunks, pool.take());
  await parts.entries.empty();
  try {
    for await (const group of mapAhead(groupsOf(frozen.map), GROUPS_AHEAD, read)) {
      if (signal.aborted) throw new RoundError({ code: 'ROUND_STOPPED', target: parts.target });
      for (let at = 0; at < group.chunks.length; at += 1) {
        await sendChunk(group, at);
      }
      pool.give(group.bytes);
    }
    return await outflow.finish();
  } catch (error) {
    await outflow.settle();
    throw error;
  }

  async function sendChunk(group: ReadGroup, at: number): Promise<void> {
    const chunk = group.chunks[at] ?? 0;
    const length = chunkLength(chunk, sizeBytes);
    const digest = group.digests.slice(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
    counts.readBytes += length;
    counts.doneBytes += length;
    if (isUnchanged(digest, await known.of(chunk))) {
      frozen.release(chunk);
      counts.skippedBytes += length;
      if (!known.fromTable) parts.entries.add(chunk, digest);
      return;
    }
    parts.entries.add(chunk, digest);
    const bytes = group.bytes.subarray(at * CHUNK_BYTES, at * CHUNK_BYTES + length);
    await outflow.add(chunk, frozen.map.chunkMask(chunk), digest, bytes);
    counts.sentBytes = outflow.blockBytes;
  }
}

async function readGroup(
  parts: RoundParts,
  frozen: FrozenSet,
  chunks: readonly ChunkIndex[],
  bytes: Uint8Array,
): Promise<ReadGroup> {
  const { sizeBytes } = parts.resourceFile.state;
  await Promise.all(
    chunks.map(async (chunk, at) => {
      const into = bytes.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES);
      if ((await frozen.read(chunk, into)) === 'failed') throw spillFull(parts);
    }),
  );
  const lengths = chunks.map((chunk) => chunkLength(chunk, sizeBytes));
  const digests = await parts.compute.digests(bytes, lengths);
  return { chunks, bytes, digests };
}

/** The set chunks of a map in ascending groups. */
export function* groupsOf(map: BlockMap): Generator<readonly ChunkIndex[]> {
  let group: ChunkIndex[] = [];
  for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
    group.push(chunk);
    if (group.length === GROUP_CHUNKS) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}
