// TARGET.digests: 16 bytes for every chunk as of one point of a target (DESIGN.md §2, H7). A
// sparse file: header page, then pages of 255 digests, each with a check that covers its place, so
// that a page written elsewhere or half is bad. Bad or unknown is never equal to anything.
// What an absent page (4096 zeroes, a hole) means is pinned in the header: digests of zero chunks,
// or unknown. In a page that is there a digest of 16 zeroes is unknown. 256 MiB a TiB.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf, digestOf, equalBytes, isZero } from '../base/digest.js';
import {
  type Bytes,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  DIGEST_BYTES,
  DISK_BYTES_MAX,
  ID_BYTES,
  SECTOR_BYTES,
} from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';
import { putPoint, takePoint } from './changeset-file.js';
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

export const TABLE_PAGE_BYTES = 4096;
export const TABLE_ENTRIES_PER_PAGE = 255;
const TABLE_DIGESTS_BYTES = TABLE_ENTRIES_PER_PAGE * DIGEST_BYTES;
const MAGIC = 'HASTTBL1';
const FLAG_ABSENT_IS_ZERO = 1;
const FLAG_HAS_POINT = 2;

//   off  size
const HEADER = layout(TABLE_PAGE_BYTES, {
  magic: 8, //        0   'HASTTBL1'
  resource: 16, //    8
  sizeBytes: 8, //   24   of the disk
  flags: 4, //       32   1: an absent page is zero chunks, else unknown; 2: `point` is set
  spare: 4, //       36   zero
  point: 32, //      40   id 16, number 8, time 8: what the digests are true for
  spareToo: 4016, // 72   zero
  check: 8, //     4088   of bytes 0..4087
});

//   off  size
const PAGE = layout(TABLE_PAGE_BYTES, {
  check: 8, //          0   of the page with its own number here, 64 bits, instead of the check
  digests: 4080, //     8   255
  spare: 8, //       4088   zero
});

export interface TableHeader {
  readonly resource: Uint8Array;
  readonly sizeBytes: Bytes;
  readonly absentIsZero: boolean;
  /** Null while entries are being changed: dirty chunks are then compared with nothing. */
  readonly point: PointRef | null;
}

/** Number of entry pages of a table. */
export const tablePages = (sizeBytes: Bytes): number =>
  Math.ceil(chunkCount(sizeBytes) / TABLE_ENTRIES_PER_PAGE);

/** Page of a chunk and the byte of its digest in the page's digests. */
export function tablePageOf(chunk: ChunkIndex): { readonly page: number; readonly at: number } {
  const page = Math.floor(chunk / TABLE_ENTRIES_PER_PAGE);
  return { page, at: (chunk - page * TABLE_ENTRIES_PER_PAGE) * DIGEST_BYTES };
}

/** Offset of entry page `page` in the file; the header page stands at 0. */
export const tablePageOffset = (page: number): Bytes => TABLE_PAGE_BYTES * (1 + page);

/** The header page. */
export function encodeTableHeader(header: TableHeader): Uint8Array {
  assert(header.resource.length === ID_BYTES, 'an id has 16 bytes');
  const bytes = new Uint8Array(TABLE_PAGE_BYTES);
  const { point } = header;
  const absent = header.absentIsZero ? FLAG_ABSENT_IS_ZERO : 0;
  putMagic(bytes, MAGIC);
  bytes.set(header.resource, HEADER.resource);
  putU64(dataView(bytes), HEADER.sizeBytes, header.sizeBytes);
  dataView(bytes).setUint32(HEADER.flags, absent | (point ? FLAG_HAS_POINT : 0));
  if (point) putPoint(bytes, HEADER.point, point);
  putCheck(bytes, HEADER.check);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodeTableHeader(bytes: Uint8Array, place: string): TableHeader {
  const where = { what: 'digest table header', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length === TABLE_PAGE_BYTES, where, 'cut short');
  expectCheck(bytes, HEADER.check, where);
  const sizeBytes = takeU64(dataView(bytes), HEADER.sizeBytes, where);
  const flags = dataView(bytes).getUint32(HEADER.flags);
  const isSize = sizeBytes > 0 && sizeBytes <= DISK_BYTES_MAX && sizeBytes % SECTOR_BYTES === 0;
  expect(isSize, where, `disk size ${sizeBytes}`);
  expectZero(bytes, HEADER.spare, HEADER.point, where);
  expectZero(bytes, HEADER.spareToo, HEADER.check, where);
  expect(flags <= (FLAG_ABSENT_IS_ZERO | FLAG_HAS_POINT), where, `flags ${flags} are not known`);
  const hasPoint = (flags & FLAG_HAS_POINT) !== 0;
  if (!hasPoint) expectZero(bytes, HEADER.point, HEADER.spareToo, where);
  return {
    resource: copyOf(bytes, HEADER.resource, HEADER.resource + ID_BYTES),
    sizeBytes,
    absentIsZero: (flags & FLAG_ABSENT_IS_ZERO) !== 0,
    point: hasPoint ? takePoint(bytes, HEADER.point, where) : null,
  };
}

/** Entry page `page` with its 255 `digests` (4080 bytes; those beyond the disk are zero). */
export function encodeTablePage(page: number, digests: Uint8Array): Uint8Array {
  assert(digests.length === TABLE_DIGESTS_BYTES, 'a page has 255 digests');
  const bytes = new Uint8Array(TABLE_PAGE_BYTES);
  bytes.set(digests, PAGE.digests);
  bytes.set(pageCheck(page, bytes), PAGE.check);
  return bytes;
}

/** The 255 digests of a page, a part of `bytes`; 'absent': a hole; 'bad': not this page, whole. */
export function decodeTablePage(page: number, bytes: Uint8Array): Uint8Array | 'absent' | 'bad' {
  if (bytes.length !== TABLE_PAGE_BYTES) return 'bad';
  if (isZero(bytes)) return 'absent';
  const check = bytes.subarray(PAGE.check, PAGE.check + CHECK_BYTES);
  if (!equalBytes(pageCheck(page, bytes), check)) return 'bad';
  if (!isZero(bytes.subarray(PAGE.spare))) return 'bad';
  return bytes.subarray(PAGE.digests, PAGE.digests + TABLE_DIGESTS_BYTES);
}

function pageCheck(page: number, bytes: Uint8Array): Uint8Array {
  const copy = copyOf(bytes);
  putU64(dataView(copy), PAGE.check, page);
  return checkOf(copy);
}

/** True unless a digest of a page that is there says unknown. */
export const isKnownDigest = (digest: Uint8Array): boolean => !isZero(digest);

/** The 255 digests that a 'bad' page stands for, and an absent one of an unknown table. */
export const unknownDigests = (): Uint8Array => new Uint8Array(TABLE_DIGESTS_BYTES);

/** The 255 digests that absent page `page` stands for, a new array, to be changed and encoded. */
export function absentDigests(page: number, header: TableHeader): Uint8Array {
  const digests = unknownDigests();
  if (!header.absentIsZero) return digests;
  const first = page * TABLE_ENTRIES_PER_PAGE;
  const end = Math.min(first + TABLE_ENTRIES_PER_PAGE, chunkCount(header.sizeBytes));
  digests.set(zeroDigests(first, end - first, header.sizeBytes));
  return digests;
}

const ZEROES = new Uint8Array(CHUNK_BYTES);
const WHOLE_ZERO_DIGEST = digestOf(ZEROES);

/** Digest of `length` zero bytes, at most a chunk (H14: the last chunk may be short). */
export const zeroDigest = (length: Bytes): Uint8Array =>
  length === CHUNK_BYTES ? WHOLE_ZERO_DIGEST : digestOf(ZEROES.subarray(0, length));

/** As many as a round looks at together. */
const ZERO_DIGESTS = new Uint8Array(16_384 * DIGEST_BYTES);
Buffer.from(ZERO_DIGESTS.buffer).fill(WHOLE_ZERO_DIGEST);

/** Digests of chunks first..first+count-1 of a disk of zeroes; where they lie beyond its end, 16
 * zero bytes. Not to be changed. */
export function zeroDigests(first: ChunkIndex, count: number, sizeBytes: Bytes): Uint8Array {
  const whole = Math.max(0, Math.min(count, Math.floor(sizeBytes / CHUNK_BYTES) - first));
  const bytes = whole * DIGEST_BYTES;
  if (whole === count && bytes <= ZERO_DIGESTS.length) return ZERO_DIGESTS.subarray(0, bytes);
  const digests = new Uint8Array(count * DIGEST_BYTES);
  Buffer.from(digests.buffer, 0, bytes).fill(WHOLE_ZERO_DIGEST);
  const rest = chunkLength(first + whole, sizeBytes);
  if (whole < count && rest > 0) digests.set(zeroDigest(rest), bytes);
  return digests;
}
