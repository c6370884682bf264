// Digests of a disk as it is, read chunk by chunk: for a target being filled (H43), for deep
// verification, and for a disk that was touched behind our back (H28). Holes are not read.
import { BufferPool, mapAhead } from '../base/ahead.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength, DIGEST_BYTES, MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { Compute } from '../format/compute.js';
import { zeroDigest } from '../format/digest-table.js';

const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 3;

/** Calls `each` with every chunk first..first+count-1 in order; the digest is a view. `sizeBytes`:
 * of the resource; its disk may be longer (H14). */
export async function tableOfDisk(
  device: Device,
  compute: Compute,
  first: ChunkIndex,
  count: number,
  each: (chunk: ChunkIndex, digest: Uint8Array) => void,
  sizeBytes = device.sizeBytes,
): Promise<void> {
  const pool = new BufferPool(MIB);
  const work = async (group: { first: ChunkIndex; count: number }) => {
    const bytes = pool.take();
    try {
      return { ...group, digests: await groupDigests(device, compute, group, bytes, sizeBytes) };
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

function* groups(first: ChunkIndex, count: number): Generator<{ first: number; count: number }> {
  for (let at = first; at < first + count; at += GROUP_CHUNKS) {
    yield { first: at, count: Math.min(GROUP_CHUNKS, first + count - at) };
  }
}

async function groupDigests(
  device: Device,
  compute: Compute,
  group: { first: ChunkIndex; count: number },
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
