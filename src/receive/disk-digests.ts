// Digests of a replica's disk: those it answers DIGESTS with, and those of the disk as it is, read
// chunk by chunk: for a target being filled (H43), for deep verification, and for a disk that was
// touched behind our back (H28). Holes are not read. What the medium cannot give does not end a
// first copy: its digest is unknown, which is equal to nothing, so that the chunk is sent, and
// written, which mends most media.
import { BufferPool, mapAhead } from '../base/ahead.js';
import {
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  DIGEST_BYTES,
  MIB,
} from '../base/units.js';
import { type Device, DiskError } from '../disk/device.js';
import type { Compute } from '../format/compute.js';
import { zeroDigest } from '../format/digest-table.js';
import { type RoundId, sameId } from '../lineage/lineage.js';
import type { DigestsAnswer } from '../target/target.js';
import { refusal } from './parts.js';
import type { Receiving } from './receiving.js';

const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 3;
/** Of a chunk that cannot be read (format/digest-table.ts). */
const UNKNOWN_DIGEST = new Uint8Array(DIGEST_BYTES);

/** The replica as far as its digests go. */
export interface Digested
  extends Pick<Receiving, 'parts' | 'record' | 'device' | 'table' | 'idle'> {
  /** False: there is no disk and no table yet. */
  readonly isOpen: boolean;
  /** The first copy under way; null: none. */
  readonly fill: RoundId | null;
}

/** What DIGESTS of chunks first..first+count-1 is answered; those behind the end of the disk, which
 * a primary that has grown asks for (H14), are unknown. Error TARGET_REFUSED while there is none.
 */
export async function digestsOf(
  replica: Digested,
  first: ChunkIndex,
  count: number,
  from: 'table' | 'disk',
): Promise<DigestsAnswer> {
  const { state } = replica.parts.resourceFile;
  if (!replica.isOpen || state.sizeBytes === 0) {
    throw refusal(state, 'size', 'there is no disk here yet');
  }
  await replica.idle();
  const there = Math.max(0, Math.min(count, chunkCount(state.sizeBytes) - first));
  const answer = await digestsThere(replica, first, there, from);
  if (there === count) return answer;
  const digests = new Uint8Array(count * DIGEST_BYTES);
  digests.set(answer.digests);
  return { ...answer, digests };
}

async function digestsThere(
  replica: Digested,
  first: ChunkIndex,
  count: number,
  from: 'table' | 'disk',
): Promise<DigestsAnswer> {
  const { device, parts, record, table } = replica;
  const { state } = parts.resourceFile;
  const at = table.point;
  const trusted = at !== null && sameId(at.id, record.point?.id);
  if (from === 'table' && trusted && record.suspect === null) {
    return { at, first, digests: table.range(first, count) };
  }
  const digests = new Uint8Array(count * DIGEST_BYTES);
  const filling = record.point === null;
  if (from === 'table' && !filling) return { at: null, first, digests };
  if (count === 0) return { at: record.point, first, digests };
  // H18: what an fdatasync gave up is in the cache only, so the first copy asks the medium.
  const length = Math.min(count * CHUNK_BYTES, device.sizeBytes - first * CHUNK_BYTES);
  device.dropCached(first * CHUNK_BYTES, length);
  await tableOfDisk(
    device,
    parts.compute,
    first,
    count,
    (chunk, digest) => {
      digests.set(digest, (chunk - first) * DIGEST_BYTES);
      if (replica.fill !== null) replica.table.set(chunk, digest);
    },
    state.sizeBytes,
    filling ? 'unknown' : 'fails',
  );
  return { at: record.point, first, digests };
}

/** Calls `each` with every chunk first..first+count-1 in order; the digest is a view. `sizeBytes`:
 * of the resource; its disk may be longer (H14). `unreadable`: whether a chunk that cannot be read
 * has 16 zero bytes for a digest, or ends this with its DiskError. */
export async function tableOfDisk(
  device: Device,
  compute: Compute,
  first: ChunkIndex,
  count: number,
  each: (chunk: ChunkIndex, digest: Uint8Array) => void,
  sizeBytes = device.sizeBytes,
  unreadable: 'unknown' | 'fails' = 'unknown',
): Promise<void> {
  const pool = new BufferPool(MIB);
  const digestsIn = unreadable === 'unknown' ? readableDigests : groupDigests;
  const work = async (group: Group) => {
    const bytes = pool.take();
    try {
      return { ...group, digests: await digestsIn(device, compute, group, bytes, sizeBytes) };
    } finally {
      pool.give(bytes);
    }
  };
  for await (const group of mapAhead(groups(first, count), GROUPS_AHEAD, work)) {
    for (let at = 0; at < group.count; at += 1) {
      each(group.first + at, group.digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES));
    }
  }
}

interface Group {
  readonly first: ChunkIndex;
  readonly count: number;
}

function* groups(first: ChunkIndex, count: number): Generator<Group> {
  for (let at = first; at < first + count; at += GROUP_CHUNKS) {
    yield { first: at, count: Math.min(GROUP_CHUNKS, first + count - at) };
  }
}

/** As groupDigests; where that fails, chunk by chunk. */
async function readableDigests(
  device: Device,
  compute: Compute,
  group: Group,
  bytes: Uint8Array,
  sizeBytes: number,
): Promise<Uint8Array> {
  try {
    return await groupDigests(device, compute, group, bytes, sizeBytes);
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    if (group.count === 1) return UNKNOWN_DIGEST;
  }
  const digests = new Uint8Array(group.count * DIGEST_BYTES);
  for (let at = 0; at < group.count; at += 1) {
    const one = { first: group.first + at, count: 1 };
    const digest = await readableDigests(device, compute, one, bytes, sizeBytes);
    digests.set(digest, at * DIGEST_BYTES);
  }
  return digests;
}

async function groupDigests(
  device: Device,
  compute: Compute,
  group: Group,
  bytes: Uint8Array,
  sizeBytes: number,
): Promise<Uint8Array> {
  const lengths = Array.from({ length: group.count }, (_, at) =>
    chunkLength(group.first + at, sizeBytes),
  );
  const offset = group.first * CHUNK_BYTES;
  const length = lengths.reduce((sum, next) => sum + next, 0);
  if (device.nextData(offset) >= offset + length) {
    const digests = new Uint8Array(group.count * DIGEST_BYTES);
    lengths.forEach((next, at) => {
      digests.set(zeroDigest(next), at * DIGEST_BYTES);
    });
    return digests;
  }
  await device.read(offset, bytes.subarray(0, length));
  return compute.digests(bytes, lengths);
}
