// Receiver step 3: every chunk of a frame is verified before it is committed (C2): what the disk
// holds now, overlaid with the blocks sent, must have the digest the sender gave. Only chunks that
// were sent are read.
import { present } from '../base/assert.js';
import { digestOf, equalBytes } from '../base/digest.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkLength,
  chunkMask,
} from '../base/units.js';
import { type Device, DiskError } from '../disk/device.js';
import type { Frame, FrameEntry } from '../format/changeset.js';

/** Chunks read at once: the pool's cap per device. */
const READS_AHEAD = 4;

/** The chunks of `frame` that do not come out as their digest says. */
export async function driftedChunks(
  device: Device,
  frame: Frame,
  sizeBytes: number,
): Promise<readonly ChunkIndex[]> {
  const drifted: ChunkIndex[] = [];
  // A few buffers for all chunks: fresh memory for each would cost more than reading it.
  const buffers = Array.from({ length: READS_AHEAD }, () => Buffer.allocUnsafeSlow(CHUNK_BYTES));
  let at = 0;
  for (let first = 0; first < frame.entries.length; first += READS_AHEAD) {
    const group = frame.entries.slice(first, first + READS_AHEAD);
    const bases = group.map((entry, index) => {
      const length = chunkLength(entry.chunk, sizeBytes);
      return present(buffers[index], 'a buffer for each read').subarray(0, length);
    });
    const read = await Promise.all(
      bases.map((base, index) => readBase(device, group[index], base, sizeBytes)),
    );
    group.forEach((entry, index) => {
      const chunk = present(bases[index], 'a base for each entry');
      at = overlay(chunk, entry, frame.blocks, at);
      const fits = read[index] === true && equalBytes(digestOf(chunk), entry.digest);
      if (!fits) drifted.push(entry.chunk);
    });
  }
  return drifted;
}

/** Fills `base` with the chunk as it is; not read when all of its blocks were sent. False: it
 * cannot be read, and is wanted whole as one that has changed (H28). */
async function readBase(
  device: Device,
  entry: FrameEntry | undefined,
  base: Buffer,
  sizeBytes: number,
): Promise<boolean> {
  const { chunk, mask } = present(entry, 'an entry for each base');
  if (mask === chunkMask(chunk, sizeBytes)) return true;
  try {
    const offset = chunk * CHUNK_BYTES;
    if (!device.readCached(offset, base)) await device.read(offset, base);
    return true;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return false;
  }
}

/** Lays the entry's blocks, which begin at `at` of `blocks`, over the chunk; returns their end. */
function overlay(chunk: Buffer, entry: FrameEntry, blocks: Uint8Array, at: number): number {
  let next = at;
  for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
    const bit = 1 << block;
    if ((entry.mask & bit) === 0) continue;
    const into = chunk.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    if ((entry.zero & bit) !== 0) into.fill(0);
    else {
      into.set(blocks.subarray(next, next + into.length));
      next += into.length;
    }
  }
  return next;
}
