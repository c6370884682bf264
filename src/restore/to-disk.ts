// Writes a disk as of a point of an archive onto a device, a span of 4 MiB after the other, while
// the next ones are on their way. Guarantee (Q1, Q2): what is written has the digest that the point
// says; what is there already, by its digest, is neither fetched nor written, so that a restore
// that was interrupted goes on by being begun again, and a stale disk gets only what differs.
// Everything is on the medium when it ends. Bytes are counted for the progress.
// Memory: LAID_AHEAD + 1 spans, and what Frames has under way.
import { Kept } from '../archive/kept.js';
import { BufferPool, mapAhead } from '../base/ahead.js';
import { digestOf, equalBytes, isZero } from '../base/digest.js';
import { Mutex } from '../base/sync.js';
import {
  BLOCK_BYTES,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  MIB,
} from '../base/units.js';
import type { Device } from '../disk/device.js';
import { LEAF_CHUNKS, type Leaf, type LeafEntry, regionOf } from '../format/archive-leaf.js';
import { zeroDigest } from '../format/digest-table.js';
import { askChunks, REGION_BYTES, type RegionSource, readChunks } from './archive-region.js';
import type { Asked } from './laying.js';
import { canRead, dropStale } from './medium-reads.js';

const SPAN_CHUNKS = 64;
const SPAN_BYTES = SPAN_CHUNKS * CHUNK_BYTES;
/** Laid beside the one that is written: with more, what is written has left the caches. */
const LAID_AHEAD = 3;
/** Asked for beside these: an answer may take long. */
const ASKED_AHEAD = 6;
/** Of regions. */
const LEAVES_KEPT = 4;
const READ_BYTES = MIB;
/** Pieces that are read at a time, of one span: a rotating disk reads on where it is. */
const READS_AHEAD = 4;
/** Written bytes that may wait for the medium, twice: while some are flushed, others are made. */
const SYNC_BYTES = 256 * MIB;

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
  readonly asked: Asked;
  /** By chunk of the span. */
  readonly todo: readonly ('right' | 'content' | 'zeroes')[];
}

/** Content of a span, to be written. */
interface Ready extends Pick<Planned, 'span' | 'todo'> {
  readonly room: Uint8Array;
}

/** Rejects with the reason of `signal`, errors of the store, FORMAT_BAD and DISK_FAILED. */
export async function restoreToDisk(
  source: RegionSource,
  device: Device,
  { target, signal, onProgress }: RestoreOptions,
): Promise<RestoreCounts> {
  const { sizeBytes, trees } = source;
  const counts: RestoreCounts = {
    doneBytes: 0,
    totalBytes: sizeBytes,
    writtenBytes: 0,
    equalBytes: 0,
  };
  const rooms = new BufferPool(SPAN_BYTES);
  const leaves = new Kept<number, Leaf>(LEAVES_KEPT);
  const one = new Mutex();
  if (target === 'compare') await dropStale(device);
  const plan = async (span: Span): Promise<Planned> => {
    signal.throwIfAborted();
    const { first, count } = span;
    const there = target === 'fresh' ? null : await one.run(() => digestsOf(device, span));
    const region = regionOf(first);
    const all = await leaves.get(region, () => trees.leaf(region));
    const leaf = all.filter(({ chunk }) => chunk >= first && chunk < first + count);
    const todo = todoOf(span, leaf, there, sizeBytes);
    const wanted = leaf.filter(({ chunk }) => todo[chunk - first] === 'content');
    return { span, wanted, asked: askChunks(source, wanted), todo };
  };
  const lay = async ({ span, wanted, asked, todo }: Planned): Promise<Ready> => {
    const room = rooms.take();
    const bytes = room.subarray(0, span.bytes);
    if (wanted.length > 0) await readChunks(source, span.first, wanted, bytes, asked);
    return { span, room, todo };
  };
  const regions =
    target === 'fresh' ? trees.regions() : everyRegion(Math.ceil(sizeBytes / REGION_BYTES));
  const flusher = new Flusher(device);
  const planned = mapAhead(spansOf(regions, sizeBytes), ASKED_AHEAD, plan);
  for await (const ready of mapAhead(planned, LAID_AHEAD, lay)) {
    signal.throwIfAborted();
    await flusher.wrote(await write(device, ready, target, counts));
    rooms.give(ready.room);
    counts.doneBytes = ready.span.first * CHUNK_BYTES + ready.span.bytes;
    onProgress?.(counts);
  }
  await flusher.end();
  counts.doneBytes = sizeBytes;
  onProgress?.(counts);
  return counts;
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
  /** Ends a run of content that began at `from`. One after the other: a file takes no two writes at
   * a time, and who waits for another takes as much of a processor. */
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

/** Flushes beside the writing, one flush at a time. */
class Flusher {
  readonly #device: Device;
  #unsyncedBytes = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Waits while too much does. Errors DISK_FAILED, also of an earlier flush. */
  async wrote(bytes: number): Promise<void> {
    this.#unsyncedBytes += bytes;
    if (this.#unsyncedBytes < SYNC_BYTES) return;
    this.#unsyncedBytes = 0;
    await this.#running;
    this.#running = this.#device.sync();
    this.#running.catch(() => undefined);
  }

  async end(): Promise<void> {
    await this.#running;
    await this.#device.sync();
  }
}

/** Digests of the chunks of a span as the medium has them; what cannot be read is not right. */
async function digestsOf(
  device: Device,
  { first, bytes }: Span,
): Promise<readonly (Uint8Array | null)[]> {
  const start = first * CHUNK_BYTES;
  const end = start + bytes;
  const digests: (Uint8Array | null)[] = [];
  const free: Uint8Array[] = [];
  const read = async (at: number): Promise<readonly (Uint8Array | null)[]> => {
    const room = free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
    const own = await digestsAt(device, at, room.subarray(0, Math.min(READ_BYTES, end - at)));
    free.push(room);
    return own;
  };
  const pieces = Array.from({ length: Math.ceil((end - start) / READ_BYTES) }, (_, piece) => piece);
  const offsets = pieces.map((piece) => start + piece * READ_BYTES);
  for await (const own of mapAhead(offsets, READS_AHEAD, read)) digests.push(...own);
  return digests;
}

/** Of the chunks that `bytes` is room for. */
async function digestsAt(
  device: Device,
  at: number,
  bytes: Uint8Array,
): Promise<readonly (Uint8Array | null)[]> {
  const isHole = device.nextData(at) >= at + bytes.length;
  const isRead = isHole || (await canRead(device, at, bytes));
  const digests: (Uint8Array | null)[] = [];
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    const chunk = bytes.subarray(from, from + CHUNK_BYTES);
    if (isHole) digests.push(zeroDigest(chunk.length));
    else if (isRead || (await canRead(device, at + from, chunk))) digests.push(digestOf(chunk));
    else digests.push(null);
  }
  return digests;
}

async function* everyRegion(count: number): AsyncGenerator<number> {
  for (let region = 0; region < count; region += 1) yield region;
}

/** As far as the disk reaches: it may have been longer once than at this point. */
async function* spansOf(regions: AsyncIterable<number>, sizeBytes: number): AsyncGenerator<Span> {
  const chunks = chunkCount(sizeBytes);
  for await (const region of regions) {
    const end = Math.min(chunks, (region + 1) * LEAF_CHUNKS);
    for (let first = region * LEAF_CHUNKS; first < end; first += SPAN_CHUNKS) {
      const count = Math.min(SPAN_CHUNKS, end - first);
      const bytes = Math.min(count * CHUNK_BYTES, sizeBytes - first * CHUNK_BYTES);
      yield { first, count, bytes };
    }
  }
}
