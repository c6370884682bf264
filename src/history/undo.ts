// Undo changesets: the history of a replica (DESIGN.md §6). An undo takes the disk from a point
// back to the one before. Receiver step 6: it is whole and durable under its name before the first
// block is written, and then never written again (H26). Its digests are the older point's table
// entries, never computed from what was read; content that does not fit them is `lost` (H27). It is
// written where room has been reserved for it (undo-room.ts).
import { digestOf, equalBytes, isZero } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  chunkMask,
  DIGEST_BYTES,
} from '../base/units.js';
import { type Device, DiskError } from '../disk/device.js';
import {
  type ChangesetHeader,
  FRAME_BLOCK_BYTES_MAX,
  type FrameEntry,
} from '../format/changeset.js';
import { type ChangesetReader, openChangeset } from '../format/changeset-reader.js';
import { ChangesetWriter } from '../format/changeset-writer.js';
import { type BodyRoom, decodeFrame, encodeFrame, frameHead } from '../format/frame.js';
import { blockSpans } from '../format/frame-spans.js';
import { type Pack, reusingUnpack, unpack } from '../format/pack.js';
import type { PointRef } from '../lineage/lineage.js';
import type { DigestTable } from '../tracking/digest-table.js';
import { openUndoRoom, undoName } from './undo-room.js';

export { undoName } from './undo-room.js';

/** Memory that every frame of an undo uses again: the collector is what fresh memory costs. */
interface Room extends BodyRoom {
  readonly blocks: Uint8Array;
}

export interface UndoParts {
  readonly files: Files;
  readonly directory: string;
  readonly device: Device;
  readonly table: DigestTable;
  readonly pack: Pack;
}

/** Writes the undo of `changeset` unless it stands already. `sizeBytes`: of the disk at `from`; a
 * changeset that makes it larger has an undo of the older size (H14). `noteLost` is told of the
 * chunks that are lost, if any, before the undo stands. */
export async function writeUndo(
  parts: UndoParts,
  changeset: ChangesetReader,
  from: PointRef,
  sizeBytes: number,
  noteLost: (lost: readonly ChunkIndex[]) => Promise<void>,
): Promise<void> {
  const path = `${parts.directory}/${undoName(from)}`;
  if (await parts.files.exists(path)) return;
  const lost = new Set<ChunkIndex>();
  const handle = await openUndoRoom(parts.files, parts.directory, from);
  const temporary = handle.path;
  try {
    const { resource, round, to, consistency } = changeset.header;
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
    const room: Room = { blocks: Buffer.allocUnsafeSlow(FRAME_BLOCK_BYTES_MAX), raw: null };
    for await (const stored of changeset.frames()) {
      const head = frameHead(stored.bytes, temporary, unpack, changeset.header.sizeBytes);
      const entries = within(head.entries, sizeBytes);
      for await (const old of readOld({ ...parts, room }, entries, sizeBytes, lost)) {
        const frame = { number: writer.frames, entries: old.entries, blocks: old.blocks };
        await writer.append(encodeFrame(frame, parts.pack, room), old.entries);
      }
    }
    await writer.finish();
    // Nothing of an earlier try stays behind it, nor room that it did not need.
    await handle.truncate(writer.endOffset);
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (lost.size > 0) await noteLost([...lost]);
  await parts.files.rename(temporary, path);
  await parts.files.syncDirectory(parts.directory);
}

/** The entries as far as they lie on a disk of `sizeBytes`. */
function within(entries: readonly FrameEntry[], sizeBytes: number): readonly FrameEntry[] {
  return entries
    .filter(({ chunk }) => chunk < chunkCount(sizeBytes))
    .map((entry) => ({ ...entry, mask: entry.mask & chunkMask(entry.chunk, sizeBytes) }))
    .filter(({ mask }) => mask !== 0);
}

/**
 * What the blocks of `entries` hold now, with the older point's digests, in frames of at most
 * FRAME_BLOCK_BYTES_MAX: zeroes take no room in the changeset, what they replace does (W5).
 * `blocks` is used again once the next one is asked for.
 */
async function* readOld(
  parts: UndoParts & { readonly room: Room },
  entries: readonly FrameEntry[],
  sizeBytes: number,
  lost: Set<ChunkIndex>,
): AsyncGenerator<{ readonly entries: readonly FrameEntry[]; readonly blocks: Uint8Array }> {
  const whole = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let old: FrameEntry[] = [];
  const { blocks } = parts.room;
  let held = 0;
  for (const { chunk, mask } of entries) {
    if (held + CHUNK_BYTES > FRAME_BLOCK_BYTES_MAX) {
      yield { entries: old, blocks: blocks.subarray(0, held) };
      [old, held] = [[], 0];
    }
    const bytes = whole.subarray(0, chunkLength(chunk, sizeBytes));
    const offset = chunk * CHUNK_BYTES;
    const isWhole = await readWhatIsThere(parts.device, offset, bytes);
    const digest = (parts.table.get(chunk) ?? new Uint8Array(DIGEST_BYTES)).slice();
    if (!isWhole || !equalBytes(digestOf(bytes), digest)) lost.add(chunk);
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
  if (old.length > 0) yield { entries: old, blocks: blocks.subarray(0, held) };
}

/** Fills `bytes`, with zeroes where the disk cannot be read: then false. What is lost here is about
 * to be overwritten, which mends it; the apply goes on (H27). */
async function readWhatIsThere(
  device: Device,
  offset: number,
  bytes: Uint8Array,
): Promise<boolean> {
  try {
    await device.read(offset, bytes);
    return true;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
  }
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const block = bytes.subarray(at, at + BLOCK_BYTES);
    await device.read(offset + at, block).catch((error: unknown) => {
      if (!(error instanceof DiskError)) throw error;
      block.fill(0);
    });
  }
  return false;
}

/** Writes every block of a changeset to the disk (receiver step 7); the caller syncs. Frames one
 * after another, for a chunk may stand in two; the spans of one frame together, on the pool: a disk
 * that hangs must not hold this thread (H19). */
export async function writeBlocks(
  device: Device,
  changeset: ChangesetReader,
  place: string,
): Promise<void> {
  const { sizeBytes } = changeset.header;
  const unpackAgain = reusingUnpack();
  for await (const stored of changeset.frames()) {
    const frame = decodeFrame(stored.bytes, place, unpackAgain, sizeBytes);
    const writes: Promise<void>[] = [];
    for (const span of blockSpans(frame, sizeBytes)) {
      const { offset, length, bytes } = span;
      // Zeroes that fail in the call must not leave writes behind that nobody waits for.
      writes.push(bytes === null ? zeroed(device, offset, length) : device.write(offset, bytes));
    }
    await allSettled(writes);
  }
}

/** The first failure, when all have ended: their memory is used again. */
async function allSettled(writes: readonly Promise<void>[]): Promise<void> {
  for (const each of await Promise.allSettled(writes)) {
    if (each.status === 'rejected') throw each.reason;
  }
}

/** Longest zeroing done in one call (H13). */
const ZERO_BYTES_MAX = 1024 * 1024;

export function zeroSpan(device: Device, offset: number, length: number): void {
  for (let at = offset; at < offset + length; at += ZERO_BYTES_MAX) {
    device.zeroNow(at, Math.min(ZERO_BYTES_MAX, offset + length - at), true);
  }
}

async function zeroed(device: Device, offset: number, length: number): Promise<void> {
  zeroSpan(device, offset, length);
}

/** Sets the table to what a changeset leaves, and to its point: receiver step 8. */
export async function recordEntries(
  table: DigestTable,
  changeset: ChangesetReader,
  point: PointRef,
): Promise<void> {
  await table.beginChange();
  await table.growTo(changeset.header.sizeBytes);
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
