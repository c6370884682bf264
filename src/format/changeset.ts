// Changeset: the bytes of a round, one format for wire, staging, undo history, archive and export
// file (DESIGN.md §6). These are its values; encode and decode stand in the files beside this one.
// Version 1. Big-endian. Byte for byte: hast-changeset(5).
import { errorClass } from '../base/errors.js';
import type { ChunkIndex } from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';

/** Most block bytes in one frame (raw). A frame has at least one entry. */
export const FRAME_BLOCK_BYTES_MAX = 1024 * 1024;
/** Most chunks in one frame, runs of zero chunks expanded. */
export const FRAME_ENTRIES_MAX = 16_384;
/** Longest encoded frame, header included. */
export const FRAME_BYTES_MAX = 2 * 1024 * 1024;

export type Consistency = 'crash' | 'quiesced' | 'damaged';

export interface ChangesetHeader {
  /** 'round': from -> to forward. 'undo': takes `to` back to `from`. */
  readonly kind: 'round' | 'undo';
  readonly resource: Uint8Array;
  readonly round: Uint8Array;
  readonly from: PointRef | null;
  readonly to: PointRef;
  /** Size of the disk after the changeset is applied. */
  readonly sizeBytes: number;
  readonly consistency: Consistency;
}

/** One chunk of a frame. Bit i of `mask`: block i is part of the changeset; of `zero` (a subset
 * of mask): it is all zeroes and carries no bytes. `digest`: of the whole chunk afterwards. */
export interface FrameEntry {
  readonly chunk: ChunkIndex;
  readonly mask: number;
  readonly zero: number;
  readonly digest: Uint8Array;
}

/** Blocks of `mask & ~zero` of every entry, in order, without gaps; the disk's very last block
 * may be short. */
export interface Frame {
  readonly number: number;
  readonly entries: readonly FrameEntry[];
  readonly blocks: Uint8Array;
}

export interface ChangesetTotals {
  readonly frames: number;
  readonly chunks: number;
  /** Raw block bytes, zero blocks not counted. */
  readonly blockBytes: number;
  /** Encoded bytes of all frames. */
  readonly storedBytes: number;
  /** BLAKE3, 32 bytes, of the index entries in order. */
  readonly indexDigest: Uint8Array;
}

export type FormatFault =
  | { code: 'FORMAT_BAD'; what: string; place: string; why: string }
  /** `reads`: the version that this program writes, and reads. */
  | { code: 'FORMAT_VERSION'; what: string; place: string; version: number; reads: number };

const ANEW =
  'hastctl create --force keeps the state aside, and the next contact compares by digests';
const OLDER = `an earlier build wrote it: ${ANEW}`;
const NEWER = `a later release wrote it: go back to that one; else ${ANEW}`;

export const FormatError = errorClass<FormatFault>('FormatError', {
  FORMAT_BAD: (f) => `${f.place}: not a whole ${f.what}: ${f.why}`,
  FORMAT_VERSION: (f) =>
    `${f.place}: ${f.what} of version ${f.version}; this program reads version ${f.reads} ` +
    `(${f.version < f.reads ? OLDER : NEWER})`,
});
