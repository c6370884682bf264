// One target of a primary: when asked, links, settles, fills or runs a round, and remembers how it
// went. Rounds of one resource never overlap (`order`); each target has its own failure (D6).
import type { Clock } from '../base/clock.js';
import { isoTime } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { hex } from '../base/random.js';
import type { Mutex } from '../base/sync.js';
import type { RoundRecord, SyncRequest } from '../control/api.js';
import type { PointRef } from '../lineage/lineage.js';
import { recordOf, updateTarget } from '../round/contact.js';
import { fillByPasses } from '../round/fill.js';
import { newCounts, type RoundCounts, RoundError, type RoundParts } from '../round/parts.js';
import { runRound } from '../round/round.js';
import { settle } from '../round/settle.js';
import { RateMeter } from './rate-meter.js';
import type { RoundLog } from './round-log.js';
import type { Linked, TargetLink } from './target-link.js';
import type { SyncOutcome } from './thread-messages.js';

export interface DriverParts {
  readonly round: RoundParts;
  readonly link: TargetLink;
  readonly order: Mutex;
  readonly rounds: RoundLog;
  /** Guest bytes written since the resource was opened. */
  readonly guestBytes: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A round that is under way. */
export interface Running {
  readonly counts: RoundCounts;
  readonly meter: RateMeter;
  readonly id: string;
  phase: 'settling' | 'sending' | 'applying';
  wireUpBytes: () => number;
}

export interface LastError {
  readonly atMs: number;
  readonly code: string;
  readonly text: string;
}

/** What a run came to. */
type Ran =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'committed'; readonly point: PointRef; readonly linked: Linked };

export class TargetDriver {
  readonly parts: DriverParts;
  readonly #stop = new AbortController();
  #running: Running | null = null;
  #busy = 0;
  #next: Promise<Ran> | null = null;
  #error: LastError | null = null;
  #noted: unknown = null;
  #guestBytesBefore = 0;
  #doubt: boolean;
  skippedFirings = 0;

  constructor(parts: DriverParts, doubt: boolean) {
    this.parts = parts;
    this.#doubt = doubt;
  }

  get running(): Running | null {
    return this.#running;
  }

  get lastError(): LastError | null {
    return this.#error;
  }

  /** Compares what a crash or an unclean stop left in doubt, in the background (H12). */
  startSettling(): void {
    if (!this.#doubt) return;
    void this.parts.order.run(() => this.#settle()).catch((error) => this.#fail(error));
  }

  /** A firing of the schedule. While a round of this target runs it is skipped and counted. */
  async fire(nominalMs: number): Promise<'started' | 'running'> {
    if (this.#busy > 0) {
      this.skippedFirings += 1;
      return 'running';
    }
    const ran = this.#request();
    ran.catch(() => undefined);
    await updateTarget(this.parts.round, (record) => ({
      ...record,
      lastRunMs: Math.floor(nominalMs),
    }));
    return 'started';
  }

  /** An operator's round: its cut comes after the request. */
  async sync(request: SyncRequest): Promise<SyncOutcome> {
    const { target } = this.parts.round;
    const ran = this.#request();
    if (request.wait === null) {
      ran.catch(() => undefined);
      return { target, outcome: 'started', point: null, text: 'a round was asked for' };
    }
    try {
      const result = await ran;
      if (result.kind === 'nothing') {
        return {
          target,
          outcome: 'nothing',
          point: null,
          text: 'nothing was dirty, no point made',
        };
      }
      const { number } = result.point;
      if (request.wait === 'commit') {
        return { target, outcome: 'committed', point: number, text: `point ${number} committed` };
      }
      await result.linked.target.applied(result.point);
      return { target, outcome: 'applied', point: number, text: `point ${number} applied` };
    } catch (error) {
      this.#fail(error);
      return { target, outcome: 'failed', point: null, text: describeError(error) };
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.parts.link.close();
    await this.#next?.catch(() => undefined);
  }

  /** Joins the run that has not begun yet, or queues one. */
  #request(): Promise<Ran> {
    if (this.#next !== null) return this.#next;
    this.#busy += 1;
    const next = this.parts.order.run(() => {
      if (this.#next === next) this.#next = null;
      return this.#run();
    });
    this.#next = next;
    return next.finally(() => {
      this.#busy -= 1;
    });
  }

  async #run(): Promise<Ran> {
    const { round, link, clock } = this.parts;
    let linked: Linked;
    try {
      linked = await link.get();
    } catch (error) {
      this.#fail(error);
      throw error;
    }
    if (this.#doubt) await this.#settle();
    if (linked.target.state.suspect) {
      const error = new RoundError({ code: 'TARGET_SUSPECT', target: round.target });
      this.#fail(error);
      throw error;
    }
    const fill = linked.contact === 'fill';
    if (!fill && round.volume.dirtyBytes(round.slot) === 0) {
      this.parts.log.info('nothing is dirty, no point is made');
      return { kind: 'nothing' };
    }
    const counts = newCounts(fill ? 'pass' : 'round');
    const before = linked.target.wireBytes();
    const startMs = clock.monotonicMs();
    this.#begin(counts, 'sending', () => linked.target.wireBytes().up - before.up);
    const facts = { counts, linked, before, startMs, guest: 0 };
    try {
      if (fill) await fillByPasses(round, linked.target, counts, this.#stop.signal);
      // As near to the cut as can be: what is written after it belongs to the next round.
      facts.guest = this.parts.guestBytes();
      const result = await runRound(round, linked.target, counts, this.#stop.signal);
      linked.contact = 'ready';
      this.#error = null;
      const { beganMs, endedMs } = result;
      this.parts.log.debug('cut', { point: result.point.number, beganMs, endedMs });
      await this.#record(facts, 'committed', result.point, null);
      return { kind: 'committed', point: result.point, linked };
    } catch (error) {
      this.#fail(error);
      await this.#record(facts, outcomeOf(error), null, describeError(error));
      // H23: whatever went wrong, the next round begins with the question what became of this one
      // (it may be committed, and only the table or the state not written), and a target that
      // refused may have found its disk suspect. Both are asked at contact.
      await link.renew();
      throw error;
    } finally {
      this.#running = null;
    }
  }

  async #settle(): Promise<void> {
    this.#doubt = false;
    const counts = newCounts('settle');
    this.#begin(counts, 'settling', () => 0);
    try {
      const dropped = await settle(this.parts.round, counts, this.#stop.signal);
      await this.parts.round.dirty.checkpoint();
      this.parts.log.info('what was in doubt is settled', { readBytes: counts.readBytes, dropped });
    } finally {
      this.#running = null;
    }
  }

  #begin(counts: RoundCounts, phase: Running['phase'], wireUpBytes: () => number): void {
    const { clock, round } = this.parts;
    const id = hex(round.random.bytes(8));
    const running: Running = { counts, meter: new RateMeter(), id, phase, wireUpBytes };
    this.#running = running;
    const watch = async (): Promise<void> => {
      while (this.#running === running && !this.#stop.signal.aborted) {
        running.meter.sample(clock.monotonicMs(), counts.doneBytes);
        await clock.sleep(500, this.#stop.signal);
      }
    };
    void watch();
  }

  /** Notes and logs a failure, once however many waited for it. */
  #fail(error: unknown): void {
    if (error === this.#noted) return;
    this.#noted = error;
    const code = codeOf(error) ?? 'CONTROL_FAILED';
    const text = describeError(error);
    this.#error = { atMs: this.parts.clock.wallMs(), code, text };
    this.parts.log.warn('round failed', { code, why: text });
  }

  async #record(
    facts: {
      readonly counts: RoundCounts;
      readonly linked: Linked;
      readonly before: { readonly up: number; readonly down: number };
      readonly startMs: number;
      /** Guest bytes at the cut; 0: it was not reached. */
      readonly guest: number;
    },
    outcome: RoundRecord['outcome'],
    point: PointRef | null,
    error: string | null,
  ): Promise<void> {
    const { round, rounds, clock } = this.parts;
    const { counts, before } = facts;
    const wire = facts.linked.target.wireBytes();
    const guest = Math.max(facts.guest, this.#guestBytesBefore);
    const proposed = recordOf(round.resourceFile, round.target).proposed?.point.id;
    const record: RoundRecord = {
      id: hex(point?.id ?? proposed ?? new Uint8Array(16)),
      target: round.target,
      point: point?.number ?? null,
      outcome,
      cutTime: point === null ? null : isoTime(point.timeMs),
      seconds: (clock.monotonicMs() - facts.startMs) / 1000,
      dirtyBytes: counts.dirtyBytes,
      readBytes: counts.readBytes,
      skippedBytes: counts.skippedBytes,
      sentBytes: counts.sentBytes,
      wireUpBytes: wire.up - before.up,
      wireDownBytes: wire.down - before.down,
      guestBytes: guest - this.#guestBytesBefore,
      error,
    };
    this.#guestBytesBefore = guest;
    if (outcome === 'committed')
      this.parts.log.info('round committed', { ...record, target: undefined });
    await rounds.add(record);
  }
}

function outcomeOf(error: unknown): RoundRecord['outcome'] {
  const code = codeOf(error);
  if (code === 'TARGET_LOST') return 'unknown';
  return code === 'TARGET_REFUSED' || code === 'ROUND_REFUSED' ? 'refused' : 'failed';
}
