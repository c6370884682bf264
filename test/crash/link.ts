// The link between the two ends: a Target that passes calls on to a session of the replica in the
// same process, and can be cut. Cut: every call, waiting or new, rejects with TARGET_LOST; at the
// other end, when its last call has returned, the session is closed (as receive/serve.ts does it).

import type { FrameEntry } from '../../src/format/changeset.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import type {
  Commit,
  CommitAnswer,
  DigestsAnswer,
  DoubtsAnswer,
  ReuseItem,
} from '../../src/target/target.js';
import {
  type Begin,
  type Outcome,
  type Target,
  TargetError,
  type TargetState,
} from '../../src/target/target.js';

export interface LinkHooks {
  /** Before a call is passed on; what it returns is waited for. */
  readonly before?: (call: string) => Promise<void> | void;
  readonly begun?: (begin: Begin) => void;
  /** The sender has been told. */
  readonly answered?: (commit: Commit, answer: CommitAnswer) => void;
}

export class Link implements Target {
  readonly name = 'b';
  /** Of the greeting: a real session hears nothing of it again. */
  readonly #sizeBytes: number;
  /** The link is cut when the answer to this call stands, before it arrives. */
  losesAnswerTo: string | null = null;
  readonly #session: Target;
  readonly #hooks: LinkHooks;
  readonly #running = new Set<Promise<unknown>>();
  readonly #lost: Promise<never>;
  #lose: (error: unknown) => void = () => {};
  #cut = false;

  constructor(session: Target, hooks: LinkHooks = {}) {
    this.#session = session;
    this.#sizeBytes = session.state.sizeBytes;
    this.#hooks = hooks;
    this.#lost = new Promise((_, reject) => {
      this.#lose = reject;
    });
    this.#lost.catch(() => undefined);
  }

  /** The rest is true now: stories make contact again on the same session. */
  get state(): TargetState {
    return { ...this.#session.state, sizeBytes: this.#sizeBytes };
  }

  cut(): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#lose(lost());
    void this.#end();
  }

  digests(first: number, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    return this.#call('digests', () => this.#session.digests(first, count, from));
  }

  outcome(round: Uint8Array): Promise<Outcome> {
    return this.#call('outcome', () => this.#session.outcome(round));
  }

  begin(begin: Begin): Promise<void> {
    this.#hooks.begun?.(begin);
    return this.#call('begin', () => this.#session.begin(begin));
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    return this.#call('put', () => this.#session.put(number, frame));
  }

  held(first: number, count: number): Promise<readonly FrameEntry[]> {
    return this.#call('held', () => this.#session.held(first, count));
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#call('reuse', () => this.#session.reuse(number, items));
  }

  doubts(first: number): Promise<DoubtsAnswer> {
    return this.#call('doubts', () => this.#session.doubts(first));
  }

  takeWanted(): readonly number[] {
    return this.#cut ? [] : this.#session.takeWanted();
  }

  chunk(chunk: number, at: PointRef): Promise<Uint8Array | null> {
    return this.#call('chunk', () => this.#session.chunk(chunk, at));
  }

  staged(atLeast: number): Promise<number> {
    // Not a call in the protocol: the receiver tells of it by itself.
    if (this.#cut) return Promise.reject(lost());
    return Promise.race([this.#session.staged(atLeast), this.#lost]);
  }

  async commit(commit: Commit): Promise<CommitAnswer> {
    const answer = await this.#call('commit', () => this.#session.commit(commit));
    this.#hooks.answered?.(commit, answer);
    return answer;
  }

  applied(point: PointRef): Promise<void> {
    if (this.#cut) return Promise.reject(lost());
    return Promise.race([this.#session.applied(point), this.#lost]);
  }

  abandon(round: Uint8Array): Promise<void> {
    return this.#call('abandon', () => this.#session.abandon(round));
  }

  wireBytes() {
    return this.#session.wireBytes();
  }

  async close(): Promise<void> {
    this.#cut = true;
    await this.#session.close();
  }

  /** One turn later: the call in which the link was cut may just be beginning. */
  async #end(): Promise<void> {
    await Promise.resolve();
    await Promise.allSettled([...this.#running]);
    await this.#session.close();
  }

  async #call<T>(name: string, work: () => Promise<T>): Promise<T> {
    await this.#hooks.before?.(name);
    if (this.#cut) throw lost();
    const running = work().then((answer) => {
      if (this.losesAnswerTo === name) this.cut();
      return answer;
    });
    this.#running.add(running);
    const ended = (): void => void this.#running.delete(running);
    running.then(ended, ended);
    return Promise.race([running, this.#lost]);
  }
}

const lost = () =>
  new TargetError({ code: 'TARGET_LOST', target: 'b', text: 'the link has been cut' });
