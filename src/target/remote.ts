// A target across a session: `Target` on the primary's side of a peer session; receive/serve.ts is
// the other end. Guarantees: at most UNSTAGED_BYTES_MAX of frames are sent and not known to be
// durable (H31, W5); frames leave in the order of put and reuse; a commit whose answer did not come
// is TARGET_LOST, never refused (H23). When the session is gone, so is this target: who wants to go
// on with a round on the next one talks to it through resuming.ts.
import { AssertionError, assert } from '../base/assert.js';
import { describeError, type HastError } from '../base/errors.js';
import { type Deferred, deferred, Mutex } from '../base/sync.js';
import { type ChunkIndex, DIGEST_BYTES } from '../base/units.js';
import type { FrameEntry } from '../format/changeset.js';
import { type PointRef, type RoundId, sameId } from '../lineage/lineage.js';
import { PeerError } from '../peer/faults.js';
import { COMMIT_DAMAGED_MAX, DIGESTS_CHUNKS_MAX, HELD_CHUNKS_MAX } from '../peer/limits.js';
import type { Answer, Envelope, PeerFacts, Push, Question, Trouble } from '../peer/messages.js';
import type { Session } from '../peer/session.js';
import { inPieces } from './pieces.js';
import { RunningRound, reuseBytes } from './running.js';
import {
  type Begin,
  type Commit,
  type CommitAnswer,
  DAMAGED_CHUNKS_MAX,
  type DigestsAnswer,
  type DoubtsAnswer,
  type Outcome,
  type ReuseItem,
  type Target,
  TargetError,
  type TargetState,
} from './target.js';

assert(COMMIT_DAMAGED_MAX === DAMAGED_CHUNKS_MAX, 'a COMMIT names all that a point may');

/** Makes the session, not yet started, a target. Whoever closes the target closes the session. */
export function remoteTarget(session: Session, name: string): Target {
  return new RemoteTarget(session, name);
}

class RemoteTarget implements Target {
  readonly name: string;
  readonly state: TargetState;
  readonly #session: Session;
  readonly #putting = new Mutex();
  #running: RunningRound | null = null;
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
    const ask = async (start: ChunkIndex, part: number): Promise<PointRef | null> => {
      const question = { type: 'digests', first: start, count: part, from } as const;
      const answer = await this.#ask(question);
      if (answer.type !== 'digests-are') throw this.#wrong(answer, 'DIGESTS');
      if (answer.first !== start || answer.digests.length !== part * DIGEST_BYTES) {
        throw this.#broke('it answered DIGESTS for other chunks than those asked for');
      }
      digests.set(answer.digests, (start - first) * DIGEST_BYTES);
      return answer.at;
    };
    const points = await inPieces(first, count, DIGESTS_CHUNKS_MAX, ask);
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
    const running = new RunningRound(begin.round);
    this.#dropRunning();
    this.#running = running;
    try {
      const answer = await this.#ask({ type: 'begin', begin });
      if (answer.type !== 'begun') throw this.#wrong(answer, 'BEGIN');
      running.begun(answer.staged);
      this.#wake();
    } catch (error) {
      if (this.#running === running) this.#running = null;
      throw error;
    }
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    const bytes = frame;
    return this.#send(number, bytes.length, (facts) => ({ type: 'frame', ...facts, bytes }));
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#send(number, reuseBytes(items), (facts) => ({ type: 'reuse', ...facts, items }));
  }

  async held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    assert(count > 0, 'what is held of at least one chunk is asked for');
    const ask = async (start: ChunkIndex, part: number): Promise<readonly FrameEntry[]> => {
      const answer = await this.#ask({ type: 'held', first: start, count: part });
      if (answer.type !== 'held-are') throw this.#wrong(answer, 'HELD');
      const last = answer.entries.at(-1)?.chunk ?? start;
      if (answer.first !== start || last >= start + part) {
        throw this.#broke('it answered HELD for other chunks than those asked for');
      }
      return answer.entries;
    };
    return (await inPieces(first, count, HELD_CHUNKS_MAX, ask)).flat();
  }

  async doubts(first: ChunkIndex): Promise<DoubtsAnswer> {
    const answer = await this.#ask({ type: 'doubts', first });
    if (answer.type !== 'doubts-are') throw this.#wrong(answer, 'DOUBTS');
    const { chunks, complete } = answer;
    let least = first;
    for (const chunk of chunks) {
      if (chunk < least) throw this.#broke('its doubts do not ascend');
      least = chunk + 1;
    }
    if (complete || chunks.length > 0) return { chunks, complete };
    throw this.#broke('it has more doubts and names none');
  }

  takeWanted(): readonly ChunkIndex[] {
    return this.#running?.takeWanted() ?? [];
  }

  async chunk(chunk: ChunkIndex, at: PointRef): Promise<Uint8Array | null> {
    const answer = await this.#ask({ type: 'chunk', chunk, at });
    if (answer.type !== 'chunk-is') throw this.#wrong(answer, 'CHUNK');
    return answer.bytes.length === 0 ? null : answer.bytes;
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
    if (answer.type === 'wanted') return { outcome: 'wanted' };
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
    if (this.#running && sameId(this.#running.id, round)) this.#dropRunning();
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

  /** Frame `number` in whatever form, once there is room for what it counts. */
  async #send(
    number: number,
    bytes: number,
    message: (facts: { session: number; round: RoundId; number: number }) => Push,
  ): Promise<void> {
    await this.#putting.run(async () => {
      const running = this.#current();
      for (this.#check(running); running.full(bytes); this.#check(running)) {
        await this.#changed.promise;
      }
      running.sends(number, bytes);
      const { number: session } = this.#session.facts;
      await this.#orLost(this.#session.push(message({ session, round: running.id, number })));
    });
  }

  #arrived({ message, request }: Envelope): void {
    const { type } = message;
    if (type !== 'staged' && type !== 'want' && type !== 'refused' && type !== 'failed') {
      throw this.#broke(`${type} message (${request}), which only a primary may send`);
    }
    const running = this.#running;
    if (!running || !sameId(running.id, message.round)) return; // of a round that is over
    if (type === 'staged') {
      const { frames } = message;
      if (!running.acknowledge(frames))
        throw this.#broke(`it has staged ${frames} frames, not sent`);
    } else if (type === 'want') {
      if (!running.want(message.chunks)) throw this.#broke('it wants more chunks than it may');
    } else {
      running.broken ??= this.#trouble(message);
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

  #current(): RunningRound {
    if (this.#lost) throw this.#lost;
    assert(this.#running !== null, 'a round is begun before its frames are put');
    return this.#running;
  }

  #check(running: RunningRound): void {
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
