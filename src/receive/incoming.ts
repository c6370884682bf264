// A round under way at the replica: what of it is staged (or, in a first copy, written), verified,
// and still wanted. It belongs to the replica and outlives the session that began it: a live sender
// goes on with it at the watermark (D3, H31); any other round ends it, and what is staged may then
// be taken over by digest. Order of frames is by number (H36). C2: every chunk is verified before
// the commit; one that does not come out is asked for whole, in the same round (H28).
import { assert } from '../base/assert.js';
import { describeError } from '../base/errors.js';
import { FilesError } from '../base/files.js';
import { type ChunkIndex, chunkMask, humanBytes } from '../base/units.js';
import type { Frame } from '../format/changeset.js';
import { decodeFrame, encodeFrame } from '../format/frame.js';
import { reusingUnpack } from '../format/pack.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { Begin, Commit, CommitAnswer, RefusalReason, ReuseItem } from '../target/target.js';
import { ChunkSet } from '../tracking/chunk-set.js';
import { admit } from './admit.js';
import { Filling } from './filling.js';
import { refusal } from './parts.js';
import type { Receiving } from './receiving.js';
import { committedName, Stage } from './stage.js';
import { driftedChunks } from './verify.js';
import { Watermark } from './watermark.js';

/** Chunks of one round that are asked for one by one: 4 GiB. */
const WANTED_MAX = 65_536;

export class Incoming {
  readonly begin: Begin;
  readonly #replica: Receiving;
  readonly #stage: Stage | null;
  readonly #filling: Filling | null;
  /** Frames 0..verified-1 of the stage have been verified (step 3). */
  #verified = 0;
  /** Asked for whole and not come yet; those the sender has not been told of. */
  readonly #wanted = new Set<ChunkIndex>();
  #news: ChunkIndex[] = [];
  /** Doubtful chunks that have come whole. */
  readonly #covered: ChunkSet;
  readonly #watermark: Watermark;
  /** Frames are taken one after another, so that one memory does. */
  readonly #unpack = reusingUnpack();

  private constructor(
    replica: Receiving,
    begin: Begin,
    stage: Stage | null,
    filling: Filling | null,
    watermark: Watermark,
  ) {
    this.#replica = replica;
    this.begin = begin;
    this.#stage = stage;
    this.#filling = filling;
    this.#watermark = watermark;
    this.#covered = new ChunkSet(begin.sizeBytes);
  }

  /** A round that was admitted, with the space it asks for reserved. Error TARGET_REFUSED for want
   * of space, FILE_FAILED for anything else. */
  static async open(replica: Receiving, begin: Begin): Promise<Incoming> {
    const watermark = new Watermark();
    const { from } = begin;
    if (from === null) {
      return new Incoming(replica, begin, null, new Filling(replica, begin), watermark);
    }
    const stage = await openStage(replica, begin, from, watermark);
    return new Incoming(replica, begin, stage, null, watermark);
  }

  /** Frames handed over so far; the next one must have this number. */
  get frames(): number {
    return this.#filling?.frames ?? this.#stage?.frames ?? 0;
  }

  /** The commit broke off where nobody can tell what became of it. */
  get undecided(): boolean {
    return this.#stage?.undecided ?? this.#filling?.undecided ?? false;
  }

  is(round: Uint8Array): boolean {
    return sameId(this.begin.round, round);
  }

  async put(number: number, bytes: Uint8Array): Promise<void> {
    const place = `frame ${number}`;
    this.#expect(number);
    const frame = decodeFrame(bytes, place, this.#unpack, this.begin.sizeBytes);
    if (frame.number !== number) throw this.#refusal('bad-frame', `${place} says ${frame.number}`);
    await this.#take(bytes, frame);
  }

  async reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    this.#expect(number);
    let before = -1;
    for (const { chunk } of items) {
      if (chunk <= before) throw this.#refusal('bad-frame', `frame ${number} is out of order`);
      before = chunk;
    }
    if (items.length === 0) throw this.#refusal('bad-frame', `frame ${number} has nothing`);
    const taken = await (await this.#replica.heldStages(this.begin))?.take(items);
    if (!taken) throw this.#refusal('gone', 'what was staged is not here any more');
    const frame: Frame = { number, ...taken };
    await this.#take(encodeFrame(frame, this.#replica.parts.pack), frame);
  }

  /** Resolves with the watermark once it is at least `atLeast`. */
  staged(atLeast: number): Promise<number> {
    const now = this.#filling?.frames ?? this.#stage?.durable ?? 0;
    if (now >= atLeast) return Promise.resolve(now);
    const failure = this.#stage?.failure;
    if (failure) return Promise.reject(failure.error);
    return this.#watermark.wait(atLeast);
  }

  takeWanted(): readonly ChunkIndex[] {
    return this.#news.splice(0);
  }

  /** Another session of the same sender goes on: all that came is durable, and what is wanted is
   * asked for again. */
  async resume(): Promise<void> {
    await this.#stage?.allDurable();
    this.#news = [...this.#wanted];
  }

  /** The session has ended: nobody waits for the watermark any more. */
  park(error: unknown): void {
    this.#watermark.failed(error);
  }

  /** Ends the round; what is staged stays for a later one. */
  async setAside(error: unknown): Promise<void> {
    this.#watermark.failed(error);
    await this.#stage?.setAside();
  }

  /** Ends a round of which nothing can be of use. */
  async drop(error: unknown): Promise<void> {
    this.#watermark.failed(error);
    await this.#stage?.drop();
  }

  /** Receiver steps 3 and 4. */
  async commit(commit: Commit): Promise<CommitAnswer> {
    if (this.#filling) return this.#filling.commit(commit);
    const { begin } = this;
    const stage = this.#stage;
    const replica = this.#replica;
    assert(stage !== null && begin.from !== null, 'a round is staged');
    await replica.idle();
    await stage.allDurable();
    for await (const frame of stage.framesFrom(this.#verified)) await this.#verify(frame);
    if (this.#wanted.size > 0) {
      this.#news = [...this.#wanted];
      return { outcome: 'wanted' };
    }
    // Compare and swap: nothing of what admitted the round may have changed since.
    const { state } = replica.parts.resourceFile;
    const refused = admit(state, replica.point, begin, replica.doubts !== null);
    if (refused !== null) return no(refused.reason, refused.text);
    const missing = this.#uncovered();
    if (missing > 0) return no('suspect', `${missing} chunks that are in doubt here were not sent`);
    if (!sameId(commit.from?.id, begin.from.id) || !sameId(commit.to.id, begin.to.id)) {
      return no('wrong-from', 'the commit names other points than the round began with');
    }
    await replica.noteDamage(begin.round, commit.damaged);
    const totals = await stage.commit(commit.frames, commit.indexDigest, commit.consistency);
    if (totals === null) {
      await this.drop(refusal(state, 'bad-frame', 'its index differs'));
      return no('bad-frame', 'the index received is not the index sent');
    }
    replica.startApply(begin.to, committedName(begin.round));
    return { outcome: 'committed' };
  }

  async #take(bytes: Uint8Array, frame: Frame): Promise<void> {
    if (this.#filling) {
      await this.#filling.write(bytes, frame);
      this.#watermark.durable(this.#filling.frames);
      return;
    }
    assert(this.#stage !== null, 'a round is staged or fills the disk');
    await this.#stage.append(bytes, frame);
    // H25: while the round before is applied its base is a mixture; then the commit verifies.
    if (this.#verified === frame.number && this.#replica.work === 'idle') await this.#verify(frame);
  }

  /** Step 3 for one frame: the next one to be verified. */
  async #verify(frame: Frame): Promise<void> {
    const { sizeBytes } = this.begin;
    const drifted = new Set(await driftedChunks(this.#replica.device, frame, sizeBytes));
    for (const { chunk, mask } of frame.entries) {
      const isWhole = mask === chunkMask(chunk, sizeBytes);
      if (drifted.has(chunk)) {
        if (isWhole) {
          const text = `chunk ${chunk} does not have the digest it came with`;
          throw this.#refusal('bad-frame', text);
        }
        if (!this.#wanted.has(chunk)) this.#news.push(chunk);
        this.#wanted.add(chunk);
      } else if (isWhole) {
        this.#wanted.delete(chunk);
        if (this.#replica.doubts?.has(chunk)) this.#covered.add(chunk);
      }
    }
    if (drifted.size > 0) this.#replica.noteDrift(drifted.size);
    if (this.#wanted.size > WANTED_MAX) {
      // Then the whole disk is to be looked at, and the list kept as bits (doubter.ts).
      const why = `${this.#wanted.size} chunks of one round had changed behind our back`;
      await this.#replica.doubtAll(why);
      throw this.#refusal('drift', why);
    }
    this.#verified = frame.number + 1;
  }

  #uncovered(): number {
    let missing = 0;
    for (const chunk of this.#replica.doubts?.from(0) ?? []) {
      if (!this.#covered.has(chunk)) missing += 1;
    }
    return missing;
  }

  #expect(number: number): void {
    if (number === this.frames) return;
    throw this.#refusal('bad-frame', `frame ${number} came, ${this.frames} is next`);
  }

  #refusal(reason: RefusalReason, text: string) {
    return refusal(this.#replica.parts.resourceFile.state, reason, text);
  }
}

/** H29: what cannot be kept is refused with numbers before anything is sent. Staged leftovers go
 * first where they are what takes the space: what they save is bytes, not the round. Any other
 * error would be the same without them, and is passed on as it is. */
async function openStage(
  replica: Receiving,
  begin: Begin,
  from: PointRef,
  watermark: Watermark,
): Promise<Stage> {
  const { files, resourceFile } = replica.parts;
  const create = () => Stage.create(files, replica.directory, { ...begin, from }, watermark);
  try {
    return await create();
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    await replica.makeRoom();
  }
  try {
    return await create();
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    const text =
      `the round may need ${humanBytes(begin.spaceBytes)} in ${replica.directory} ` +
      `for what is sent and its undo: ${describeError(error)}`;
    throw refusal(resourceFile.state, 'no-space', text);
  }
}

const isNoSpace = (error: unknown): boolean =>
  error instanceof FilesError &&
  error.fault.code === 'FILE_FAILED' &&
  ['ENOSPC', 'EDQUOT'].includes(error.fault.errno);

export const no = (reason: RefusalReason, text: string): CommitAnswer => ({
  outcome: 'refused',
  reason,
  text,
});
