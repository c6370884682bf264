// Nodes of an archive's index, above its leaves: a tree of fixed shape over the disk, so that a
// region is found by its number, in three reads, and a tree of one point shares with that of an
// older one whatever did not change.
//   leaf  256 chunks, 16 MiB          (archive-leaf.ts)
//   page  256 leaves, 4 GiB           region in the page 1, reference 20
//   root  up to 65,536 pages, 256 TiB  page 4, reference 20; and the pages of the pack table
//   pack page  1,024 packs            number in the page 4, name 32, bytes 4, live parts 4, parts 4
// The root names the packs of its pack pages, since the table of names is what they are; zeroes
// stand for the pack that the root itself is in. A node stands in a pack as a record; its
// body is a codec byte, 4 bytes of raw length, and the bytes. A reference is the place of that
// record and the check of its body as it stands there, unsealed. Guarantee of an opened node: it is
// the one that was referred to.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf, equalBytes, isZero } from '../base/digest.js';
import { LEAF_BYTES_MAX, PACK_BYTES_MAX, type RecordPlace } from './archive-leaf.js';
import { RECORD_BYTES_MAX, RECORD_HEADER_BYTES } from './archive-record.js';
import { bad, copyOf, dataView, expect } from './layout.js';
import { CODEC_RAW, CODEC_ZSTD, type Pack, type Unpack } from './pack.js';

export const PAGE_LEAVES = 256;
export const ROOT_PAGES_MAX = 65_536;
export const PACKS_IN_PAGE = 1024;
export const PACK_NAME_BYTES = 32;
const PACK_ROW_BYTES = PACK_NAME_BYTES + 12;
/** 512 TiB of packs that are needed. */
const PACK_PAGES_MAX = 16_384;
export const REF_BYTES = 12 + CHECK_BYTES;
const BODY_HEADER_BYTES = 5;
const ROOT_HEADER_BYTES = 16;
const ROOT_ROW_BYTES = 4 + REF_BYTES;
const ROOT_PACK_ROW_BYTES = ROOT_ROW_BYTES + PACK_NAME_BYTES + 4;
const ROOT_BYTES_MAX =
  ROOT_HEADER_BYTES + ROOT_PAGES_MAX * ROOT_ROW_BYTES + PACK_PAGES_MAX * ROOT_PACK_ROW_BYTES;
/** Raw; before a reader allocates. */
const NODE_BYTES_MAX = Math.max(LEAF_BYTES_MAX, ROOT_BYTES_MAX, PACKS_IN_PAGE * PACK_ROW_BYTES);

export interface NodeRef {
  readonly place: RecordPlace;
  readonly check: Uint8Array;
}

/** References by number within the node, ascending. */
export type Page = ReadonlyMap<number, NodeRef>;

/** A pack as it is asked for. */
export interface PackName {
  readonly name: Uint8Array;
  readonly bytes: number;
}

/** `pack`: null when it is the one that the root itself is in, whose name is not known yet. */
export interface PackPageRef {
  readonly ref: NodeRef;
  readonly pack: PackName | null;
}

export interface PackRow extends PackName {
  /** Blocks and nodes in it that this tree needs. */
  readonly liveParts: number;
  /** The most of them that were ever needed: what is less by now is dead. */
  readonly parts: number;
}

export interface Root {
  /** Packs of this tree have numbers below. */
  readonly packs: number;
  /** Blocks and nodes of this tree in the pack that the root is in: that one has no row. */
  readonly ownParts: number;
  /** By page of the disk: 4 GiB each. */
  readonly pages: Page;
  /** By number of pack / 1024. */
  readonly packPages: ReadonlyMap<number, PackPageRef>;
}

/** Body of a node's record, and its check. */
export function encodeNode(raw: Uint8Array, pack: Pack): { body: Uint8Array; check: Uint8Array } {
  assert(raw.length <= NODE_BYTES_MAX, 'a node is within limits');
  const packed = pack(raw);
  const body = new Uint8Array(BODY_HEADER_BYTES + packed.bytes.length);
  body[0] = packed.codec;
  dataView(body).setUint32(1, raw.length);
  body.set(packed.bytes, BODY_HEADER_BYTES);
  return { body, check: checkOf(body).slice() };
}

/** Raw bytes of the node that `check` is of. Error FORMAT_BAD. */
export function decodeNode(
  body: Uint8Array,
  check: Uint8Array,
  unpack: Unpack,
  place: string,
): Uint8Array {
  const where = { what: 'node of an archive index', place };
  expect(body.length > BODY_HEADER_BYTES, where, 'cut short');
  expect(equalBytes(checkOf(body), check), where, 'it is not the one that was referred to');
  const codec = body[0];
  if (codec !== CODEC_RAW && codec !== CODEC_ZSTD) throw bad(where, `codec ${codec} is not known`);
  const bytes = dataView(body).getUint32(1);
  expect(bytes <= NODE_BYTES_MAX, where, `${bytes} raw bytes`);
  const raw = unpack(body.subarray(BODY_HEADER_BYTES), codec, bytes);
  if (raw === null) throw bad(where, `it does not unpack to ${bytes} bytes`);
  return raw;
}

/** A page of leaves. */
export function encodePage(page: Page): Uint8Array {
  const bytes = new Uint8Array(page.size * (1 + REF_BYTES));
  let at = 0;
  for (const [number, ref] of page) {
    assert(number < PAGE_LEAVES, 'a page has 256 leaves');
    bytes[at] = number;
    putRef(bytes, at + 1, ref);
    at += 1 + REF_BYTES;
  }
  return bytes;
}

export function decodePage(bytes: Uint8Array, packs: number, place: string): Page {
  const where = { what: 'page of an archive index', place };
  const row = 1 + REF_BYTES;
  const count = bytes.length / row;
  expect(Number.isInteger(count) && count >= 1 && count <= PAGE_LEAVES, where, `${count} leaves`);
  const page = new Map<number, NodeRef>();
  let before = -1;
  for (let at = 0; at < bytes.length; at += row) {
    const number = bytes[at] ?? 0;
    expect(number > before, where, `leaf ${number} is out of order`);
    page.set(number, takeRef(bytes, at + 1, packs, place));
    before = number;
  }
  return page;
}

/** Packs of one page of the table, by number within it; those that no point needs are left out. */
export function encodePackPage(rows: ReadonlyMap<number, PackRow>): Uint8Array {
  const row = 4 + PACK_ROW_BYTES;
  const bytes = new Uint8Array(rows.size * row);
  const view = dataView(bytes);
  let at = 0;
  for (const [number, { name, bytes: stored, liveParts, parts }] of rows) {
    assert(name.length === PACK_NAME_BYTES && number < PACKS_IN_PAGE, 'a row of a pack page');
    assert(liveParts <= parts, 'no more is needed than ever was');
    view.setUint32(at, number);
    bytes.set(name, at + 4);
    view.setUint32(at + 36, stored);
    view.setUint32(at + 40, liveParts);
    view.setUint32(at + 44, parts);
    at += row;
  }
  return bytes;
}

export function decodePackPage(bytes: Uint8Array, place: string): ReadonlyMap<number, PackRow> {
  const where = { what: 'pack page of an archive index', place };
  const row = 4 + PACK_ROW_BYTES;
  const count = bytes.length / row;
  expect(Number.isInteger(count) && count >= 1 && count <= PACKS_IN_PAGE, where, `${count} packs`);
  const view = dataView(bytes);
  const rows = new Map<number, PackRow>();
  let before = -1;
  for (let at = 0; at < bytes.length; at += row) {
    const number = view.getUint32(at);
    const stored = view.getUint32(at + 36);
    expect(number > before && number < PACKS_IN_PAGE, where, `pack ${number} is out of order`);
    expect(stored > 0 && stored <= PACK_BYTES_MAX, where, `a pack of ${stored} bytes`);
    const [liveParts, parts] = [view.getUint32(at + 40), view.getUint32(at + 44)];
    expect(liveParts <= parts, where, `${liveParts} of ${parts} parts`);
    const name = copyOf(bytes, at + 4, at + 4 + PACK_NAME_BYTES);
    rows.set(number, { name, bytes: stored, liveParts, parts });
    before = number;
  }
  return rows;
}

//   0  4 packs | 4  4 pages | 8  4 pack pages | 12  4 own parts | rows of pages: number 4,
//   reference
//   | rows of pack pages: number 4, reference, name of its pack 32, bytes of that 4
export function encodeRoot({ packs, ownParts, pages, packPages }: Root): Uint8Array {
  const start = ROOT_HEADER_BYTES + pages.size * ROOT_ROW_BYTES;
  const bytes = new Uint8Array(start + packPages.size * ROOT_PACK_ROW_BYTES);
  const view = dataView(bytes);
  view.setUint32(0, packs);
  view.setUint32(4, pages.size);
  view.setUint32(8, packPages.size);
  view.setUint32(12, ownParts);
  let at = ROOT_HEADER_BYTES;
  for (const [number, ref] of pages) {
    view.setUint32(at, number);
    putRef(bytes, at + 4, ref);
    at += ROOT_ROW_BYTES;
  }
  for (const [number, { ref, pack }] of packPages) {
    view.setUint32(at, number);
    putRef(bytes, at + 4, ref);
    if (pack !== null) {
      bytes.set(pack.name, at + ROOT_ROW_BYTES);
      view.setUint32(at + ROOT_ROW_BYTES + PACK_NAME_BYTES, pack.bytes);
    }
    at += ROOT_PACK_ROW_BYTES;
  }
  return bytes;
}

/** Errors FORMAT_BAD. */
export function decodeRoot(bytes: Uint8Array, place: string): Root {
  const where = { what: 'root of an archive index', place };
  expect(bytes.length >= ROOT_HEADER_BYTES, where, 'cut short');
  const view = dataView(bytes);
  const [packs, pages, packPages] = [view.getUint32(0), view.getUint32(4), view.getUint32(8)];
  expect(pages <= ROOT_PAGES_MAX && packPages <= PACK_PAGES_MAX, where, 'too many pages');
  const start = ROOT_HEADER_BYTES + pages * ROOT_ROW_BYTES;
  const wanted = start + packPages * ROOT_PACK_ROW_BYTES;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, its counts say ${wanted}`);
  const root = {
    packs,
    ownParts: view.getUint32(12),
    pages: new Map<number, NodeRef>(),
    packPages: new Map<number, PackPageRef>(),
  };
  let before = -1;
  const numberAt = (at: number, limit: number): number => {
    const number = view.getUint32(at);
    expect(number > before && number < limit, where, `page ${number} is out of order`);
    before = number;
    return number;
  };
  for (let at = ROOT_HEADER_BYTES; at < start; at += ROOT_ROW_BYTES) {
    root.pages.set(numberAt(at, ROOT_PAGES_MAX), takeRef(bytes, at + 4, packs, place));
  }
  before = -1;
  for (let at = start; at < wanted; at += ROOT_PACK_ROW_BYTES) {
    const number = numberAt(at, Math.ceil(packs / PACKS_IN_PAGE));
    const ref = takeRef(bytes, at + 4, packs, place);
    const name = copyOf(bytes, at + ROOT_ROW_BYTES, at + ROOT_ROW_BYTES + PACK_NAME_BYTES);
    const stored = view.getUint32(at + ROOT_ROW_BYTES + PACK_NAME_BYTES);
    const end = ref.place.offset + ref.place.bytes;
    expect(stored <= PACK_BYTES_MAX, where, `a pack of ${stored} bytes`);
    expect(stored === 0 || end <= stored, where, `a record to ${end} of ${stored}`);
    expect(stored > 0 || isZero(name), where, 'a pack with a name and no bytes');
    root.packPages.set(number, { ref, pack: stored === 0 ? null : { name, bytes: stored } });
  }
  return root;
}

function putRef(bytes: Uint8Array, at: number, { place, check }: NodeRef): void {
  const view = dataView(bytes);
  view.setUint32(at, place.pack);
  view.setUint32(at + 4, place.offset);
  view.setUint32(at + 8, place.bytes);
  bytes.set(check, at + 12);
}

function takeRef(bytes: Uint8Array, at: number, packs: number, place: string): NodeRef {
  const where = { what: 'reference of an archive index', place };
  const view = dataView(bytes);
  const [pack, offset, length] = [
    view.getUint32(at),
    view.getUint32(at + 4),
    view.getUint32(at + 8),
  ];
  expect(pack < packs, where, `pack ${pack} of ${packs}`);
  const isRecord = length > RECORD_HEADER_BYTES && length <= RECORD_BYTES_MAX;
  expect(isRecord, where, `a record of ${length} bytes`);
  expect(offset + length <= PACK_BYTES_MAX, where, `a record at ${offset} of a pack`);
  const check = copyOf(bytes, at + 12, at + REF_BYTES);
  return { place: { pack, offset, bytes: length }, check };
}
