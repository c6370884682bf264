// Leaf of an archive's index: where the blocks of 256 chunks (a region, 16 MiB of disk) stand, as
// of one round (the blocks that it brought) or of a point (all there are). Blocks of one chunk may
// stand in several places: of each block the newest counts, and which one that is, is decided when
// leaves are merged, so that the masks of the pieces of one entry never overlap (H34).
//
// Bytes, n entries with p pieces in all, fields by column:
//   0  2 n | 2  4 p | 6  chunk in the region 1n | pieces 1n | digest 16n
//   | mask 2p | zero 2p | pack 4p | offset 4p | record bytes 4p
// A piece whose blocks are all zero needs no bytes: pack, offset and record bytes are 0xffffffff,
// 0, 0. Guarantee of a decoded leaf: chunks ascend within the region, an entry has 1..16 pieces,
// masks of its pieces do not overlap, `zero` is a subset of `mask`, offsets lie inside a pack.
import { assert } from '../base/assert.js';
import { BLOCKS_PER_CHUNK, type ChunkIndex, DIGEST_BYTES } from '../base/units.js';
import { RECORD_BYTES_MAX, RECORD_HEADER_BYTES } from './archive-record.js';
import { copyOf, dataView, expect } from './layout.js';

export const LEAF_CHUNKS = 256;
/** Longest pack; a record that does not fit begins the next one. */
export const PACK_BYTES_MAX = 64 * 1024 * 1024;
const LEAF_HEADER_BYTES = 6;
const ENTRY_BYTES = 2 + DIGEST_BYTES;
const PIECE_BYTES = 16;
export const LEAF_BYTES_MAX =
  LEAF_HEADER_BYTES + LEAF_CHUNKS * (ENTRY_BYTES + BLOCKS_PER_CHUNK * PIECE_BYTES);
const NOWHERE = 0xffff_ffff;

/** Where a record stands. Pack numbers count the packs of an archive, from 0. */
export interface RecordPlace {
  readonly pack: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Blocks `mask` of a chunk; those of `zero` are zeroes. `place`: of the frame that has the others;
 * null when there are none. */
export interface Piece {
  readonly mask: number;
  readonly zero: number;
  readonly place: RecordPlace | null;
}

export interface LeafEntry {
  readonly chunk: ChunkIndex;
  /** Of the whole chunk. */
  readonly digest: Uint8Array;
  /** Newest first. */
  readonly pieces: readonly Piece[];
}

/** Entries of one region, ascending. */
export type Leaf = readonly LeafEntry[];

export const regionOf = (chunk: ChunkIndex): number => Math.floor(chunk / LEAF_CHUNKS);

export function encodeLeaf(leaf: Leaf): Uint8Array {
  const n = leaf.length;
  assert(n >= 1 && n <= LEAF_CHUNKS, 'a leaf has entries of one region');
  const pieces = leaf.flatMap((entry) => entry.pieces);
  const p = pieces.length;
  const bytes = new Uint8Array(LEAF_HEADER_BYTES + n * ENTRY_BYTES + p * PIECE_BYTES);
  const view = dataView(bytes);
  view.setUint16(0, n);
  view.setUint32(2, p);
  const at = columns(n, p);
  const region = regionOf(leaf[0]?.chunk ?? 0);
  leaf.forEach(({ chunk, digest, pieces: own }, i) => {
    assert(regionOf(chunk) === region, 'all entries are of one region');
    bytes[at.chunk + i] = chunk % LEAF_CHUNKS;
    bytes[at.count + i] = own.length;
    bytes.set(digest, at.digest + DIGEST_BYTES * i);
  });
  pieces.forEach(({ mask, zero, place }, i) => {
    assert((place === null) === (mask === zero), 'only zeroes stand nowhere');
    view.setUint16(at.mask + 2 * i, mask);
    view.setUint16(at.zero + 2 * i, zero);
    view.setUint32(at.pack + 4 * i, place?.pack ?? NOWHERE);
    view.setUint32(at.offset + 4 * i, place?.offset ?? 0);
    view.setUint32(at.record + 4 * i, place?.bytes ?? 0);
  });
  return bytes;
}

/** Of region `region`, of an index in which packs have numbers below `packs`. Error FORMAT_BAD. */
export function decodeLeaf(
  bytes: Uint8Array,
  region: number,
  packs: number,
  place: string,
): LeafEntry[] {
  const where = { what: 'leaf of an archive index', place };
  expect(bytes.length >= LEAF_HEADER_BYTES, where, 'cut short');
  const view = dataView(bytes);
  const n = view.getUint16(0);
  const p = view.getUint32(2);
  expect(n >= 1 && n <= LEAF_CHUNKS, where, `${n} entries`);
  expect(p >= n && p <= n * BLOCKS_PER_CHUNK, where, `${p} pieces of ${n} chunks`);
  const wanted = LEAF_HEADER_BYTES + n * ENTRY_BYTES + p * PIECE_BYTES;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, its counts say ${wanted}`);
  const at = columns(n, p);
  // In memory of their own, together: a collector, and another thread, have one thing to look at.
  const digests = copyOf(bytes, at.digest, at.digest + DIGEST_BYTES * n);
  const entries: LeafEntry[] = [];
  let [before, next] = [-1, 0];
  for (let i = 0; i < n; i += 1) {
    const chunk = view.getUint8(at.chunk + i);
    const count = view.getUint8(at.count + i);
    expect(chunk > before, where, `chunk ${chunk} is out of order`);
    expect(count >= 1 && count <= BLOCKS_PER_CHUNK, where, `${count} pieces of one chunk`);
    expect(next + count <= p, where, 'more pieces than its header says');
    const pieces: Piece[] = [];
    let seen = 0;
    for (let j = next; j < next + count; j += 1) {
      const piece = readPiece(view, at, j, packs, (holds, why) => expect(holds, where, why));
      expect((seen & piece.mask) === 0, where, `two pieces of chunk ${chunk} have one block`);
      seen |= piece.mask;
      pieces.push(piece);
    }
    const digest = digests.subarray(DIGEST_BYTES * i, DIGEST_BYTES * (i + 1));
    entries.push({ chunk: region * LEAF_CHUNKS + chunk, digest, pieces });
    [before, next] = [chunk, next + count];
  }
  expect(next === p, where, 'fewer pieces than its header says');
  return entries;
}

function readPiece(
  view: DataView,
  at: Columns,
  i: number,
  packs: number,
  must: (holds: boolean, why: string) => void,
): Piece {
  const mask = view.getUint16(at.mask + 2 * i);
  const zero = view.getUint16(at.zero + 2 * i);
  const pack = view.getUint32(at.pack + 4 * i);
  const offset = view.getUint32(at.offset + 4 * i);
  const bytes = view.getUint32(at.record + 4 * i);
  must(mask !== 0 && (zero & ~mask) === 0, `mask ${mask} with zeroes ${zero}`);
  if (mask === zero) {
    must(pack === NOWHERE && offset === 0 && bytes === 0, 'zeroes that stand somewhere');
    return { mask, zero, place: null };
  }
  must(pack < packs, `pack ${pack} of ${packs}`);
  must(bytes > RECORD_HEADER_BYTES && bytes <= RECORD_BYTES_MAX, `a record of ${bytes} bytes`);
  must(offset + bytes <= PACK_BYTES_MAX, `a record at ${offset} of a pack`);
  return { mask, zero, place: { pack, offset, bytes } };
}

/** The chunk as of `newer`, with what it does not have from `older`. */
export function overlaid(newer: LeafEntry, older: LeafEntry): LeafEntry {
  assert(newer.chunk === older.chunk, 'both are of one chunk');
  const has = newer.pieces.reduce((all, { mask }) => all | mask, 0);
  const pieces: Piece[] = [...newer.pieces];
  for (const piece of older.pieces) {
    const mask = piece.mask & ~has;
    const zero = piece.zero & ~has;
    if (mask !== 0) pieces.push({ mask, zero, place: mask === zero ? null : piece.place });
  }
  return { chunk: newer.chunk, digest: newer.digest, pieces: joined(pieces) };
}

/** All of `older` under all of `newer`. */
export function mergeLeaves(newer: Leaf, older: Leaf): LeafEntry[] {
  const merged: LeafEntry[] = [];
  let [i, j] = [0, 0];
  while (i < newer.length || j < older.length) {
    const [one, other] = [newer[i], older[j]];
    if (other === undefined || (one !== undefined && one.chunk < other.chunk)) {
      if (one !== undefined) merged.push(one);
      i += 1;
    } else if (one === undefined || other.chunk < one.chunk) {
      merged.push(other);
      j += 1;
    } else {
      merged.push(overlaid(one, other));
      [i, j] = [i + 1, j + 1];
    }
  }
  return merged;
}

/** Zeroes are one piece, wherever they came from. */
function joined(pieces: readonly Piece[]): readonly Piece[] {
  const nowhere = pieces.filter(({ place }) => place === null);
  if (nowhere.length <= 1) return pieces;
  const mask = nowhere.reduce((all, piece) => all | piece.mask, 0);
  return [...pieces.filter(({ place }) => place !== null), { mask, zero: mask, place: null }];
}

interface Columns {
  readonly chunk: number;
  readonly count: number;
  readonly digest: number;
  readonly mask: number;
  readonly zero: number;
  readonly pack: number;
  readonly offset: number;
  readonly record: number;
}

function columns(n: number, p: number): Columns {
  const chunk = LEAF_HEADER_BYTES;
  const count = chunk + n;
  const digest = count + n;
  const mask = digest + DIGEST_BYTES * n;
  const zero = mask + 2 * p;
  const pack = zero + 2 * p;
  const offset = pack + 4 * p;
  return { chunk, count, digest, mask, zero, pack, offset, record: offset + 4 * p };
}
