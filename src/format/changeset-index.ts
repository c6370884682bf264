// Index of a changeset: which chunk stands in which frame, with masks and the digest afterwards.
// Sender and receiver both run over it; its BLAKE3 is what a commit is asked for by (RULES.md §1).
// Runs are expanded: one entry a chunk, in order of the frames. A chunk may stand in several
// frames of one changeset (it was asked for whole): the later one counts for the blocks it has.
import { assert } from '../base/assert.js';
import { runningDigest } from '../base/digest.js';
import { DIGEST_BYTES } from '../base/units.js';
import type { ChangesetTotals, FrameEntry } from './changeset.js';
import { blockBytesOf, type FrameHeader, frameBytes } from './frame-header.js';
import { copyOf, dataView, layout } from './layout.js';

export const INDEX_ENTRY_BYTES = 28;

//   off  size
const AT = layout(INDEX_ENTRY_BYTES, {
  chunk: 4, //   0
  mask: 2, //    4
  zero: 2, //    6
  frame: 4, //   8   frame number
  digest: 16, // 12  of the chunk afterwards
});

export interface IndexEntry extends FrameEntry {
  /** Number of the frame that has the blocks. */
  readonly frame: number;
}

/** Index entries of one frame, back to back. */
export function encodeIndex(frame: number, entries: readonly FrameEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * INDEX_ENTRY_BYTES);
  const view = dataView(bytes);
  let at = 0;
  for (const entry of entries) {
    view.setUint32(at + AT.chunk, entry.chunk);
    view.setUint16(at + AT.mask, entry.mask);
    view.setUint16(at + AT.zero, entry.zero);
    view.setUint32(at + AT.frame, frame);
    bytes.set(entry.digest, at + AT.digest);
    at += INDEX_ENTRY_BYTES;
  }
  return bytes;
}

/** Entries of `bytes`, whole ones; the caller has verified the index's digest. */
export function* decodeIndex(bytes: Uint8Array): Generator<IndexEntry> {
  const entries = indexEntries(bytes);
  for (let i = 0; i < entries.count; i += 1) yield entries.entry(i);
}

/** Encoded entries by number from 0: for who looks at many and takes few. */
export interface IndexEntries {
  readonly count: number;
  chunk(i: number): number;
  mask(i: number): number;
  frame(i: number): number;
  entry(i: number): IndexEntry;
}

/** `bytes`: whole entries, left as they are. */
export function indexEntries(bytes: Uint8Array): IndexEntries {
  assert(bytes.length % INDEX_ENTRY_BYTES === 0, 'an index is read in whole entries');
  const view = dataView(bytes);
  const chunk = (i: number): number => view.getUint32(i * INDEX_ENTRY_BYTES + AT.chunk);
  const mask = (i: number): number => view.getUint16(i * INDEX_ENTRY_BYTES + AT.mask);
  const frame = (i: number): number => view.getUint32(i * INDEX_ENTRY_BYTES + AT.frame);
  return {
    count: bytes.length / INDEX_ENTRY_BYTES,
    chunk,
    mask,
    frame,
    entry: (i) => {
      const at = i * INDEX_ENTRY_BYTES;
      return {
        chunk: chunk(i),
        mask: mask(i),
        zero: view.getUint16(at + AT.zero),
        frame: frame(i),
        digest: copyOf(bytes, at + AT.digest, at + AT.digest + DIGEST_BYTES),
      };
    },
  };
}

export interface IndexAccumulator {
  /** Takes the next frame and returns its index entries, encoded. Numbers are 0, 1, 2, … */
  add(header: FrameHeader, entries: readonly FrameEntry[]): Uint8Array;
  /** As `add`, of a frame that is packed at the other side: its stored bytes count as 0. */
  addEntries(number: number, entries: readonly FrameEntry[], blockBytes: number): Uint8Array;
  /** Frames added so far: the number the next one must have. */
  readonly frames: number;
  /** Of the frames added so far; more may follow (a target that asks for chunks whole). */
  totals(): ChangesetTotals;
}

/** Counts frames and digests their index as they pass, on either side; holds no entries. */
export function indexAccumulator(): IndexAccumulator {
  const digest = runningDigest();
  let [frames, chunks, blockBytes, storedBytes] = [0, 0, 0, 0];
  const addEntries: IndexAccumulator['addEntries'] = (number, entries, raw) => {
    assert(number === frames, 'frames are numbered from 0 without gaps');
    const bytes = encodeIndex(number, entries);
    digest.add(bytes);
    frames += 1;
    chunks += entries.length;
    blockBytes += raw;
    return bytes;
  };
  return {
    add(header, entries) {
      assert(header.chunks === entries.length, 'entries are those of the frame');
      storedBytes += frameBytes(header);
      return addEntries(header.number, entries, blockBytesOf(header));
    },
    addEntries,
    get frames() {
      return frames;
    },
    totals() {
      return { frames, chunks, blockBytes, storedBytes, indexDigest: copyOf(digest.done()) };
    },
  };
}
