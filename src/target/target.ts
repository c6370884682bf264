// Target: where a round goes. One interface for a replica across a session, the replica's own
// receiver in the same process, and later an archive; one contract suite for all of them.
// Words: DESIGN.md §2. Order: RULES.md §1. Chunk ranges are chunk indices; ids are 16 bytes.
import type { LookResult } from '../archive/look-pass.js';
import type { Looks } from '../archive/looks.js';
import type { PruneResult } from '../archive/prune.js';
import type { Moves, RepackPlan } from '../archive/repack.js';
import { errorClass } from '../base/errors.js';
import type { ChunkIndex } from '../base/units.js';
import type { KeptPoint } from '../format/archive-objects.js';
import type { FrameEntry } from '../format/changeset.js';
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
  | 'size'
  /** A round to be gone on with is not here any more; the next one takes over what is staged. */
  | 'gone';

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
  /** Its name; of an archive the place where it is. */
  readonly node: string;
  /** An archive: what it had stays, whoever goes on. */
  readonly keepsPoints?: boolean;
  /** Of an archive with a point: how many it keeps, the newest one included, and bytes that the
   * round of that one has stored. */
  readonly holds?: { readonly points: number; readonly lastStoredBytes: number };
  /** A round has something to move though nothing is dirty. */
  readonly moves?: boolean;
  /** Raw bytes of the blocks of a frame, at most; default FRAME_BLOCK_BYTES_MAX. */
  readonly frameBytes?: number;
}

export interface WireCounts {
  readonly up: number;
  readonly down: number;
  readonly requests?: RequestCounts;
}

export interface RequestCounts {
  readonly put: number;
  readonly get: number;
  readonly head: number;
  readonly list: number;
  readonly remove: number;
}

/** What a prune has done, and what keeps the points that stay; none: the next round lets it go. */
export interface Pruned {
  readonly result: PruneResult;
  readonly kept: readonly (KeptPoint & { readonly keptBy: readonly string[] })[];
}

/** How packs of an archive are looked at; see LookOptions of archive/look-pass.ts. */
export interface LookOrder {
  readonly budgetBytes: number;
  readonly restMs: number;
  readonly nowMs: () => number;
  /** Waited for before requests; it ends when its signal is aborted. */
  readonly turn: (signal: AbortSignal) => Promise<void>;
}

export interface RepackOrder {
  /** Packs are left of which kept points need less, 1 to 100. */
  readonly belowPercent: number;
  /** Only finds what would be done. */
  readonly dryRun: boolean;
}

const NO_REQUESTS: RequestCounts = { put: 0, get: 0, head: 0, list: 0, remove: 0 };

/** `one` and `sign` times `other`. */
export function addedCounts(one: WireCounts, other: WireCounts, sign: 1 | -1 = 1): WireCounts {
  const bytes = { up: one.up + sign * other.up, down: one.down + sign * other.down };
  if (one.requests === undefined && other.requests === undefined) return bytes;
  const { requests: a = NO_REQUESTS } = one;
  const { requests: b = NO_REQUESTS } = other;
  const requests = {
    put: a.put + sign * b.put,
    get: a.get + sign * b.get,
    head: a.head + sign * b.head,
    list: a.list + sign * b.list,
    remove: a.remove + sign * b.remove,
  };
  return { ...bytes, requests };
}

export interface DigestsAnswer {
  /** Point the digests are true for; null while initialising (read from the disk just now). */
  readonly at: PointRef | null;
  readonly first: ChunkIndex;
  /** 16 bytes a chunk, in order. */
  readonly digests: Uint8Array;
}

export interface DoubtsAnswer {
  readonly chunks: readonly ChunkIndex[];
  readonly complete: boolean;
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
  /** Frames of this very round that the target has acknowledged on an earlier session; 0: it is
   * new, or nothing was acknowledged. More than 0 and not there any more: refused, 'gone' (H31). */
  readonly resumeAt: number;
  /** Where `from` is null: the first copy that this pass, or its last round, belongs to, named by
   * the round id of its first pass. Without what the target has of that copy it is refused, 'gone'.
   */
  readonly fill: RoundId | null;
  /** This very round has begun on an earlier session. */
  readonly again: boolean;
}

/** A chunk that is staged at the target and may be taken over by what comes out (H31). */
export interface ReuseItem {
  readonly chunk: ChunkIndex;
  readonly digest: Uint8Array;
}

export interface Commit {
  readonly round: RoundId;
  readonly from: PointRef | null;
  readonly to: PointRef;
  readonly frames: number;
  /** BLAKE3, 32 bytes, of the index in order of sending; both sides compute it. */
  readonly indexDigest: Uint8Array;
  readonly consistency: 'crash' | 'quiesced' | 'damaged';
  /** Chunks with blocks that could not be read and kept older content (H21); at most
   * DAMAGED_CHUNKS_MAX, further ones are not named. */
  readonly damaged: readonly ChunkIndex[];
}

/** Damaged chunks that a point names. */
export const DAMAGED_CHUNKS_MAX = 1024;

export type CommitAnswer =
  | { readonly outcome: 'committed' }
  /** Chunks do not come out: `takeWanted` names them; send them whole, then ask again. */
  | { readonly outcome: 'wanted' }
  | { readonly outcome: 'refused'; readonly reason: RefusalReason; readonly text: string };

/** What became of a round. 'none': never committed here and never will be, unless the sender that
 * is in the middle of it begins it again. */
export type Outcome = 'committed' | 'none' | 'forgotten';

export interface Target {
  readonly name: string;
  readonly state: TargetState;
  /** Bulk digests of chunks first..first+count-1; 'table' or, past the page cache, 'disk'. */
  digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer>;
  outcome(round: RoundId): Promise<Outcome>;
  /** Reserves space; error TARGET_REFUSED with numbers. A begin of another round ends the one
   * before, whose staged chunks may be taken over; a begin of the same round goes on with it: all
   * that was handed over is durable when it returns, and `staged(0)` is the next frame's number
   * (D3, H31). */
  begin(begin: Begin): Promise<void>;
  /** Hands over one encoded frame; resolves when there is room for the next (D5, W5). */
  put(number: number, frame: Uint8Array): Promise<void>;
  /** What is staged from earlier rounds with the same `from`, of chunks first..first+count-1,
   * ascending. Verified when it is taken over. */
  held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]>;
  /** As `put`: frame `number` is made there of chunks that `held` has named, with the masks it
   * named, in the order given, which ascends; at most FRAME_ENTRIES_MAX chunks and
   * FRAME_BLOCK_BYTES_MAX of blocks. */
  reuse(number: number, items: readonly ReuseItem[]): Promise<void>;
  /** Chunks that a suspect target must get whole before it commits again (H28), from `first` on,
   * ascending; `complete`: there are no more. */
  doubts(first: ChunkIndex): Promise<DoubtsAnswer>;
  /** Chunks of the running round that were asked for whole since the last call (H28). */
  takeWanted(): readonly ChunkIndex[];
  /** The whole content of a chunk as the target's disk has it at point `at`, for the caller to
   * verify; null when it does not stand there, or cannot read it (H20, H21). */
  chunk(chunk: ChunkIndex, at: PointRef): Promise<Uint8Array | null>;
  /** Frames 0..staged-1 are durable there; resolves when `staged` >= `atLeast`. */
  staged(atLeast: number): Promise<number>;
  /** Committed or refused. Rejects with TARGET_LOST when the answer is unknown (H23). */
  commit(commit: Commit): Promise<CommitAnswer>;
  /** Of an archive: removes what is kept no more; null: it has no point. Error TARGET_LOST. */
  prune?(dryRun: boolean): Promise<Pruned | null>;
  /** Of an archive: reads packs that were looked at longest ago, beside rounds; null: it has no
   * point. Errors TARGET_LOST, and of the file. */
  look?(looks: Looks, order: LookOrder): Promise<LookResult | null>;
  /** Of an archive: packs that are mostly dead, and but for a dry run the next round moves out of
   * them what it needs; null: it has no point. Error TARGET_LOST. */
  repack?(order: RepackOrder): Promise<RepackPlan | null>;
  /** Blocks that the next round sends though they did not change, from `first` on, ascending. */
  moves?(first: ChunkIndex): Promise<Moves>;
  /** Resolves when `point` is in the target's disk; rejects when it cannot be applied. */
  applied(point: PointRef): Promise<void>;
  /** Drops what is staged of a round that will not be committed. */
  abandon(round: RoundId): Promise<void>;
  /** Bytes on the wire since the connection was made; zeros in the same process. Of a store the
   * requests, too, as it bills them. */
  wireBytes(): WireCounts;
  close(): Promise<void>;
}
