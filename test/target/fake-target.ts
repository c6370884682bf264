// A target in memory that keeps the rules of target.ts and nothing else: it stages, commits by
// compare-and-swap, remembers outcomes. A test may hold any step, make it fail, and see what came.
import { assert } from '../../src/base/assert.js';
import { equalBytes, runningDigest } from '../../src/base/digest.js';
import { hex } from '../../src/base/random.js';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { DIGEST_BYTES } from '../../src/base/units.js';
import { type PointRef, type RoundId, sameId } from '../../src/lineage/lineage.js';
import {
  type Begin,
  type Commit,
  type CommitAnswer,
  type DigestsAnswer,
  type Outcome,
  type RefusalReason,
  type Target,
  TargetError,
  type TargetState,
} from '../../src/target/target.js';
import { EPOCH, factsOf } from '../peer/material.js';

export type Step = 'begin' | 'put' | 'commit' | 'applied' | 'digests' | 'outcome';

export const refusal = (reason: RefusalReason, text: string): Error =>
  new TargetError({ code: 'TARGET_REFUSED', target: 'fake', reason, text });

/** What the fake takes for the digest of the index: that of all frames. */
export function indexOf(frames: readonly Uint8Array[]): Uint8Array {
  const digest = runningDigest();
  for (const frame of frames) digest.add(frame);
  return digest.done();
}

export class FakeTarget implements Target {
  readonly name = 'fake';
  readonly calls: string[] = [];
  readonly frames: Uint8Array[] = [];
  /** Frames become durable only by `stage`. */
  holdStaging = false;
  /** Watermark that the next begin finds, as after a reconnect. */
  resumeAt = 0;
  closed = 0;
  /** Calls that have not returned. */
  running = 0;
  point: PointRef | null;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #gates = new Map<Step, Deferred<void>>();
  readonly #failures = new Map<Step, Error>();
  #begun: Begin | null = null;
  #first = 0;
  #staged = 0;
  #changed = deferred<void>();

  constructor(point: PointRef | null = factsOf('b').point) {
    this.point = point;
  }

  get state(): TargetState {
    const { resourceId: resource, sizeBytes, role, suspect, node } = factsOf('b');
    return {
      resource,
      sizeBytes,
      role,
      suspect,
      node,
      epochs: [EPOCH],
      point: this.point,
      lost: null,
    };
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
    return this.#step('begin', 'begin', () => {
      if (!sameId(begin.from?.id, this.point?.id)) throw refusal('wrong-from', 'stands elsewhere');
      this.#begun = begin;
      this.frames.length = 0;
      this.#first = this.resumeAt;
      this.stage(this.resumeAt);
    });
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    return this.#step('put', `put ${number}`, () => {
      const expected = this.#first + this.frames.length;
      if (!this.#begun || number !== expected) {
        throw refusal('bad-frame', `frame ${number} in place of ${expected}`);
      }
      this.frames.push(frame);
      if (!this.holdStaging) this.stage(number + 1);
    });
  }

  async staged(atLeast: number): Promise<number> {
    while (this.#staged < atLeast) {
      await this.#changed.promise;
      if (this.closed > 0) {
        throw new TargetError({ code: 'TARGET_LOST', target: 'fake', text: 'closed' });
      }
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
      const frames = this.#first + this.frames.length;
      if (commit.frames !== frames) return no('bad-frame', `${frames} frames`);
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

  async close(): Promise<void> {
    assert(this.running === 0, 'a target is closed when no call of it runs');
    this.closed += 1;
    this.stage(this.#staged);
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
