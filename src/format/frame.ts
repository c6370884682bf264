// Frame: up to 1 MiB of blocks with the masks and digests of their chunks at the head, so that
// these can be read apart from block data (DESIGN.md §6). Guarantee of a decoded frame: both
// checks hold, chunks ascend strictly and lie on the disk, `zero` is a subset of `mask`, `mask` of
// the blocks that exist there, and `blocks` has exactly the bytes of `mask & ~zero`; the disk's
// very last block may be short (H14). Whether digests are true is the receiver's business.
//
// Body, n records:   0 chunk 4n | 4n run 2n | 6n mask 2n | 8n zero 2n | 10n digest 16n | 26n blocks
// Fields stand by column: they compress apart from digests, which do not compress at all.
// A record is one chunk, or `run` consecutive chunks that are zero altogether (mask = zero =
// 0xffff) and have one digest.
import { assert } from '../base/assert.js';
import { checkOf, equalBytes } from '../base/digest.js';
import {
  BLOCK_BYTES,
  type Bytes,
  bitCount,
  chunkCount,
  chunkMask,
  DIGEST_BYTES,
  MASK_ALL,
  SECTOR_BYTES,
} from '../base/units.js';
import {
  FRAME_BLOCK_BYTES_MAX,
  FRAME_ENTRIES_MAX,
  type Frame,
  type FrameEntry,
} from './changeset.js';
import {
  blockBytesOf,
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  type FrameFacts,
  type FrameHeader,
  frameBytes,
  headBytes,
  sealFrame,
} from './frame-header.js';
import { entryBytes } from './frame-spans.js';
import { bad, dataView, expect } from './layout.js';
import type { Pack, Unpack } from './pack.js';

/** A frame ready to be packed and sealed, here or in a worker. */
export interface FrameBody {
  readonly facts: FrameFacts;
  /** In memory of its own. */
  readonly raw: Uint8Array;
}

/** Memory for bodies that are packed at once, made with the first and used again. */
export interface BodyRoom {
  raw: Uint8Array | null;
}

/** Body, packing and sealing in one step. */
export function encodeFrame(frame: Frame, pack: Pack, room: BodyRoom | null = null): Uint8Array {
  const { facts, raw } = frameBody(frame.number, frame.entries, frame.blocks, room);
  return sealFrame(facts, pack(raw));
}

/** `blocks`: as Frame.blocks, in one array or in pieces; may lie in shared memory. */
export function frameBody(
  number: number,
  entries: readonly FrameEntry[],
  blocks: Uint8Array | readonly Uint8Array[],
  room: BodyRoom | null = null,
): FrameBody {
  const pieces = blocks instanceof Uint8Array ? [blocks] : blocks;
  const blockBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  assertEntries(entries, blockBytes);
  const runs = mergeRuns(entries);
  const raw = rawIn(room, headBytes(runs.length) + blockBytes);
  writeHead(raw, runs);
  let at = headBytes(runs.length);
  for (const piece of pieces) {
    raw.set(piece, at);
    at += piece.length;
  }
  const firstChunk = runs[0]?.entry.chunk ?? 0;
  const facts = { number, firstChunk, records: runs.length, chunks: entries.length };
  return { facts: { ...facts, rawBytes: raw.length }, raw };
}

function rawIn(room: BodyRoom | null, bytes: number): Uint8Array {
  if (room === null) return new Uint8Array(bytes);
  if (room.raw === null || room.raw.length < bytes) room.raw = Buffer.allocUnsafeSlow(bytes);
  return room.raw.subarray(0, bytes);
}

/**
 * Decodes one whole frame. `blocks` and digests may be parts of `bytes`: the caller leaves it
 * unchanged while it uses the frame. `sizeBytes`: the changeset's disk size. Errors FORMAT_BAD
 * with `place`, FORMAT_VERSION.
 */
export function decodeFrame(
  bytes: Uint8Array,
  place: string,
  unpack: Unpack,
  sizeBytes: Bytes,
): Frame {
  const { header, body } = openBody(bytes, place, unpack, 'all');
  const entries = readEntries(body, header, sizeBytes, place);
  return { number: header.number, entries, blocks: body.subarray(headBytes(header.records)) };
}

/** Header and entries only: as decodeFrame, but block data are neither unpacked nor kept. */
export function frameHead(
  bytes: Uint8Array,
  place: string,
  unpack: Unpack,
  sizeBytes: Bytes,
): { readonly header: FrameHeader; readonly entries: readonly FrameEntry[] } {
  const { header, body } = openBody(bytes, place, unpack, 'head');
  return { header, entries: readEntries(body, header, sizeBytes, place) };
}

function openBody(
  bytes: Uint8Array,
  place: string,
  unpack: Unpack,
  part: 'all' | 'head',
): { readonly header: FrameHeader; readonly body: Uint8Array } {
  const where = { what: 'frame', place };
  const header = decodeFrameHeader(bytes, place);
  const wanted = frameBytes(header);
  expect(bytes.length === wanted, where, `${bytes.length} bytes, its header says ${wanted}`);
  const stored = bytes.subarray(FRAME_HEADER_BYTES);
  expect(equalBytes(checkOf(stored), header.bodyCheck), where, 'checksum of the body differs');
  const want = part === 'all' ? header.rawBytes : headBytes(header.records);
  const body = unpack(stored, header.codec, header.rawBytes, want);
  if (body === null) throw bad(where, `body does not unpack to ${header.rawBytes} bytes`);
  return { header, body };
}

interface Run {
  readonly entry: FrameEntry;
  length: number;
}

const isWholeZero = (entry: FrameEntry): boolean =>
  entry.mask === MASK_ALL && entry.zero === MASK_ALL;

function mergeRuns(entries: readonly FrameEntry[]): readonly Run[] {
  const runs: Run[] = [];
  for (const entry of entries) {
    const last = runs.at(-1);
    if (
      last &&
      isWholeZero(entry) &&
      isWholeZero(last.entry) &&
      entry.chunk === last.entry.chunk + last.length &&
      equalBytes(entry.digest, last.entry.digest)
    ) {
      last.length += 1;
    } else {
      runs.push({ entry, length: 1 });
    }
  }
  return runs;
}

function writeHead(raw: Uint8Array, runs: readonly Run[]): void {
  const view = dataView(raw);
  const n = runs.length;
  for (const [i, { entry, length }] of runs.entries()) {
    view.setUint32(4 * i, entry.chunk);
    view.setUint16(4 * n + 2 * i, length);
    view.setUint16(6 * n + 2 * i, entry.mask);
    view.setUint16(8 * n + 2 * i, entry.zero);
    raw.set(entry.digest, 10 * n + DIGEST_BYTES * i);
  }
}

/** Our own entries: a wrong one is our mistake. The short last block is checked by the reader. */
function assertEntries(entries: readonly FrameEntry[], blockBytes: number): void {
  assert(entries.length >= 1 && entries.length <= FRAME_ENTRIES_MAX, 'entries are within limits');
  assert(blockBytes <= FRAME_BLOCK_BYTES_MAX, 'blocks are within FRAME_BLOCK_BYTES_MAX');
  let blocks = 0;
  let before = -1;
  for (const { chunk, mask, zero, digest } of entries) {
    assert(chunk > before, 'chunks ascend within a frame');
    assert(mask > 0 && mask <= MASK_ALL, 'an entry has blocks');
    assert((zero & ~mask) === 0, 'zero blocks are part of the mask');
    assert(digest.length === DIGEST_BYTES, 'a digest has 16 bytes');
    blocks += bitCount(mask & ~zero);
    before = chunk;
  }
  const missing = blocks * BLOCK_BYTES - blockBytes;
  assert(missing >= 0 && missing < BLOCK_BYTES, 'as many blocks as the masks say');
  assert(blockBytes % SECTOR_BYTES === 0, 'blocks are whole sectors');
}

/** Entries of the head at the start of `body`, runs expanded, checked against the disk's size. */
function readEntries(
  body: Uint8Array,
  header: FrameHeader,
  sizeBytes: Bytes,
  place: string,
): readonly FrameEntry[] {
  const where = { what: 'frame', place };
  const view = dataView(body);
  const n = header.records;
  const entries: FrameEntry[] = [];
  let next = header.firstChunk;
  let blockBytes = 0;
  for (let i = 0; i < n; i += 1) {
    const chunk = view.getUint32(4 * i);
    const run = view.getUint16(4 * n + 2 * i);
    const mask = view.getUint16(6 * n + 2 * i);
    const zero = view.getUint16(8 * n + 2 * i);
    const at = 10 * n + DIGEST_BYTES * i;
    const digest = body.subarray(at, at + DIGEST_BYTES);
    expect(i === 0 ? chunk === next : chunk >= next, where, `chunk ${chunk} is out of order`);
    expect(chunk + run <= chunkCount(sizeBytes), where, `chunk ${chunk} is beyond the disk`);
    expect(mask !== 0, where, `chunk ${chunk} has no blocks`);
    expect((zero & ~mask) === 0, where, `zero blocks of chunk ${chunk} are not in its mask`);
    expect(run === 1 || (run > 1 && zero === MASK_ALL), where, `run ${run} at chunk ${chunk}`);
    const last = chunk + run - 1;
    expect((mask & ~chunkMask(last, sizeBytes)) === 0, where, `blocks of ${last} beyond the disk`);
    expect(entries.length + run <= header.chunks, where, 'more chunks than its header says');
    const entry = { chunk, mask, zero, digest };
    blockBytes += entryBytes(entry, sizeBytes);
    entries.push(entry);
    for (let more = 1; more < run; more += 1) entries.push({ ...entry, chunk: chunk + more });
    next = chunk + run;
  }
  expect(entries.length === header.chunks, where, 'fewer chunks than its header says');
  const held = blockBytesOf(header);
  expect(blockBytes === held, where, `masks want ${blockBytes} block bytes, it has ${held}`);
  return entries;
}
