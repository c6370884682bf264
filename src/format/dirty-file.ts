// TARGET.dirty: the exact dirty blocks of one target, non-empty pages of its bitmap only
// (RULES.md H9). File = header | one record a page, ascending | end record. It is always published
// whole; whole or nothing is also how it is read: any doubt is FORMAT_BAD, and what was handed out
// before must then be thrown away. Bit i of a page is bit i%8 (of value 1 << i%8) of byte i/8.
// Bits beyond the block count have no meaning.
import { assert } from '../base/assert.js';
import { CHECK_BYTES } from '../base/digest.js';
import type { FileHandle } from '../base/files.js';
import { blockCount, DISK_BYTES_MAX, ID_BYTES, MIB, SECTOR_BYTES } from '../base/units.js';
import {
  bad,
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
  type Where,
} from './layout.js';

/** A bitmap page: 4096 bytes, 32768 bits. */
export const MAP_PAGE_BYTES = 4096;
export const MAP_PAGE_BITS = MAP_PAGE_BYTES * 8;

const HEADER_BYTES = 56;
const RECORD_HEAD_BYTES = 8;
const RECORD_BYTES_MAX = RECORD_HEAD_BYTES + MAP_PAGE_BYTES + CHECK_BYTES;
const MAGIC = 'HASTDRT1';
const WHAT = 'dirty map';
/** Size of the pieces written and read. */
const PIECE_BYTES = MIB;

//   off  size
const HEADER = layout(HEADER_BYTES, {
  magic: 8, //       0   'HASTDRT1'
  resource: 16, //   8
  sizeBytes: 8, //  24   of the disk: a bit a block, the last may be short
  generation: 8, // 32   of resource.json when it was published
  spare: 8, //      40   zero
  check: 8, //      48   of bytes 0..47
});

//   off  size
const RECORD = layout(RECORD_HEAD_BYTES, {
  page: 4, //  0   index of the page; in the end record: number of records before it
  kind: 4, //  4   0 page: 4096 bytes follow, 1 all ones: none, 2 end: none; then check 8
});
const KIND_BITS = 0;
const KIND_ONES = 1;
const KIND_END = 2;

export interface DirtyHeader {
  readonly resource: Uint8Array;
  readonly sizeBytes: number;
  readonly generation: number;
}

/** A page that is not empty; 'ones': every bit of it is set. */
export interface MapPage {
  readonly page: number;
  readonly bits: Uint8Array | 'ones';
}

const isDiskSize = (sizeBytes: number): boolean =>
  sizeBytes > 0 && sizeBytes % SECTOR_BYTES === 0 && sizeBytes <= DISK_BYTES_MAX;

const pagesOf = (sizeBytes: number): number => Math.ceil(blockCount(sizeBytes) / MAP_PAGE_BITS);

/** The file in pieces of about 1 MiB, to be written back to back. `pages` ascend. */
export function* encodeDirty(header: DirtyHeader, pages: Iterable<MapPage>): Generator<Uint8Array> {
  let piece = new Uint8Array(PIECE_BYTES + RECORD_BYTES_MAX);
  let used = putHeader(piece, header);
  let [count, before] = [0, -1];
  for (const { page, bits } of pages) {
    assert(page > before && page < pagesOf(header.sizeBytes), 'pages ascend within the map');
    used += putRecord(piece.subarray(used), page, bits === 'ones' ? KIND_ONES : KIND_BITS, bits);
    before = page;
    count += 1;
    if (used < PIECE_BYTES) continue;
    yield piece.subarray(0, used);
    piece = new Uint8Array(PIECE_BYTES + RECORD_BYTES_MAX);
    used = 0;
  }
  used += putRecord(piece.subarray(used), count, KIND_END, 'ones');
  yield piece.subarray(0, used);
}

function putHeader(into: Uint8Array, header: DirtyHeader): number {
  assert(header.resource.length === ID_BYTES, 'an id has 16 bytes');
  assert(isDiskSize(header.sizeBytes), 'a map is of a possible disk');
  const bytes = into.subarray(0, HEADER_BYTES);
  putMagic(bytes, MAGIC);
  bytes.set(header.resource, HEADER.resource);
  putU64(dataView(bytes), HEADER.sizeBytes, header.sizeBytes);
  putU64(dataView(bytes), HEADER.generation, header.generation);
  putCheck(bytes, HEADER.check);
  return HEADER_BYTES;
}

function putRecord(into: Uint8Array, page: number, kind: number, bits: Uint8Array | 'ones') {
  const body = bits === 'ones' ? null : bits;
  assert(body === null || body.length === MAP_PAGE_BYTES, 'a page has 4096 bytes');
  const checkAt = RECORD_HEAD_BYTES + (body ? MAP_PAGE_BYTES : 0);
  dataView(into).setUint32(RECORD.page, page);
  dataView(into).setUint32(RECORD.kind, kind);
  if (body) into.set(body, RECORD_HEAD_BYTES);
  putCheck(into, checkAt);
  return checkAt + CHECK_BYTES;
}

export interface DirtyReader {
  readonly header: DirtyHeader;
  /** Ascending. Errors FORMAT_BAD, also when the file ends early or goes on after its end. */
  pages(): AsyncGenerator<MapPage>;
}

/** The handle stays the caller's. Errors FORMAT_BAD with its path, FORMAT_VERSION. */
export async function openDirty(handle: FileHandle): Promise<DirtyReader> {
  const where = { what: WHAT, place: handle.path };
  const source = pieceReader(handle);
  const header = takeHeader(await source(HEADER_BYTES), where);
  return { header, pages: () => pages(source, header, where) };
}

function takeHeader(bytes: Uint8Array, where: Where): DirtyHeader {
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length === HEADER_BYTES, where, 'header is cut short');
  expectCheck(bytes, HEADER.check, where);
  const sizeBytes = takeU64(dataView(bytes), HEADER.sizeBytes, where);
  expectZero(bytes, HEADER.spare, HEADER.check, where);
  expect(isDiskSize(sizeBytes), where, `it is of a disk of ${sizeBytes} bytes`);
  return {
    resource: copyOf(bytes, HEADER.resource, HEADER.resource + ID_BYTES),
    sizeBytes,
    generation: takeU64(dataView(bytes), HEADER.generation, where),
  };
}

type Source = (bytes: number) => Promise<Uint8Array>;

async function* pages(source: Source, header: DirtyHeader, file: Where): AsyncGenerator<MapPage> {
  let [count, before] = [0, -1];
  for (;;) {
    const where = { ...file, place: `${file.place}, record ${count}` };
    const head = copyOf(await source(RECORD_HEAD_BYTES));
    expect(head.length === RECORD_HEAD_BYTES, where, `cut short after ${count} pages`);
    const page = dataView(head).getUint32(RECORD.page);
    const kind = dataView(head).getUint32(RECORD.kind);
    expect(kind <= KIND_END, where, `record ${count} is of kind ${kind}`);
    const bits = await takeBits(source, head, kind, where);
    if (kind === KIND_END) {
      expect(page === count, where, `${count} pages stand there, ${page} were written`);
      expect((await source(1)).length === 0, where, 'it goes on after its end');
      return;
    }
    const inOrder = page > before && page < pagesOf(header.sizeBytes);
    expect(inOrder, where, `page ${page} is out of order`);
    yield { page, bits };
    before = page;
    count += 1;
  }
}

/** Body and check of one record, in memory of their own. */
async function takeBits(source: Source, head: Uint8Array, kind: number, where: Where) {
  const bodyBytes = kind === KIND_BITS ? MAP_PAGE_BYTES : 0;
  const rest = await source(bodyBytes + CHECK_BYTES);
  expect(rest.length === bodyBytes + CHECK_BYTES, where, 'cut short in a record');
  const record = new Uint8Array(RECORD_HEAD_BYTES + rest.length);
  record.set(head);
  record.set(rest, RECORD_HEAD_BYTES);
  expectCheck(record, RECORD_HEAD_BYTES + bodyBytes, where);
  if (kind !== KIND_BITS) return 'ones' as const;
  return record.subarray(RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + MAP_PAGE_BYTES);
}

/** Gives the next bytes of the file, fewer only at its end; valid until the next call. */
function pieceReader(handle: FileHandle): Source {
  const buffer = new Uint8Array(PIECE_BYTES);
  let [from, end, offset] = [0, 0, 0];
  return async (bytes) => {
    if (bytes > PIECE_BYTES) throw bad({ what: WHAT, place: handle.path }, 'record too long');
    if (end - from < bytes) {
      buffer.copyWithin(0, from, end);
      [from, end] = [0, end - from];
      const got = await handle.read(buffer.subarray(end), offset);
      offset += got;
      end += got;
    }
    const taken = buffer.subarray(from, Math.min(end, from + bytes));
    from += taken.length;
    return taken;
  };
}
