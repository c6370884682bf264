// The round that a ResumingTarget carries from session to session: its frames, the session it is
// on, and how far it has come. It is begun on a target here, the first time and again (H31).
import type { RoundId } from '../lineage/lineage.js';
import { KeptFrames } from './kept.js';
import {
  type Begin,
  type Outcome,
  type RefusalReason,
  type Target,
  TargetError,
} from './target.js';

export class ResumedRound {
  readonly begin: Begin;
  readonly kept = new KeptFrames();
  /** 'asking': COMMIT was asked and is not answered. 'over': nothing of it is sent any more. */
  phase: 'sending' | 'asking' | 'over' = 'sending';
  /** The session it was begun on last; only that one gets its frames. */
  on: Target | null = null;
  /** Asked on a later session than COMMIT: what became of it. */
  told: Outcome | null = null;
  /** Why nothing more of it is taken. */
  broken: { readonly error: unknown } | null = null;
  /** Aborted when it is over. */
  readonly stop = new AbortController();
  followed: Target | null = null;
  pumping = false;
  watched = false;
  #begun = false;

  constructor(begin: Begin) {
    this.begin = begin;
  }

  get id(): RoundId {
    return this.begin.round;
  }

  /** Something of it is still to be done by the target. */
  get running(): boolean {
    return this.phase !== 'over' && this.broken === null && this.told === null;
  }

  /** All that was put has been handed to the session it is on, or will not be. */
  get ready(): boolean {
    return this.kept.handedOut || !this.running;
  }

  /** A target that took a frame, or the round, for wrong does not commit it. */
  get refusal(): { readonly reason: RefusalReason; readonly text: string } | null {
    const error = this.broken?.error;
    if (!(error instanceof TargetError) || error.fault.code !== 'TARGET_REFUSED') return null;
    return { reason: error.fault.reason, text: error.fault.text };
  }

  end(): void {
    this.phase = 'over';
    this.stop.abort();
  }

  /** Begins it on `target`, where the last session's acknowledgement left it. Errors of `begin`;
   * TARGET_LOST when the target has not what it said it had. */
  async beginOn(target: Target): Promise<void> {
    const { kept } = this;
    const resumeAt = Math.max(this.begin.resumeAt, kept.acknowledged);
    await target.begin({ ...this.begin, resumeAt, again: this.begin.again || this.#begun });
    const staged = await target.staged(0);
    if (staged < resumeAt || (this.#begun && staged > kept.end)) {
      this.broken = { error: staging(target, `${staged} frames, not ${resumeAt} to ${kept.end}`) };
      return;
    }
    this.#begun = true;
    kept.acknowledge(staged);
    kept.rewind();
    this.on = target;
  }

  /** As `beginOn`, for a round that has lost its session: what the target refuses for good is kept
   * in `broken`; TARGET_LOST rejects, and so does what is worth another try. */
  async goOn(target: Target): Promise<void> {
    try {
      await this.beginOn(target);
    } catch (error) {
      if (!(error instanceof TargetError) || error.fault.code === 'TARGET_LOST') throw error;
      const { reason, text } = error.fault;
      if (reason === 'busy') {
        throw new TargetError({ code: 'TARGET_LOST', target: target.name, text }, { cause: error });
      }
      this.broken = { error: reason === 'gone' ? staging(target, text) : error };
    }
  }
}

const staging = (target: Target, text: string) =>
  new TargetError({
    code: 'TARGET_LOST',
    target: target.name,
    text: `it lost its staging (${text}); the next round takes over what is left of it`,
  });
