// What a round of a target would cost now (`sync --dry-run`): from what is dirty and from how the
// last committed rounds of that target went. Pure. Bytes and seconds; the dirty counts are exact
// but for blocks that are marked twice, all else is an estimate or, where it says so, an upper
// bound.
import { BLOCK_BYTES, CHUNK_BYTES } from '../base/units.js';
import type { EstimateAnswer, RoundRecord } from '../control/api.js';
import { INDEX_ENTRY_BYTES } from '../format/changeset-index.js';
import { RECORD_BYTES } from '../format/frame-header.js';

/** Rounds looked at, newest last; older ones had another content and another link. */
export const ROUNDS_LOOKED_AT = 5;
/** Of the largest of them: smaller ones are not asked how fast the link is. */
const LARGE_SHARE = 0.1;
/** Headers, greetings, answers: what a round costs besides its blocks. */
const ROUND_OVERHEAD_BYTES = 4096;

export type TargetEstimate = EstimateAnswer['targets'][number];

export interface EstimateFacts {
  readonly target: string;
  readonly sizeBytes: number;
  readonly dirtyBytes: number;
  readonly dirtyChunks: number;
  /** It has no point yet: a first copy, by passes that need no spill, no stage and no undo (H43).
   * */
  readonly filling: boolean;
  /** Rounds of the resource, oldest first. */
  readonly rounds: readonly RoundRecord[];
  readonly rateBitsPerSecond: number | null;
  readonly spillBytesMax: number;
}

/** How changed blocks went over the link before. */
export interface Achieved {
  /** Bytes on the link for a byte of blocks that was sent. What is dirty and turns out unchanged is
   * not foreseen: how much it is says little about the next time. */
  readonly ratio: number;
  /** Bytes on the link a second, over whole rounds; null: they took no time. */
  readonly bytesPerSecond: number | null;
}

/** From the last committed rounds of `target` that had anything to send; null: there are none. */
export function achievedBy(rounds: readonly RoundRecord[], target: string): Achieved | null {
  const last = rounds
    .filter((round) => round.target === target && round.outcome === 'committed')
    .filter((round) => round.sentBytes > 0)
    .slice(-ROUNDS_LOOKED_AT);
  if (last.length === 0) return null;
  const most = Math.max(...last.map((round) => round.wireUpBytes));
  // What a round of a few blocks takes says nothing of the link.
  const large = last.filter((round) => round.wireUpBytes >= most * LARGE_SHARE);
  const seconds = sum(large, (round) => round.seconds);
  return {
    ratio: sum(last, (round) => round.wireUpBytes) / sum(last, (round) => round.sentBytes),
    bytesPerSecond: seconds > 0 ? sum(large, (round) => round.wireUpBytes) / seconds : null,
  };
}

const sum = (rounds: readonly RoundRecord[], of: (round: RoundRecord) => number): number =>
  rounds.reduce((total, round) => total + of(round), 0);

export function estimateTarget(facts: EstimateFacts): TargetEstimate {
  const { target, sizeBytes, spillBytesMax, filling } = facts;
  const dirtyBytes = Math.min(facts.dirtyBytes, sizeBytes);
  const chunksMax = Math.ceil(sizeBytes / CHUNK_BYTES);
  const dirtyChunks = Math.min(facts.dirtyChunks, chunksMax);
  const achieved = achievedBy(facts.rounds, target);
  // Never seen a round: as if nothing could be compressed, and nothing turned out unchanged.
  const ratio = achieved?.ratio ?? 1 + RECORD_BYTES / BLOCK_BYTES;
  const wireBytes = dirtyBytes === 0 ? 0 : Math.ceil(dirtyBytes * ratio) + ROUND_OVERHEAD_BYTES;
  const bytesPerSecond = slower(achieved?.bytesPerSecond ?? null, facts.rateBitsPerSecond);
  return {
    target,
    dirtyBytes,
    dirtyChunks,
    wireBytes,
    seconds: bytesPerSecond === null ? null : Math.ceil(wireBytes / bytesPerSecond),
    bytesPerSecond: bytesPerSecond === null ? null : Math.round(bytesPerSecond),
    spillBytes: filling ? 0 : Math.min(dirtyChunks * CHUNK_BYTES, spillBytesMax),
    spillBytesMax,
    targetBytes: filling ? 0 : spaceOf(dirtyBytes, dirtyChunks),
  };
}

/** As a round asks for it before it sends: what is sent and, at most as much again, the undo (H29).
 * */
const spaceOf = (dirtyBytes: number, dirtyChunks: number): number =>
  2 * (dirtyBytes + dirtyChunks * (RECORD_BYTES + INDEX_ENTRY_BYTES));

/** Bytes a second of the link under its limit; a link that has never been seen is as fast as that.
 * */
function slower(bytesPerSecond: number | null, rateBitsPerSecond: number | null): number | null {
  const limit = rateBitsPerSecond === null ? Number.POSITIVE_INFINITY : rateBitsPerSecond / 8;
  const least = Math.min(bytesPerSecond ?? Number.POSITIVE_INFINITY, limit);
  return Number.isFinite(least) && least > 0 ? least : null;
}
