// Line: the session to a target that a round uses, replaced when it is lost. Invariants: at most
// one recovery runs, whoever notices the loss and however many wait for it; the old session is
// closed before the next is dialled; a session becomes the present one only after `resume` has put
// the round on it; whatever session `again` hands over is closed in the end, also when nobody wants
// it any more; nothing waits for ever, unless a target that answers its pings is asked and thinks.
// It is given up, for good, when keepMs after a loss no session stands, when FRUITLESS_MAX sessions
// in a row brought nothing, when dialling meets a final error, and by `close`.
import { type Clock, within } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import type { RoundId } from '../lineage/lineage.js';
import { addedCounts, type Target, TargetError, type WireCounts } from './target.js';

export const BACK_OFF_MS_MIN = 250;
export const BACK_OFF_MS_MAX = 5000;
/** Sessions in a row that stood and ended without an answer or a frame acknowledged. */
export const FRUITLESS_MAX = 10;
/** How long an old session may take to end in order. */
const CLOSE_MS_MAX = 5000;

export interface ResumingOptions {
  /** Dials and contacts anew for the sake of `round`. Rejects with TARGET_LOST (it is tried again)
   * or anything else (final). */
  readonly again: (round: RoundId) => Promise<Target>;
  /** How long a lost session is tried to be replaced, in milliseconds. */
  readonly keepMs: number;
  /** A session on which nothing moves for so long is treated as lost, in milliseconds. */
  readonly stallMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface LineHooks {
  /** The round for which a session is needed; null: nobody needs one now. */
  readonly wanted: () => RoundId | null;
  /** `target` is lost and not yet closed. */
  readonly down: (target: Target) => void;
  /** Puts what runs on a new session; rejects with TARGET_LOST to have the next one dialled. */
  readonly resume: (target: Target) => Promise<void>;
  /** `present` has changed. */
  readonly changed: () => void;
}

export const isLost = (error: unknown): boolean => codeOf(error) === 'TARGET_LOST';

export class Line {
  readonly #options: ResumingOptions;
  readonly #hooks: LineHooks;
  readonly #stop = new AbortController();
  #target: Target;
  #retired = false;
  #recovering: Promise<void> | null = null;
  #failed: { readonly error: unknown } | null = null;
  #fruitless = 0;
  #tries = 0;
  #carried: WireCounts = { up: 0, down: 0 };
  /** A new session on which the round is being resumed. */
  #candidate: Target | null = null;
  /** Sessions that took the place of a lost one. */
  reconnects = 0;

  constructor(first: Target, options: ResumingOptions, hooks: LineHooks) {
    this.#target = first;
    this.#options = options;
    this.#hooks = hooks;
  }

  /** The session used last, perhaps lost by now. */
  get last(): Target {
    return this.#target;
  }

  /** The session that stands as far as is known; null while it is replaced, or given up. */
  get present(): Target | null {
    return this.#recovering === null && this.#failed === null ? this.#target : null;
  }

  /** Why it was given up. */
  get failed(): { readonly error: unknown } | null {
    return this.#failed;
  }

  /** Waits for a recovery, if one runs; rejects with the reason once given up. */
  async up(): Promise<Target> {
    while (this.#recovering !== null) await this.#recovering;
    if (this.#failed !== null) throw this.#failed.error;
    return this.#target;
  }

  /** The target answered, or has more of the round than before. */
  progress(): void {
    this.#fruitless = 0;
    this.#tries = 0;
  }

  /** A call on `target` was lost. Called again for the same session, it does nothing. */
  lost(target: Target, cause: unknown): void {
    if (target !== this.present || this.#hooks.wanted() === null) return;
    this.#hooks.down(target);
    this.#recovering = this.#recover(cause)
      .catch((error: unknown) => this.#giveUp(error))
      .finally(() => {
        this.#recovering = null;
        this.#hooks.changed();
      });
    this.#hooks.changed();
  }

  /** Of all sessions since the first. */
  wireBytes(): WireCounts {
    return this.#retired ? this.#carried : addedCounts(this.#carried, this.#target.wireBytes());
  }

  /** Resolves when no session of it is left. Can be called twice. */
  async close(): Promise<void> {
    const text = 'the connection was ended here';
    this.#giveUp(new TargetError({ code: 'TARGET_LOST', target: this.#target.name, text }));
    this.#stop.abort();
    this.#hooks.changed();
    await this.#candidate?.close();
    await this.#recovering;
    await this.#target.close();
  }

  async #recover(cause: unknown): Promise<void> {
    const { again, clock, keepMs, log } = this.#options;
    const untilMs = clock.monotonicMs() + keepMs;
    log.warn('the session with the target was lost; its round is kept', {
      why: describeError(cause),
      keepMs,
    });
    await this.#retire(this.#target);
    this.#retired = true;
    while (this.#failed === null && this.#hooks.wanted() !== null) {
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0 || this.#fruitless >= FRUITLESS_MAX) return this.#giveUp(cause);
      await clock.sleep(Math.min(leftMs, this.#backOffMs()), this.#stop.signal);
      const round = this.#hooks.wanted();
      if (this.#failed !== null || round === null) return;
      const target = await again(round).catch((error: unknown) => {
        if (!isLost(error)) throw error;
        log.debug('the target is not reached again yet', { why: describeError(error) });
        return null;
      });
      if (target !== null && (await this.#takes(target))) return;
    }
  }

  /** Makes a new session the present one; false when it was lost at once, or nobody waits. */
  async #takes(target: Target): Promise<boolean> {
    this.#candidate = target;
    try {
      if (this.#failed === null) await this.#hooks.resume(target);
    } catch (error) {
      await this.#retire(target);
      if (isLost(error)) return false;
      throw error;
    } finally {
      this.#candidate = null;
    }
    if (this.#failed !== null) {
      await this.#retire(target);
      return false;
    }
    this.#target = target;
    this.#retired = false;
    this.#fruitless += 1;
    this.reconnects += 1;
    this.#options.log.info('the session with the target stands again', {
      reconnects: this.reconnects,
    });
    return true;
  }

  /** Doubles with every try that brought nothing; the jitter keeps many senders apart. */
  #backOffMs(): number {
    const ceilingMs = Math.min(
      BACK_OFF_MS_MAX,
      2 * BACK_OFF_MS_MIN * 2 ** Math.min(this.#tries, 8),
    );
    this.#tries += 1;
    return BACK_OFF_MS_MIN + this.#options.random.below(ceilingMs - BACK_OFF_MS_MIN + 1);
  }

  async #retire(target: Target): Promise<void> {
    const closing = target.close().catch(() => undefined);
    await within(this.#options.clock, CLOSE_MS_MAX, closing);
    this.#carried = addedCounts(this.#carried, target.wireBytes());
  }

  #giveUp(error: unknown): void {
    this.#failed ??= { error };
  }
}
