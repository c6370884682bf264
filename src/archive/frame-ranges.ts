// Frames of chunks, asked for in as few ranges of their packs as their places allow. Lengths are
// bytes. Memory is the caller's to bound, by what it asks for at once.
import type { LeafEntry, RecordPlace } from '../format/archive-leaf.js';
import { packKey } from '../format/archive-objects.js';
import { decodeFrame } from '../format/frame.js';
import type { Unpack } from '../format/pack.js';
import { recordId, type SizedFrame } from './laying.js';
import { openRecord, type RecordReader } from './records.js';
import type { NameOf } from './tree.js';

/** Records that stand closer than that are asked for together; what is between is thrown away. */
export const GAP_BYTES_MAX = 128 * 1024;

/** Records of one pack, ascending. */
export interface FrameRange {
  readonly pack: number;
  readonly offset: number;
  readonly bytes: number;
  readonly records: readonly RecordPlace[];
}

export interface FetchedRange {
  readonly range: FrameRange;
  readonly stored: Uint8Array;
  /** For errors. */
  readonly place: string;
}

/** Where all pieces of `entries` stand, each place once. */
export function recordsOf(entries: readonly LeafEntry[]): RecordPlace[] {
  const records = new Map<string, RecordPlace>();
  for (const { pieces } of entries) {
    for (const { place } of pieces) if (place !== null) records.set(recordId(place), place);
  }
  return [...records.values()];
}

/** `records`, each once, in ranges of at most `bytesMax` (a longer record has its own). */
export function rangesOf(records: readonly RecordPlace[], bytesMax: number): FrameRange[] {
  const sorted = [...records].sort((a, b) => a.pack - b.pack || a.offset - b.offset);
  const ranges: FrameRange[] = [];
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
      if (record.pack !== first.pack || gap > GAP_BYTES_MAX || bytes > bytesMax) end();
    }
    open.push(record);
  }
  end();
  return ranges;
}

/** Errors of the store, and of `nameOf`. */
export async function fetchRange(
  { store }: RecordReader,
  nameOf: NameOf,
  range: FrameRange,
): Promise<FetchedRange> {
  const { name } = await nameOf(range.pack);
  const key = packKey(name);
  const stored = await store.read(key, range.offset, range.bytes);
  return { range, stored, place: `${store.url}/${key} at ${range.offset}` };
}

/** One frame of what was fetched; it may be a part of that memory. Errors FORMAT_BAD. */
export function frameIn(
  { range, stored, place }: FetchedRange,
  { keyOf }: RecordReader,
  record: RecordPlace,
  unpack: Unpack,
): SizedFrame {
  const at = record.offset - range.offset;
  const part = stored.subarray(at, at + record.bytes);
  const { header, body } = openRecord(keyOf, 'frame', part, place);
  const { sizeBytes } = header;
  return { frame: decodeFrame(body, place, unpack, sizeBytes), sizeBytes };
}
