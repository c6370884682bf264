// Writes a disk as of a point of an archive onto a device, a span of 4 MiB after the other, while
// the next ones are on their way. Guarantee (Q1, Q2): what is written has the digest that the point
// says; what is there already, by its digest, is neither fetched nor written, so that a restore
// that was interrupted goes on by being begun again, and a stale disk gets only what differs.
// Everything is on the medium when it ends. Bytes are counted for the progress.
// Memory: LAID_AHEAD + WRITTEN_AT_ONCE spans, what Frames has, and what lay-frames.ts keeps.
import { BufferPool, mapAhead } from '../base/ahead.js';
import { equalBytes, isZero } from '../base/digest.js';
import { Mutex, Semaphore } from '../base/sync.js';
import {
  BLOCK_BYTES,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
} from '../base/units.js';
import type { Device } from '../disk/device.js';
import { LEAF_CHUNKS, type Leaf, type LeafEntry } from '../format/archive-leaf.js';
import { zeroDigest } from '../format/digest-table.js';
import {
  askChunks,
  REGION_BYTES,
  type RegionSource,
  readChunks,
  regionLength,
} from './archive-region.js';
import { Flusher } from './flusher.js';
import type { Asked } from './laying.js';
import { dropStale, mediumDigests } from './medium-reads.js';

const SPAN_CHUNKS = 64;
const SPAN_BYTES = SPAN_CHUNKS * CHUNK_BYTES;
/** Laid beside the one that is written: with more, what is written has left the caches. */
const LAID_AHEAD = 3;
/** Regions that are looked at and asked for beside these: an answer may take long. */
const REGIONS_AHEAD = 2;
/** Spans that are written at a time. */
const WRITTEN_AT_ONCE = 4;
/** Of these together: a file takes no two large writes at a time, and who waits for another takes
 * as much of a processor. */
const WRITTEN_BYTES_MAX = SPAN_BYTES;

export interface RestoreOptions {
  /** 'fresh': the device reads as zeroes everywhere; 'compare': what it has is read first, from the
   * medium (H18). */
  readonly target: 'fresh' | 'compare';
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Readonly<RestoreCounts>) => void;
}

export interface RestoreCounts {
  /** Of the disk, as far as it is right now. */
  doneBytes: number;
  totalBytes: number;
  /** Written, and left alone because it was right. */
  writtenBytes: number;
  equalBytes: number;
}

/** Consecutive chunks of one region. */
interface Span {
  readonly first: ChunkIndex;
  readonly count: number;
  /** As long as its chunks are on the disk. */
  readonly bytes: number;
}

/** What there is to do with a span, and what was asked for to do it. */
interface Planned {
  readonly span: Span;
  readonly wanted: Leaf;
  /** Null: nothing is wanted. */
  readonly asked: Asked | null;
  /** By chunk of the span. */
  readonly todo: readonly ('right' | 'content' | 'zeroes')[];
}

/** Content of a span, to be written. */
interface Ready extends Pick<Planned, 'span' | 'todo'> {
  readonly room: Uint8Array;
}

/** Rejects with the reason of `signal`, errors of the store, FORMAT_BAD and DISK_FAILED. */
export function restoreToDisk(
  source: RegionSource,
  device: Device,
  options: RestoreOptions,
): Promise<RestoreCounts> {
  return new Restoring(source, device, options).run();
}

class Restoring {
  readonly #source: RegionSource;
  readonly #device: Device;
  readonly #options: RestoreOptions;
  readonly #counts: RestoreCounts;
  readonly #flusher: Flusher;
  readonly #rooms = new BufferPool(SPAN_BYTES);
  readonly #reading = new Mutex();
  readonly #writing = new Semaphore(WRITTEN_BYTES_MAX);

  constructor(source: RegionSource, device: Device, options: RestoreOptions) {
    const totalBytes = source.sizeBytes;
    this.#source = source;
    this.#device = device;
    this.#options = options;
    this.#counts = { doneBytes: 0, totalBytes, writtenBytes: 0, equalBytes: 0 };
    this.#flusher = new Flusher(device);
  }

  async run(): Promise<RestoreCounts> {
    const { target, onProgress } = this.#options;
    const { trees, sizeBytes } = this.#source;
    const counts = this.#counts;
    if (target === 'compare') await dropStale(this.#device);
    const all = Math.ceil(sizeBytes / REGION_BYTES);
    const regions = within(target === 'fresh' ? trees.regions() : everyRegion(all), sizeBytes);
    const planned = mapAhead(regions, REGIONS_AHEAD, (region) => this.#plan(region));
    const laid = mapAhead(eachOf(planned), LAID_AHEAD, (plan) => this.#lay(plan));
    const written = mapAhead(laid, WRITTEN_AT_ONCE, (ready) => this.#put(ready));
    for await (const { first, bytes } of written) {
      counts.doneBytes = first * CHUNK_BYTES + bytes;
      onProgress?.(counts);
    }
    await this.#flusher.end();
    counts.doneBytes = sizeBytes;
    onProgress?.(counts);
    return counts;
  }

  /** Of a new disk, only where something is. */
  async #plan(region: number): Promise<readonly Planned[]> {
    const { target, signal } = this.#options;
    const { trees, sizeBytes } = this.#source;
    signal.throwIfAborted();
    const isFresh = target === 'fresh';
    const there = isFresh ? null : await this.#there(region);
    const leaf = await trees.leaf(region);
    const plans: Planned[] = [];
    for (const span of spansOf(region, sizeBytes)) {
      const end = span.first + span.count;
      const entries = leaf.filter(({ chunk }) => chunk >= span.first && chunk < end);
      if (isFresh && entries.length === 0) continue;
      const own = there?.slice(span.first % LEAF_CHUNKS, end - region * LEAF_CHUNKS) ?? null;
      const todo = todoOf(span, entries, own, sizeBytes);
      const wanted = entries.filter(({ chunk }) => todo[chunk - span.first] === 'content');
      const asked = wanted.length === 0 ? null : askChunks(this.#source, wanted);
      plans.push({ span, wanted, asked, todo });
    }
    return plans;
  }

  /** One region at a time. */
  #there(region: number): Promise<readonly (Uint8Array | null)[]> {
    const { sizeBytes } = this.#source;
    const start = region * REGION_BYTES;
    return this.#reading.run(() =>
      mediumDigests(this.#device, start, start + regionLength(region, sizeBytes)),
    );
  }

  async #lay({ span, wanted, asked, todo }: Planned): Promise<Ready> {
    this.#options.signal.throwIfAborted();
    const room = this.#rooms.take();
    const bytes = room.subarray(0, span.bytes);
    if (asked !== null) await readChunks(this.#source, span.first, wanted, bytes, asked);
    return { span, room, todo };
  }

  async #put(ready: Ready): Promise<Span> {
    const { span, room, todo } = ready;
    this.#options.signal.throwIfAborted();
    const bytes = CHUNK_BYTES * todo.filter((what) => what === 'content').length;
    await this.#writing.take(bytes);
    try {
      const written = await write(this.#device, ready, this.#options.target, this.#counts);
      await this.#flusher.wrote(written);
    } finally {
      this.#writing.give(bytes);
    }
    this.#rooms.give(room);
    return span;
  }
}

/** `there`: null where all is zeroes. What has no entry is zeroes. */
function todoOf(
  { first, count }: Span,
  leaf: readonly LeafEntry[],
  there: readonly (Uint8Array | null)[] | null,
  sizeBytes: number,
): Ready['todo'] {
  const todo: ('right' | 'content' | 'zeroes')[] = [];
  for (let i = 0; i < count; i += 1) {
    const zero = zeroDigest(chunkLength(first + i, sizeBytes));
    const has = there === null ? zero : (there[i] ?? null);
    todo.push(has !== null && equalBytes(has, zero) ? 'right' : 'zeroes');
  }
  for (const { chunk, digest, pieces } of leaf) {
    const zero = zeroDigest(chunkLength(chunk, sizeBytes));
    const has = there === null ? zero : (there[chunk - first] ?? null);
    const isZeroes = pieces.every(({ place }) => place === null);
    if (has !== null && equalBytes(has, digest)) todo[chunk - first] = 'right';
    else todo[chunk - first] = isZeroes && equalBytes(digest, zero) ? 'zeroes' : 'content';
  }
  return todo;
}

/** Returns the bytes that wait for the medium now. */
async function write(
  device: Device,
  { span, room, todo }: Ready,
  target: RestoreOptions['target'],
  counts: RestoreCounts,
): Promise<number> {
  const offset = span.first * CHUNK_BYTES;
  const end = span.bytes;
  let written = 0;
  let from = 0;
  /** Ends a run of content that began at `from`. */
  const flush = async (to: number): Promise<void> => {
    if (to > from) await device.write(offset + from, room.subarray(from, to));
    written += to - from;
  };
  for (const [i, what] of todo.entries()) {
    const at = i * CHUNK_BYTES;
    const to = Math.min(end, at + CHUNK_BYTES);
    let has = 0;
    // On a fresh device every block that is zeroes stays a hole, and is none of what was right.
    const grain = target === 'fresh' && what === 'content' ? BLOCK_BYTES : CHUNK_BYTES;
    for (let begin = at; begin < to; begin += grain) {
      const next = Math.min(to, begin + grain);
      const isContent = what === 'content' && !isZero(room.subarray(begin, next));
      if (isContent) has += next - begin;
      if (isContent) continue;
      await flush(begin);
      from = next;
    }
    if (target === 'fresh') {
      counts.writtenBytes += has;
      continue;
    }
    if (what === 'right') counts.equalBytes += to - at;
    else counts.writtenBytes += to - at;
    if (has > 0 || what === 'right') continue;
    device.zeroNow(offset + at, to - at, true);
    written += to - at;
  }
  await flush(end);
  return written;
}

async function* everyRegion(count: number): AsyncGenerator<number> {
  for (let region = 0; region < count; region += 1) yield region;
}

/** A disk may have been longer once than at this point. */
async function* within(regions: AsyncIterable<number>, sizeBytes: number): AsyncGenerator<number> {
  for await (const region of regions) if (region * REGION_BYTES < sizeBytes) yield region;
}

function* spansOf(region: number, sizeBytes: number): Generator<Span> {
  const end = Math.min(chunkCount(sizeBytes), (region + 1) * LEAF_CHUNKS);
  for (let first = region * LEAF_CHUNKS; first < end; first += SPAN_CHUNKS) {
    const count = Math.min(SPAN_CHUNKS, end - first);
    const bytes = Math.min(count * CHUNK_BYTES, sizeBytes - first * CHUNK_BYTES);
    yield { first, count, bytes };
  }
}

async function* eachOf<T>(lists: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const list of lists) yield* list;
}
