// Verification of an archive by its primary, for as long as the role lasts (`verify` in its block):
// once a day so many bytes of its packs are read, what was read longest ago first, and none that
// was read within REST_DAYS: a small archive is not read again and again. It runs only on a session
// that is there, pauses while anything of the target runs or waits to run, and holds up
// nobody: it stands beside the rounds. What it remembers is in `TARGET.verified`; the pass of a day
// goes on after a failure or a restart with what is left of its bytes.
import { Looks, type LooksSummary } from '../archive/looks.js';
import type { Clock } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { TargetSettings } from '../config/settings.js';
import type { Target } from '../target/target.js';

const TICK_MS = 1000;
/** While it is off: a reload may turn it on. */
const TICK_OFF_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/** After a failure. */
const AGAIN_MS = 10 * 60_000;
/** How often a pass that waits looks whether it may go on. */
const YIELD_MS = 1000;
const REST_DAYS = 30;

/** A target as far as the pass is concerned. */
export interface LookedTarget {
  readonly name: string;
  readonly settings: Pick<TargetSettings, 'archive'>;
  /** A round was asked for, or something of it runs. */
  readonly busy: boolean;
  readonly session: Pick<Target, 'look'> | null;
}

export interface LookLoopParts {
  readonly target: LookedTarget;
  readonly files: Files;
  /** Of the file that remembers. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
}

export class LookLoop {
  readonly #parts: LookLoopParts;
  /** Null: not read yet, or it cannot be used. */
  #looks: Looks | null = null;
  #unusable = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(parts: LookLoopParts) {
    this.#parts = parts;
  }

  /** What is known of it; null: it is off, or nothing is known yet. */
  summary(): LooksSummary | null {
    if (this.#budgetBytes === 0 || this.#looks === null) return null;
    if (this.#looks.rows.size === 0) return null;
    return this.#looks.summary(this.#parts.clock.wallMs());
  }

  /** Until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      const isOff = this.#budgetBytes === 0 || this.#unusable;
      if (!isOff && clock.monotonicMs() >= this.#notBeforeMs) {
        this.#looks ??= await this.#open();
        if (this.#looks !== null) await this.#pass(this.#looks, signal);
      }
      await clock.sleep(isOff ? TICK_OFF_MS : TICK_MS, signal);
    }
  }

  get #budgetBytes(): number {
    return this.#parts.target.settings.archive?.verifyBytes ?? 0;
  }

  /** What is not whole is begun anew; what is none, or of a later version, is left as it is. */
  async #open(): Promise<Looks | null> {
    const { files, path, clock, log } = this.#parts;
    try {
      const { looks, fault } = await Looks.open(files, path);
      if (fault !== null) log.warn('what was verified is forgotten', { why: fault });
      return looks;
    } catch (error) {
      this.#unusable = codeOf(error) !== 'FILE_FAILED';
      this.#notBeforeMs = clock.monotonicMs() + AGAIN_MS;
      log.error('the archive is not verified', { why: describeError(error) });
      return null;
    }
  }

  async #pass(looks: Looks, signal: AbortSignal): Promise<void> {
    const { target, clock, log } = this.#parts;
    const nowMs = clock.wallMs();
    const { pass } = looks;
    // A clock that was set back begins a new day.
    const isOver = nowMs < pass.begunMs || nowMs - pass.begunMs >= DAY_MS;
    const { session } = target;
    if ((pass.ended && !isOver) || session?.look === undefined || target.busy) return;
    const begunMs = isOver ? Math.floor(nowMs) : pass.begunMs;
    if (isOver) looks.pass = { ...pass, begunMs, spentBytes: 0, ended: false };
    const left = this.#budgetBytes - looks.pass.spentBytes;
    try {
      const found = await session.look(looks, {
        budgetBytes: Math.max(0, left),
        restMs: REST_DAYS * DAY_MS,
        nowMs: () => clock.wallMs(),
        turn: (stopped) => this.#turn(stopped),
      });
      if (found === null) return;
      // Of another archive than the memory was it has forgotten the day, too.
      looks.pass = { ...looks.pass, begunMs, ended: true };
      await looks.save();
      const { packs, bytes } = found.read;
      log.info('packs of the archive are verified', {
        packs,
        bytes,
        damaged: found.damaged.length,
      });
    } catch (error) {
      this.#notBeforeMs = clock.monotonicMs() + AGAIN_MS;
      if (signal.aborted) return;
      log.warn('the archive could not be verified; later again', { why: describeError(error) });
    }
  }

  async #turn(stopped: AbortSignal): Promise<void> {
    const { target, clock } = this.#parts;
    while (target.busy && !stopped.aborted) await clock.sleep(YIELD_MS, stopped);
  }
}
