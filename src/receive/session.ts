// One primary's session with a replica: the Target interface over the receiver's ladder. A session
// holds the resource's writer lock from its first begin until it is closed (receiver step 1, H36);
// so does the question for an outcome; digests need no lock. A round that cannot be committed is
// refused before anything of it is staged, wherever that can be known (H29). The round itself is
// the replica's (incoming.ts): a session that ends leaves it there (D3).
import { codeOf, describeError } from '../base/errors.js';
import { deferred } from '../base/sync.js';
import type { ChunkIndex } from '../base/units.js';
import type { FrameEntry } from '../format/changeset.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import {
  type Begin,
  type Commit,
  type CommitAnswer,
  type DigestsAnswer,
  type DoubtsAnswer,
  type Outcome,
  type ReuseItem,
  type Target,
  TargetError,
  type TargetState,
} from '../target/target.js';
import { admit, adopted } from './admit.js';
import { digestsOf } from './disk-digests.js';
import { Incoming, no } from './incoming.js';
import { refusal } from './parts.js';
import type { Replica } from './replica.js';
import { roomFor } from './room.js';
import { wholeChunk } from './whole-chunk.js';

/** Doubtful chunks of one answer. */
const DOUBTS_MAX = 16_384;

export class ReplicaSession implements Target {
  readonly name: string;
  readonly #replica: Replica;
  #release: (() => void) | null = null;
  #closed = false;
  /** The round this session works on; the replica has it too. */
  #incoming: Incoming | null = null;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.name = replica.parts.node;
  }

  get state(): TargetState {
    const { state } = this.#replica.parts.resourceFile;
    return {
      resource: state.resource,
      sizeBytes: state.sizeBytes,
      role: state.role,
      epochs: state.epochs,
      point: this.#replica.point,
      suspect: this.#replica.record.suspect !== null,
      lost: this.#replica.record.lostPoint,
      node: this.#replica.parts.node,
    };
  }

  /** Waits until the writer before has ended: 'none' is for ever (D4), but for the round that is
   * parked here and may still be gone on with. */
  async outcome(round: Uint8Array): Promise<Outcome> {
    await this.#lock();
    return this.#replica.outcome(round);
  }

  digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    return digestsOf(this.#replica, first, count, from);
  }

  async begin(begin: Begin): Promise<void> {
    await this.#lock();
    if (this.#closed) throw this.#over();
    try {
      await this.#begin(begin);
      this.#replica.noteRefusal(null);
    } catch (error) {
      // 'gone' is no trouble: the next round takes over.
      const refusedFor =
        error instanceof TargetError && 'reason' in error.fault ? error.fault.reason : '';
      if (refusedFor !== 'gone') this.#replica.noteRefusal(error);
      throw error;
    }
  }

  async #begin(begin: Begin): Promise<void> {
    const replica = this.#replica;
    const { staging } = replica;
    const { state } = replica.parts.resourceFile;
    const no = (reason: Parameters<typeof refusal>[1], text: string) =>
      refusal(state, reason, text);
    if ((begin.from === null) !== (begin.fill !== null)) {
      throw no(
        'wrong-from',
        'a round without a point to begin from is of a first copy, and names it',
      );
    }
    if (replica.comparing !== null) throw no('busy', replica.comparing);
    const refused = admit(state, replica.point, begin, replica.doubts !== null);
    if (refused !== null) throw no(refused.reason, refused.text);
    if (replica.applyError) throw no('apply-failed', replica.applyError.message);
    if (staging.incoming?.is(begin.round)) return this.#goOn(staging.incoming, begin);
    if (begin.resumeAt > 0 || (await staging.has(begin.round)) || this.#isOfLostFill(begin)) {
      throw no(
        'gone',
        'the round is not under way here any more; what is staged can be taken over',
      );
    }
    await staging.end(this.#over());
    this.#incoming = null;
    await roomFor(replica, begin.sizeBytes);
    // Only now: the state may say it, and a power failure leaves a disk to go with it.
    if (adopted(state, begin) !== state) {
      await replica.dropHeld();
      await replica.parts.resourceFile.update((old) => adopted(old, begin));
    }
    await replica.openDisk();
    if (begin.fill !== null && sameId(begin.fill, begin.round)) await replica.startFill(begin.fill);
    this.#incoming = await Incoming.open(replica, begin);
    staging.begun(this.#incoming);
  }

  put(number: number, bytes: Uint8Array): Promise<void> {
    return this.#running().put(number, bytes);
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#running().reuse(number, items);
  }

  /** Only while a round runs: the files belong to whoever has the writer lock. */
  async held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    const { begin } = this.#running();
    return (await this.#replica.heldStages(begin))?.entries(first, count) ?? [];
  }

  async doubts(first: ChunkIndex): Promise<DoubtsAnswer> {
    const { doubts, comparing } = this.#replica;
    const { state } = this.#replica.parts.resourceFile;
    if (comparing !== null) throw refusal(state, 'busy', comparing);
    const chunks: ChunkIndex[] = [];
    for (const chunk of doubts?.from(first) ?? []) {
      if (chunks.length === DOUBTS_MAX) return { chunks, complete: false };
      chunks.push(chunk);
    }
    return { chunks, complete: true };
  }

  takeWanted(): readonly ChunkIndex[] {
    return this.#incoming?.takeWanted() ?? [];
  }

  chunk(chunk: ChunkIndex, at: PointRef): Promise<Uint8Array | null> {
    return wholeChunk(this.#replica, chunk, at);
  }

  staged(atLeast: number): Promise<number> {
    if (this.#incoming) return this.#incoming.staged(atLeast);
    return atLeast === 0 ? Promise.resolve(0) : Promise.reject(this.#over());
  }

  async commit(commit: Commit): Promise<CommitAnswer> {
    if (this.#replica.outcome(commit.round) === 'committed') return { outcome: 'committed' };
    const incoming = this.#incoming;
    if (!incoming?.is(commit.round)) return no('busy', 'this round has not begun here');
    try {
      const answer = await incoming.commit(commit);
      if (answer.outcome === 'committed') await this.#tidy();
      if (answer.outcome !== 'wanted') this.#incoming = null;
      if (answer.outcome === 'refused') await this.#replica.staging.end(this.#over());
      return answer;
    } catch (error) {
      this.#incoming = null;
      if (incoming.undecided) throw this.#cannotTell(incoming, error);
      await this.#replica.staging.end(error);
      if (codeOf(error) === 'TARGET_REFUSED') throw error;
      return no('apply-failed', describeError(error));
    }
  }

  /** What was staged before belongs to another point now; that it cannot be removed changes nothing
   * of the commit. */
  async #tidy(): Promise<void> {
    const { staging, parts } = this.#replica;
    await staging.committed().catch((error: unknown) => {
      parts.log.warn('staged files could not be removed', { why: describeError(error) });
    });
  }

  async applied(point: PointRef): Promise<void> {
    await this.#replica.idle();
    const { state } = this.#replica.parts.resourceFile;
    if (sameId(state.replica.point?.id, point.id)) return;
    if (this.#replica.outcome(point.id) === 'committed') return;
    throw refusal(state, 'wrong-from', `point ${point.number} was never committed here`);
  }

  /** What is staged of it stays, for the next round to take over. */
  async abandon(round: Uint8Array): Promise<void> {
    if (!this.#incoming?.is(round)) return;
    this.#incoming = null;
    await this.#replica.staging.end(this.#over());
  }

  wireBytes(): { readonly up: number; readonly down: number } {
    return { up: 0, down: 0 };
  }

  /** Ends the session: gives the writer lock back; its round stays. Can be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#incoming?.park(this.#over());
    this.#incoming = null;
    this.#release?.();
    this.#release = null;
  }

  /** D3: the sender has come back for the round it was in the middle of. */
  async #goOn(incoming: Incoming, begin: Begin): Promise<void> {
    const { state } = this.#replica.parts.resourceFile;
    if (incoming.frames < begin.resumeAt) {
      throw refusal(state, 'gone', `${begin.resumeAt} frames were acknowledged, fewer are here`);
    }
    await incoming.resume();
    this.#incoming = incoming;
  }

  /** A pass or the last round of a first copy stands on all its passes before: what of them is not
   * on the medium is lost with the process that had them (H29). */
  #isOfLostFill({ fill, round, again }: Begin): boolean {
    if (fill === null) return false;
    const isFirst = sameId(fill, round) && !again;
    return !isFirst && !sameId(this.#replica.fill, fill);
  }

  #running(): Incoming {
    if (this.#incoming) return this.#incoming;
    const { state } = this.#replica.parts.resourceFile;
    throw refusal(state, 'bad-frame', 'no round has begun');
  }

  /** Step 4 broke off: the answer is unknown, and stays so until a start finds out (H23). */
  #cannotTell(incoming: Incoming, cause: unknown) {
    this.#replica.cannotTell(cause);
    incoming.park(cause);
    const text = describeError(cause);
    return new TargetError({ code: 'TARGET_LOST', target: this.name, text }, { cause });
  }

  #over() {
    const text = 'the round has ended';
    return new TargetError({ code: 'TARGET_LOST', target: this.name, text });
  }

  /** Receiver step 1: waits until the old session's writer has ended. */
  async #lock(): Promise<void> {
    if (this.#release !== null) return;
    const held = deferred<void>();
    const free = deferred<void>();
    void this.#replica.writer.run(() => {
      held.resolve();
      return free.promise;
    });
    await held.promise;
    this.#release = () => free.resolve();
    if (this.#closed) this.#release();
  }
}
