// A target in memory that keeps the rules of target.ts and nothing else: it stages, parks a round
// whose session ends and goes on with it, commits by compare-and-swap, remembers outcomes. A test
// may hold any step, make it fail, restart it, say what is held, in doubt and wanted, and see what
// came. It serves one session after another.
import { assert } from '../../src/base/assert.js';
import { equalBytes, runningDigest } from '../../src/base/digest.js';
import { hex } from '../../src/base/random.js';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { DIGEST_BYTES } from '../../src/base/units.js';
import type { FrameEntry } from '../../src/format/changeset.js';
import { type PointRef, type RoundId, sameId } from '../../src/lineage/lineage.js';
import {
  type Begin,
  type Commit,
  type CommitAnswer,
  type DigestsAnswer,
  type DoubtsAnswer,
  type Outcome,
  type RefusalReason,
  type ReuseItem,
  type Target,
  TargetError,
  type TargetState,
} from '../../src/target/target.js';
import { EPOCH, factsOf } from '../peer/material.js';

export type Step = 'begin' | 'put' | 'commit' | 'applied' | 'digests' | 'outcome';

export const refusal = (reason: RefusalReason, text: string): Error =>
  new TargetError({ code: 'TARGET_REFUSED', target: 'fake', reason, text });

const lost = (text: string): Error =>
  new TargetError({ code: 'TARGET_LOST', target: 'fake', text });

/** What the fake takes for the digest of the index: that of all frames. */
export function indexOf(frames: readonly Uint8Array[]): Uint8Array {
  const digest = runningDigest();
  for (const frame of frames) digest.add(frame);
  return digest.done();
}

/** What the fake stages for a frame that is made of held chunks. */
export const reusedFrame = (items: readonly ReuseItem[]): Uint8Array =>
  Buffer.from(items.map(({ chunk, digest }) => `${chunk} ${hex(digest)}`).join());

export class FakeTarget implements Target {
  readonly name = 'fake';
  readonly calls: string[] = [];
  /** Frames of the round begun last, in order. */
  readonly frames: Uint8Array[] = [];
  /** Frames become durable only by `stage`. */
  holdStaging = false;
  /** What is staged from earlier rounds, ascending. */
  holds: FrameEntry[] = [];
  /** Chunks in doubt, ascending, and how many an answer names. */
  doubtful: number[] = [];
  doubtsAtOnce = 3;
  /** Wanted at COMMIT until a frame more has come; told again to every session. */
  wantsAtCommit: readonly number[] = [];
  readonly chunks = new Map<number, Uint8Array>();
  closed = 0;
  /** Calls that have not returned. */
  running = 0;
  point: PointRef | null;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #gates = new Map<Step, Deferred<void>>();
  readonly #failures = new Map<Step, Error>();
  #begun: Begin | null = null;
  #parked: Begin | null = null;
  #wanted: number[] = [];
  #wantedAt = -1;
  #staged = 0;
  #changed = deferred<void>();

  constructor(point: PointRef | null = factsOf('b').point) {
    this.point = point;
  }

  get state(): TargetState {
    const { resourceId: resource, sizeBytes, role, suspect, node } = factsOf('b');
    const facts = { resource, sizeBytes, role, suspect, node };
    return { ...facts, epochs: [EPOCH], point: this.point, lost: null };
  }

  /** `step` waits until the returned function is called. */
  hold(step: Step): () => void {
    const gate = deferred<void>();
    this.#gates.set(step, gate);
    return () => {
      this.#gates.delete(step);
      gate.resolve();
    };
  }

  /** The next `step` rejects with `error`. */
  fail(step: Step, error: Error): void {
    this.#failures.set(step, error);
  }

  /** Frames 0..frames-1 are durable. */
  stage(frames: number): void {
    this.#staged = frames;
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }

  /** Asks for chunks whole, with the next answer. */
  want(chunks: readonly number[]): void {
    this.#wanted.push(...chunks);
  }

  /** As if its daemon had died: no round is parked any more. */
  restart(): void {
    assert(this.#begun === null, 'its session has ended');
    this.#parked = null;
  }

  digests(first: number, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    return this.#step('digests', `digests ${first}+${count} ${from}`, () => {
      const digests = new Uint8Array(count * DIGEST_BYTES);
      const view = new DataView(digests.buffer);
      for (let at = 0; at < count; at += 1) view.setUint32(at * DIGEST_BYTES, first + at);
      return { at: this.point, first, digests };
    });
  }

  outcome(round: RoundId): Promise<Outcome> {
    return this.#step('outcome', 'outcome', () => this.#outcomes.get(hex(round)) ?? 'none');
  }

  begin(begin: Begin): Promise<void> {
    return this.#step('begin', `begin at ${begin.resumeAt}`, () => {
      const goesOn = sameId((this.#begun ?? this.#parked)?.round, begin.round);
      if (!goesOn && begin.resumeAt > 0) throw refusal('gone', 'nothing is staged here');
      if (!sameId(begin.from?.id, this.point?.id)) throw refusal('wrong-from', 'stands elsewhere');
      this.#parked = null;
      this.#begun = begin;
      // What was not durable has to come again.
      this.frames.length = goesOn ? this.#staged : 0;
      this.#wanted = goesOn && this.#wantedAt >= 0 ? [...this.wantsAtCommit] : [];
      if (!goesOn) this.#wantedAt = -1;
      this.stage(this.frames.length);
    });
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    return this.#step('put', `put ${number}`, () => this.#take(number, frame));
  }

  async held(first: number, count: number): Promise<readonly FrameEntry[]> {
    this.calls.push(`held ${first}+${count}`);
    return this.holds.filter(({ chunk }) => chunk >= first && chunk < first + count);
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#step('put', `reuse ${number}`, () => {
      for (const { chunk, digest } of items) {
        const held = this.holds.find((entry) => entry.chunk === chunk);
        if (!held || !equalBytes(held.digest, digest)) throw refusal('bad-frame', 'not held');
      }
      this.#take(number, reusedFrame(items));
    });
  }

  async doubts(first: number): Promise<DoubtsAnswer> {
    const left = this.doubtful.filter((chunk) => chunk >= first);
    const chunks = left.slice(0, this.doubtsAtOnce);
    return { chunks, complete: chunks.length === left.length };
  }

  takeWanted(): readonly number[] {
    return this.#wanted.splice(0);
  }

  async chunk(chunk: number, at: PointRef): Promise<Uint8Array | null> {
    return sameId(at.id, this.point?.id) ? (this.chunks.get(chunk) ?? null) : null;
  }

  async staged(atLeast: number): Promise<number> {
    const { closed } = this;
    while (this.#staged < atLeast) {
      await this.#changed.promise;
      if (this.closed > closed) throw lost('closed');
    }
    return this.#staged;
  }

  commit(commit: Commit): Promise<CommitAnswer> {
    return this.#step('commit', 'commit', (): CommitAnswer => {
      const outcome = this.#outcomes.get(hex(commit.round));
      if (outcome === 'committed') return { outcome };
      const no = (reason: RefusalReason, text: string): CommitAnswer => ({
        outcome: 'refused',
        reason,
        text,
      });
      const begun = this.#begun;
      if (!begun || !sameId(begun.round, commit.round)) return no('bad-frame', 'not this round');
      if (!sameId(commit.from?.id, this.point?.id)) return no('wrong-from', 'stands elsewhere');
      if (this.#wantedAt < 0) this.#wantedAt = this.frames.length;
      if (this.wantsAtCommit.length > 0 && this.frames.length === this.#wantedAt) {
        this.#wanted = [...this.wantsAtCommit];
        return { outcome: 'wanted' };
      }
      if (commit.frames !== this.frames.length) return no('bad-frame', `${this.frames.length}`);
      if (!equalBytes(commit.indexDigest, indexOf(this.frames))) return no('drift', 'other index');
      this.point = commit.to;
      this.#outcomes.set(hex(commit.round), 'committed');
      this.#begun = null;
      return { outcome: 'committed' };
    });
  }

  applied(point: PointRef): Promise<void> {
    return this.#step('applied', 'applied', () => {
      assert(sameId(point.id, this.point?.id), 'the test waits for the last point');
    });
  }

  async abandon(round: RoundId): Promise<void> {
    this.calls.push('abandon');
    if (this.#begun && sameId(this.#begun.round, round)) this.#begun = null;
  }

  wireBytes() {
    return { up: 0, down: 0 };
  }

  /** The session ends; its round is parked. */
  async close(): Promise<void> {
    assert(this.running === 0, 'a target is closed when no call of it runs');
    this.closed += 1;
    this.#parked = this.#begun ?? this.#parked;
    this.#begun = null;
    this.stage(this.#staged);
  }

  #take(number: number, frame: Uint8Array): void {
    const expected = this.frames.length;
    if (!this.#begun || number !== expected) {
      throw refusal('bad-frame', `frame ${number} in place of ${expected}`);
    }
    this.frames.push(frame);
    if (!this.holdStaging) this.stage(number + 1);
  }

  async #step<T>(step: Step, call: string, work: () => T): Promise<T> {
    this.calls.push(call);
    this.running += step === 'applied' ? 0 : 1;
    try {
      await this.#gates.get(step)?.promise;
      const failure = this.#failures.get(step);
      this.#failures.delete(step);
      if (failure) throw failure;
      return work();
    } finally {
      this.running -= step === 'applied' ? 0 : 1;
    }
  }
}
