// Chunks laid together from the blocks that frames have: of each frame those that the index takes
// from it. Guarantee (Q1): a chunk is given away only with the digest that the index says; else the
// error names it and where it stands.
import { assert, present } from '../base/assert.js';
import { digestOf, equalBytes } from '../base/digest.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, type ChunkIndex } from '../base/units.js';
import type { LeafEntry, RecordPlace } from '../format/archive-leaf.js';
import type { Frame } from '../format/changeset.js';
import { blockSpans } from '../format/frame-spans.js';
import { bad } from '../format/layout.js';

/** A frame, and the size that the disk had then: its very last block may be short. */
export interface SizedFrame {
  readonly frame: Frame;
  readonly sizeBytes: number;
}

interface Laid {
  readonly entry: LeafEntry;
  readonly bytes: Uint8Array;
  /** Blocks that stand in frames and have not been laid. */
  missing: number;
}

export class Laying {
  readonly #chunks = new Map<ChunkIndex, Laid>();

  /** `into`: memory for a chunk, as long as it is and zero. */
  constructor(entries: readonly LeafEntry[], into: (chunk: ChunkIndex) => Uint8Array) {
    for (const entry of entries) {
      const { chunk, pieces } = entry;
      const missing = pieces.reduce((all, { mask, zero }) => all | (mask & ~zero), 0);
      this.#chunks.set(chunk, { entry, bytes: into(chunk), missing });
    }
  }

  /** Takes from the frame that stands at `from` what the index says is there. */
  lay(from: RecordPlace, { frame, sizeBytes }: SizedFrame): void {
    for (const { offset, bytes } of blockSpans(frame, sizeBytes)) {
      if (bytes === null) continue;
      for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
        const block = (offset + at) / BLOCK_BYTES;
        assert(Number.isInteger(block), 'spans begin at blocks');
        this.#block(from, block, bytes.subarray(at, at + BLOCK_BYTES));
      }
    }
  }

  #block(from: RecordPlace, block: number, content: Uint8Array): void {
    const laid = this.#chunks.get(Math.floor(block / BLOCKS_PER_CHUNK));
    if (laid === undefined) return;
    const inChunk = block % BLOCKS_PER_CHUNK;
    const bit = 1 << inChunk;
    const isWanted = laid.entry.pieces.some(
      ({ mask, zero, place }) => (mask & ~zero & bit) !== 0 && isSame(place, from),
    );
    const at = inChunk * BLOCK_BYTES;
    if (!isWanted || at + content.length > laid.bytes.length) return;
    laid.bytes.set(content, at);
    laid.missing &= ~bit;
  }

  /** The chunk whole; `url` is for the error, FORMAT_BAD. */
  verified(chunk: ChunkIndex, url: string): Uint8Array {
    const { entry, bytes, missing } = present(this.#chunks.get(chunk), 'it was laid');
    if (missing === 0 && equalBytes(digestOf(bytes), entry.digest)) return bytes;
    const packs = entry.pieces.map(({ place }) => place?.pack ?? '-').join(', ');
    const where = { what: 'chunk of an archive', place: `${url} chunk ${chunk}` };
    if (missing === 0) throw bad(where, `its content in packs ${packs} has another digest`);
    throw bad(where, `frames in packs ${packs} have not the blocks that the index says`);
  }
}

const isSame = (one: RecordPlace | null, other: RecordPlace): boolean =>
  one !== null && one.pack === other.pack && one.offset === other.offset;
