// Reading changeset files: a whole one by its trailer, a staged one by walking its frames.
// Guarantee: `openChangeset` succeeds only on a file whose header, trailer and index agree; a
// frame handed out has a sound header and its full length, its body is checked by decodeFrame.
// Memory: one frame, or INDEX_READ_BYTES of the index. Offsets are bytes in the file.
import { equalBytes, runningDigest } from '../base/digest.js';
import { codeOf } from '../base/errors.js';
import type { FileHandle } from '../base/files.js';
import type { ChangesetHeader, ChangesetTotals } from './changeset.js';
import {
  CHANGESET_HEADER_BYTES,
  CHANGESET_TRAILER_BYTES,
  decodeHeader,
  decodeTrailer,
} from './changeset-file.js';
import { decodeIndex, INDEX_ENTRY_BYTES, type IndexEntry } from './changeset-index.js';
import {
  blockBytesOf,
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBytes,
} from './frame-header.js';
import { bad, expect } from './layout.js';

/** Most index bytes held at once. */
const INDEX_READ_BYTES = 16_384 * INDEX_ENTRY_BYTES;

export interface StoredFrame {
  readonly header: FrameHeader;
  /** Where it begins; the next one begins at offset + bytes.length. */
  readonly offset: number;
  /** The encoded frame, for decodeFrame, frameHead or sending on. */
  readonly bytes: Uint8Array;
}

export interface ChangesetReader {
  readonly header: ChangesetHeader;
  readonly totals: ChangesetTotals;
  /** All frames in order. Errors FORMAT_BAD when one is not where the last one ends, and at the
   * end when they are not what the trailer counts. */
  frames(): AsyncGenerator<StoredFrame>;
  /** Offset of every frame, by number; reads headers only. */
  frameOffsets(): Promise<readonly number[]>;
  /** The frame that begins at `offset`. */
  frameAt(offset: number): Promise<StoredFrame>;
  /** All index entries, in order of the frames. */
  index(): AsyncGenerator<IndexEntry>;
  /** The same, encoded: pieces of whole entries. They begin at `indexOffset` of the file. */
  indexPieces(): AsyncGenerator<Uint8Array>;
  readonly indexOffset: number;
}

/** The handle stays the caller's. Errors FORMAT_BAD with its path, FORMAT_VERSION. */
export async function openChangeset(handle: FileHandle): Promise<ChangesetReader> {
  const fileBytes = await handle.size();
  const header = await readHeader(handle);
  const where = { what: 'changeset', place: handle.path };
  const shortest = CHANGESET_HEADER_BYTES + CHANGESET_TRAILER_BYTES;
  expect(fileBytes >= shortest, where, 'there is no trailer');
  const tail = new Uint8Array(CHANGESET_TRAILER_BYTES);
  await fill(handle, tail, fileBytes - tail.length);
  const { totals, indexOffset } = decodeTrailer(tail, handle.path, fileBytes);
  const indexEnd = fileBytes - tail.length;
  const digest = runningDigest();
  for await (const piece of pieces(handle, indexOffset, indexEnd)) digest.add(piece);
  const isSame = equalBytes(digest.done(), totals.indexDigest);
  expect(isSame, { ...where, what: 'changeset index' }, 'its digest differs');
  return {
    header,
    totals,
    frames: () => wholeFrames(handle, indexOffset, totals),
    frameOffsets: () => offsets(handle, indexOffset, totals),
    frameAt: (offset) => frameAt(handle, offset, indexOffset),
    async *index() {
      for await (const piece of pieces(handle, indexOffset, indexEnd)) yield* decodeIndex(piece);
    },
    indexPieces: () => pieces(handle, indexOffset, indexEnd),
    indexOffset,
  };
}

/** The header alone, of a whole or a staged file. Errors as decodeHeader. */
export async function readHeader(handle: FileHandle): Promise<ChangesetHeader> {
  const bytes = new Uint8Array(CHANGESET_HEADER_BYTES);
  const got = await handle.read(bytes, 0);
  return decodeHeader(bytes.subarray(0, got), handle.path);
}

/**
 * Frames of a staged file in `from`..`to`-1, until the first that is not whole there, is damaged
 * in its header, or does not have the next number: what a crash left after the watermark is no
 * error. Bodies are not checked. `number`: of the first frame.
 */
export async function* scanFrames(
  handle: FileHandle,
  from: number,
  to: number,
  number = 0,
): AsyncGenerator<StoredFrame> {
  let at = from;
  for (let next = number; at < to; next += 1) {
    const frame = await frameAt(handle, at, to).catch(orNotWhole);
    if (frame === null || frame.header.number !== next) return;
    yield frame;
    at += frame.bytes.length;
  }
}

/** The frame that begins at `offset` of a staged file. Errors FORMAT_BAD. */
export const openFrame = async (handle: FileHandle, offset: number): Promise<StoredFrame> =>
  frameAt(handle, offset, await handle.size());

function orNotWhole(error: unknown): null {
  const code = codeOf(error);
  if (code === 'FORMAT_BAD' || code === 'FORMAT_VERSION') return null;
  throw error;
}

async function* wholeFrames(
  handle: FileHandle,
  end: number,
  totals: ChangesetTotals,
): AsyncGenerator<StoredFrame> {
  const sum = { chunks: 0, blockBytes: 0 };
  let at = CHANGESET_HEADER_BYTES;
  for (let number = 0; number < totals.frames; number += 1) {
    const frame = await frameAt(handle, at, end);
    expectNumber(handle, frame.header, number);
    count(sum, frame.header);
    yield frame;
    at += frame.bytes.length;
  }
  expectEnd(handle, at, end);
  expectTotals(handle, sum, totals);
}

async function offsets(
  handle: FileHandle,
  end: number,
  totals: ChangesetTotals,
): Promise<number[]> {
  const sum = { chunks: 0, blockBytes: 0 };
  const found: number[] = [];
  let at = CHANGESET_HEADER_BYTES;
  for (let number = 0; number < totals.frames; number += 1) {
    const header = await headerAt(handle, at, end);
    expectNumber(handle, header, number);
    count(sum, header);
    found.push(at);
    at += frameBytes(header);
  }
  expectEnd(handle, at, end);
  expectTotals(handle, sum, totals);
  return found;
}

async function frameAt(handle: FileHandle, offset: number, end: number): Promise<StoredFrame> {
  const header = await headerAt(handle, offset, end);
  const bytes = new Uint8Array(frameBytes(header));
  await fill(handle, bytes, offset);
  return { header, offset, bytes };
}

/** A sound header at `offset` of a frame that ends at `end` or before. */
async function headerAt(handle: FileHandle, offset: number, end: number): Promise<FrameHeader> {
  const place = `${handle.path} at ${offset}`;
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const room = Math.max(0, Math.min(bytes.length, end - offset));
  const got = await handle.read(bytes.subarray(0, room), offset);
  const header = decodeFrameHeader(bytes.subarray(0, got), place);
  expect(offset + frameBytes(header) <= end, { what: 'frame', place }, 'cut short');
  return header;
}

function expectNumber(handle: FileHandle, header: FrameHeader, number: number): void {
  const where = { what: 'changeset', place: handle.path };
  expect(header.number === number, where, `frame ${header.number} stands at ${number}`);
}

function expectEnd(handle: FileHandle, at: number, end: number): void {
  const where = { what: 'changeset', place: handle.path };
  expect(at === end, where, `frames end at ${at}, the index begins at ${end}`);
}

interface Counted {
  chunks: number;
  blockBytes: number;
}

function count(sum: Counted, header: FrameHeader): void {
  sum.chunks += header.chunks;
  sum.blockBytes += blockBytesOf(header);
}

function expectTotals(handle: FileHandle, sum: Counted, totals: ChangesetTotals): void {
  const where = { what: 'changeset', place: handle.path };
  const { chunks, blockBytes } = totals;
  const same = sum.chunks === chunks && sum.blockBytes === blockBytes;
  const has = `${sum.chunks} chunks and ${sum.blockBytes} block bytes`;
  expect(same, where, `frames have ${has}, the trailer says ${chunks} and ${blockBytes}`);
}

/** The bytes from..end-1 in pieces of whole index entries. */
async function* pieces(handle: FileHandle, from: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = from; at < end; at += INDEX_READ_BYTES) {
    const piece = new Uint8Array(Math.min(INDEX_READ_BYTES, end - at));
    await fill(handle, piece, at);
    yield piece;
  }
}

async function fill(handle: FileHandle, into: Uint8Array, offset: number): Promise<void> {
  const got = await handle.read(into, offset);
  const where = { what: 'changeset', place: handle.path };
  if (got !== into.length) throw bad(where, `ends at ${offset + got}, it began longer`);
}
