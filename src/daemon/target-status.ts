// One target of a primary as `status` shows it: three axes, never mixed (DESIGN.md §5), and the
// figures that alarms follow from. Pure. Times are wall milliseconds.
import type { LooksSummary } from '../archive/looks.js';
import { isoTime } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import { hex } from '../base/random.js';
import type {
  DataState,
  PacksStatus,
  PointStatus,
  RoundProgress,
  TargetStatus,
  WorkState,
} from '../control/api.js';
import { stateWord } from '../control/state-word.js';
import type { TargetRecord } from '../format/resource-state.js';
import type { PointRef } from '../lineage/lineage.js';

export interface TargetFacts {
  readonly name: string;
  readonly kind: TargetStatus['kind'];
  readonly remote: string | null;
  readonly maxLagSeconds: number | null;
  readonly rateBitsPerSecond: number | null;
  readonly record: TargetRecord;
  readonly dirtyBytes: number;
  /** The local disk has lost a write (H18). */
  readonly diskSuspect: boolean;
  readonly link: LinkFacts;
  /** What runs now, and what it does. */
  readonly running: { readonly work: WorkState; readonly round: RoundProgress } | null;
  /** The last point is committed and not known to be in the target's disk. */
  readonly applying: boolean;
  /** Of an archive; absent: it is not known. */
  readonly archive?: TargetStatus['archive'] | undefined;
  readonly skippedFirings: number;
  /** Of the last run. */
  readonly lastError: {
    readonly atMs: number;
    readonly code: string;
    readonly text: string;
  } | null;
  readonly nowMs: number;
  /** Of an archive that is verified by age; null: it is not. */
  readonly packs: LooksSummary | null;
}

export interface LinkFacts {
  readonly up: boolean;
  readonly downSinceMs: number | null;
  readonly suspect: boolean;
  readonly diverged: boolean;
  readonly error: { readonly atMs: number; readonly error: unknown } | null;
}

export const pointStatus = (point: PointRef | null): PointStatus | null =>
  point === null ? null : { id: hex(point.id), number: point.number, time: isoTime(point.timeMs) };

const timeOf = (ms: number | null): string | null => (ms === null ? null : isoTime(ms));

export function targetStatus(facts: TargetFacts): TargetStatus {
  const { record, remote, link, running, dirtyBytes } = facts;
  const axes = {
    role: 'primary' as const,
    link: remote === null ? ('none' as const) : link.up ? ('up' as const) : ('down' as const),
    work: workOf(facts),
    data: dataOf(facts),
  };
  return {
    name: facts.name,
    kind: facts.kind,
    remote,
    link: axes.link,
    work: axes.work,
    data: axes.data,
    state: stateWord(axes),
    dirtyBytes,
    lastPoint: pointStatus(record.point),
    ...(facts.archive === undefined ? {} : { archive: facts.archive }),
    ...(record.setBack === undefined ? {} : { setBack: setBackStatus(record.setBack) }),
    lagSeconds: lagOf(facts),
    nextRun: null,
    skippedFirings: facts.skippedFirings,
    round: running?.round ?? null,
    lastError: lastErrorOf(facts),
    verifiedAt: timeOf(record.verifiedMs),
    paused: record.paused,
    rateBitsPerSecond: facts.rateBitsPerSecond,
    maxLagSeconds: facts.maxLagSeconds,
    failedRounds: record.failedRounds,
    unreachableSince: axes.link === 'down' ? timeOf(link.downSinceMs) : null,
    driftChunks: record.driftChunks,
    untrackedChunks: record.untrackedChunks,
    damagedChunks: record.damagedChunks,
    ...(facts.packs === null ? {} : { packs: packsStatus(facts.packs) }),
  };
}

const packsStatus = ({ oldestMs, ...sums }: LooksSummary): PacksStatus => ({
  ...sums,
  oldest: timeOf(oldestMs),
});

const setBackStatus = ({ from, to, timeMs }: NonNullable<TargetRecord['setBack']>) => ({
  from,
  to,
  time: isoTime(timeMs),
});

/** A paused target is idle, and says why it stays so; what an operator starts is shown. */
function workOf({ running, applying, record }: TargetFacts): WorkState {
  if (running !== null) return running.work;
  if (applying) return 'applying';
  return record.paused ? 'paused' : 'idle';
}

function dataOf({ link, diskSuspect, record, dirtyBytes }: TargetFacts): DataState {
  if (link.diverged) return 'diverged';
  if (diskSuspect || link.suspect) return 'suspect';
  if (record.point === null) return 'initialising';
  return dirtyBytes > 0 ? 'dirty' : 'clean';
}

/** Of a copy that is not known to be whole nobody may read that it does not lag. */
function lagOf({ record: { point }, dirtyBytes, applying, nowMs }: TargetFacts): number | null {
  if (point === null) return null;
  const behind = dirtyBytes > 0 || applying;
  return behind ? Math.max(0, Math.round((nowMs - point.timeMs) / 1000)) : 0;
}

/** The newer of a failed run and a failed link. */
function lastErrorOf({ lastError, link }: TargetFacts): TargetStatus['lastError'] {
  if (lastError !== null && (link.error === null || lastError.atMs >= link.error.atMs)) {
    const { atMs, code, text } = lastError;
    return { time: isoTime(atMs), code, text };
  }
  if (link.error === null) return null;
  const { error, atMs } = link.error;
  const code = codeOf(error) ?? 'CONTROL_FAILED';
  return { time: isoTime(atMs), code, text: describeError(error) };
}
