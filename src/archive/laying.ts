// Chunks laid together from the frames that have their blocks, of each frame those that the index
// takes from it (H34). Whether a chunk is whole its digest says (Q1). One chunk may be wanted in
// several versions, of several points. Offsets and lengths are bytes.
import { digestOf, equalBytes } from '../base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES, type ChunkIndex, MASK_ALL } from '../base/units.js';
import type { LeafEntry, Piece, RecordPlace } from '../format/archive-leaf.js';
import type { Frame } from '../format/changeset.js';
import { blockSpans } from '../format/frame-spans.js';
import { bad } from '../format/layout.js';

export const recordId = ({ pack, offset }: RecordPlace): string => `${pack} ${offset}`;

/** A frame, and the size that the disk had then: its very last block may be short. */
export interface SizedFrame {
  readonly frame: Frame;
  readonly sizeBytes: number;
}

/** A chunk as an index has it, and where its content goes. */
export interface Wanted {
  readonly entry: LeafEntry;
  /** As long as the chunk is; zeroes where no piece writes. */
  readonly bytes: Uint8Array;
}

/** What of a chunk stands in one frame. */
export interface Use extends Wanted {
  readonly piece: Piece;
}

export interface RecordUses {
  readonly record: RecordPlace;
  readonly uses: readonly Use[];
}

/** What is taken from each record, by its id, in the order of what is wanted. */
export function usesOf(wanted: readonly Wanted[]): ReadonlyMap<string, RecordUses> {
  const all = new Map<string, { readonly record: RecordPlace; readonly uses: Use[] }>();
  for (const one of wanted) {
    for (const piece of one.entry.pieces) {
      if (piece.place === null) continue;
      const id = recordId(piece.place);
      const use = { ...one, piece };
      const found = all.get(id);
      if (found === undefined) all.set(id, { record: piece.place, uses: [use] });
      else found.uses.push(use);
    }
  }
  return all;
}

/** Puts what `uses` take from the frame in its places. */
export function layFrame({ frame, sizeBytes }: SizedFrame, uses: readonly Use[]): void {
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

/** It has the digest that the index says. */
export const isWhole = ({ entry, bytes }: Wanted): boolean =>
  equalBytes(digestOf(bytes), entry.digest);

/** The error for a chunk that is not whole, FORMAT_BAD: where it stands. */
export function notWhole(url: string, { chunk, pieces }: LeafEntry) {
  const packs = pieces.map(({ place }) => place?.pack ?? '-').join(', ');
  const where = { what: 'chunk of an archive', place: `${url} chunk ${chunk}` };
  return bad(where, `its content in packs ${packs} has another digest`);
}
