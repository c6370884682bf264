// An archive as a target: rounds become packs, an index, and a point (hast-archive(5)). The other
// side is a store and does nothing, so that all that a receiver does is done here: what is held of
// rounds that did not commit (journal), the digests of the newest point, who may go on from it.
//
// Order of a commit, each a crash point: packs durable, index included | epoch made, if it is new |
// point made: the commit (H35) | head written | journal emptied. Whatever fails before the point
// leaves packs that the journal knows; what fails after it changes nothing.
// Where there are points already, the epoch is made when its first round begins (archive-epoch.ts).
// Chunks are released when their frame is in a pack, durable or not: a put that fails fails the
// round, whose bits are then merged (D1).
// Chunks that are wholly zero and never were anything else have no entry: absent is zeroes.
// The file is longer than 300 lines because all that a target is asked stands here.
import type { Archive } from '../archive/archive.js';
import { HeldPieces } from '../archive/held-pieces.js';
import type { LookResult } from '../archive/look-pass.js';
import type { Looks } from '../archive/looks.js';
import { PACK_BYTES } from '../archive/pack-writer.js';
import type { Moves, RepackPlan } from '../archive/repack.js';
import { writeIndex } from '../archive/round-index.js';
import { newestRuns } from '../archive/runs.js';
import { settleJournal } from '../archive/settle.js';
import { assert, present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import { deferred, Mutex } from '../base/sync.js';
import { CHUNK_BYTES, type ChunkIndex, ID_BYTES } from '../base/units.js';
import type { ArchivePoint, TreeRef } from '../format/archive-objects.js';
import type { FrameEntry } from '../format/changeset.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import { claimEpoch, nextPlace } from './archive-epoch.js';
import { ArchiveLooking } from './archive-looking.js';
import type { ArchiveTargetParts } from './archive-parts.js';
import { ArchivePruning } from './archive-pruning.js';
import { ArchiveRepacking } from './archive-repacking.js';
import { ArchiveRound, orLost, packsOf, refused } from './archive-round.js';
import { Standing } from './archive-standing.js';
import {
  type Begin,
  type Commit,
  type CommitAnswer,
  type DigestsAnswer,
  type DoubtsAnswer,
  type LookOrder,
  type Outcome,
  type Pruned,
  type RefusalReason,
  type RepackOrder,
  type ReuseItem,
  type Target,
  TargetError,
  type TargetState,
  type WireCounts,
} from './target.js';

/** Of blocks: what a read of one block fetches at most (H34); a chunk where packs are small. */
const FRAME_BYTES = 256 * 1024;
const frameBytesOf = (packBytes = PACK_BYTES): number =>
  packBytes < 4 * FRAME_BYTES ? CHUNK_BYTES : FRAME_BYTES;
const OVERTAKEN_TEXT = 'another node has written this archive meanwhile';
const OVERTAKEN = { outcome: 'refused', reason: 'wrong-from', text: OVERTAKEN_TEXT } as const;
const closedHere = (target: string) =>
  new TargetError({ code: 'TARGET_LOST', target, text: 'it was closed here' });

export class ArchiveTarget implements Target {
  readonly name: string;
  readonly #parts: ArchiveTargetParts;
  readonly #facts: Omit<TargetState, 'suspect'>;
  readonly #one = new Mutex();
  #archive: Archive | null;
  /** Null: it has no point. */
  #standing: Standing | null;
  #held: HeldPieces;
  #running: ArchiveRound | null = null;
  readonly #pruning: ArchivePruning;
  readonly #looking: ArchiveLooking;
  readonly #repacking: ArchiveRepacking;
  /** Rounds that wait to begin. */
  #begins = 0;
  readonly #closed = deferred<unknown>();
  #isClosed = false;
  /** Id of the first copy under way. */
  #fill: Uint8Array | null = null;

  constructor(parts: ArchiveTargetParts) {
    const { archive, last, journal } = parts;
    this.name = parts.name;
    this.#parts = parts;
    this.#archive = archive;
    this.#standing = archive && last && new Standing(archive, last);
    this.#pruning = new ArchivePruning(parts);
    this.#looking = new ArchiveLooking(parts.name, parts.log);
    this.#repacking = new ArchiveRepacking(parts);
    this.#held = new HeldPieces(journal, sameId(journal.from, last?.to.id ?? null));
    this.#facts = {
      resource: archive?.identity.resource ?? null,
      sizeBytes: last?.sizeBytes ?? 0,
      role: 'secondary',
      epochs: archive?.epochs.map(({ epoch }) => epoch) ?? [],
      point: last?.to ?? null,
      lost: null,
      node: parts.place,
      keepsPoints: true,
      frameBytes: frameBytesOf(parts.packBytes),
    };
  }

  /** As at contact; suspect are chunks that were found damaged since. */
  get state(): TargetState {
    const suspect = (this.#standing?.damaged.length ?? 0) > 0;
    const moves = this.#repacking.leaving.size > 0;
    if (this.#last === null) return { ...this.#facts, suspect, moves };
    const { kept, storedBytes: lastStoredBytes } = this.#last;
    const holds = { points: kept.length + 1, lastStoredBytes };
    return { ...this.#facts, suspect, moves, holds };
  }

  get #last(): ArchivePoint | null {
    return this.#standing?.point ?? null;
  }

  digests(
    first: ChunkIndex,
    count: number,
    from: 'table' | 'disk' = 'table',
  ): Promise<DigestsAnswer> {
    return this.#orLost(this.#digests(first, count, from));
  }

  async #digests(first: ChunkIndex, count: number, from: 'table' | 'disk'): Promise<DigestsAnswer> {
    const standing = this.#standing;
    if (standing === null) {
      const sizeBytes = this.#running?.begin.sizeBytes ?? null;
      return { at: null, first, digests: await this.#held.digests(first, count, sizeBytes) };
    }
    const reading =
      from === 'disk' ? standing.digestsOfContent(first, count) : standing.digests(first, count);
    return { at: standing.point.to, first, digests: await reading };
  }

  /** A round whose point was followed by others is not told from one that never was. */
  async outcome(round: Uint8Array): Promise<Outcome> {
    const ids = [this.#last?.to.id, this.#last?.from?.id];
    if (ids.some((id) => sameId(id, round))) return 'committed';
    return this.#parts.moved ? 'forgotten' : 'none';
  }

  begin(begin: Begin): Promise<void> {
    this.#begins += 1;
    return this.#turn(async () => {
      this.#begins -= 1;
      const pass = await this.#endBefore(begin);
      this.#archive ??= await this.#orLost(this.#parts.make(begin.resource));
      const archive = this.#archive;
      const { journal } = this.#parts;
      await journal.bind(archive.identity.id);
      if (!sameId(archive.identity.resource, begin.resource)) {
        throw this.#no('wrong-from', `${archive.store.url} is of another resource`);
      }
      if (!sameId(begin.from?.id, this.#last?.to.id)) {
        const stands = this.#last === null ? 'no point' : `point ${this.#last.to.number}`;
        throw this.#no('wrong-from', `it stands at ${stands}`);
      }
      if (begin.resumeAt > 0) throw this.#no('gone', 'a store keeps no round of a session');
      if (!sameId(journal.from, begin.from?.id)) {
        await this.#orLost(settleJournal(journal, archive, this.#last));
      }
      if (begin.from !== null && !(await this.#claim(archive, begin))) {
        throw this.#no('wrong-from', OVERTAKEN_TEXT);
      }
      if (journal.isLong) await journal.compact(newestRuns(journal, journal.runs));
      this.#held = new HeldPieces(journal, true);
      const firstRun = this.#firstRunOf(begin);
      const packs = packsOf(archive, this.#last, this.#parts);
      this.#running = new ArchiveRound(this.name, begin, packs, journal, firstRun);
      if (pass !== null) this.#running.follow(pass);
    });
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    return this.#turn(() => this.#current().put(number, frame));
  }

  async held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    return this.#held.entries(first, count);
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#turn(() => this.#current().reuse(number, items, this.#held));
  }

  async doubts(first: ChunkIndex): Promise<DoubtsAnswer> {
    const damaged = this.#standing?.damaged ?? [];
    return { chunks: damaged.filter((chunk) => chunk >= first), complete: true };
  }

  takeWanted = (): readonly ChunkIndex[] => [];

  async chunk(chunk: ChunkIndex, at: PointRef): Promise<Uint8Array | null> {
    const standing = this.#standing;
    if (standing === null || !sameId(standing.point.to.id, at.id)) return null;
    return this.#orLost(standing.chunk(chunk));
  }

  async staged(atLeast: number): Promise<number> {
    return this.#current().staged(atLeast);
  }

  commit(commit: Commit): Promise<CommitAnswer> {
    return this.#turn(async () => {
      const running = this.#current();
      const { begin } = running;
      assert(sameId(begin.round, commit.round), 'what is committed has been begun');
      const { frames, indexDigest } = running.totals();
      if (frames !== commit.frames || !equalBytes(indexDigest, commit.indexDigest)) {
        const text = `${frames} frames came, ${commit.frames} were sent`;
        return { outcome: 'refused', reason: 'bad-frame', text };
      }
      const archive = present(this.#archive, 'a round has begun');
      const trees = await this.#orLost(this.#index(archive, running));
      if (!(await this.#claim(archive, begin))) return OVERTAKEN;
      const place = nextPlace(archive, this.#last);
      const next = { place, number: commit.to.number, timeMs: commit.to.timeMs };
      const named = await this.#orLost(this.#parts.keep.beside(archive, this.#last, next));
      const point = running.pointOf(commit, trees, place, named);
      const made = await this.#orLost(archive.putPoint(point, this.#parts.random.bytes(ID_BYTES)));
      // Of an attempt before this one, of the same round, the packs may be others.
      const stands = made === 'stored' ? point : await this.#orLost(archive.point(point.place));
      if (stands === null || !sameId(stands.to.id, point.to.id)) return OVERTAKEN;
      await this.#committed(archive, stands);
      return { outcome: 'committed' };
    });
  }

  async applied({ id }: PointRef): Promise<void> {
    if (!sameId(this.#last?.to.id, id)) throw this.#no('apply-failed', 'it is not at that point');
  }

  async abandon(): Promise<void> {
    this.#repacking.done();
    await this.#one.run(() => this.#end());
  }

  wireBytes(): WireCounts {
    const { upBytes, downBytes, ...requests } = this.#parts.store.counts;
    return { up: upBytes, down: downBytes, requests };
  }

  /** Resolves with why, once it is closed, by whomever: it can be used no more. */
  get closed(): Promise<unknown> {
    return this.#closed.promise;
  }

  async close(): Promise<void> {
    this.#pruning.stop();
    const looked = this.#looking.stop();
    this.#closed.resolve(closedHere(this.name));
    // First: whoever closes waits for no answer. Any request may be missing (see above).
    await this.#parts.store.close();
    await this.#end();
    await looked;
    // Behind whatever has its turn: the journal's next owner may come as soon as this resolves.
    await this.#one.run(async () => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      await this.#parts.journal.close();
    });
  }

  /** The passes of a first copy, and what an interrupted one has left, are one with its round. What
   * was sent of it on an earlier session is known to be durable only by the digests that a new copy
   * asks for. */
  #firstRunOf({ fill, round }: Begin): number {
    const { journal } = this.#parts;
    const next = journal.newRun();
    if (fill === null) return next;
    if (this.#fill !== null && sameId(this.#fill, fill)) return 0;
    if (!sameId(fill, round)) throw this.#no('gone', 'what belongs to its first copy is not here');
    this.#fill = fill;
    return 0;
  }

  /** Ends what runs. Of a first copy that goes on all that was put has to be durable; returns its
   * last pass. */
  async #endBefore({ fill }: Begin): Promise<ArchiveRound | null> {
    const running = this.#running;
    const goesOn = fill !== null && sameId(this.#fill, fill);
    if (goesOn && running !== null) {
      try {
        await running.packs.flush();
      } catch (error) {
        this.#fill = null;
        await this.#end();
        throw this.#no(
          'gone',
          `a pack of its first copy could not be put: ${describeError(error)}`,
        );
      }
    }
    await this.#end();
    if (!goesOn) this.#fill = null;
    return goesOn ? running : null;
  }

  #index(archive: Archive, { packs, firstRun }: ArchiveRound): Promise<readonly TreeRef[]> {
    const { journal, pack } = this.#parts;
    const older = this.#last?.trees ?? [];
    const { leaving } = this.#repacking;
    return writeIndex({ archive, packs, journal, firstRun, pack, older, leaving });
  }

  #claim(archive: Archive, begin: Begin): Promise<boolean> {
    return this.#orLost(claimEpoch(archive, this.#last, begin, this.#parts.random));
  }

  /** The point is made: nothing that fails from here on changes that. */
  async #committed(archive: Archive, point: ArchivePoint): Promise<void> {
    const { log, journal } = this.#parts;
    await this.#end('committed');
    this.#fill = null;
    this.#repacking.done();
    this.#standing = new Standing(archive, point);
    try {
      await archive.putHead(point.place);
    } catch (error) {
      log.warn('the head of the archive could not be written; the next round does', { error });
    }
    try {
      await settleJournal(journal, archive, point);
    } catch (error) {
      log.warn('the journal of the archive is settled with the next round', { error });
    }
    this.#held = new HeldPieces(journal, sameId(journal.from, point.to.id));
    this.#parts.keep.committed(point);
    if (!this.#pruning.isDue(point)) return;
    const yields = (): boolean => this.#begins > 0;
    this.#withLast((...last) => this.#pruning.run(...last, false, yields)).catch((error: unknown) =>
      log.warn('the archive could not be pruned; later again', { error }),
    );
  }

  /** What goes, and what would go: `dryRun` removes nothing. Errors TARGET_LOST. */
  prune(dryRun: boolean): Promise<Pruned | null> {
    return this.#withLast(async (archive, last) => {
      const result = await this.#pruning.run(archive, last, dryRun, () => false);
      return { result, kept: await this.#parts.keep.explained(archive, last) };
    });
  }

  repack(order: RepackOrder): Promise<RepackPlan | null> {
    return this.#withLast((archive, last) => this.#repacking.plan(archive, last, order));
  }

  moves(first: ChunkIndex): Promise<Moves> {
    return this.#orLost(this.#repacking.moves(first));
  }

  /** Null: there is no point. */
  #withLast<T>(work: (archive: Archive, last: ArchivePoint) => Promise<T>): Promise<T | null> {
    return this.#turn(async () => {
      const [archive, last] = [this.#archive, this.#last];
      return archive === null || last === null ? null : this.#orLost(work(archive, last));
    });
  }

  look(looks: Looks, order: LookOrder): Promise<LookResult | null> {
    return this.#orLost(this.#looking.run(this.#archive, () => this.#standing, looks, order));
  }

  async #end(how: 'committed' | 'given up' = 'given up'): Promise<void> {
    const running = this.#running;
    this.#running = null;
    await running?.end(how);
  }

  #current(): ArchiveRound {
    if (this.#running !== null) return this.#running;
    throw this.#no('gone', 'no round has begun');
  }

  /** One after the other; whoever comes when it is closed finds the journal in other hands. */
  #turn<T>(work: () => Promise<T>): Promise<T> {
    return this.#one.run(() => (this.#isClosed ? Promise.reject(closedHere(this.name)) : work()));
  }

  readonly #orLost = <T>(work: Promise<T>): Promise<T> => orLost(this.name, work);

  #no(reason: RefusalReason, text: string) {
    return refused(this.name, reason, text);
  }
}
