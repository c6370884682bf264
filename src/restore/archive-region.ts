// A region of a disk (256 chunks, 16 MiB) as of a point of an archive, whole: its frames are asked
// for in as few ranges as their places allow, several at the same time, and every chunk is checked
// against its digest (Q1). Memory: the region, and the ranges that are under way.
import { type OpenRecord, openRecord } from '../archive/records.js';
import type { PointTrees } from '../archive/tree.js';
import { mapAhead } from '../base/ahead.js';
import { assert } from '../base/assert.js';
import { digestOf, equalBytes } from '../base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkLength, MIB } from '../base/units.js';
import {
  LEAF_CHUNKS,
  type Leaf,
  type LeafEntry,
  type Piece,
  type RecordPlace,
} from '../format/archive-leaf.js';
import { packKey } from '../format/archive-objects.js';
import type { KeyOf } from '../format/archive-record.js';
import { decodeFrame } from '../format/frame.js';
import { blockSpans } from '../format/frame-spans.js';
import { bad } from '../format/layout.js';
import { reusingUnpack } from '../format/pack.js';
import type { ObjectStore } from '../store/store.js';

export const REGION_BYTES = LEAF_CHUNKS * CHUNK_BYTES;
/** Records that stand closer than that are asked for together; what is between is thrown away. */
const GAP_BYTES_MAX = 128 * 1024;
const RANGE_BYTES_MAX = 8 * MIB;
const RANGES_AHEAD = 4;

export interface RegionSource {
  readonly store: ObjectStore;
  readonly keyOf: KeyOf;
  readonly trees: PointTrees;
  readonly sizeBytes: number;
}

export interface Region {
  readonly offset: number;
  /** As long as the disk is there; zeroes where nothing was ever written. */
  readonly bytes: Uint8Array;
  /** Chunks that are known, ascending; the others are zeroes. */
  readonly leaf: Leaf;
}

/** `wanted`: entries of the region to be read; the others stay zeroes in what is handed out. */
export async function readRegion(
  source: RegionSource,
  region: number,
  leaf: Leaf,
  wanted: (entry: LeafEntry) => boolean,
): Promise<Region> {
  const offset = region * REGION_BYTES;
  const bytes = new Uint8Array(Math.min(REGION_BYTES, source.sizeBytes - offset));
  const entries = leaf.filter(wanted);
  const laying = new Laying(bytes, offset, entries);
  const unpack = reusingUnpack();
  const fetch = (range: Range): Promise<Fetched> => fetched(source, range);
  for await (const { range, stored, place } of mapAhead(rangesOf(entries), RANGES_AHEAD, fetch)) {
    for (const record of range.records) {
      const at = record.offset - range.offset;
      const part = stored.subarray(at, at + record.bytes);
      const { header, body }: OpenRecord = openRecord(source.keyOf, 'frame', part, place);
      const frame = decodeFrame(body, place, unpack, header.sizeBytes);
      for (const span of blockSpans(frame, header.sizeBytes)) {
        if (span.bytes !== null) laying.lay(record, span.offset, span.bytes);
      }
    }
  }
  for (const entry of entries) verify(source, bytes, offset, entry);
  return { offset, bytes, leaf };
}

function verify(
  { store, sizeBytes }: RegionSource,
  bytes: Uint8Array,
  offset: number,
  { chunk, digest, pieces }: LeafEntry,
): void {
  const at = chunk * CHUNK_BYTES - offset;
  if (equalBytes(digestOf(bytes.subarray(at, at + chunkLength(chunk, sizeBytes))), digest)) return;
  const packs = pieces.map(({ place }) => place?.pack ?? '-').join(', ');
  const where = { what: 'chunk of an archive', place: `${store.url} chunk ${chunk}` };
  throw bad(where, `its content in packs ${packs} has another digest`);
}

interface Range {
  readonly pack: number;
  readonly offset: number;
  readonly bytes: number;
  readonly records: readonly RecordPlace[];
}

interface Fetched {
  readonly range: Range;
  readonly stored: Uint8Array;
  readonly place: string;
}

async function fetched({ store, trees }: RegionSource, range: Range): Promise<Fetched> {
  const { name } = await trees.nameOf(range.pack);
  const key = packKey(name);
  const stored = await store.read(key, range.offset, range.bytes);
  return { range, stored, place: `${store.url}/${key} at ${range.offset}` };
}

/** The records of all pieces, each once, in ranges. */
function rangesOf(entries: readonly LeafEntry[]): Range[] {
  const records = new Map<string, RecordPlace>();
  for (const { pieces } of entries) {
    for (const { place } of pieces) {
      if (place !== null) records.set(`${place.pack} ${place.offset}`, place);
    }
  }
  const sorted = [...records.values()].sort((a, b) => a.pack - b.pack || a.offset - b.offset);
  const ranges: Range[] = [];
  let open: RecordPlace[] = [];
  const end = (): void => {
    const [first] = open;
    const last = open.at(-1);
    if (first === undefined || last === undefined) return;
    const bytes = last.offset + last.bytes - first.offset;
    ranges.push({ pack: first.pack, offset: first.offset, bytes, records: open });
    open = [];
  };
  for (const record of sorted) {
    const [first] = open;
    const last = open.at(-1);
    if (first !== undefined && last !== undefined) {
      const gap = record.offset - (last.offset + last.bytes);
      const bytes = record.offset + record.bytes - first.offset;
      const isFar = record.pack !== first.pack || gap > GAP_BYTES_MAX || bytes > RANGE_BYTES_MAX;
      if (isFar) end();
    }
    open.push(record);
  }
  end();
  return ranges;
}

/** Puts blocks where they belong, of each frame those that the index takes from it. */
class Laying {
  readonly #bytes: Uint8Array;
  readonly #offset: number;
  readonly #pieces = new Map<number, readonly Piece[]>();

  constructor(bytes: Uint8Array, offset: number, entries: readonly LeafEntry[]) {
    this.#bytes = bytes;
    this.#offset = offset;
    for (const { chunk, pieces } of entries) this.#pieces.set(chunk, pieces);
  }

  /** `content` stands at `offset` of the disk, in the frame at `from`. */
  lay(from: RecordPlace, offset: number, content: Uint8Array): void {
    for (let at = 0; at < content.length; at += BLOCK_BYTES) {
      const block = (offset + at) / BLOCK_BYTES;
      assert(Number.isInteger(block), 'spans begin at blocks');
      const chunk = Math.floor(block / 16);
      const bit = 1 << (block % 16);
      const isWanted = this.#pieces
        .get(chunk)
        ?.some(({ mask, zero, place }) => (mask & ~zero & bit) !== 0 && isSame(place, from));
      if (isWanted !== true) continue;
      const to = offset + at - this.#offset;
      this.#bytes.set(content.subarray(at, Math.min(at + BLOCK_BYTES, content.length)), to);
    }
  }
}

const isSame = (one: RecordPlace | null, other: RecordPlace): boolean =>
  one !== null && one.pack === other.pack && one.offset === other.offset;
