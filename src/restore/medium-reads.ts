// What a destination has, read to be compared: from the medium, past the page cache. After a failed
// flush Linux calls the pages clean (H18): they look written until they go, and a restore that
// believed them would end well without them. Offsets and lengths are bytes.
import { mapAhead } from '../base/ahead.js';
import { digestOf } from '../base/digest.js';
import { CHUNK_BYTES, MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { zeroDigest } from '../format/digest-table.js';

const READ_BYTES = MIB;
/** Pieces that are read at a time: a rotating disk reads on where it is. */
const READS_AHEAD = 4;

/** Before the first look: who reads the disk afterwards must not find in the page cache either what
 * the medium has not. */
export async function dropStale(device: Device): Promise<void> {
  // What fails here was written before us; what became of it is seen by reading.
  await device.sync().catch(() => undefined);
  device.dropCached(0, device.sizeBytes);
}

/** False: it cannot be read, and is nothing; writing it mends most media. */
export const canRead = (device: Device, offset: number, into: Uint8Array): Promise<boolean> =>
  device.readMedium(offset, into).then(
    () => true,
    () => false,
  );

/** Digests of the chunks from `start`, where one begins, to `end`; null: it cannot be read. */
export async function mediumDigests(
  device: Device,
  start: number,
  end: number,
): Promise<readonly (Uint8Array | null)[]> {
  const digests: (Uint8Array | null)[] = [];
  const free: Uint8Array[] = [];
  const read = async (at: number): Promise<readonly (Uint8Array | null)[]> => {
    const room = free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
    const own = await digestsAt(device, at, room.subarray(0, Math.min(READ_BYTES, end - at)));
    free.push(room);
    return own;
  };
  const pieces = Array.from({ length: Math.ceil((end - start) / READ_BYTES) }, (_, piece) => piece);
  const offsets = pieces.map((piece) => start + piece * READ_BYTES);
  for await (const own of mapAhead(offsets, READS_AHEAD, read)) digests.push(...own);
  return digests;
}

/** Of the chunks that `bytes` is room for. */
async function digestsAt(
  device: Device,
  at: number,
  bytes: Uint8Array,
): Promise<readonly (Uint8Array | null)[]> {
  const isHole = device.nextData(at) >= at + bytes.length;
  const isRead = isHole || (await canRead(device, at, bytes));
  const digests: (Uint8Array | null)[] = [];
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    const chunk = bytes.subarray(from, from + CHUNK_BYTES);
    if (isHole) digests.push(zeroDigest(chunk.length));
    else if (isRead || (await canRead(device, at + from, chunk))) digests.push(digestOf(chunk));
    else digests.push(null);
  }
  return digests;
}
