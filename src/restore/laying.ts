// Chunks laid together from the frames that have their blocks, of each frame those that the index
// takes from it (H34), and checked against their digests (Q1). One chunk may be wanted in several
// versions, of several points. Offsets and lengths are bytes.
import type { NameOf } from '../archive/tree.js';
import { present } from '../base/assert.js';
import { digestOf, equalBytes } from '../base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES, type ChunkIndex, MASK_ALL } from '../base/units.js';
import type { LeafEntry, Piece, RecordPlace } from '../format/archive-leaf.js';
import { blockSpans } from '../format/frame-spans.js';
import { type BadRecord, type Frames, type OpenFrame, recordId } from './frames.js';

/** A chunk as an index has it, and where its content goes. */
export interface Wanted {
  readonly entry: LeafEntry;
  /** Zeroes, as long as the chunk is. */
  readonly bytes: Uint8Array;
}

/** A chunk that is not as its point says. */
export interface BadChunk {
  readonly wanted: Wanted;
  /** Records of it that are damaged or missing; none: its content has another digest. */
  readonly records: readonly BadRecord[];
}

/**
 * Fills in the content of all that are wanted, and returns those that are damaged; without
 * `survey` a damaged or missing record is an error, as of `Frames.each`. `end`: chunks from there
 * on may be wanted later.
 */
export async function layChunks(
  frames: Frames,
  nameOf: NameOf,
  wanted: readonly Wanted[],
  end: ChunkIndex,
  survey: boolean,
): Promise<readonly BadChunk[]> {
  const uses = new Map<string, Use[]>();
  const records: RecordPlace[] = [];
  for (const one of wanted) {
    for (const piece of one.entry.pieces) {
      if (piece.place === null) continue;
      const id = recordId(piece.place);
      const others = uses.get(id);
      if (others !== undefined) others.push({ ...one, piece });
      else {
        uses.set(id, [{ ...one, piece }]);
        records.push(piece.place);
      }
    }
  }
  const bad = new Map<string, BadRecord>();
  const use = (open: OpenFrame): void =>
    lay(open, present(uses.get(recordId(open.record)), 'only these were asked for'));
  const note = (found: BadRecord): void => void bad.set(recordId(found.record), found);
  await frames.each(records, end, nameOf, use, survey ? note : null);
  const damaged: BadChunk[] = [];
  for (const one of wanted) {
    const records = one.entry.pieces.flatMap(({ place }) => {
      const found = place === null ? undefined : bad.get(recordId(place));
      return found === undefined ? [] : [found];
    });
    const isWhole = records.length === 0 && equalBytes(digestOf(one.bytes), one.entry.digest);
    if (!isWhole) damaged.push({ wanted: one, records });
  }
  return damaged;
}

interface Use extends Wanted {
  readonly piece: Piece;
}

function lay({ frame, sizeBytes }: OpenFrame, uses: readonly Use[]): void {
  const byChunk = new Map<ChunkIndex, Use[]>();
  for (const use of uses) {
    const others = byChunk.get(use.entry.chunk);
    if (others === undefined) byChunk.set(use.entry.chunk, [use]);
    else others.push(use);
  }
  for (const { offset, bytes } of blockSpans(frame, sizeBytes)) {
    if (bytes === null) continue;
    for (let at = 0; at < bytes.length; ) {
      const chunk = Math.floor((offset + at) / CHUNK_BYTES);
      const end = Math.min(bytes.length, (chunk + 1) * CHUNK_BYTES - offset);
      const part = bytes.subarray(at, end);
      for (const use of byChunk.get(chunk) ?? []) put(use, offset + at - chunk * CHUNK_BYTES, part);
      at = end;
    }
  }
}

/** Blocks of the chunk, from `start` of it on; what lies behind its end is no content of it. */
function put({ bytes: into, piece }: Use, start: number, content: Uint8Array): void {
  const mask = piece.mask & ~piece.zero;
  const part = content.subarray(0, Math.max(0, into.length - start));
  if (mask === MASK_ALL) {
    into.set(part, start);
    return;
  }
  for (let at = 0; at < part.length; at += BLOCK_BYTES) {
    if ((mask & (1 << ((start + at) / BLOCK_BYTES))) === 0) continue;
    into.set(part.subarray(at, at + BLOCK_BYTES), start + at);
  }
}
