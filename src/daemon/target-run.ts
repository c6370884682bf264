// One run of one target, from a session that is there: the passes that fill it where it has no
// point yet, then a round; over as many sessions as the link takes (D3). Afterwards it says how it
// went. Who may run when is the driver's business.
import { type Clock, isoTime } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { hex, type Random } from '../base/random.js';
import type { RoundRecord } from '../control/api.js';
import type { TargetRecord } from '../format/resource-state.js';
import type { PointRef, RoundId } from '../lineage/lineage.js';
import { recordOf } from '../round/contact.js';
import { fillByPasses } from '../round/fill.js';
import { newCounts, type RoundCounts, RoundError, type RoundParts } from '../round/parts.js';
import { runRound } from '../round/round.js';
import { ResumingTarget } from '../target/resuming.js';
import { addedCounts, type Target, TargetError, type WireCounts } from '../target/target.js';
import { Progress, type WireFacts } from './progress.js';
import type { DriverLink } from './target-link.js';

/** A session on which nothing moves is given up after this many timeouts, and not before the least
 * (a target may have to finish an apply, H25, or wait for its disk). */
const STALL_TIMEOUTS = 3;
const STALL_MS_MIN = 60_000;

export interface RunParts {
  readonly round: RoundParts;
  readonly link: DriverLink;
  /** Guest bytes written since the resource was opened. */
  readonly guestBytes: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How a run ended. */
export interface RunEnd {
  readonly outcome: RoundRecord['outcome'];
  readonly point: PointRef | null;
  readonly error: string | null;
}

export class TargetRun {
  readonly progress: Progress;
  /** Guest bytes at the cut; 0: it was not reached. */
  guestBytes = 0;
  readonly #parts: RunParts;
  readonly #signal: AbortSignal;
  readonly #target: ResumingTarget;
  readonly #wireBefore: WireCounts;
  readonly #startMs: number;
  readonly #fill: boolean;
  /** Of the passes before the round. */
  #filled: RoundCounts | null = null;
  /** It was given up before the target was asked to commit: it never will be. */
  #givenUp = false;

  /** `signal` gives it up. */
  constructor(parts: RunParts, first: Target, signal: AbortSignal) {
    const { round, link, clock, random, log } = parts;
    this.#parts = parts;
    this.#signal = signal;
    this.#startMs = clock.monotonicMs();
    this.#fill = recordOf(round.resourceFile, round.target).point === null;
    const { timeoutMs } = link.options;
    let session = first;
    this.#target = new ResumingTarget(first, {
      again: async () => {
        session = await this.#again(session);
        return session;
      },
      keepMs: timeoutMs,
      stallMs: Math.max(STALL_MS_MIN, STALL_TIMEOUTS * timeoutMs),
      clock,
      random,
      log,
    });
    this.#wireBefore = first.wireBytes();
    const counts = newCounts(this.#fill ? 'pass' : 'round');
    this.progress = new Progress(hex(random.bytes(8)), counts, () => this.#wire());
  }

  /** It failed on purpose and for good: nothing of it can be committed any more. */
  get givenUp(): boolean {
    return this.#givenUp;
  }

  /** Rejects with what fillByPasses and runRound reject with. */
  async go(): Promise<PointRef> {
    const { link, clock } = this.#parts;
    const giveUp = (): void => this.#giveUp();
    link.hold();
    this.#signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await this.progress.during(clock, () => this.#fillAndRound());
    } finally {
      this.#signal.removeEventListener('abort', giveUp);
      link.release();
    }
  }

  async #fillAndRound(): Promise<PointRef> {
    const { round, guestBytes, log } = this.#parts;
    let fill: RoundId | null = null;
    if (this.#fill) {
      this.#filled = this.progress.counts;
      fill = await fillByPasses(round, this.#target, this.#filled, this.#signal);
      this.progress.counts = newCounts('round');
    }
    const { counts } = this.progress;
    // As near to the cut as can be: what is written after it belongs to the next round.
    this.guestBytes = guestBytes();
    const result = await runRound(round, this.#target, counts, this.#signal, fill);
    const { point, beganMs, endedMs } = result;
    log.debug('cut', { point: point.number, beganMs, endedMs });
    return point;
  }

  get #proposed(): RoundId | null {
    const { round } = this.#parts;
    return recordOf(round.resourceFile, round.target).proposed?.point.id ?? null;
  }

  /** A session in place of one that was lost. Whatever keeps it from standing may pass, unless it
   * is lineage: then, or when the run is given up, nothing more is tried. */
  async #again(old: Target): Promise<Target> {
    const { link, round } = this.#parts;
    const { target } = round;
    try {
      if (this.#signal.aborted) throw new RoundError({ code: 'ROUND_STOPPED', target });
      return await link.again(old);
    } catch (cause) {
      const code = codeOf(cause);
      if (code === 'ROUND_STOPPED' || code === 'TARGET_DIVERGED') throw cause;
      const text = describeError(cause);
      throw new TargetError({ code: 'TARGET_LOST', target, text }, { cause });
    }
  }

  /** What waits for the target waits no longer. As long as the target has not been asked to commit
   * it is told to drop the round, and the session stays; else only a later contact can tell. */
  #giveUp(): void {
    const { link } = this.#parts;
    const id = this.#proposed;
    const { staged } = this.progress.counts;
    this.#givenUp = !staged;
    const orderly = id !== null && link.up && !staged;
    const ending = orderly ? this.#target.abandon(id) : this.#target.close();
    ending.catch(() => undefined);
  }

  /** `guestBytesBefore`: at the cut of the round before. */
  record({ outcome, point, error }: RunEnd, guestBytesBefore: number): RoundRecord {
    const { round, clock } = this.#parts;
    const counts = this.#counts();
    const wire = this.#wire();
    const { requests } = this.#spent();
    const proposed = recordOf(round.resourceFile, round.target).proposed?.point.id;
    return {
      id: hex(point?.id ?? proposed ?? new Uint8Array(16)),
      target: round.target,
      point: point?.number ?? null,
      outcome,
      cutTime: point === null ? null : isoTime(point.timeMs),
      seconds: (clock.monotonicMs() - this.#startMs) / 1000,
      dirtyBytes: counts.dirtyBytes,
      readBytes: counts.readBytes,
      skippedBytes: counts.skippedBytes,
      sentBytes: counts.sentBytes,
      wireUpBytes: wire.upBytes,
      wireDownBytes: wire.downBytes,
      guestBytes: Math.max(0, this.guestBytes - guestBytesBefore),
      resentBytes: wire.resentBytes,
      reusedBytes: counts.reusedBytes,
      driftChunks: counts.driftChunks,
      damagedChunks: counts.damagedChunks,
      ...(requests === undefined ? {} : { requests }),
      error,
    };
  }

  /** Of passes and round together. */
  #counts(): RoundCounts {
    const { counts } = this.progress;
    const filled = this.#filled;
    if (filled === null || filled === counts) return counts;
    return {
      ...counts,
      dirtyBytes: Math.max(filled.dirtyBytes, counts.dirtyBytes),
      readBytes: filled.readBytes + counts.readBytes,
      skippedBytes: filled.skippedBytes + counts.skippedBytes,
      sentBytes: filled.sentBytes + counts.sentBytes,
    };
  }

  #spent(): WireCounts {
    return addedCounts(this.#target.wireBytes(), this.#wireBefore, -1);
  }

  #wire(): WireFacts {
    const { resentBytes } = this.#target;
    const { up, down } = this.#spent();
    return { upBytes: up, downBytes: down, resentBytes };
  }
}

/** An answer that was lost is unknown until the next contact, all else has failed for good (H23).
 * */
export function outcomeOf(error: unknown): RoundRecord['outcome'] {
  const code = codeOf(error);
  if (code === 'TARGET_LOST') return 'unknown';
  return code === 'TARGET_REFUSED' || code === 'ROUND_REFUSED' ? 'refused' : 'failed';
}

/** What the target's record keeps of a run besides its point. A round that was stopped on purpose
 * is no failure that an operator must be told of. */
export function afterRun(
  before: TargetRecord,
  { outcome }: Pick<RoundRecord, 'outcome'>,
  onPurpose: boolean,
): TargetRecord {
  if (outcome === 'committed') return { ...before, failedRounds: 0 };
  return onPurpose ? before : { ...before, failedRounds: before.failedRounds + 1 };
}

/** One failure more since the last committed round. */
export const withFailure = (record: TargetRecord): TargetRecord => ({
  ...record,
  failedRounds: record.failedRounds + 1,
});
