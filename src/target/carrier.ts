// Carries the frames of the running round to whatever session stands: one sender, one reader of the
// watermark, one watch for what does not move. The invariants 1 to 3 of resuming.ts are kept here.
// Who waits for any of it waits for `changed` and looks again. Nothing here dials.
import { assert } from '../base/assert.js';
import { type Deferred, deferred, Mutex } from '../base/sync.js';
import type { KeptFrame } from './kept.js';
import { isLost, type Line, type ResumingOptions } from './line.js';
import type { ResumedRound } from './resumed-round.js';
import { stalls } from './stall-watch.js';
import { type Target, TargetError } from './target.js';

export class Carrier {
  readonly #line: Line;
  readonly #options: ResumingOptions;
  readonly #name: string;
  readonly #putting = new Mutex();
  #changed: Deferred<void> = deferred();
  /** The round begun last. */
  round: ResumedRound | null = null;
  /** Bytes of frames that had left before and were sent again. */
  resentBytes = 0;

  constructor(name: string, line: Line, options: ResumingOptions) {
    this.#name = name;
    this.#line = line;
    this.#options = options;
  }

  /** Takes a frame of the running round; resolves when a session has accepted it. */
  async put(frame: Omit<KeptFrame, 'accepted' | 'left'>): Promise<void> {
    const round = this.#current();
    await this.#putting.run(async () => {
      for (this.check(round); round.kept.full(frame.windowBytes); this.check(round)) {
        await this.#changed.promise;
      }
      const kept = round.kept.add(frame);
      for (this.engage(); !kept.accepted; this.check(round)) await this.#changed.promise;
    });
  }

  /** Resolves with the watermark once it is at least `atLeast` frames. */
  async staged(atLeast: number): Promise<number> {
    const round = this.#current();
    for (this.check(round); round.kept.acknowledged < atLeast; this.check(round)) {
      await this.#changed.promise;
    }
    return round.kept.acknowledged;
  }

  /** Waits until all that was put is with `target`; false when that is not the session any more. */
  async handedTo(target: Target, round: ResumedRound): Promise<boolean> {
    while (this.#line.present === target && !round.ready) await this.#changed.promise;
    return this.#line.present === target;
  }

  /** Throws why nothing more of the round is taken, if so. */
  check(round: ResumedRound): void {
    if (this.#line.failed) throw this.#line.failed.error;
    if (round.broken) throw round.broken.error;
  }

  /** Ends the round begun last, whatever waits for it. */
  drop(text: string): void {
    const { round } = this;
    if (round === null) return;
    round.broken ??= { error: this.lost(text) };
    round.end();
    this.#wake();
  }

  lost(text: string) {
    return new TargetError({ code: 'TARGET_LOST', target: this.#name, text });
  }

  /** Sets to work whatever the present session lets go on, and wakes who waits. */
  engage(): void {
    const { round } = this;
    const target = this.#line.present;
    if (round !== null && target !== null && this.#isOn(target, round)) {
      if (round.followed !== target) {
        round.followed = target;
        void this.#follow(target, round).catch((error) => this.#trouble(target, round, error));
      }
      if (!round.pumping) void this.#pump(round);
      if (!round.watched && this.#moves(target, round)) void this.#watch(target, round);
    }
    this.#wake();
  }

  async #pump(round: ResumedRound): Promise<void> {
    round.pumping = true;
    for (;;) {
      const target = this.#line.present;
      const frame = target !== null && this.#isOn(target, round) ? round.kept.handOut() : null;
      if (target === null || frame === null) break;
      const beforeBytes = target.wireBytes().up;
      const failure = await frame.send(target).then(
        () => null,
        (error: unknown) => ({ error }),
      );
      if (failure === null || target.wireBytes().up > beforeBytes) {
        if (frame.left) this.resentBytes += frame.wireBytes;
        frame.left = true;
      }
      if (failure !== null) this.#trouble(target, round, failure.error);
      else frame.accepted = true;
      this.#wake();
    }
    round.pumping = false;
  }

  async #follow(target: Target, round: ResumedRound): Promise<void> {
    while (this.#isOn(target, round)) {
      const frames = await target.staged(round.kept.acknowledged + 1);
      if (!this.#isOn(target, round)) return;
      if (round.kept.acknowledge(frames)) this.#line.progress();
      this.#wake();
    }
  }

  async #watch(target: Target, round: ResumedRound): Promise<void> {
    const { clock, stallMs, log } = this.#options;
    round.watched = true;
    const stalled = await stalls(clock, stallMs, round.stop.signal, () =>
      this.#moves(target, round)
        ? { staged: round.kept.acknowledged, upBytes: target.wireBytes().up }
        : null,
    );
    round.watched = false;
    if (!stalled) return this.engage();
    const seconds = stallMs / 1000;
    log.warn('the target takes nothing; its session is ended', { seconds });
    this.#line.lost(target, this.lost(`it took nothing for ${seconds} seconds`));
  }

  #trouble(target: Target, round: ResumedRound, error: unknown): void {
    if (!this.#isOn(target, round)) return;
    if (isLost(error)) this.#line.lost(target, error);
    else round.broken = { error };
    this.#wake();
  }

  /** Whether something should be moving. Not while COMMIT is asked: to verify, and to wait for an
   * apply, may take long (H25). */
  #moves(target: Target, round: ResumedRound): boolean {
    return this.#isOn(target, round) && round.phase === 'sending' && !round.kept.empty;
  }

  #isOn(target: Target, round: ResumedRound): boolean {
    if (this.round !== round || !round.running) return false;
    return round.on === target && this.#line.present === target;
  }

  #current(): ResumedRound {
    if (this.#line.failed) throw this.#line.failed.error;
    assert(this.round !== null, 'a round is begun before its frames are put');
    return this.round;
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }
}
