// One undo of the chain as readers use it: which blocks of a chunk it has, the chunk's digest, and
// the content. Opening reads the whole index once and checks it (openChangeset); then 24 bytes a
// frame stay in memory, and what is asked for is read again, a frame's part of the index or the
// frame, and held for the next chunk (held.ts). Frames ascend in general, but a chunk that was
// asked for whole comes in a later frame too: a chunk is looked for in every frame that reaches
// over it. An undo never changes (H26), and is not removed while somebody reads it (H32); its file
// is open only while something is read. Offsets are bytes in the file.
import type { FileHandle, Files } from '../base/files.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, type ChunkIndex } from '../base/units.js';
import {
  type ChangesetHeader,
  FRAME_BLOCK_BYTES_MAX,
  type FrameEntry,
} from '../format/changeset.js';
import { CHANGESET_TRAILER_BYTES } from '../format/changeset-file.js';
import {
  INDEX_ENTRY_BYTES,
  type IndexEntries,
  type IndexEntry,
  indexEntries,
} from '../format/changeset-index.js';
import { type ChangesetReader, openChangeset, openFrame } from '../format/changeset-reader.js';
import { decodeFrame } from '../format/frame.js';
import { entryBytes } from '../format/frame-spans.js';
import { bad } from '../format/layout.js';
import { unpack } from '../format/pack.js';
import type { Held } from './held.js';

/** About what an entry of a decoded frame takes. */
const ENTRY_MEMORY_BYTES = 200;

/** A decoded frame, by chunk. */
type Content = ReadonlyMap<ChunkIndex, { readonly entry: FrameEntry; readonly blocks: Uint8Array }>;

/** Frames by number; `order` has their numbers by first chunk, `reach` the last chunk of any frame
 * up to there. */
interface Frames {
  readonly first: Uint32Array;
  readonly last: Uint32Array;
  readonly entry: Uint32Array;
  readonly offset: Float64Array;
  readonly order: Uint32Array;
  readonly reach: Uint32Array;
}

export class UndoIndex {
  readonly #files: Files;
  readonly #path: string;
  readonly #held: Held;
  readonly header: ChangesetHeader;
  /** Of the file. */
  readonly fileBytes: number;
  readonly #indexOffset: number;
  readonly #entries: number;
  readonly #frames: Frames;

  private constructor(
    files: Files,
    path: string,
    held: Held,
    changeset: ChangesetReader,
    frames: Frames,
  ) {
    this.#files = files;
    this.#path = path;
    this.#held = held;
    this.header = changeset.header;
    this.fileBytes =
      changeset.indexOffset + changeset.totals.chunks * INDEX_ENTRY_BYTES + CHANGESET_TRAILER_BYTES;
    this.#indexOffset = changeset.indexOffset;
    this.#entries = changeset.totals.chunks;
    this.#frames = frames;
  }

  /** Errors FORMAT_BAD, FORMAT_VERSION, of the file system. */
  static open(files: Files, path: string, held: Held): Promise<UndoIndex> {
    return withFile(files, path, async (handle) => {
      const changeset = await openChangeset(handle);
      return new UndoIndex(files, path, held, changeset, await framesOf(changeset));
    });
  }

  /** What it has of a chunk: nothing, or an entry for each frame with blocks of it. All of them are
   * what the chunk was before the same apply, with the same digest. */
  async find(chunk: ChunkIndex): Promise<readonly IndexEntry[]> {
    const { first, last, order, reach } = this.#frames;
    const found: IndexEntry[] = [];
    for (let at = after(order, first, chunk) - 1; at >= 0 && (reach[at] ?? 0) >= chunk; at -= 1) {
      const frame = order[at] ?? 0;
      if ((last[frame] ?? 0) < chunk) continue;
      const entries = await this.#entriesOf(frame);
      const i = position(entries, chunk);
      if (i !== null) found.push(entries.entry(i));
    }
    return found;
  }

  /** Copies the blocks of `mask`, a part of the entry's, to their places in the chunk; the disk may
   * have ended within the last one then, or end there now. Zero blocks need no file. */
  async lay({ chunk, frame, zero }: IndexEntry, mask: number, into: Uint8Array): Promise<void> {
    fill(into, mask & zero, null);
    if ((mask & ~zero) === 0) return;
    const found = (await this.#content(frame)).get(chunk);
    const has = found === undefined ? 0 : found.entry.mask & ~found.entry.zero;
    if (found === undefined || (mask & ~zero & ~has) !== 0) {
      throw bad(
        { what: 'changeset', place: this.#path },
        `frame ${frame} is not what its index says`,
      );
    }
    fill(into, mask & ~zero, { has, blocks: found.blocks });
  }

  /** Every entry there is, in pieces. */
  async *pieces(): AsyncGenerator<IndexEntries> {
    const handle = await this.#files.open(this.#path, 'read');
    try {
      const changeset = await openChangeset(handle);
      for await (const piece of changeset.indexPieces()) yield indexEntries(piece);
    } finally {
      await handle.close();
    }
  }

  /** Every entry there is, by chunk; those of one chunk follow each other, in no order. */
  async *ascending(): AsyncGenerator<IndexEntry> {
    const { first, order } = this.#frames;
    // Frames that reach over where it is: one, and those with chunks that were asked for whole.
    const open: { readonly entries: IndexEntries; at: number }[] = [];
    let next = 0;
    for (;;) {
      let chunk = Math.min(...open.map(({ entries, at }) => entries.chunk(at)));
      for (; next < order.length; next += 1) {
        const frame = order[next] ?? 0;
        const begins = first[frame] ?? 0;
        if (begins > chunk) break;
        open.push({ entries: await this.#entriesOf(frame), at: 0 });
        chunk = begins;
      }
      const from = open.find(({ entries, at }) => entries.chunk(at) === chunk);
      if (from === undefined) return;
      yield from.entries.entry(from.at);
      from.at += 1;
      if (from.at === from.entries.count) open.splice(open.indexOf(from), 1);
    }
  }

  #entriesOf(frame: number): Promise<IndexEntries> {
    const from = this.#frames.entry[frame] ?? 0;
    const to = this.#frames.entry[frame + 1] ?? this.#entries;
    const bytes = new Uint8Array((to - from) * INDEX_ENTRY_BYTES);
    const at = this.#indexOffset + from * INDEX_ENTRY_BYTES;
    return this.#held.get(`${this.#path} index ${frame}`, bytes.length, () =>
      withFile(this.#files, this.#path, async (handle) => {
        const got = await handle.read(bytes, at);
        if (got === bytes.length) return indexEntries(bytes);
        throw bad({ what: 'changeset index', place: this.#path }, 'it was longer');
      }),
    );
  }

  #content(frame: number): Promise<Content> {
    const from = this.#frames.entry[frame] ?? 0;
    const to = this.#frames.entry[frame + 1] ?? this.#entries;
    const bytes = FRAME_BLOCK_BYTES_MAX + (to - from) * ENTRY_MEMORY_BYTES;
    return this.#held.get(`${this.#path} frame ${frame}`, bytes, () =>
      withFile(this.#files, this.#path, async (handle) => {
        const stored = await openFrame(handle, this.#frames.offset[frame] ?? 0);
        const place = `${this.#path} at ${stored.offset}`;
        const { entries, blocks } = decodeFrame(stored.bytes, place, unpack, this.header.sizeBytes);
        const content = new Map<ChunkIndex, { entry: FrameEntry; blocks: Uint8Array }>();
        let start = 0;
        for (const entry of entries) {
          const end = start + entryBytes(entry, this.header.sizeBytes);
          if (end > start) content.set(entry.chunk, { entry, blocks: blocks.subarray(start, end) });
          start = end;
        }
        return content;
      }),
    );
  }
}

/** Zeroes, or what `from` has of the blocks of its mask, back to back. */
function fill(
  into: Uint8Array,
  mask: number,
  from: { readonly has: number; readonly blocks: Uint8Array } | null,
): void {
  let at = 0;
  for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
    const bit = 1 << block;
    const start = block * BLOCK_BYTES;
    if ((mask & bit) !== 0 && start < into.length) {
      const end = Math.min(start + BLOCK_BYTES, into.length);
      if (from === null) into.fill(0, start, end);
      else into.set(from.blocks.subarray(at, at + end - start), start);
    }
    if (from !== null && (from.has & bit) !== 0) at += BLOCK_BYTES;
  }
}

async function framesOf(changeset: ChangesetReader): Promise<Frames> {
  const offsets = await changeset.frameOffsets();
  const count = offsets.length;
  const [first, last, entry] = [0, 0, 0].map(() => new Uint32Array(count)) as Three;
  let before = -1;
  let number = 0;
  for await (const piece of changeset.indexPieces()) {
    const entries = indexEntries(piece);
    for (let i = 0; i < entries.count; i += 1) {
      const [frame, chunk] = [entries.frame(i), entries.chunk(i)];
      if (frame !== before) {
        first[frame] = chunk;
        entry[frame] = number;
      }
      last[frame] = chunk;
      before = frame;
      number += 1;
    }
  }
  const order = Uint32Array.from(first.keys()).sort((a, b) => (first[a] ?? 0) - (first[b] ?? 0));
  const reach = new Uint32Array(count);
  order.forEach((frame, at) => {
    reach[at] = Math.max(last[frame] ?? 0, at === 0 ? 0 : (reach[at - 1] ?? 0));
  });
  return { first, last, entry, offset: Float64Array.from(offsets), order, reach };
}

type Three = [Uint32Array, Uint32Array, Uint32Array];

/** How many frames of `order` begin at `chunk` or before. */
function after(order: Uint32Array, first: Uint32Array, chunk: ChunkIndex): number {
  let [low, high] = [0, order.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((first[order[middle] ?? 0] ?? 0) <= chunk) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Of a frame's entries, which ascend, the one of `chunk`. */
function position(entries: IndexEntries, chunk: ChunkIndex): number | null {
  let [low, high] = [0, entries.count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries.chunk(middle) < chunk) low = middle + 1;
    else high = middle;
  }
  return low < entries.count && entries.chunk(low) === chunk ? low : null;
}

async function withFile<T>(
  files: Files,
  path: string,
  work: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  const handle = await files.open(path, 'read');
  try {
    return await work(handle);
  } finally {
    await handle.close();
  }
}
