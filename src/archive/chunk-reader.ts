// Content of chunks as of a point of an archive: the frames that have their blocks are read, those
// that stand together in one request, each once while it is kept or on its way, and laid together.
// Guarantee (Q1): what is handed out has the digest that the point says, or an error names the chunk
// and where it stands. Memory: FRAMES_KEPT_BYTES_MAX of frames, and MIBS_UNDER_WAY_MAX of what is
// being read, as frames and as chunks.
import { assert, present } from '../base/assert.js';
import { Semaphore } from '../base/sync.js';
import { type ChunkIndex, chunkLength, MIB } from '../base/units.js';
import { type LeafEntry, type RecordPlace, regionOf } from '../format/archive-leaf.js';
import { copyOf } from '../format/layout.js';
import { unpack } from '../format/pack.js';
import {
  type FetchedRange,
  fetchRange,
  frameIn,
  rangesOf,
  recordId,
  recordsOf,
} from './frame-ranges.js';
import { Kept } from './kept.js';
import {
  isWhole,
  layFrame,
  notWhole,
  type RecordUses,
  type SizedFrame,
  usesOf,
  type Wanted,
} from './laying.js';
import type { RecordReader } from './records.js';
import type { PointTrees } from './tree.js';

const FRAMES_KEPT_BYTES_MAX = 16 * MIB;
/** Leaves as objects: some 80 KiB each. */
const LEAVES_KEPT_MAX = 64;
const RANGE_BYTES_MAX = 2 * MIB;
/** Of frames, which have a MiB at most, or of chunks, whichever is more. */
const MIBS_UNDER_WAY_MAX = 24;
/** Laid together at once; a chunk has 16 at most. */
const FRAMES_TOGETHER_MAX = 8;
const CHUNKS_TOGETHER_MAX = 64;
const CHUNKS_OF_MIB = 16;

/** Takes what is read, as soon as it is there. */
export interface ChunkTaker {
  /** The whole chunk, verified; the memory is the taker's. */
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
  readonly #room = new Semaphore(MIBS_UNDER_WAY_MAX);

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
        read = bytes;
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
      if (entry === undefined) taker.put(chunk, this.#zeroes(chunk));
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
    const mibs = Math.max(records.length, Math.ceil(batch.length / CHUNKS_OF_MIB));
    await this.#room.take(mibs);
    try {
      const frames = this.#framesAt(records);
      // A frame that is here is laid into all that it makes whole.
      const isHere = ({ pieces }: LeafEntry): boolean =>
        pieces.every(({ place }) => place === null || frames.has(recordId(place)));
      const others = [...all.values()].filter(
        (entry) => !asked.has(entry.chunk) && isHere(entry) && taker.wants(entry.chunk),
      );
      const wanted = [...batch, ...others].map((entry) => ({
        entry,
        bytes: this.#zeroes(entry.chunk),
      }));
      const laid = this.#layEach(usesOf(wanted), frames);
      for (const one of wanted) {
        const found = await this.#whole(one, laid);
        if (found.error === null) taker.put(one.entry.chunk, one.bytes);
        else if (asked.has(one.entry.chunk)) taker.fail(one.entry.chunk, found.error);
      }
    } finally {
      this.#room.give(mibs);
    }
  }

  /** Lays each frame when it comes; by record, the error of one that cannot be had, or null. */
  #layEach(
    uses: ReadonlyMap<string, RecordUses>,
    frames: ReadonlyMap<string, Promise<SizedFrame>>,
  ): ReadonlyMap<string, Promise<unknown>> {
    const laid = new Map<string, Promise<unknown>>();
    for (const [id, { uses: own }] of uses) {
      const frame = present(frames.get(id), 'frames of all pieces were asked for');
      laid.set(
        id,
        frame.then(
          (opened) => {
            layFrame(opened, own);
            return null;
          },
          (error: unknown) => error,
        ),
      );
    }
    return laid;
  }

  async #whole(
    wanted: Wanted,
    laid: ReadonlyMap<string, Promise<unknown>>,
  ): Promise<{ readonly error: unknown }> {
    for (const { place } of wanted.entry.pieces) {
      const error = place === null ? null : await laid.get(recordId(place));
      if (error !== null) return { error };
    }
    if (isWhole(wanted)) return { error: null };
    return { error: notWhole(this.#reader.store.url, wanted.entry) };
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

  /** In memory of its own: what is kept of one frame must not keep all of its range. */
  #frameIn({ range, stored, place }: FetchedRange, record: RecordPlace): SizedFrame {
    const at = record.offset - range.offset;
    const own = copyOf(stored, at, at + record.bytes);
    const alone = { range: { ...range, offset: record.offset }, stored: own, place };
    return frameIn(alone, this.#reader, record, unpack);
  }

  #zeroes(chunk: ChunkIndex): Uint8Array {
    return new Uint8Array(chunkLength(chunk, this.#sizeBytes));
  }
}

/** In order, of few frames and few chunks each. */
function batchesOf(entries: readonly LeafEntry[]): LeafEntry[][] {
  const batches: LeafEntry[][] = [];
  let open: LeafEntry[] = [];
  const records = new Set<string>();
  for (const entry of entries) {
    const own = recordsOf([entry]).map(recordId);
    const more = own.filter((id) => !records.has(id)).length;
    const isFull = records.size + more > FRAMES_TOGETHER_MAX || open.length >= CHUNKS_TOGETHER_MAX;
    if (isFull && open.length > 0) {
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
