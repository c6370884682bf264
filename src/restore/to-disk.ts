// Writes a disk as of a point of an archive onto a device, region by region in order, while the
// next ones are on their way. Guarantee (Q1, Q2): what is written has the digest that the point
// says; what is there already, by its digest, is neither fetched nor written, so that a restore
// that was interrupted goes on by being begun again, and a stale disk gets only what differs.
// Everything is on the medium when it ends. Bytes are counted for the progress.
// Memory: REGIONS_AHEAD + 1 regions, and what Frames has under way.
import { mapAhead } from '../base/ahead.js';
import { digestOf, equalBytes, isZero } from '../base/digest.js';
import { Mutex } from '../base/sync.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkLength, MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { LEAF_CHUNKS, type LeafEntry } from '../format/archive-leaf.js';
import { zeroDigest } from '../format/digest-table.js';
import { REGION_BYTES, type RegionSource, readRegion, regionLength } from './archive-region.js';
import { canRead, dropStale } from './medium-reads.js';

/** Regions fetched beside the one that is written: 16 MiB each. */
const REGIONS_AHEAD = 3;
/** Written in one piece, at most: several pieces are under way. */
const WRITE_BYTES_MAX = MIB;
const READ_BYTES = MIB;
/** Pieces that are read at a time, of one region: a rotating disk reads on where it is. */
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

/** A region, and which of its chunks are to be written. */
interface Ready {
  readonly region: number;
  readonly bytes: Uint8Array;
  /** By chunk of the region. */
  readonly todo: readonly ('right' | 'content' | 'zeroes')[];
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
  const free: Uint8Array[] = [];
  const one = new Mutex();
  if (target === 'compare') await dropStale(device);
  const work = async (region: number): Promise<Ready> => {
    signal.throwIfAborted();
    const there =
      target === 'fresh' ? null : await one.run(() => digestsOf(device, region, sizeBytes));
    const leaf = await trees.leaf(region);
    const todo = todoOf(region, leaf, there, sizeBytes);
    const wanted = leaf.filter(({ chunk }) => todo[chunk % LEAF_CHUNKS] === 'content');
    // Fresh memory for each region costs the kernel more than laying it together.
    const bytes = free.pop() ?? Buffer.allocUnsafeSlow(REGION_BYTES);
    if (wanted.length > 0) await readRegion(source, region, wanted, bytes);
    return { region, bytes, todo };
  };
  const regions =
    target === 'fresh' ? trees.regions() : everyRegion(Math.ceil(sizeBytes / REGION_BYTES));
  const flusher = new Flusher(device);
  for await (const ready of mapAhead(within(regions, sizeBytes), REGIONS_AHEAD, work)) {
    signal.throwIfAborted();
    await flusher.wrote(await write(device, ready, target, counts));
    free.push(ready.bytes);
    counts.doneBytes = ready.region * REGION_BYTES + regionLength(ready.region, sizeBytes);
    onProgress?.(counts);
  }
  await flusher.end();
  counts.doneBytes = sizeBytes;
  onProgress?.(counts);
  return counts;
}

/** `there`: null where all is zeroes. What has no entry is zeroes. */
function todoOf(
  region: number,
  leaf: readonly LeafEntry[],
  there: readonly (Uint8Array | null)[] | null,
  sizeBytes: number,
): Ready['todo'] {
  const first = region * LEAF_CHUNKS;
  const count = Math.ceil(regionLength(region, sizeBytes) / CHUNK_BYTES);
  const todo: ('right' | 'content' | 'zeroes')[] = [];
  for (let i = 0; i < count; i += 1) {
    const zero = zeroDigest(chunkLength(first + i, sizeBytes));
    const has = there === null ? zero : (there[i] ?? null);
    todo.push(has !== null && equalBytes(has, zero) ? 'right' : 'zeroes');
  }
  for (const { chunk, digest, pieces } of leaf) {
    if (chunk >= first + count) break; // the disk was longer once
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
  { region, bytes, todo }: Ready,
  target: RestoreOptions['target'],
  counts: RestoreCounts,
): Promise<number> {
  const offset = region * REGION_BYTES;
  const end = regionLength(region, device.sizeBytes);
  let written = 0;
  let from = 0;
  const writes: Promise<void>[] = [];
  /** Ends a run of content that began at `from`. */
  const flush = (to: number): void => {
    if (to > from) writes.push(device.write(offset + from, bytes.subarray(from, to)));
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
      const isContent = what === 'content' && !isZero(bytes.subarray(begin, next));
      if (isContent) has += next - begin;
      if (isContent && begin - from < WRITE_BYTES_MAX) continue;
      flush(begin);
      from = isContent ? begin : next;
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
  flush(end);
  const settled = await Promise.allSettled(writes);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
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

/** Digests of the chunks of a region as the medium has them; what cannot be read is not right. */
async function digestsOf(
  device: Device,
  region: number,
  sizeBytes: number,
): Promise<readonly (Uint8Array | null)[]> {
  const start = region * REGION_BYTES;
  const end = start + regionLength(region, sizeBytes);
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

/** A disk may have been longer once than at this point. */
async function* within(regions: AsyncIterable<number>, sizeBytes: number): AsyncGenerator<number> {
  for await (const region of regions) if (region * REGION_BYTES < sizeBytes) yield region;
}
