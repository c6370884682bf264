// Content of chunks as of a point of an archive: the frames that have their blocks are read, those
// that stand together in one request, each once while it is kept or on its way, and laid together.
// Guarantee (Q1): what is handed out has the digest that the point says, or an error names the
// chunk and where it stands. Memory: FRAMES_KEPT_BYTES_MAX of frames, and FRAMES_UNDER_WAY_MAX that
// are being read, stored and as they are.
import { assert, present } from '../base/assert.js';
import { Semaphore } from '../base/sync.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength, MIB } from '../base/units.js';
import { type LeafEntry, type Piece, type RecordPlace, regionOf } from '../format/archive-leaf.js';
import { copyOf } from '../format/layout.js';
import { unpack } from '../format/pack.js';
import { type FetchedRange, fetchRange, frameIn, rangesOf, recordsOf } from './frame-ranges.js';
import { Kept } from './kept.js';
import { isWhole, layFrame, notWhole, recordId, type SizedFrame } from './laying.js';
import type { RecordReader } from './records.js';
import type { PointTrees } from './tree.js';

const FRAMES_KEPT_BYTES_MAX = 8 * MIB;
/** Leaves as objects: some 80 KiB each. */
const LEAVES_KEPT_MAX = 64;
const RANGE_BYTES_MAX = MIB;
/** A MiB at most each. */
const FRAMES_UNDER_WAY_MAX = 10;
/** Waited for together. */
const FRAMES_TOGETHER_MAX = 4;

/** Takes what is read, as soon as it is there. */
export interface ChunkTaker {
  /** The whole chunk, verified; the memory is used again when this returns. */
  put(chunk: ChunkIndex, bytes: Uint8Array): void;
  fail(chunk: ChunkIndex, error: unknown): void;
  /** Of one that nobody asked for, but which is whole in what was read. */
  wants(chunk: ChunkIndex): boolean;
}

/** What is known of a region. */
export type RegionEntries = ReadonlyMap<ChunkIndex, LeafEntry>;

export class ChunkReader {
  readonly #reader: RecordReader;
  readonly #trees: PointTrees;
  readonly #sizeBytes: number;
  readonly #frames = new Kept<string, SizedFrame>(
    FRAMES_KEPT_BYTES_MAX,
    ({ frame }) => frame.blocks.length,
  );
  readonly #leaves = new Kept<number, RegionEntries>(LEAVES_KEPT_MAX);
  readonly #room = new Semaphore(FRAMES_UNDER_WAY_MAX);
  readonly #scratch = new Uint8Array(CHUNK_BYTES);

  constructor(reader: RecordReader, trees: PointTrees, sizeBytes: number) {
    this.#reader = reader;
    this.#trees = trees;
    this.#sizeBytes = sizeBytes;
  }

  /** Chunks that have no entry are all zeroes, and were never anything else. */
  entries(region: number): Promise<RegionEntries> {
    return this.#leaves.get(region, async () => {
      const entries = await this.#trees.leaf(region);
      return new Map(entries.map((entry) => [entry.chunk, entry]));
    });
  }

  /** Where the chunk stands; null: it has no entry. */
  async entry(chunk: ChunkIndex): Promise<LeafEntry | null> {
    return (await this.entries(regionOf(chunk))).get(chunk) ?? null;
  }

  /** The whole chunk, verified; null: zeroes. Errors FORMAT_BAD and those of the store. */
  async chunk(chunk: ChunkIndex): Promise<Uint8Array | null> {
    if ((await this.entry(chunk)) === null) return null;
    let read: Uint8Array | { readonly error: unknown } | null = null;
    await this.read([chunk], {
      put: (_chunk, bytes) => {
        read = copyOf(bytes);
      },
      fail: (_chunk, error) => {
        read = { error };
      },
      wants: () => false,
    });
    const found = read as Uint8Array | { readonly error: unknown } | null;
    assert(found !== null, 'every chunk is put or fails');
    if (found instanceof Uint8Array) return found;
    throw found.error;
  }

  /** `chunks`, of one region: each is put, or fails, once before it resolves. */
  async read(chunks: readonly ChunkIndex[], taker: ChunkTaker): Promise<void> {
    const [first = 0] = chunks;
    let entries: RegionEntries;
    try {
      entries = await this.entries(regionOf(first));
    } catch (error) {
      for (const chunk of chunks) taker.fail(chunk, error);
      return;
    }
    const wanted: LeafEntry[] = [];
    for (const chunk of chunks) {
      assert(regionOf(chunk) === regionOf(first), 'chunks of one region are read together');
      const entry = entries.get(chunk);
      if (entry === undefined)
        taker.put(chunk, this.#scratch.subarray(0, chunkLength(chunk, this.#sizeBytes)).fill(0));
      else wanted.push(entry);
    }
    const asked = new Set(chunks);
    const together = batchesOf(wanted).map((batch) => this.#batch(batch, entries, asked, taker));
    await Promise.all(together);
  }

  async #batch(
    batch: readonly LeafEntry[],
    all: RegionEntries,
    asked: ReadonlySet<ChunkIndex>,
    taker: ChunkTaker,
  ): Promise<void> {
    const records = recordsOf(batch);
    await this.#room.take(records.length);
    try {
      const frames = this.#framesAt(records);
      // A frame that is here is laid into all that it makes whole.
      const isHere = ({ pieces }: LeafEntry): boolean =>
        pieces.every(({ place }) => place === null || frames.has(recordId(place)));
      const others = [...all.values()].filter(
        (entry) => !asked.has(entry.chunk) && isHere(entry) && taker.wants(entry.chunk),
      );
      for (const entry of [...batch, ...others]) {
        const failure = await this.#give(entry, frames, taker);
        if (failure !== null && asked.has(entry.chunk)) taker.fail(entry.chunk, failure.error);
      }
    } finally {
      this.#room.give(records.length);
    }
  }

  /** Puts the chunk; or says why it cannot be had. */
  async #give(
    entry: LeafEntry,
    frames: ReadonlyMap<string, Promise<SizedFrame>>,
    taker: ChunkTaker,
  ): Promise<{ readonly error: unknown } | null> {
    const found: { readonly piece: Piece; readonly frame: SizedFrame }[] = [];
    for (const piece of entry.pieces) {
      if (piece.place === null) continue;
      const coming = present(frames.get(recordId(piece.place)), 'all frames were asked for');
      try {
        found.push({ piece, frame: await coming });
      } catch (error) {
        return { error };
      }
    }
    // From here on nobody else runs, so that one piece of memory is enough for all.
    const bytes = this.#scratch.subarray(0, chunkLength(entry.chunk, this.#sizeBytes)).fill(0);
    for (const { piece, frame } of found) layFrame(frame, [{ entry, bytes, piece }]);
    if (!isWhole({ entry, bytes })) return { error: notWhole(this.#reader.store.url, entry) };
    taker.put(entry.chunk, bytes);
    return null;
  }

  #framesAt(records: readonly RecordPlace[]): ReadonlyMap<string, Promise<SizedFrame>> {
    const frames = new Map<string, Promise<SizedFrame>>();
    const absent: RecordPlace[] = [];
    for (const record of records) {
      const found = this.#frames.peek(recordId(record));
      if (found === null) absent.push(record);
      else frames.set(recordId(record), found);
    }
    for (const range of rangesOf(absent, RANGE_BYTES_MAX)) {
      const fetched = fetchRange(this.#reader, (pack) => this.#trees.nameOf(pack), range);
      for (const record of range.records) {
        const id = recordId(record);
        const frame = fetched.then((all) => this.#frameIn(all, record));
        frames.set(
          id,
          this.#frames.get(id, () => frame),
        );
      }
    }
    return frames;
  }

  #frameIn(fetched: FetchedRange, record: RecordPlace): SizedFrame {
    const found = frameIn(fetched, this.#reader, record, unpack);
    const { range, stored, place } = fetched;
    if (found.frame.blocks.buffer !== stored.buffer || range.records.length === 1) return found;
    // Stored as it is: what is kept of one frame must not keep all of its range.
    const at = record.offset - range.offset;
    const own = copyOf(stored, at, at + record.bytes);
    const alone = { range: { ...range, offset: record.offset }, stored: own, place };
    return frameIn(alone, this.#reader, record, unpack);
  }
}

/** In order, of few frames each; a chunk has 16 at most. */
function batchesOf(entries: readonly LeafEntry[]): LeafEntry[][] {
  const batches: LeafEntry[][] = [];
  let open: LeafEntry[] = [];
  const records = new Set<string>();
  for (const entry of entries) {
    const own = recordsOf([entry]).map(recordId);
    const more = own.filter((id) => !records.has(id)).length;
    if (records.size + more > FRAMES_TOGETHER_MAX && open.length > 0) {
      batches.push(open);
      open = [];
      records.clear();
    }
    open.push(entry);
    for (const id of own) records.add(id);
  }
  if (open.length > 0) batches.push(open);
  return batches;
}
