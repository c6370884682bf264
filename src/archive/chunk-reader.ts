// Content of chunks as of a point of an archive: the frames that have their blocks are read, each
// once while it is kept, and laid together. Guarantee (Q1): what is handed out has the digest that
// the point says, or an error names the chunk and where it stands. Memory: FRAMES_KEPT_MAX frames.
import { digestOf, equalBytes } from '../base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES, type ChunkIndex, chunkLength } from '../base/units.js';
import { type LeafEntry, type Piece, type RecordPlace, regionOf } from '../format/archive-leaf.js';
import { packKey } from '../format/archive-objects.js';
import type { Frame } from '../format/changeset.js';
import { decodeFrame } from '../format/frame.js';
import { blockSpans } from '../format/frame-spans.js';
import { bad } from '../format/layout.js';
import { unpack } from '../format/pack.js';
import { Kept } from './kept.js';
import { type RecordReader, readRecord } from './records.js';
import type { PointTrees } from './tree.js';

/** Of 256 KiB each. */
const FRAMES_KEPT_MAX = 64;
const LEAVES_KEPT_MAX = 16;

/** A frame, and the size that the disk had then: its very last block may be short. */
interface SizedFrame {
  readonly frame: Frame;
  readonly sizeBytes: number;
}

export class ChunkReader {
  readonly #reader: RecordReader;
  readonly #trees: PointTrees;
  readonly #sizeBytes: number;
  readonly #frames = new Kept<string, Promise<SizedFrame>>(FRAMES_KEPT_MAX);
  readonly #leaves = new Kept<number, Promise<ReadonlyMap<ChunkIndex, LeafEntry>>>(LEAVES_KEPT_MAX);

  constructor(reader: RecordReader, trees: PointTrees, sizeBytes: number) {
    this.#reader = reader;
    this.#trees = trees;
    this.#sizeBytes = sizeBytes;
  }

  /** Where the chunk stands; null: it is all zeroes, and was never anything else. */
  async entry(chunk: ChunkIndex): Promise<LeafEntry | null> {
    const region = regionOf(chunk);
    const leaf = await this.#leaves.get(region, async () => {
      const entries = await this.#trees.leaf(region);
      return new Map(entries.map((entry) => [entry.chunk, entry]));
    });
    return leaf.get(chunk) ?? null;
  }

  /** The whole chunk, verified; null: zeroes. Errors FORMAT_BAD and those of the store. */
  async chunk(chunk: ChunkIndex): Promise<Uint8Array | null> {
    const entry = await this.entry(chunk);
    if (entry === null) return null;
    const bytes = new Uint8Array(chunkLength(chunk, this.#sizeBytes));
    for (const piece of entry.pieces) await this.#lay(bytes, entry, piece);
    if (equalBytes(digestOf(bytes), entry.digest)) return bytes;
    const places = entry.pieces.map(({ place }) => (place === null ? '-' : `pack ${place.pack}`));
    const where = {
      what: 'chunk of an archive',
      place: `${this.#reader.store.url} chunk ${chunk}`,
    };
    throw bad(where, `its content in ${places.join(', ')} has another digest`);
  }

  async #lay(bytes: Uint8Array, { chunk }: LeafEntry, piece: Piece): Promise<void> {
    if (piece.place === null) return; // zeroes, as the array is
    const { frame, sizeBytes } = await this.#frame(piece.place);
    const start = chunk * CHUNK_BYTES;
    const wanted = piece.mask & ~piece.zero;
    let has = 0;
    for (const { offset, length, bytes: content } of blockSpans(frame, sizeBytes)) {
      if (content === null || offset + length <= start || offset >= start + CHUNK_BYTES) continue;
      for (let block = 0; block < 16; block += 1) {
        if ((wanted & (1 << block)) === 0) continue;
        const from = start + block * BLOCK_BYTES;
        const to = Math.min(from + BLOCK_BYTES, sizeBytes);
        if (from < offset || to > offset + length) continue;
        bytes.set(content.subarray(from - offset, to - offset), from - start);
        has |= 1 << block;
      }
    }
    if (has === wanted) return;
    const { pack, offset } = piece.place;
    const where = { what: 'frame of an archive', place: `pack ${pack} at ${offset}` };
    throw bad(where, `it has not the blocks of chunk ${chunk} that the index says`);
  }

  #frame(place: RecordPlace): Promise<SizedFrame> {
    return this.#frames.get(`${place.pack} ${place.offset}`, async () => {
      const pack = await this.#trees.nameOf(place.pack);
      const { header, body } = await readRecord(this.#reader, 'frame', () => pack, place);
      const where = `${this.#reader.store.url}/${packKey(pack.name)} at ${place.offset}`;
      const { sizeBytes } = header;
      return { frame: decodeFrame(body, where, unpack, sizeBytes), sizeBytes };
    });
  }
}
