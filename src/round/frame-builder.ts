// Packs dirty blocks into frames of at most 1 MiB of blocks, or less where a target says so, in the
// order they are added. Blocks that are all zeroes carry no bytes. The bytes that were hashed are
// the bytes that are packed: `add` copies them from the caller's buffer (H1).
import { assert } from '../base/assert.js';
import { isZero } from '../base/digest.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, CHUNK_BYTES, type ChunkIndex } from '../base/units.js';
import { FRAME_BLOCK_BYTES_MAX, FRAME_ENTRIES_MAX, type FrameEntry } from '../format/changeset.js';

export interface BuiltFrame {
  readonly number: number;
  readonly entries: readonly FrameEntry[];
  /** The blocks of all entries, one array. */
  readonly blocks: Uint8Array;
}

export class FrameBuilder {
  #entries: FrameEntry[] = [];
  readonly #blocks: Uint8Array;
  #filled = 0;

  /** `bytes`: of the blocks of a frame, at most; a chunk at least. */
  constructor(bytes = FRAME_BLOCK_BYTES_MAX) {
    assert(bytes >= CHUNK_BYTES, 'a frame holds a chunk');
    this.#blocks = new Uint8Array(bytes);
  }

  /** True when one more chunk may not fit: `take` first. */
  get full(): boolean {
    const room = this.#blocks.length - this.#filled;
    return room < CHUNK_BYTES || this.#entries.length >= FRAME_ENTRIES_MAX;
  }

  /** True when a frame may have `chunk` next: chunks ascend within a frame. */
  follows(chunk: ChunkIndex): boolean {
    return chunk > (this.#entries.at(-1)?.chunk ?? -1);
  }

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  /** Adds the blocks `mask` of a chunk that holds `bytes`; returns the raw bytes packed. */
  add(chunk: ChunkIndex, mask: number, digest: Uint8Array, bytes: Uint8Array): number {
    let zero = 0;
    const before = this.#filled;
    for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
      if ((mask & (1 << block)) === 0) continue;
      const content = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      if (isZero(content)) zero |= 1 << block;
      else {
        this.#blocks.set(content, this.#filled);
        this.#filled += content.length;
      }
    }
    this.#entries.push({ chunk, mask, zero, digest });
    return this.#filled - before;
  }

  /** The frame built so far, as number `number`; its blocks are valid until the next `add`. */
  take(number: number): BuiltFrame {
    const blocks = this.#blocks.subarray(0, this.#filled);
    const built = { number, entries: this.#entries, blocks };
    this.#entries = [];
    this.#filled = 0;
    return built;
  }
}
