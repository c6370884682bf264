// One primary's session with a replica: the Target interface over the receiver's ladder. A session
// holds the resource's writer lock from its first begin until it is closed (receiver step 1, H36);
// so does the question for an outcome; digests need no lock. A round that cannot be committed is
// refused before anything of it is staged, wherever that can be known (H29).
import { assert } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { codeOf, describeError } from '../base/errors.js';
import { deferred } from '../base/sync.js';
import { CHUNK_BYTES, type ChunkIndex, DIGEST_BYTES, humanBytes } from '../base/units.js';
import { decodeFrame } from '../format/frame.js';
import { unpack } from '../format/pack.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
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
} from '../target/target.js';
import { admit, admitRange, adopted } from './admit.js';
import { tableOfDisk } from './disk-digests.js';
import { Filling } from './filling.js';
import { refusal } from './parts.js';
import type { Replica } from './replica.js';
import { committedName, Stage } from './stage.js';
import { driftedChunks } from './verify.js';
import { Watermark } from './watermark.js';

export class ReplicaSession implements Target {
  readonly name: string;
  readonly #replica: Replica;
  #release: (() => void) | null = null;
  #closed = false;
  #stage: Stage | null = null;
  #begin: Begin | null = null;
  /** Frames 0..verified-1 of the stage have been verified (step 3). */
  #verified = 0;
  #filling: Filling | null = null;
  #freshTable = false;
  readonly #watermark = new Watermark();

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

  /** Waits until the writer before has ended: 'none' is for ever (D4). */
  async outcome(round: Uint8Array): Promise<Outcome> {
    await this.#lock();
    return this.#replica.outcome(round);
  }

  async digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    const replica = this.#replica;
    const { state } = replica.parts.resourceFile;
    const refused = admitRange(state, first, count);
    if (refused !== null) throw refusal(state, refused.reason, refused.text);
    await replica.idle();
    const at = replica.table.point;
    const trusted = at !== null && sameId(at.id, replica.record.point?.id);
    if (from === 'table' && trusted && replica.record.suspect === null) {
      return { at, first, digests: replica.table.range(first, count) };
    }
    if (from === 'table' && replica.record.point !== null) {
      return { at: null, first, digests: new Uint8Array(count * DIGEST_BYTES) };
    }
    const filling = replica.record.point === null;
    if (filling) await this.#takeTable();
    const digests = new Uint8Array(count * DIGEST_BYTES);
    const { device, parts } = replica;
    // H18: what an fdatasync gave up is in the cache only, so the first copy asks the medium.
    if (from === 'disk' || filling) {
      const length = Math.min(count * CHUNK_BYTES, device.sizeBytes - first * CHUNK_BYTES);
      device.dropCached(first * CHUNK_BYTES, length);
    }
    await tableOfDisk(device, parts.compute, first, count, (chunk, digest) => {
      digests.set(digest, (chunk - first) * DIGEST_BYTES);
      if (filling) replica.table.set(chunk, digest);
    });
    return { at: replica.record.point, first, digests };
  }

  async begin(begin: Begin): Promise<void> {
    await this.#lock();
    if (this.#closed) throw this.#over();
    await this.#forget();
    const replica = this.#replica;
    const { state } = replica.parts.resourceFile;
    const refused = admit(state, replica.point, begin);
    if (refused !== null) throw refusal(state, refused.reason, refused.text);
    if (replica.applyError) throw refusal(state, 'apply-failed', replica.applyError.message);
    if (adopted(state, begin) !== state) {
      await replica.parts.resourceFile.update((old) => adopted(old, begin));
    }
    await replica.openDisk();
    this.#begin = begin;
    if (begin.from === null) {
      await this.#takeTable();
      this.#filling = new Filling(replica, begin);
      return;
    }
    this.#stage = await this.#openStage(begin, begin.from);
    this.#verified = 0;
  }

  async put(number: number, bytes: Uint8Array): Promise<void> {
    const { state } = this.#replica.parts.resourceFile;
    const place = `frame ${number}`;
    const wanted = this.#filling?.frames ?? this.#stage?.frames;
    if (wanted === undefined) throw refusal(state, 'bad-frame', 'no round has begun');
    if (number !== wanted) throw refusal(state, 'bad-frame', `${place} came, ${wanted} is next`);
    const frame = decodeFrame(bytes, place, unpack, state.sizeBytes);
    if (frame.number !== number) throw refusal(state, 'bad-frame', `${place} says ${frame.number}`);
    if (this.#filling) {
      await this.#filling.write(bytes, frame);
      this.#watermark.durable(this.#filling.frames);
      return;
    }
    assert(this.#stage !== null, 'a round is staged or fills the disk');
    await this.#stage.append(bytes, frame);
    if (this.#verified === number && this.#replica.work === 'idle') {
      await this.#checkDrift(await driftedChunks(this.#replica.device, frame, state.sizeBytes));
      this.#verified = number + 1;
    }
  }

  staged(atLeast: number): Promise<number> {
    const now = this.#filling?.frames ?? this.#stage?.durable ?? 0;
    if (now >= atLeast) return Promise.resolve(now);
    const failure = this.#stage?.failure;
    if (failure) return Promise.reject(failure.error);
    return this.#watermark.wait(atLeast);
  }

  async commit(commit: Commit): Promise<CommitAnswer> {
    if (this.#replica.outcome(commit.round) === 'committed') return { outcome: 'committed' };
    try {
      return await this.#commit(commit);
    } catch (error) {
      if (this.#stage?.undecided) throw await this.#cannotTell(error);
      await this.#forget(error);
      if (codeOf(error) === 'TARGET_REFUSED') throw error;
      return { outcome: 'refused', reason: 'apply-failed', text: describeError(error) };
    }
  }

  async applied(point: PointRef): Promise<void> {
    await this.#replica.idle();
    const { state } = this.#replica.parts.resourceFile;
    if (sameId(state.replica.point?.id, point.id)) return;
    if (this.#replica.outcome(point.id) === 'committed') return;
    throw refusal(state, 'wrong-from', `point ${point.number} was never committed here`);
  }

  async abandon(round: Uint8Array): Promise<void> {
    if (this.#begin && equalBytes(this.#begin.round, round)) await this.#forget();
  }

  wireBytes(): { readonly up: number; readonly down: number } {
    return { up: 0, down: 0 };
  }

  /** Ends the session: drops what is staged, gives the writer lock back. Can be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#forget();
    this.#release?.();
    this.#release = null;
  }

  async #commit(commit: Commit): Promise<CommitAnswer> {
    const { state } = this.#replica.parts.resourceFile;
    const begin = this.#begin;
    if (begin === null || !equalBytes(begin.round, commit.round)) {
      return no('busy', 'this round has not begun here');
    }
    if (this.#filling) return this.#filling.commit(commit);
    const stage = this.#stage;
    assert(stage !== null && begin.from !== null, 'a round is staged');
    await this.#replica.idle();
    await stage.allDurable();
    for await (const frame of stage.framesFrom(this.#verified)) {
      await this.#checkDrift(await driftedChunks(this.#replica.device, frame, state.sizeBytes));
    }
    // Compare and swap: nothing of what admitted the round may have changed since.
    const refused = admit(this.#replica.parts.resourceFile.state, this.#replica.point, begin);
    if (refused !== null) return no(refused.reason, refused.text);
    if (!sameId(commit.from?.id, begin.from.id) || !equalBytes(commit.to.id, begin.to.id)) {
      return no('wrong-from', 'the commit names other points than the round began with');
    }
    const totals = await stage.commit(commit.frames, commit.indexDigest);
    if (totals === null) {
      await this.#forget();
      return no('bad-frame', 'the index received is not the index sent');
    }
    this.#stage = null;
    this.#begin = null;
    this.#replica.startApply(begin.to, committedName(begin.round));
    return { outcome: 'committed' };
  }

  /** H29: what cannot be kept is refused with numbers before anything is sent. */
  async #openStage(begin: Begin, from: PointRef): Promise<Stage> {
    const { files, resourceFile } = this.#replica.parts;
    try {
      return await Stage.create(
        files,
        this.#replica.directory,
        { ...begin, from },
        this.#watermark,
      );
    } catch (error) {
      const text =
        `the round may need ${humanBytes(begin.spaceBytes)} in ${this.#replica.directory} ` +
        `for what is sent and its undo: ${describeError(error)}`;
      throw refusal(resourceFile.state, 'no-space', text);
    }
  }

  async #checkDrift(drifted: readonly ChunkIndex[]): Promise<void> {
    if (drifted.length === 0) return;
    const why = `${drifted.length} chunks of a round do not fit, first at chunk ${drifted[0]}`;
    await this.#replica.markSuspect(why);
    const refused = refusal(this.#replica.parts.resourceFile.state, 'drift', why);
    await this.#forget(refused);
    throw refused;
  }

  /** The first copy starts with an empty table, once a session. */
  async #takeTable(): Promise<void> {
    if (this.#freshTable) return;
    this.#freshTable = true;
    await this.#replica.freshTable();
  }

  async #forget(error: unknown = this.#over()): Promise<void> {
    this.#watermark.failed(error);
    const stage = this.#stage;
    this.#stage = null;
    this.#filling = null;
    this.#begin = null;
    await stage?.drop();
  }

  /** Step 4 broke off: the answer is unknown, and stays so until a start finds out (H23). */
  async #cannotTell(cause: unknown) {
    this.#replica.cannotTell(cause);
    await this.#forget(cause);
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

const no = (reason: RefusalReason, text: string): CommitAnswer => ({
  outcome: 'refused',
  reason,
  text,
});
