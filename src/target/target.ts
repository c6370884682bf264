// Target: where a round goes. One interface for a replica across a session, the replica's own
// receiver in the same process, and later an archive; one contract suite for all of them.
// Words: DESIGN.md §2. Order: RULES.md §1. Chunk ranges are chunk indices; ids are 16 bytes.
import { errorClass } from '../base/errors.js';
import type { ChunkIndex } from '../base/units.js';
import type { Epoch, PointRef, RoundId } from '../lineage/lineage.js';

export type RefusalReason =
  | 'no-space'
  | 'not-secondary'
  | 'wrong-from'
  | 'wrong-epoch'
  | 'suspect'
  | 'apply-failed'
  | 'drift'
  | 'bad-frame'
  | 'busy'
  | 'size';

export type TargetFault =
  | { code: 'TARGET_REFUSED'; target: string; reason: RefusalReason; text: string }
  | { code: 'TARGET_LOST'; target: string; text: string };

export const TargetError = errorClass<TargetFault>('TargetError', {
  TARGET_REFUSED: (f) => `target ${f.target} refused (${f.reason}): ${f.text}`,
  TARGET_LOST: (f) => `target ${f.target}: ${f.text}`,
});

/** What a target says of itself at first contact. `point` is its last committed one (§5). */
export interface TargetState {
  readonly resource: Uint8Array | null;
  readonly sizeBytes: number;
  readonly role: 'init' | 'primary' | 'secondary';
  readonly epochs: readonly Epoch[];
  readonly point: PointRef | null;
  readonly suspect: boolean;
  /** Id of a point it had committed and lost; it went back to `point`. */
  readonly lost: Uint8Array | null;
  readonly node: string;
}

export interface DigestsAnswer {
  /** Point the digests are true for; null while initialising (read from the disk just now). */
  readonly at: PointRef | null;
  readonly first: ChunkIndex;
  /** 16 bytes a chunk, in order. */
  readonly digests: Uint8Array;
}

/** 'pass': filling a target without a point (H43). 'round': up to a cut. */
export interface Begin {
  readonly kind: 'pass' | 'round';
  readonly resource: Uint8Array;
  readonly round: RoundId;
  readonly epoch: Epoch;
  readonly from: PointRef | null;
  readonly to: PointRef;
  readonly sizeBytes: number;
  /** Upper bound of bytes the round may need staged plus undo (H29). */
  readonly spaceBytes: number;
}

export interface Commit {
  readonly round: RoundId;
  readonly from: PointRef | null;
  readonly to: PointRef;
  readonly frames: number;
  /** BLAKE3, 32 bytes, of the index in order of sending; both sides compute it. */
  readonly indexDigest: Uint8Array;
}

export type CommitAnswer =
  | { readonly outcome: 'committed' }
  | { readonly outcome: 'refused'; readonly reason: RefusalReason; readonly text: string };

/** What became of a round. 'none': never committed here and never will be. */
export type Outcome = 'committed' | 'none' | 'forgotten';

export interface Target {
  readonly name: string;
  readonly state: TargetState;
  /** Bulk digests of chunks first..first+count-1; 'table' or, past the page cache, 'disk'. */
  digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer>;
  outcome(round: RoundId): Promise<Outcome>;
  /** Reserves space; error TARGET_REFUSED with numbers. A second begin drops the first. */
  begin(begin: Begin): Promise<void>;
  /** Hands over one encoded frame; resolves when there is room for the next (D5, W5). */
  put(number: number, frame: Uint8Array): Promise<void>;
  /** Frames 0..staged-1 are durable there; resolves when `staged` >= `atLeast`. */
  staged(atLeast: number): Promise<number>;
  /** Committed or refused. Rejects with TARGET_LOST when the answer is unknown (H23). */
  commit(commit: Commit): Promise<CommitAnswer>;
  /** Resolves when `point` is in the target's disk; rejects when it cannot be applied. */
  applied(point: PointRef): Promise<void>;
  /** Drops what is staged of a round that will not be committed. */
  abandon(round: RoundId): Promise<void>;
  /** Bytes on the wire since the connection was made; zeros in the same process. */
  wireBytes(): { readonly up: number; readonly down: number };
  close(): Promise<void>;
}
