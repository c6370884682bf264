// From a frame's entries to byte ranges of a disk: the form in which blocks are written, compared
// or overlaid. Guarantee: spans ascend, do not overlap, stay within the disk (short last block,
// H14), and cover exactly the blocks of the masks. Offsets and lengths are bytes.
import { assert } from '../base/assert.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  type Bytes,
  bitCount,
  CHUNK_BYTES,
  chunkLength,
  MASK_ALL,
} from '../base/units.js';
import type { Frame, FrameEntry } from './changeset.js';

/** A range of the disk. `bytes`: its content, a part of Frame.blocks; null: zeroes. */
export interface BlockSpan {
  readonly offset: Bytes;
  readonly length: Bytes;
  readonly bytes: Uint8Array | null;
}

/** Bytes on the disk of the blocks in `mask` of `chunk`; the very last block may be short. */
export function maskBytes(chunk: number, mask: number, sizeBytes: Bytes): Bytes {
  const whole = bitCount(mask) * BLOCK_BYTES;
  const length = chunkLength(chunk, sizeBytes);
  const short = length % BLOCK_BYTES;
  if (short === 0) return whole;
  const last = Math.floor(length / BLOCK_BYTES);
  return mask & (1 << last) ? whole - BLOCK_BYTES + short : whole;
}

/** Bytes that an entry has in Frame.blocks. */
export const entryBytes = (entry: FrameEntry, sizeBytes: Bytes): Bytes =>
  maskBytes(entry.chunk, entry.mask & ~entry.zero, sizeBytes);

/**
 * The frame as ranges of the disk, consecutive blocks merged, also across chunks. A span of data
 * is at most 1 MiB; one of zeroes can be as long as 16384 chunks: the caller divides it.
 */
export function* blockSpans(
  frame: Pick<Frame, 'entries' | 'blocks'>,
  sizeBytes: Bytes,
): Generator<BlockSpan> {
  let from = 0;
  let open: { offset: Bytes; length: Bytes; zero: boolean } | null = null;
  for (const piece of pieces(frame.entries, sizeBytes)) {
    if (open && open.zero === piece.zero && open.offset + open.length === piece.offset) {
      open.length += piece.length;
      continue;
    }
    if (open) yield span(open, frame.blocks, from);
    if (open && !open.zero) from += open.length;
    open = piece;
  }
  if (open) yield span(open, frame.blocks, from);
}

interface Piece {
  readonly offset: Bytes;
  length: Bytes;
  readonly zero: boolean;
}

function span(piece: Piece, blocks: Uint8Array, from: number): BlockSpan {
  const { offset, length, zero } = piece;
  if (zero) return { offset, length, bytes: null };
  assert(from + length <= blocks.length, 'a checked frame has all its blocks');
  return { offset, length, bytes: blocks.subarray(from, from + length) };
}

/** Blocks in order; a chunk that is wholly data or wholly zero is one piece. */
function* pieces(entries: readonly FrameEntry[], sizeBytes: Bytes): Generator<Piece> {
  for (const { chunk, mask, zero } of entries) {
    const offset = chunk * CHUNK_BYTES;
    const chunkBytes = chunkLength(chunk, sizeBytes);
    if (mask === MASK_ALL && (zero === MASK_ALL || zero === 0)) {
      yield { offset, length: chunkBytes, zero: zero !== 0 };
      continue;
    }
    for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
      if ((mask & (1 << block)) === 0) continue;
      const at = block * BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES, chunkBytes - at);
      assert(length > 0, 'a checked mask has only blocks that exist');
      yield { offset: offset + at, length, zero: (zero & (1 << block)) !== 0 };
    }
  }
}
