// intent.map: one bit per extent, "perhaps written since the last checkpoint" (RULES.md H9). File =
// header page | bit pages of 4096 bytes, each twice, written in full at `create`. Bit i of a page
// is bit i%8 of byte i/8.
// A bit page has a twin instead of a check, and a reader takes the union of both: a bit that rotted
// away in one is in the other, one that came too many costs a comparison, and where they differ the
// place can be told. A check would make a page that was torn, or half written when the daemon was
// killed, say nothing at all of 32768 extents. Pages are written in place, by one owner, whole,
// into the page cache, the first copy first. After a crash of the daemon alone the cache is exact,
// or the copies are of before and after, and their union is the larger one. After a power failure
// with `metaflush off` no bit is believed, everything is doubted (H12); with `metaflush on` a page
// that was torn while being written has bits of before and after, and a bit that the data relied on
// was flushed before, so it stands in both.
import { assert } from '../base/assert.js';
import { type Bytes, CHUNK_BYTES, DISK_BYTES_MAX, ID_BYTES, SECTOR_BYTES } from '../base/units.js';
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
  putU64,
  takeU64,
} from './layout.js';

export const INTENT_PAGE_BYTES = 4096;
export const INTENT_PAGE_BITS = INTENT_PAGE_BYTES * 8;
const MAGIC = 'HASTINT1';

//   off  size
const HEADER = layout(INTENT_PAGE_BYTES, {
  magic: 8, //        0   'HASTINT1'
  resource: 16, //    8
  sizeBytes: 8, //   24   of the disk
  extentBytes: 4, // 32   a power of two, at least 65536
  spare: 4052, //    36   zero
  check: 8, //     4088   of bytes 0..4087
});

export interface IntentHeader {
  readonly resource: Uint8Array;
  readonly sizeBytes: Bytes;
  readonly extentBytes: Bytes;
}

/** Extents, that is bits, of a disk; the last may be short. */
export const extentCount = (header: Pick<IntentHeader, 'sizeBytes' | 'extentBytes'>): number =>
  Math.ceil(header.sizeBytes / header.extentBytes);

/** Number of bit pages. */
export const intentPages = (header: Pick<IntentHeader, 'sizeBytes' | 'extentBytes'>): number =>
  Math.ceil(extentCount(header) / INTENT_PAGE_BITS);

/** Offset of bit page `page` in the file, its twin right behind it; the header page stands at 0. */
export const intentPageOffset = (page: number): Bytes => INTENT_PAGE_BYTES * (1 + 2 * page);

/** A bit page of which `copies` holds both: every bit that stands in one of them. */
export function uniteCopies(copies: Uint8Array): Uint8Array {
  const twin = copies.subarray(INTENT_PAGE_BYTES);
  return copies.slice(0, INTENT_PAGE_BYTES).map((byte, at) => byte | (twin[at] ?? 0));
}

/** The header page. */
export function encodeIntentHeader(header: IntentHeader): Uint8Array {
  assert(header.resource.length === ID_BYTES, 'an id has 16 bytes');
  assert(isDiskSize(header.sizeBytes), 'a disk size is a multiple of 512 within 256 TiB');
  assert(isExtentSize(header.extentBytes), 'an extent is a power of two, at least a chunk');
  const bytes = new Uint8Array(INTENT_PAGE_BYTES);
  putMagic(bytes, MAGIC);
  bytes.set(header.resource, HEADER.resource);
  putU64(dataView(bytes), HEADER.sizeBytes, header.sizeBytes);
  dataView(bytes).setUint32(HEADER.extentBytes, header.extentBytes);
  putCheck(bytes, HEADER.check);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodeIntentHeader(bytes: Uint8Array, place: string): IntentHeader {
  const where = { what: 'intent map header', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length === INTENT_PAGE_BYTES, where, 'cut short');
  expectCheck(bytes, HEADER.check, where);
  expectZero(bytes, HEADER.spare, HEADER.check, where);
  const sizeBytes = takeU64(dataView(bytes), HEADER.sizeBytes, where);
  const extentBytes = dataView(bytes).getUint32(HEADER.extentBytes);
  expect(isDiskSize(sizeBytes), where, `disk size ${sizeBytes}`);
  expect(isExtentSize(extentBytes), where, `extent size ${extentBytes}`);
  const resource = copyOf(bytes, HEADER.resource, HEADER.resource + ID_BYTES);
  return { resource, sizeBytes, extentBytes };
}

const isDiskSize = (bytes: number): boolean =>
  bytes > 0 && bytes <= DISK_BYTES_MAX && bytes % SECTOR_BYTES === 0;

const isExtentSize = (bytes: number): boolean =>
  bytes >= CHUNK_BYTES && bytes < 2 ** 32 && Number.isInteger(Math.log2(bytes));
