// A region of a disk (256 chunks, 16 MiB) as of a point of an archive, whole: its frames are asked
// for in as few ranges as their places allow, several at the same time, and every chunk is checked
// against its digest (Q1). Memory: the region, and the ranges that are under way.
import {
  type FrameRange,
  fetchRange,
  frameIn,
  rangesOf,
  recordsOf,
} from '../archive/frame-ranges.js';
import { Laying } from '../archive/laying.js';
import type { PointTrees } from '../archive/tree.js';
import { mapAhead } from '../base/ahead.js';
import { CHUNK_BYTES, MIB } from '../base/units.js';
import { LEAF_CHUNKS, type Leaf, type LeafEntry } from '../format/archive-leaf.js';
import type { KeyOf } from '../format/archive-record.js';
import { reusingUnpack } from '../format/pack.js';
import type { ObjectStore } from '../store/store.js';

export const REGION_BYTES = LEAF_CHUNKS * CHUNK_BYTES;
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
  const { store, trees, sizeBytes } = source;
  const offset = region * REGION_BYTES;
  const bytes = new Uint8Array(Math.min(REGION_BYTES, sizeBytes - offset));
  const entries = leaf.filter(wanted);
  const laying = new Laying(entries, (chunk) => {
    const at = chunk * CHUNK_BYTES - offset;
    return bytes.subarray(at, at + CHUNK_BYTES);
  });
  const unpack = reusingUnpack();
  const ranges = rangesOf(recordsOf(entries), RANGE_BYTES_MAX);
  const fetch = (range: FrameRange) => fetchRange(source, (pack) => trees.nameOf(pack), range);
  for await (const fetched of mapAhead(ranges, RANGES_AHEAD, fetch)) {
    for (const record of fetched.range.records) {
      laying.lay(record, frameIn(fetched, source, record, unpack));
    }
  }
  for (const { chunk } of entries) laying.verified(chunk, store.url);
  return { offset, bytes, leaf };
}
