// Writes a disk as of a point of an archive onto a device, region by region in order, while the
// next ones are on their way. Guarantee (Q1, Q2): what is written has the digest that the point
// says; what is there already, by its digest, is neither fetched nor written, so that a restore
// that was interrupted goes on by being begun again, and a stale disk gets only what differs.
// Everything is on the medium when it ends. Bytes are counted for the progress.
import { mapAhead } from '../base/ahead.js';
import { digestOf, equalBytes, isZero } from '../base/digest.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength, MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { LEAF_CHUNKS, type LeafEntry } from '../format/archive-leaf.js';
import { zeroDigest } from '../format/digest-table.js';
import { REGION_BYTES, type RegionSource, readRegion } from './archive-region.js';

/** Regions fetched beside the one that is written: 16 MiB each. */
const REGIONS_AHEAD = 3;
/** Written bytes that may wait for the medium. */
const SYNC_BYTES = 256 * MIB;

export interface RestoreOptions {
  /** 'fresh': the device reads as zeroes everywhere; 'compare': what it has is read first. */
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
  let unsynced = 0;
  const work = async (region: number) => {
    const there = target === 'fresh' ? null : await digestsOf(device, region, sizeBytes);
    const leaf = await trees.leaf(region);
    const isRight = ({ chunk, digest }: LeafEntry): boolean => {
      const has = there?.get(chunk);
      return has !== undefined && equalBytes(has, digest);
    };
    const read = await readRegion(source, region, leaf, (entry) => !isRight(entry));
    return { ...read, region, there, isRight };
  };
  const regions =
    target === 'fresh' ? trees.regions() : everyRegion(Math.ceil(sizeBytes / REGION_BYTES));
  for await (const { region, offset, bytes, leaf, there, isRight } of mapAhead(
    within(regions, sizeBytes),
    REGIONS_AHEAD,
    work,
  )) {
    signal.throwIfAborted();
    const known = new Map(leaf.map((entry) => [entry.chunk, entry]));
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = region * LEAF_CHUNKS + at / CHUNK_BYTES;
      const content = bytes.subarray(at, at + CHUNK_BYTES);
      const entry = known.get(chunk);
      const right = entry === undefined ? isZeroes(there, chunk, sizeBytes) : isRight(entry);
      if (right) counts.equalBytes += content.length;
      else {
        await put(device, offset + at, content, target);
        counts.writtenBytes += content.length;
        unsynced += content.length;
      }
    }
    counts.doneBytes = offset + bytes.length;
    onProgress?.(counts);
    if (unsynced < SYNC_BYTES) continue;
    await device.sync();
    unsynced = 0;
  }
  await device.sync();
  counts.doneBytes = sizeBytes;
  onProgress?.(counts);
  return counts;
}

/** Nothing is there to be zeroed on a fresh device. */
const isZeroes = (
  there: ReadonlyMap<ChunkIndex, Uint8Array> | null,
  chunk: ChunkIndex,
  sizeBytes: number,
): boolean =>
  there === null ||
  equalBytes(there.get(chunk) ?? new Uint8Array(0), zeroDigest(chunkLength(chunk, sizeBytes)));

async function put(
  device: Device,
  offset: number,
  content: Uint8Array,
  target: RestoreOptions['target'],
): Promise<void> {
  if (!isZero(content)) await device.write(offset, content);
  else if (target === 'compare') device.zeroNow(offset, content.length, true);
}

/** Digests of the chunks of a region as the device has them; what cannot be read is not right. */
async function digestsOf(
  device: Device,
  region: number,
  sizeBytes: number,
): Promise<ReadonlyMap<ChunkIndex, Uint8Array>> {
  const digests = new Map<ChunkIndex, Uint8Array>();
  const bytes = new Uint8Array(CHUNK_BYTES);
  const first = region * LEAF_CHUNKS;
  for (let chunk = first; chunk < first + LEAF_CHUNKS; chunk += 1) {
    const length = chunkLength(chunk, sizeBytes);
    if (length <= 0) break;
    const content = bytes.subarray(0, length);
    try {
      await device.read(chunk * CHUNK_BYTES, content);
    } catch {
      continue;
    }
    digests.set(chunk, digestOf(content).slice());
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
