// Undo changesets: the history of a replica (DESIGN.md §6). An undo takes the disk from a point
// back to the one before. Receiver step 6: it is whole and durable under its name before the first
// block is written, and then never written again (H26). Its digests are the older point's table
// entries, never computed from what was read; content that does not fit them is `lost` (H27).
import { digestOf, equalBytes, isZero } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import { hex } from '../base/random.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkLength,
  DIGEST_BYTES,
} from '../base/units.js';
import type { Device } from '../disk/device.js';
import {
  type ChangesetHeader,
  FRAME_BLOCK_BYTES_MAX,
  type FrameEntry,
} from '../format/changeset.js';
import { type ChangesetReader, openChangeset } from '../format/changeset-reader.js';
import { ChangesetWriter } from '../format/changeset-writer.js';
import { decodeFrame, encodeFrame, frameHead } from '../format/frame.js';
import { blockSpans } from '../format/frame-spans.js';
import { type Pack, unpack } from '../format/pack.js';
import type { PointRef } from '../lineage/lineage.js';
import type { DigestTable } from '../tracking/digest-table.js';

/** Name of the undo that leads back to `point`. */
export const undoName = (point: PointRef): string => `undo-${hex(point.id)}`;

export interface UndoParts {
  readonly files: Files;
  readonly directory: string;
  readonly device: Device;
  readonly table: DigestTable;
  readonly pack: Pack;
}

/** Writes the undo of `changeset` unless it stands already. Returns the chunks that are lost. */
export async function writeUndo(
  parts: UndoParts,
  changeset: ChangesetReader,
  from: PointRef,
): Promise<readonly ChunkIndex[]> {
  const path = `${parts.directory}/${undoName(from)}`;
  if (await parts.files.exists(path)) return [];
  const lost: ChunkIndex[] = [];
  const temporary = `${path}.part`;
  const handle = await parts.files.open(temporary, 'truncate');
  try {
    const { resource, round, to, sizeBytes, consistency } = changeset.header;
    const header: ChangesetHeader = {
      kind: 'undo',
      resource,
      round,
      from,
      to,
      sizeBytes,
      consistency,
    };
    const writer = await ChangesetWriter.create(handle, header);
    for await (const stored of changeset.frames()) {
      const { entries } = frameHead(stored.bytes, temporary, unpack, sizeBytes);
      for await (const old of readOld(parts, entries, sizeBytes, lost)) {
        const frame = { number: writer.frames, entries: old.entries, blocks: old.blocks };
        await writer.append(encodeFrame(frame, parts.pack), old.entries);
      }
    }
    await writer.finish();
    await handle.sync();
  } finally {
    await handle.close();
  }
  await parts.files.rename(temporary, path);
  await parts.files.syncDirectory(parts.directory);
  return lost;
}

/**
 * What the blocks of `entries` hold now, with the older point's digests, in frames of at most
 * FRAME_BLOCK_BYTES_MAX: zeroes take no room in the changeset, what they replace does (W5).
 * `blocks` is used again once the next one is asked for.
 */
async function* readOld(
  parts: UndoParts,
  entries: readonly FrameEntry[],
  sizeBytes: number,
  lost: ChunkIndex[],
): AsyncGenerator<{ readonly entries: readonly FrameEntry[]; readonly blocks: Uint8Array }> {
  const whole = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let old: FrameEntry[] = [];
  const blocks = new Uint8Array(FRAME_BLOCK_BYTES_MAX);
  let held = 0;
  for (const { chunk, mask } of entries) {
    if (held + CHUNK_BYTES > FRAME_BLOCK_BYTES_MAX) {
      yield { entries: old, blocks: blocks.subarray(0, held) };
      [old, held] = [[], 0];
    }
    const bytes = whole.subarray(0, chunkLength(chunk, sizeBytes));
    const offset = chunk * CHUNK_BYTES;
    if (!parts.device.readCached(offset, bytes)) await parts.device.read(offset, bytes);
    const digest = (parts.table.get(chunk) ?? new Uint8Array(DIGEST_BYTES)).slice();
    if (!equalBytes(digestOf(bytes), digest)) lost.push(chunk);
    let zero = 0;
    for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
      if ((mask & (1 << block)) === 0) continue;
      const content = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      if (isZero(content)) zero |= 1 << block;
      else {
        blocks.set(content, held);
        held += content.length;
      }
    }
    old.push({ chunk, mask, zero, digest });
  }
  yield { entries: old, blocks: blocks.subarray(0, held) };
}

/** Writes every block of a changeset to the disk (receiver step 7); the caller syncs. */
export async function writeBlocks(
  device: Device,
  changeset: ChangesetReader,
  place: string,
): Promise<void> {
  const { sizeBytes } = changeset.header;
  for await (const stored of changeset.frames()) {
    const frame = decodeFrame(stored.bytes, place, unpack, sizeBytes);
    for (const span of blockSpans(frame, sizeBytes)) {
      if (span.bytes !== null) await device.write(span.offset, span.bytes);
      else zeroSpan(device, span.offset, span.length);
    }
  }
}

/** Longest zeroing done in one call (H13). */
const ZERO_BYTES_MAX = 1024 * 1024;

export function zeroSpan(device: Device, offset: number, length: number): void {
  for (let at = offset; at < offset + length; at += ZERO_BYTES_MAX) {
    device.zeroNow(at, Math.min(ZERO_BYTES_MAX, offset + length - at), true);
  }
}

/** Sets the table to what a changeset leaves, and to its point: receiver step 8. */
export async function recordEntries(
  table: DigestTable,
  changeset: ChangesetReader,
  point: PointRef,
): Promise<void> {
  await table.beginChange();
  for await (const entry of changeset.index()) table.set(entry.chunk, entry.digest);
  await table.finishChange(point);
}

/** Takes the disk back by a whole undo (receiver ladder, last line). */
export async function rollBack(parts: UndoParts, from: PointRef): Promise<void> {
  const path = `${parts.directory}/${undoName(from)}`;
  const handle: FileHandle = await parts.files.open(path, 'read');
  try {
    const undo = await openChangeset(handle);
    await writeBlocks(parts.device, undo, path);
    await parts.device.sync();
    await recordEntries(parts.table, undo, from);
  } finally {
    await handle.close();
  }
}
