// Frame header: what a reader must know before it allocates anything for a frame. Guarantee of a
// decoded header: its own check holds and every count and length is within the limits of
// changeset.ts, so rawBytes and storedBytes may be allocated. Lengths are bytes.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf } from '../base/digest.js';
import { type ChunkIndex, DIGEST_BYTES, SECTOR_BYTES } from '../base/units.js';
import { FRAME_BLOCK_BYTES_MAX, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX } from './changeset.js';
import {
  copyOf,
  dataView,
  expect,
  expectCheck,
  expectMagic,
  expectZero,
  layout,
  putCheck,
  putMagic,
} from './layout.js';
import { CODEC_RAW, CODEC_ZSTD, type Codec, type Packed } from './pack.js';

export const FRAME_HEADER_BYTES = 48;
/** One record of a frame's head: chunk 4, run 2, mask 2, zero 2, digest 16. */
export const RECORD_BYTES = 10 + DIGEST_BYTES;

const MAGIC = 'HFR1';
const CHUNK_INDEX_MAX = 0xffff_ffff;

//   off  size
const AT = layout(FRAME_HEADER_BYTES, {
  magic: 4, //        0   'HFR1'
  number: 4, //       4   from 0, without gaps
  firstChunk: 4, //   8   chunk of the first record
  records: 2, //     12   records in the head, 1..16384
  chunks: 2, //      14   the same, runs expanded, records..16384
  codec: 1, //       16   0 raw, 1 zstd
  spare: 7, //       17   zero
  rawBytes: 4, //    24   body: head + blocks
  storedBytes: 4, // 28   body as it follows this header
  bodyCheck: 8, //   32   of the stored body
  check: 8, //       40   of bytes 0..39
});

assert(
  FRAME_HEADER_BYTES + FRAME_ENTRIES_MAX * RECORD_BYTES + FRAME_BLOCK_BYTES_MAX <= FRAME_BYTES_MAX,
  'the longest frame is within FRAME_BYTES_MAX',
);

/** What is known of a frame before it is packed; plain data, can be posted to a worker. */
export interface FrameFacts {
  readonly number: number;
  readonly firstChunk: ChunkIndex;
  readonly records: number;
  readonly chunks: number;
  /** Head and blocks, before packing. */
  readonly rawBytes: number;
}

export interface FrameHeader extends FrameFacts {
  readonly codec: Codec;
  readonly storedBytes: number;
  readonly bodyCheck: Uint8Array;
}

/** Bytes of the head of a frame body. */
export const headBytes = (records: number): number => records * RECORD_BYTES;

/** Raw block bytes of a frame. */
export const blockBytesOf = (facts: FrameFacts): number =>
  facts.rawBytes - headBytes(facts.records);

/** Encoded bytes of the whole frame, this header included. */
export const frameBytes = (header: FrameHeader): number => FRAME_HEADER_BYTES + header.storedBytes;

/** Header and packed body in one array of its own, at most FRAME_BYTES_MAX long. */
export function sealFrame(facts: FrameFacts, packed: Packed): Uint8Array {
  const stored = packed.bytes;
  assert(stored.length <= facts.rawBytes, 'packing never makes a body longer');
  const frame = new Uint8Array(FRAME_HEADER_BYTES + stored.length);
  const view = dataView(frame);
  putMagic(frame, MAGIC);
  view.setUint32(AT.number, facts.number);
  view.setUint32(AT.firstChunk, facts.firstChunk);
  view.setUint16(AT.records, facts.records);
  view.setUint16(AT.chunks, facts.chunks);
  view.setUint8(AT.codec, packed.codec);
  view.setUint32(AT.rawBytes, facts.rawBytes);
  view.setUint32(AT.storedBytes, stored.length);
  frame.set(stored, FRAME_HEADER_BYTES);
  frame.set(checkOf(frame.subarray(FRAME_HEADER_BYTES)), AT.bodyCheck);
  putCheck(frame.subarray(0, FRAME_HEADER_BYTES), AT.check);
  return frame;
}

/**
 * Reads the header at the start of `bytes`; what follows it is not looked at. Errors FORMAT_BAD
 * with `place`, FORMAT_VERSION.
 */
export function decodeFrameHeader(bytes: Uint8Array, place: string): FrameHeader {
  const where = { what: 'frame', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length >= FRAME_HEADER_BYTES, where, 'header is cut short');
  const own = bytes.subarray(0, FRAME_HEADER_BYTES);
  expectCheck(own, AT.check, where);
  const view = dataView(own);
  const codec = view.getUint8(AT.codec);
  expect(codec === CODEC_RAW || codec === CODEC_ZSTD, where, `codec ${codec} is not known`);
  const header: FrameHeader = {
    number: view.getUint32(AT.number),
    firstChunk: view.getUint32(AT.firstChunk),
    records: view.getUint16(AT.records),
    chunks: view.getUint16(AT.chunks),
    rawBytes: view.getUint32(AT.rawBytes),
    codec,
    storedBytes: view.getUint32(AT.storedBytes),
    bodyCheck: copyOf(own, AT.bodyCheck, AT.bodyCheck + CHECK_BYTES),
  };
  expectZero(own, AT.spare, AT.rawBytes, where);
  checkCounts(header, (holds, why) => expect(holds, where, why));
  return header;
}

function checkCounts(header: FrameHeader, must: (holds: boolean, why: string) => void): void {
  const { records, chunks, rawBytes, storedBytes } = header;
  must(records >= 1 && records <= chunks, `${records} records cannot be ${chunks} chunks`);
  must(chunks <= FRAME_ENTRIES_MAX, `${chunks} chunks are above ${FRAME_ENTRIES_MAX}`);
  must(header.firstChunk + chunks - 1 <= CHUNK_INDEX_MAX, 'chunks are beyond the largest disk');
  const blocks = blockBytesOf(header);
  must(blocks >= 0, `${rawBytes} raw bytes are too few for ${records} records`);
  must(blocks <= FRAME_BLOCK_BYTES_MAX, `${blocks} block bytes are above ${FRAME_BLOCK_BYTES_MAX}`);
  must(blocks % SECTOR_BYTES === 0, `${blocks} block bytes are not whole sectors`);
  if (header.codec === CODEC_RAW) must(storedBytes === rawBytes, 'raw body of another length');
  else must(storedBytes >= 1 && storedBytes < rawBytes, `${storedBytes} stored bytes save nothing`);
}
