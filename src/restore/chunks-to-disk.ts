// Writes a disk as of a point onto a device, chunk by chunk in order as they come, each verified by
// who reads the point. What the device has already, byte by byte, is not written: a restore that
// was interrupted, begun again onto what it left, writes the rest; nothing of an old disk survives.
// Everything is on the medium when it ends. Bytes are counted for the progress.
import { assert } from '../base/assert.js';
import { equalBytes, isZero } from '../base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkCount, chunkLength, MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { PointChunk } from './chunk-source.js';
import { canRead, dropStale } from './medium-reads.js';
import type { RestoreCounts, RestoreOptions } from './to-disk.js';

/** Written bytes that may wait for the medium. */
const SYNC_BYTES = 256 * MIB;

/** Rejects with the reason of `signal`, errors of the chunks, DISK_FAILED. */
export async function restoreChunks(
  chunks: AsyncIterable<PointChunk>,
  sizeBytes: number,
  device: Device,
  { target, signal, onProgress }: RestoreOptions,
): Promise<RestoreCounts> {
  const counts: RestoreCounts = {
    doneBytes: 0,
    totalBytes: sizeBytes,
    writtenBytes: 0,
    equalBytes: 0,
  };
  const there = new Uint8Array(CHUNK_BYTES);
  const zeroes = new Uint8Array(CHUNK_BYTES);
  let [next, unsynced] = [0, 0];
  if (target === 'compare') await dropStale(device);
  for await (const { chunk, bytes } of chunks) {
    signal.throwIfAborted();
    assert(chunk === next, 'chunks come in order, without gaps');
    next += 1;
    const offset = chunk * CHUNK_BYTES;
    const length = chunkLength(chunk, sizeBytes);
    const content = bytes ?? zeroes.subarray(0, length);
    assert(content.length === length, 'a chunk is as long as it is on the disk');
    const isNothing = bytes === null || isZero(bytes);
    let written = 0;
    if (target === 'fresh') {
      if (!isNothing) written = await writeThin(device, offset, content);
    } else if (await isThere(device, offset, content, there.subarray(0, length), isNothing)) {
      counts.equalBytes += length;
    } else {
      if (isNothing) device.zeroNow(offset, length, true);
      else await device.write(offset, content);
      written = length;
    }
    counts.writtenBytes += written;
    unsynced += written;
    counts.doneBytes = offset + length;
    onProgress?.(counts);
    if (unsynced < SYNC_BYTES) continue;
    await device.sync();
    unsynced = 0;
  }
  assert(next === chunkCount(sizeBytes), 'all chunks have come');
  await device.sync();
  return counts;
}

/** Every block of zeroes stays a hole. Returns the bytes that were written. */
async function writeThin(device: Device, offset: number, content: Uint8Array): Promise<number> {
  let [written, from] = [0, 0];
  while (from < content.length) {
    let end = from;
    while (end < content.length && !isZero(content.subarray(end, end + BLOCK_BYTES))) {
      end = Math.min(content.length, end + BLOCK_BYTES);
    }
    if (end > from) await device.write(offset + from, content.subarray(from, end));
    written += end - from;
    from = end + BLOCK_BYTES;
  }
  return written;
}

/** What cannot be read is not there. Holes are not read. */
async function isThere(
  device: Device,
  offset: number,
  content: Uint8Array,
  has: Uint8Array,
  isNothing: boolean,
): Promise<boolean> {
  if (device.nextData(offset) >= offset + has.length) return isNothing;
  return (await canRead(device, offset, has)) && equalBytes(has, content);
}
