// One target of a primary: when asked, links, settles, fills or runs a round, and remembers how it
// went. Runs of one target never overlap; those of different targets do, and the failure of one is
// its own (D6, H16). What an operator orders for it (pause, rate) is kept in the state file.
// It is longer than 300 lines because all that can be asked of one target stands here, in short
// methods.
import { within } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import { hex } from '../base/random.js';
import { unlessAborted } from '../base/sync.js';
import type { TargetSettings } from '../config/settings.js';
import type { SyncRequest } from '../control/api.js';
import type { TargetRecord } from '../format/resource-state.js';
import { sameId } from '../lineage/lineage.js';
import { recordOf, updateTarget } from '../round/contact.js';
import { newCounts, type RoundParts } from '../round/parts.js';
import { settle } from '../round/settle.js';
import type { Target } from '../target/target.js';
import { ApplyWatch } from './apply-watch.js';
import { Progress } from './progress.js';
import { type LastError, type Ran, StoppedError, syncOutcome } from './ran.js';
import type { RoundLog } from './round-log.js';
import { RunQueue } from './run-queue.js';
import type { TargetCompute } from './target-compute.js';
import {
  afterRun,
  outcomeOf,
  type RunEnd,
  type RunParts,
  TargetRun,
  withFailure,
} from './target-run.js';
import type { SyncOutcome } from './thread-messages.js';

export interface DriverParts extends RunParts {
  readonly rounds: RoundLog;
  readonly compute: TargetCompute;
}

/** How long the question after a round that was given up may stand behind what has left before. */
const ASK_MS_MAX = 5000;

export class TargetDriver {
  readonly parts: DriverParts;
  /** Of what moves this target's marks or must see them still: runs, settling, verify. */
  readonly #queue = new RunQueue<Ran>();
  #settings: TargetSettings;
  #progress: Progress | null = null;
  readonly #applies: ApplyWatch;
  readonly #stop = new AbortController();
  #error: LastError | null = null;
  #noted: unknown = null;
  #guestBytesBefore = 0;
  #doubt: boolean;
  /** The round that failed last: the next contact may find that it is committed. */
  #failedId: Uint8Array | null = null;
  skippedFirings = 0;
  /** Wall time at which nothing was dirty, the link was up and the target had its last point in its
   * disk; null: not yet in this role. */
  cleanAtMs: number | null = null;

  constructor(parts: DriverParts, settings: TargetSettings, doubt: boolean) {
    this.parts = parts;
    this.#settings = settings;
    this.#doubt = doubt;
    this.#applies = new ApplyWatch({
      link: parts.link,
      point: () => this.record.point,
      clock: parts.clock,
      refused: (error) => this.#notApplied(error),
    });
  }

  get name(): string {
    return this.parts.round.target;
  }

  get settings(): TargetSettings {
    return this.#settings;
  }

  get record(): TargetRecord {
    return recordOf(this.parts.round.resourceFile, this.name);
  }

  get round(): RoundParts {
    return this.parts.round;
  }

  /** A round was asked for, or something of this target runs. */
  get busy(): boolean {
    return this.#queue.busy || this.#progress !== null;
  }

  /** What runs now, for status. */
  get progress(): Progress | null {
    return this.#progress;
  }

  /** The last point is committed and not yet known to be in the target's disk. */
  get applying(): boolean {
    return this.#applies.owed !== null;
  }

  get lastError(): LastError | null {
    return this.#error;
  }

  /** Bits a second in force, asked at every write to the link; null: no limit. */
  get rateBitsPerSecond(): number | null {
    const rate = this.record.rateBitsPerSecond ?? this.#settings.rateBitsPerSecond;
    return rate === 0 ? null : rate;
  }

  /** Keeps the link up, asks whether the last point is in the target's disk, and compares in the
   * background what a crash or an unclean stop left in doubt (H12). */
  start(): void {
    void this.parts.link.keepUp();
    void this.#applies.keepAsking(this.#stop.signal);
    if (!this.#doubt) return;
    this.#queue
      .alone((signal) => this.#settle(signal))
      .catch((error: unknown) => this.#fail(error));
  }

  /** Runs `work` while no round and no settle pass of this target does. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#queue.exclusive(work);
  }

  /** A firing of the schedule. While a round of this target runs it is skipped and counted; while
   * the schedule is held it is as if it had not come. */
  async fire(nominalMs: number): Promise<'started' | 'running' | 'paused'> {
    if (this.record.paused) return 'paused';
    if (this.#queue.busy) {
      this.skippedFirings += 1;
      return 'running';
    }
    this.#request().catch(() => undefined);
    const lastRunMs = Math.floor(nominalMs);
    await updateTarget(this.parts.round, (record) => ({ ...record, lastRunMs }));
    return 'started';
  }

  /** An operator's round: its cut comes after the request. Also while the schedule is held. */
  async sync({ wait }: SyncRequest): Promise<SyncOutcome> {
    const target = this.name;
    try {
      const outcome = await syncOutcome(target, wait, this.#request());
      const { owed } = this.#applies;
      // Nothing was dirty, but the point before has not arrived yet.
      if (outcome.outcome === 'nothing' && wait === 'applied' && owed !== null) {
        await this.#applies.watch(owed);
      }
      return outcome;
    } catch (error) {
      this.#fail(error);
      return { target, outcome: 'failed', point: null, text: describeError(error) };
    }
  }

  /** Holds the schedule, or lets it go on; durable. */
  async pause(paused: boolean): Promise<void> {
    await updateTarget(this.parts.round, (record) => ({ ...record, paused }));
    this.parts.log.info(paused ? 'the schedule is held' : 'the schedule goes on');
  }

  /** Ends what runs now; false: nothing does. It fails, its bits stay set. */
  cancel(): boolean {
    return this.#queue.cancel();
  }

  /** Bits a second, 0: no limit, null: the configuration's; durable, and in force at once. */
  setRate(rateBitsPerSecond: number | null): Promise<void> {
    return updateTarget(this.parts.round, (record) => ({ ...record, rateBitsPerSecond }));
  }

  /** A reload of the configuration; a running round goes on. */
  async apply(settings: TargetSettings): Promise<void> {
    const { link, compute } = this.parts;
    const before = reachedBy(this.#settings);
    this.#settings = settings;
    compute.use(settings.compression);
    const { name: target, remote, source, timeoutSeconds } = settings;
    await link.apply({ target, remote, source, timeoutMs: timeoutSeconds * 1000 });
    // Another endpoint or key of an archive is tried at once.
    if (reachedBy(settings) !== before) await link.renew();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    // The link first: what is under way then finds nobody to take leave of, and ends at once.
    await Promise.all([this.parts.link.close(), this.#queue.close()]);
  }

  /** Joins the run that has not begun yet, or queues one. */
  #request(): Promise<Ran> {
    return this.#queue.request((signal) =>
      this.#run(signal).catch((error: unknown) => {
        this.#fail(error);
        throw error;
      }),
    );
  }

  async #run(signal: AbortSignal): Promise<Ran> {
    const { round, link, log } = this.parts;
    const target = await this.#linked(signal);
    if (this.#doubt) await this.#settle(signal);
    if (signal.aborted) throw this.#stopped();
    // A target in doubt gets what it doubts in a round, be anything dirty here or not (H28), an
    // archive that is repacked what it moves.
    const { suspect, moves = false } = target.state;
    const idle = this.record.point !== null && round.volume.dirtyBytes(round.slot) === 0;
    if (idle && !suspect && !moves) {
      const { point } = this.record;
      // Not clean, whatever is dirty here: its disk has not the point (H25).
      if (this.#applies.failed && point !== null) await this.#applies.watch(point);
      if (!this.applying) await this.#allIsThere();
      log.info('nothing is dirty, no point is made');
      return { kind: 'nothing' };
    }
    const run = new TargetRun(this.parts, target, signal);
    this.#progress = run.progress;
    try {
      const point = await run.go();
      this.#error = null;
      await this.#account(run, { outcome: 'committed', point, error: null }, false);
      const applied = this.#applies.watch(point);
      if (target.state.suspect) {
        // What it said of itself at contact is out of date when it has this point in its disk.
        await applied.catch(() => undefined);
        await link.renew();
      }
      return { kind: 'committed', point, applied };
    } catch (caught) {
      const error = signal.aborted ? this.#stopped() : caught;
      const outcome = run.givenUp ? 'failed' : outcomeOf(caught);
      const end = { outcome, point: null, error: describeError(error) };
      await this.#account(run, end, signal.aborted);
      await this.#afterFailure(run.givenUp);
      throw error;
    } finally {
      this.#progress = null;
    }
  }

  /** The target answers, and has all there is: what went wrong before is over. */
  async #allIsThere(): Promise<void> {
    this.cleanAtMs = this.parts.clock.wallMs();
    this.#error = null;
    if (this.record.failedRounds === 0) return;
    await updateTarget(this.parts.round, (record) => ({ ...record, failedRounds: 0 }));
  }

  /** The session. A run that gets none has failed too: nobody may read "no failures" into it; but
   * one that was given up on purpose. */
  async #linked(signal: AbortSignal): Promise<Target> {
    const { round, link } = this.parts;
    const failed = this.#failedId;
    try {
      const dialled = await unlessAborted(signal, link.get());
      if (dialled === 'aborted') throw this.#stopped();
      const { target } = dialled;
      this.#failedId = null;
      if (failed !== null && sameId(this.record.point?.id, failed)) {
        await updateTarget(round, (record) => ({ ...record, failedRounds: 0 }));
      }
      return target;
    } catch (error) {
      if (!signal.aborted && !this.#queue.closed) await updateTarget(round, withFailure);
      throw error;
    }
  }

  /** H23: whatever went wrong, the next round begins with the question what became of this one (it
   * may be committed, and only the table or the state not written), and a target that refused may
   * have found its disk suspect: both are asked at contact. A round that was given up on purpose
   * is asked for on the session that is there. */
  async #afterFailure(givenUp: boolean): Promise<void> {
    const { link, round, clock } = this.parts;
    const { current } = link;
    const { proposed } = this.record;
    this.#failedId = proposed?.point.id ?? null;
    const asked = givenUp && current !== null && proposed !== null;
    const asking = asked ? current.outcome(proposed.point.id).catch(() => null) : null;
    const answer = asking === null ? 'timeout' : await within(clock, ASK_MS_MAX, asking);
    if (answer === 'timeout' || answer.value !== 'none') return link.renew();
    await updateTarget(round, (record) => ({ ...record, proposed: null }));
  }

  async #settle(signal: AbortSignal): Promise<void> {
    const { round, random, clock, log } = this.parts;
    this.#doubt = false;
    const counts = newCounts('settle');
    const nothing = { upBytes: 0, downBytes: 0, resentBytes: 0 };
    const progress = new Progress(hex(random.bytes(8)), counts, () => nothing);
    this.#progress = progress;
    try {
      const dropped = await progress.during(clock, () => settle(round, counts, signal));
      await round.dirty.checkpoint();
      log.info('what was in doubt is settled', { readBytes: counts.readBytes, dropped });
    } finally {
      this.#progress = null;
    }
  }

  #stopped(): unknown {
    const why = this.#queue.closed ? 'the role ends' : 'cancelled by the operator';
    return new StoppedError({ code: 'ROUND_STOPPED', target: this.name, why });
  }

  /** A point that is committed and not in the target's disk is a failure that an alarm must tell.
   */
  #notApplied(error: unknown): void {
    this.#fail(error);
    updateTarget(this.parts.round, withFailure).catch((cause: unknown) => {
      this.parts.log.error('a failed apply could not be noted', { why: describeError(cause) });
    });
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

  /** Writes down how a run went: in the list of rounds, and in the state what alarms follow from.
   * */
  async #account(run: TargetRun, end: RunEnd, onPurpose: boolean): Promise<void> {
    const { round, rounds, log } = this.parts;
    const record = run.record(end, this.#guestBytesBefore);
    this.#guestBytesBefore = Math.max(this.#guestBytesBefore, run.guestBytes);
    if (end.outcome === 'committed') log.info('round committed', { ...record, target: undefined });
    try {
      await updateTarget(round, (before) => afterRun(before, record, onPurpose));
      await rounds.add(record);
    } catch (error) {
      // The round is what it is; what follows a failed one must not be left out for this (H23).
      log.error('how a round went could not be written down', { why: describeError(error) });
    }
  }
}

/** What an archive is reached by, to be compared. */
const reachedBy = ({ archive }: TargetSettings): string =>
  JSON.stringify(archive === null ? null : { ...archive, verifyBytes: 0 });
