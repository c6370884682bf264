// Verification of a replica against its primary: the two tables, or with `deep` the two disks, read
// past the page cache so that RAM is not what is proved (H28). Chunks that are dirty cannot be
// compared and are counted. Nor can a target whose digests are true for no point: before the end of
// its first copy, or while its table is in doubt, a difference would say nothing. The caller holds
// off rounds meanwhile.
import { BufferPool, mapAhead } from '../base/ahead.js';
import { equalBytes, isZero } from '../base/digest.js';
import {
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  DIGEST_BYTES,
  MIB,
} from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { Compute } from '../format/compute.js';
import { type Target, TargetError } from '../target/target.js';
import type { DigestTable } from '../tracking/digest-table.js';

const WINDOW_CHUNKS = 16_384;
const EXAMPLES_MAX = 16;
const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 4;

export interface VerifyParts {
  readonly target: Target;
  readonly table: DigestTable;
  readonly device: Device;
  readonly compute: Compute;
  /** True when any block of first..last is dirty for this target now. */
  readonly dirty: (first: number, last: number) => boolean;
}

export interface Verified {
  readonly chunks: number;
  readonly differing: number;
  readonly dirtyChunks: number;
  /** Byte offsets of the first differing chunks. */
  readonly examples: readonly number[];
}

/** Compares every chunk. Rejects with DiskError, TargetError (TARGET_REFUSED, 'busy': it cannot be
 * compared now). */
export async function verifyTarget(
  parts: VerifyParts,
  deep: boolean,
  signal: AbortSignal,
): Promise<Verified> {
  const { sizeBytes } = parts.device;
  const chunks = chunkCount(sizeBytes);
  let [differing, dirtyChunks] = [0, 0];
  const examples: number[] = [];
  for (let first = 0; first < chunks && !signal.aborted; first += WINDOW_CHUNKS) {
    const count = Math.min(WINDOW_CHUNKS, chunks - first);
    const [theirs, ours] = await Promise.all([
      parts.target.digests(first, count, deep ? 'disk' : 'table'),
      deep ? diskDigests(parts, first, count) : parts.table.range(first, count),
    ]);
    if (theirs.at === null) throw cannotCompare(parts.target.name);
    for (let at = 0; at < count; at += 1) {
      const block = (first + at) * BLOCKS_PER_CHUNK;
      if (parts.dirty(block, block + BLOCKS_PER_CHUNK - 1)) {
        dirtyChunks += 1;
        continue;
      }
      const [from, end] = [at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES];
      const digest = theirs.digests.subarray(from, end);
      if (!isZero(digest) && equalBytes(digest, ours.subarray(from, end))) continue;
      differing += 1;
      if (examples.length < EXAMPLES_MAX) examples.push((first + at) * CHUNK_BYTES);
    }
  }
  return { chunks, differing, dirtyChunks, examples };
}

const cannotCompare = (target: string) =>
  new TargetError({
    code: 'TARGET_REFUSED',
    target,
    reason: 'busy',
    text:
      'what it has is true for no point now: its first copy has not ended, or its digest table ' +
      'is in doubt or lost',
  });

async function diskDigests(
  parts: VerifyParts,
  first: ChunkIndex,
  count: number,
): Promise<Uint8Array> {
  const { device, compute } = parts;
  const pool = new BufferPool(MIB);
  const groups = Array.from({ length: Math.ceil(count / GROUP_CHUNKS) }, (_, group) => ({
    first: first + group * GROUP_CHUNKS,
    count: Math.min(GROUP_CHUNKS, count - group * GROUP_CHUNKS),
  }));
  const digests = new Uint8Array(count * DIGEST_BYTES);
  const work = async (group: { first: ChunkIndex; count: number }): Promise<void> => {
    const bytes = pool.take();
    const lengths = Array.from({ length: group.count }, (_, at) =>
      chunkLength(group.first + at, device.sizeBytes),
    );
    const length = rangeBytes(device.sizeBytes, group.first, group.count);
    await device.readMedium(group.first * CHUNK_BYTES, bytes.subarray(0, length));
    digests.set(await compute.digests(bytes, lengths), (group.first - first) * DIGEST_BYTES);
    pool.give(bytes);
  };
  for await (const _ of mapAhead(groups, GROUPS_AHEAD, work));
  return digests;
}

/** Bytes of chunks first..first+count-1 that exist. */
const rangeBytes = (sizeBytes: number, first: ChunkIndex, count: number): number =>
  Math.min(count * CHUNK_BYTES, sizeBytes - first * CHUNK_BYTES);
