// An archive as a target: rounds become packs, an index, and a point (hast-archive(5)). The other
// side is a store and does nothing, so that all that a receiver does is done here: what is held of
// rounds that did not commit (journal), the digests of the newest point, who may go on from it.
//
// Order of a commit, each a crash point: packs durable, index included | epoch made, if it is new |
// point made: the commit (H35) | head written | journal emptied. Whatever fails before the point
// leaves packs that the journal knows; what fails after it changes nothing.
// Chunks are released when their frame is in a pack, durable or not: a put that fails fails the
// round, whose bits are then merged (D1).
// Chunks that are wholly zero and never were anything else have no entry: absent is zeroes.
// The file is longer than 300 lines because all that a target is asked stands here.
import type { Archive } from '../archive/archive.js';
import { ChunkReader } from '../archive/chunk-reader.js';
import { HeldPieces } from '../archive/held-pieces.js';
import type { Journal } from '../archive/journal.js';
import { PackWriter, type PutPack } from '../archive/pack-writer.js';
import { type PruneResult, prune } from '../archive/prune.js';
import { writeIndex } from '../archive/round-index.js';
import { newestRuns } from '../archive/runs.js';
import { settleJournal } from '../archive/settle.js';
import { PointTrees } from '../archive/tree.js';
import { assert, present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import { Mutex } from '../base/sync.js';
import { type ChunkIndex, chunkLength, DIGEST_BYTES, ID_BYTES } from '../base/units.js';
import type { ArchivePoint, PointPlace, TreeRef } from '../format/archive-objects.js';
import type { FrameEntry } from '../format/changeset.js';
import { zeroDigest } from '../format/digest-table.js';
import type { Pack } from '../format/pack.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import { minimumDaysOf } from '../store/storage-class.js';
import type { ObjectStore } from '../store/store.js';
import type { ArchiveKeep, Named } from './archive-keep.js';
import { ArchiveRound, orLost, refused } from './archive-round.js';
import type {
  Begin,
  Commit,
  CommitAnswer,
  DigestsAnswer,
  DoubtsAnswer,
  Outcome,
  RefusalReason,
  ReuseItem,
  Target,
  TargetState,
} from './target.js';

export interface ArchiveTargetParts {
  readonly name: string;
  /** Opens the archive of this resource, making it where there is none. */
  readonly make: (resource: Uint8Array) => Promise<Archive>;
  readonly archive: Archive | null;
  /** Its newest point, as was just found. */
  readonly last: ArchivePoint | null;
  readonly journal: Journal;
  /** Others have made points, or an answer was lost, since this node was here last. */
  readonly moved: boolean;
  /** Of nodes of the index. */
  readonly pack: Pack;
  readonly storageClass: string | null;
  readonly store: ObjectStore;
  readonly keep: ArchiveKeep;
  readonly nowMs: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly packBytes?: number;
}

/** Of blocks: what a read of one block fetches at most (H34). */
const FRAME_BYTES = 256 * 1024;
/** A prune runs with the first point of a session, and then when so many points are going, or a day
 * has passed. */
const GOING_MAX = 16;
const PRUNE_MS = 24 * 3_600_000;

export class ArchiveTarget implements Target {
  readonly name: string;
  readonly state: TargetState;
  readonly #parts: ArchiveTargetParts;
  readonly #one = new Mutex();
  #archive: Archive | null;
  #last: ArchivePoint | null;
  #trees: PointTrees | null;
  #chunks: ChunkReader | null;
  #held: HeldPieces;
  #running: ArchiveRound | null = null;
  #pruning: Promise<void> = Promise.resolve();
  #prunedMs = Number.NEGATIVE_INFINITY;
  #closed = false;
  #isClosed = false;
  /** Id of the first copy under way. */
  #fill: Uint8Array | null = null;

  constructor(parts: ArchiveTargetParts) {
    const { archive, last, journal } = parts;
    this.name = parts.name;
    this.#parts = parts;
    this.#archive = archive;
    this.#last = last;
    this.#trees = archive && last && treesOf(archive, last);
    this.#chunks = this.#readerOf(last);
    this.#held = new HeldPieces(journal, sameId(journal.from, last?.to.id ?? null));
    this.state = {
      resource: archive?.identity.resource ?? null,
      sizeBytes: last?.sizeBytes ?? 0,
      role: 'secondary',
      epochs: archive?.epochs.map(({ epoch }) => epoch) ?? [],
      point: last?.to ?? null,
      suspect: false,
      lost: null,
      node: parts.store.url,
      keepsPoints: true,
      late: last !== null && journal.attempted(last.to.id),
      frameBytes: FRAME_BYTES,
    };
  }

  async digests(first: ChunkIndex, count: number): Promise<DigestsAnswer> {
    const digests = new Uint8Array(count * DIGEST_BYTES);
    const last = this.#last;
    if (last === null) {
      await this.#held.digestsInto(digests, first, count);
      return { at: null, first, digests };
    }
    const reader = present(this.#chunks, 'a point can be read');
    for (let chunk = first; chunk < first + count; chunk += 1) {
      const length = chunkLength(chunk, last.sizeBytes);
      if (length <= 0) break; // behind its end: not known
      const entry = await reader.entry(chunk);
      const digest = entry?.digest ?? zeroDigest(length);
      digests.set(digest, (chunk - first) * DIGEST_BYTES);
    }
    return { at: last.to, first, digests };
  }

  /** A round whose point was followed by others is not told from one that never was. */
  async outcome(round: Uint8Array): Promise<Outcome> {
    const ids = [this.#last?.to.id, this.#last?.from?.id];
    if (ids.some((id) => sameId(id, round))) return 'committed';
    return this.#parts.moved ? 'forgotten' : 'none';
  }

  begin(begin: Begin): Promise<void> {
    return this.#one.run(async () => {
      await this.#endBefore(begin);
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
      if (journal.isLong) await journal.compact(newestRuns(journal, journal.runs));
      this.#held = new HeldPieces(journal, true);
      const firstRun = this.#firstRunOf(begin);
      const packs = this.#packsOf(archive);
      this.#running = new ArchiveRound(this.name, begin, packs, journal, firstRun);
    });
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    return this.#one.run(() => this.#current().put(number, frame));
  }

  async held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    return this.#held.entries(first, count);
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#one.run(() => this.#current().reuse(number, items, this.#held));
  }

  async doubts(): Promise<DoubtsAnswer> {
    return { chunks: [], complete: true };
  }

  takeWanted(): readonly ChunkIndex[] {
    return [];
  }

  async chunk(chunk: ChunkIndex, at: PointRef): Promise<Uint8Array | null> {
    const last = this.#last;
    if (last === null || !sameId(last.to.id, at.id)) return null;
    const length = chunkLength(chunk, last.sizeBytes);
    if (length <= 0) return null;
    const found = await this.#chunks?.chunk(chunk);
    return found ?? new Uint8Array(length);
  }

  async staged(atLeast: number): Promise<number> {
    return this.#current().staged(atLeast);
  }

  commit(commit: Commit): Promise<CommitAnswer> {
    return this.#one.run(async () => {
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
      const place = await this.#orLost(this.#placeOf(archive, begin));
      if (place === null) return this.#overtaken();
      const next = { place, number: commit.to.number, timeMs: commit.to.timeMs };
      const named = await this.#orLost(this.#parts.keep.beside(archive, this.#last, next));
      const point = this.#pointOf(commit, running, trees, place, named);
      await this.#parts.journal.attempt(commit.round);
      const made = await this.#orLost(archive.putPoint(point, this.#parts.random.bytes(ID_BYTES)));
      if (made === 'exists') {
        const stands = await this.#orLost(archive.point(point.place));
        if (!sameId(stands?.to.id, point.to.id)) return this.#overtaken();
      }
      await this.#committed(archive, point);
      return { outcome: 'committed' };
    });
  }

  async applied(point: PointRef): Promise<void> {
    if (sameId(this.#last?.to.id, point.id)) return;
    throw this.#no('apply-failed', 'it does not stand at that point');
  }

  async abandon(): Promise<void> {
    await this.#one.run(() => this.#end());
  }

  wireBytes(): { readonly up: number; readonly down: number } {
    const { upBytes, downBytes } = this.#parts.store.counts;
    return { up: upBytes, down: downBytes };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#end();
    // A prune ends at its next point.
    await this.#pruning;
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#parts.journal.close();
    await this.#parts.store.close();
  }

  #packsOf(archive: Archive): PackWriter {
    const { journal, storageClass, packBytes, random } = this.#parts;
    const salt = random.bytes(ID_BYTES);
    return new PackWriter({
      store: archive.store,
      salt,
      key: archive.keyOf(salt),
      firstPack: Math.max(this.#last?.nextPack ?? 0, journal.nextPack),
      storageClass,
      ...(packBytes === undefined ? {} : { packBytes }),
      journal: (pack: PutPack) => journal.pack(pack),
      put: (pack) => journal.put(pack.number),
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

  /** Ends what runs. Of a first copy that goes on all that was put has to be durable. */
  async #endBefore({ fill }: Begin): Promise<void> {
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
  }

  #index(archive: Archive, { packs, firstRun }: ArchiveRound): Promise<readonly TreeRef[]> {
    const { journal, pack } = this.#parts;
    const older = this.#last?.trees ?? [];
    return writeIndex({ archive, packs, journal, firstRun, pack, older });
  }

  /** Where the point will stand; null: another epoch has come. */
  async #placeOf(archive: Archive, { epoch, from }: Begin): Promise<PointPlace | null> {
    const last = this.#last;
    const { random } = this.#parts;
    await archive.mendEpochs(random.bytes(ID_BYTES));
    if (!sameId(archive.epochs.at(-1)?.epoch.id, epoch.id)) {
      const at = from === null ? null : (last?.place ?? null);
      const next = { epoch, place: archive.epochs.length + 1, from: at };
      if ((await archive.putEpoch(next, random.bytes(ID_BYTES))) === 'other') return null;
    }
    const number = archive.epochs.length;
    const isFirst = last === null || last.place.epoch !== number;
    return { epoch: number, sequence: isFirst ? 1 : last.place.sequence + 1 };
  }

  #pointOf(
    { to, from, consistency, damaged }: Commit,
    running: ArchiveRound,
    trees: readonly TreeRef[],
    place: PointPlace,
    named: Named,
  ): ArchivePoint {
    const { packs, begin, blockBytes } = running;
    return {
      to,
      from,
      place,
      sizeBytes: begin.sizeBytes,
      consistency,
      damagedChunks: damaged.length,
      storedBytes: packs.packs.reduce((sum, { bytes }) => sum + bytes, 0),
      blockBytes,
      nextPack: packs.nextPack,
      trees,
      ...named,
    };
  }

  /** The point is made: nothing that fails from here on changes that. */
  async #committed(archive: Archive, point: ArchivePoint): Promise<void> {
    const { log, journal } = this.#parts;
    await this.#end('committed');
    this.#fill = null;
    this.#last = point;
    this.#trees = treesOf(archive, point);
    this.#chunks = this.#readerOf(point);
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
    const { nowMs } = this.#parts;
    const isDue = point.going.length >= GOING_MAX || nowMs() - this.#prunedMs >= PRUNE_MS;
    if (isDue && point.going.length + journal.garbage.length > 0) this.#pruneSoon();
  }

  /** What goes, and what would go: `dryRun` removes nothing. Errors TARGET_LOST. */
  prune(dryRun: boolean): Promise<PruneResult | null> {
    return this.#one.run(() => this.#orLost(this.#prune(dryRun)));
  }

  async #prune(dryRun: boolean): Promise<PruneResult | null> {
    const [archive, last] = [this.#archive, this.#last];
    if (archive === null || last === null) return null;
    const { journal, keep, nowMs, storageClass } = this.#parts;
    const minimumDays = minimumDaysOf(storageClass);
    const stopped = (): boolean => this.#closed;
    const options = { nowMs: nowMs(), minimumDays, dryRun, stopped };
    const result = await prune(archive, journal, last, options);
    if (!dryRun) {
      keep.notePruned(result.removed, result.pinned);
      this.#prunedMs = nowMs();
    }
    return result;
  }

  #pruneSoon(): void {
    const { log } = this.#parts;
    this.#pruning = this.prune(false).then(
      (result) => log.info('the archive is pruned', { ...result, removed: result?.removed.length }),
      (error: unknown) => log.warn('the archive could not be pruned; later again', { error }),
    );
  }

  #overtaken(): CommitAnswer {
    const text = 'another node has written this archive meanwhile';
    return { outcome: 'refused', reason: 'wrong-from', text };
  }

  #readerOf(point: ArchivePoint | null): ChunkReader | null {
    const archive = this.#archive;
    if (point === null || archive === null || this.#trees === null) return null;
    return new ChunkReader(archive, this.#trees, point.sizeBytes);
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

  readonly #orLost = <T>(work: Promise<T>): Promise<T> => orLost(this.name, work);

  #no(reason: RefusalReason, text: string) {
    return refused(this.name, reason, text);
  }
}

const treesOf = (archive: Archive, point: ArchivePoint): PointTrees =>
  new PointTrees(archive, point.trees);
