// What a round talks to: a target that outlives its session (D3, H31). When the session is lost,
// the next one is dialled, the round goes on at the watermark, and calls that were interrupted go
// on unnoticed. Units: bytes, milliseconds.
//
// Invariants.
// 1. One sender (carrier.ts) hands frames to a session, one after another in the order of put and
//    reuse, beginning with the first that is not acknowledged. So every session gets an unbroken
//    row of frames from its own watermark on, and the receiver gets each exactly once.
// 2. A frame is kept from put until it is acknowledged; what is acknowledged is never sent again.
//    A target that has less than it acknowledged, or more than was put, ends the round.
// 3. A session carries the round only after `begin` on it (`on`); COMMIT is asked only when all
//    that is kept has been handed to that very session.
// 4. Once COMMIT was asked and its answer is missing, OUTCOME is asked before anything else (H23);
//    only 'none' lets the round be begun and asked for again.
// 5. A round without an answer ends as TARGET_LOST; a target's refusal is passed on as it is.
// Files: line.ts replaces sessions, carrier.ts moves frames, kept.ts and resumed-round.ts hold the
// round; here is what each call means when its session is lost.
import type { Moves } from '../archive/repack.js';
import { describeError } from '../base/errors.js';
import type { ChunkIndex } from '../base/units.js';
import type { FrameEntry } from '../format/changeset.js';
import { type PointRef, type RoundId, sameId } from '../lineage/lineage.js';
import { Carrier } from './carrier.js';
import { isLost, Line, type ResumingOptions } from './line.js';
import { ResumedRound } from './resumed-round.js';
import { reuseBytes } from './running.js';
import type {
  Begin,
  Commit,
  CommitAnswer,
  DigestsAnswer,
  DoubtsAnswer,
  Outcome,
  ReuseItem,
  Target,
  TargetState,
  WireCounts,
} from './target.js';

export type { ResumingOptions } from './line.js';

/** Bytes of a chunk in a REUSE message. */
const REUSE_ITEM_BYTES = 20;

export class ResumingTarget implements Target {
  readonly name: string;
  readonly #line: Line;
  readonly #carrier: Carrier;
  /** Points that are waited for, each once a waiter. */
  readonly #applying: PointRef[] = [];
  /** Asked for on sessions before, and not yet taken note of. */
  #wanted: ChunkIndex[] = [];

  constructor(first: Target, options: ResumingOptions) {
    this.name = first.name;
    this.#line = new Line(first, options, {
      wanted: () => this.#needs(),
      down: (target) => this.#down(target),
      resume: (target) => this.#resume(target),
      changed: () => this.#carrier.engage(),
    });
    this.#carrier = new Carrier(this.name, this.#line, options);
  }

  get state(): TargetState {
    return this.#line.last.state;
  }

  /** Sessions that took the place of a lost one. */
  get reconnects(): number {
    return this.#line.reconnects;
  }

  /** Bytes of frames that had left before and were sent again. */
  get resentBytes(): number {
    return this.#carrier.resentBytes;
  }

  digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    return this.#through((target) => target.digests(first, count, from));
  }

  outcome(round: RoundId): Promise<Outcome> {
    return this.#through((target) => target.outcome(round));
  }

  held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    return this.#through((target) => target.held(first, count));
  }

  doubts(first: ChunkIndex): Promise<DoubtsAnswer> {
    return this.#through((target) => target.doubts(first));
  }

  moves(first: ChunkIndex): Promise<Moves> {
    return this.#through(async (target) => {
      return (await target.moves?.(first)) ?? { moves: [], next: null };
    });
  }

  chunk(chunk: ChunkIndex, at: PointRef): Promise<Uint8Array | null> {
    return this.#through((target) => target.chunk(chunk, at));
  }

  async applied(point: PointRef): Promise<void> {
    this.#applying.push(point);
    try {
      await this.#through((target) => target.applied(point));
    } finally {
      this.#applying.splice(this.#applying.indexOf(point), 1);
    }
  }

  async begin(begin: Begin): Promise<void> {
    this.#carrier.drop('another round was begun');
    const round = new ResumedRound(begin);
    this.#carrier.round = round;
    this.#wanted = [];
    try {
      for (;;) {
        const target = await this.#line.up();
        this.#carrier.check(round);
        if (round.on === target) break;
        await round.beginOn(target).catch((error: unknown) => {
          if (!isLost(error)) throw error;
          this.#line.lost(target, error);
        });
      }
    } catch (error) {
      if (this.#round === round) this.#carrier.drop(describeError(error));
      throw error;
    }
    this.#carrier.engage();
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    const send = (target: Target): Promise<void> => target.put(number, frame);
    return this.#carrier.put({ number, windowBytes: frame.length, wireBytes: frame.length, send });
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    const send = (target: Target): Promise<void> => target.reuse(number, items);
    const wireBytes = REUSE_ITEM_BYTES * items.length;
    return this.#carrier.put({ number, windowBytes: reuseBytes(items), wireBytes, send });
  }

  takeWanted(): readonly ChunkIndex[] {
    const wanted = [...this.#wanted, ...this.#line.last.takeWanted()];
    this.#wanted = [];
    return wanted;
  }

  staged(atLeast: number): Promise<number> {
    return this.#carrier.staged(atLeast);
  }

  /** A round that is not the one begun last, or is over, cannot be gone on with: asked for once. */
  async commit(commit: Commit): Promise<CommitAnswer> {
    const round = this.#round;
    if (round === null || round.phase === 'over' || !sameId(round.id, commit.round)) {
      return (await this.#line.up()).commit(commit);
    }
    round.phase = 'asking';
    for (;;) {
      const target = await this.#line.up();
      if (round.told !== null) return this.#told(round);
      const refused = round.refusal;
      if (refused !== null) return { outcome: 'refused', ...refused };
      this.#carrier.check(round);
      if (!(await this.#carrier.handedTo(target, round))) continue;
      try {
        const answer = await target.commit(commit);
        this.#line.progress();
        if (answer.outcome === 'wanted') round.phase = 'sending';
        else round.end();
        return answer;
      } catch (error) {
        if (!isLost(error) || this.#needs() === null) throw error;
        this.#line.lost(target, error);
      }
    }
  }

  /** As good as can be: without a session the target forgets the round by itself. */
  async abandon(round: RoundId): Promise<void> {
    if (this.#round && sameId(this.#round.id, round)) this.#carrier.drop('the round was given up');
    await this.#line.present?.abandon(round).catch((error: unknown) => {
      if (!isLost(error)) throw error;
    });
  }

  wireBytes(): WireCounts {
    return this.#line.wireBytes();
  }

  async close(): Promise<void> {
    this.#round?.end();
    await this.#line.close();
  }

  get #round(): ResumedRound | null {
    return this.#carrier.round;
  }

  /** A call that goes on over sessions as long as something runs that needs one. */
  async #through<T>(call: (target: Target) => Promise<T>): Promise<T> {
    for (;;) {
      const target = await this.#line.up();
      try {
        const answer = await call(target);
        this.#line.progress();
        return answer;
      } catch (error) {
        if (!isLost(error) || this.#needs() === null) throw error;
        this.#line.lost(target, error);
      }
    }
  }

  #needs(): RoundId | null {
    const round = this.#round;
    if (round?.running) return round.id;
    return this.#applying.at(-1)?.id ?? null;
  }

  #down(target: Target): void {
    if (!this.#round?.running) return;
    // Not spread: there may be more than a call takes arguments.
    for (const chunk of target.takeWanted()) this.#wanted.push(chunk);
  }

  /** On a new session: what became of the round, and if it is to be made yet, where it goes on. */
  async #resume(target: Target): Promise<void> {
    const round = this.#round;
    if (round === null || !round.running) return;
    if (round.phase === 'asking') {
      const outcome = await target.outcome(round.id);
      if (outcome !== 'none') {
        round.told = outcome;
        return;
      }
    }
    const before = round.kept.acknowledged;
    await round.goOn(target);
    // Frames whose acknowledgement was lost count too, or a link that loses all of those ends it.
    if (round.kept.acknowledged > before) this.#line.progress();
  }

  #told(round: ResumedRound): CommitAnswer {
    round.end();
    if (round.told === 'committed') return { outcome: 'committed' };
    throw this.#carrier.lost('it has forgotten what became of the round');
  }
}
