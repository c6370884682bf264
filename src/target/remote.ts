// A target across a session: `Target` on the primary's side of a peer session; receive/serve.ts is
// the other end. Guarantees: at most UNSTAGED_BYTES_MAX of frames are sent and not known to be
// durable (H31, W5); frames leave in the order of put; a commit whose answer did not come is
// TARGET_LOST, never refused (H23).
import { AssertionError, assert } from '../base/assert.js';
import { describeError, type HastError } from '../base/errors.js';
import { type Deferred, deferred, Mutex } from '../base/sync.js';
import { type ChunkIndex, DIGEST_BYTES } from '../base/units.js';
import { type PointRef, type RoundId, sameId } from '../lineage/lineage.js';
import { PeerError } from '../peer/faults.js';
import { DIGESTS_CHUNKS_MAX, UNSTAGED_BYTES_MAX } from '../peer/limits.js';
import type { Answer, Envelope, PeerFacts, Question, Trouble } from '../peer/messages.js';
import type { Session } from '../peer/session.js';
import {
  type Begin,
  type Commit,
  type CommitAnswer,
  type DigestsAnswer,
  type Outcome,
  type Target,
  TargetError,
  type TargetState,
} from './target.js';

/** Questions for digests that are open at once, so that none waits a round trip (D5). */
const DIGEST_QUESTIONS_MAX = 4;

/** Makes the session, not yet started, a target. Whoever closes the target closes the session. */
export function remoteTarget(session: Session, name: string): Target {
  return new RemoteTarget(session, name);
}

/** The round begun last. */
interface Running {
  readonly round: RoundId;
  /** Frames 0..staged-1 are durable there. */
  staged: number;
  /** Sent and not known to be durable, oldest first. */
  readonly unstaged: { readonly number: number; readonly bytes: number }[];
  unstagedBytes: number;
  /** Why nothing more of this round is taken. */
  broken: HastError | null;
}

class RemoteTarget implements Target {
  readonly name: string;
  readonly state: TargetState;
  readonly #session: Session;
  readonly #putting = new Mutex();
  #running: Running | null = null;
  #lost: HastError | null = null;
  #changed: Deferred<void> = deferred();

  constructor(session: Session, name: string) {
    this.name = name;
    this.state = stateOf(session.facts.theirs);
    this.#session = session;
    session.start((envelope) => this.#arrived(envelope));
    void session.closed.then((reason) => {
      this.#lost = this.#lostBecause(describeError(reason), reason);
      this.#wake();
    });
  }

  async digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    assert(count > 0, 'digests of at least one chunk are asked for');
    const digests = new Uint8Array(count * DIGEST_BYTES);
    const points: (PointRef | null)[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) {
        const start = next;
        const part = Math.min(DIGESTS_CHUNKS_MAX, count - start);
        next += part;
        const answer = await this.#ask({
          type: 'digests',
          first: first + start,
          count: part,
          from,
        });
        if (answer.type !== 'digests-are') throw this.#wrong(answer, 'DIGESTS');
        if (answer.first !== first + start || answer.digests.length !== part * DIGEST_BYTES) {
          throw this.#broke('it answered DIGESTS for other chunks than those asked for');
        }
        digests.set(answer.digests, start * DIGEST_BYTES);
        points.push(answer.at);
      }
    };
    const lanes = Math.min(DIGEST_QUESTIONS_MAX, Math.ceil(count / DIGESTS_CHUNKS_MAX));
    await Promise.all(Array.from({ length: lanes }, lane));
    const at = points[0] ?? null;
    if (points.some((point) => !sameId(point?.id, at?.id))) {
      const text = 'its point changed while digests were read (the next round asks again)';
      throw new TargetError({ code: 'TARGET_REFUSED', target: this.name, reason: 'busy', text });
    }
    return { at, first, digests };
  }

  async outcome(round: RoundId): Promise<Outcome> {
    const answer = await this.#ask({ type: 'outcome', round });
    if (answer.type !== 'outcome-is') throw this.#wrong(answer, 'OUTCOME');
    return answer.outcome;
  }

  async begin(begin: Begin): Promise<void> {
    // Known before the question leaves: STAGED may come right behind the answer.
    const running: Running = {
      round: begin.round,
      staged: 0,
      unstaged: [],
      unstagedBytes: 0,
      broken: null,
    };
    this.#dropRunning();
    this.#running = running;
    try {
      const answer = await this.#ask({ type: 'begin', begin });
      if (answer.type !== 'begun') throw this.#wrong(answer, 'BEGIN');
      running.staged = Math.max(running.staged, answer.staged);
      this.#wake();
    } catch (error) {
      if (this.#running === running) this.#running = null;
      throw error;
    }
  }

  async put(number: number, frame: Uint8Array): Promise<void> {
    await this.#putting.run(async () => {
      const running = this.#current();
      const full = (): boolean =>
        running.unstagedBytes > 0 && running.unstagedBytes + frame.length > UNSTAGED_BYTES_MAX;
      for (this.#check(running); full(); this.#check(running)) await this.#changed.promise;
      running.unstaged.push({ number, bytes: frame.length });
      running.unstagedBytes += frame.length;
      const { number: session } = this.#session.facts;
      const message = { type: 'frame', session, round: running.round, number } as const;
      await this.#orLost(this.#session.push({ ...message, bytes: frame }));
    });
  }

  async staged(atLeast: number): Promise<number> {
    const running = this.#current();
    for (this.#check(running); running.staged < atLeast; this.#check(running)) {
      await this.#changed.promise;
    }
    return running.staged;
  }

  async commit(commit: Commit): Promise<CommitAnswer> {
    const answer = await this.#question({ type: 'commit', commit });
    if (answer.type === 'committed') return { outcome: 'committed' };
    if (answer.type === 'refused') {
      return { outcome: 'refused', reason: answer.reason, text: answer.text };
    }
    // The other side could not tell what became of it: unknown, as if the answer were lost.
    throw answer.type === 'failed' ? this.#trouble(answer) : this.#wrong(answer, 'COMMIT');
  }

  async applied(point: PointRef): Promise<void> {
    const answer = await this.#ask({ type: 'wait-applied', point });
    if (answer.type === 'applied') return;
    if (answer.type !== 'apply-failed') throw this.#wrong(answer, 'WAIT_APPLIED');
    const { text } = answer;
    const reason = 'apply-failed';
    throw new TargetError({ code: 'TARGET_REFUSED', target: this.name, reason, text });
  }

  async abandon(round: RoundId): Promise<void> {
    if (this.#running && sameId(this.#running.round, round)) this.#dropRunning();
    const answer = await this.#ask({ type: 'abandon', round });
    if (answer.type !== 'abandoned') throw this.#wrong(answer, 'ABANDON');
  }

  wireBytes(): { readonly up: number; readonly down: number } {
    return this.#session.wireBytes();
  }

  async close(): Promise<void> {
    await this.#session.close();
    await this.#session.finished();
  }

  #arrived({ message, request }: Envelope): void {
    const running = this.#running;
    switch (message.type) {
      case 'staged':
        if (running && sameId(running.round, message.round)) this.#staged(running, message.frames);
        return;
      case 'refused':
      case 'failed':
        if (running && sameId(running.round, message.round)) {
          running.broken ??= this.#trouble(message);
          this.#wake();
        }
        return;
      case 'want': // reserved: whoever sends it also refuses the commit
        return;
      default:
        throw this.#broke(`${message.type} message (${request}), which only a primary may send`);
    }
  }

  #staged(running: Running, frames: number): void {
    if (frames <= running.staged) return;
    running.staged = frames;
    for (let sent = running.unstaged[0]; sent && sent.number < frames; sent = running.unstaged[0]) {
      running.unstaged.shift();
      running.unstagedBytes -= sent.bytes;
    }
    this.#wake();
  }

  /** A question that is not answered yes is an error. */
  async #ask(question: Question): Promise<Exclude<Answer, Trouble>> {
    const answer = await this.#question(question);
    if (answer.type === 'refused' || answer.type === 'failed') throw this.#trouble(answer);
    return answer;
  }

  #question(question: Question): Promise<Answer> {
    return this.#orLost(this.#session.ask(question));
  }

  #orLost<T>(promise: Promise<T>): Promise<T> {
    return promise.catch((error: unknown) => {
      if (error instanceof AssertionError) throw error;
      throw this.#lostBecause(describeError(error), error);
    });
  }

  #current(): Running {
    if (this.#lost) throw this.#lost;
    assert(this.#running !== null, 'a round is begun before its frames are put');
    return this.#running;
  }

  #check(running: Running): void {
    if (this.#lost) throw this.#lost;
    if (running.broken) throw running.broken;
  }

  #dropRunning(): void {
    if (!this.#running) return;
    this.#running.broken ??= this.#lostBecause('the round was given up', null);
    this.#wake();
  }

  #trouble(answer: Trouble): HastError {
    const { text } = answer;
    if (answer.type === 'failed') return this.#lostBecause(`${text} (${answer.code})`, null);
    const { reason } = answer;
    return new TargetError({ code: 'TARGET_REFUSED', target: this.name, reason, text });
  }

  #lostBecause(text: string, cause: unknown): HastError {
    return new TargetError({ code: 'TARGET_LOST', target: this.name, text }, { cause });
  }

  #wrong(answer: Answer, question: string): HastError {
    return this.#broke(`it answered ${question} with a ${answer.type} message`);
  }

  /** Ends the session, because what follows cannot be trusted either. */
  #broke(what: string): HastError {
    const error = new PeerError({ code: 'PEER_PROTOCOL', peer: this.#session.remote, what });
    this.#session.destroy(error);
    return this.#lostBecause(describeError(error), error);
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }
}

function stateOf(facts: PeerFacts): TargetState {
  const { resourceId: resource, sizeBytes, role, epochs, point, suspect, node } = facts;
  return { resource, sizeBytes, role, epochs, point, suspect, lost: facts.proposed, node };
}
