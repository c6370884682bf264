// An archive as a target: rounds become packs, an index, and a point (hast-archive(5)). The other
// side is a store and does nothing, so that all that a receiver does is done here: what is held of
// rounds that did not commit (journal), the digests of the newest point, who may go on from it.
//
// Order of a commit, each a crash point: packs durable, index included | epoch made, if it is new |
// point made: the commit (H35) | head written | journal emptied. Whatever fails before the point
// leaves packs that the journal knows; what fails after it changes nothing.
// 'staged' means that a frame is in a pack that will be durable before the point is made: chunks
// are released early, and a put that fails fails the round, whose bits are then merged (D1).
// Chunks that are wholly zero and never were anything else have no entry: absent is zeroes.
import type { Archive } from '../archive/archive.js';
import { ChunkReader } from '../archive/chunk-reader.js';
import { HeldPieces } from '../archive/held-pieces.js';
import type { Journal } from '../archive/journal.js';
import { PackWriter, type PutPack } from '../archive/pack-writer.js';
import { writeIndex } from '../archive/round-index.js';
import { PointTrees } from '../archive/tree.js';
import { assert, present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import { Mutex } from '../base/sync.js';
import {
  BLOCK_BYTES,
  bitCount,
  type ChunkIndex,
  chunkLength,
  DIGEST_BYTES,
  ID_BYTES,
} from '../base/units.js';
import type { Piece } from '../format/archive-leaf.js';
import type { ArchivePoint, KeptPoint, PointPlace, TreeRef } from '../format/archive-objects.js';
import type { FrameEntry } from '../format/changeset.js';
import { indexAccumulator } from '../format/changeset-index.js';
import { zeroDigest } from '../format/digest-table.js';
import { frameHead } from '../format/frame.js';
import { type Pack, unpack } from '../format/pack.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { ObjectStore } from '../store/store.js';
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
} from './target.js';

export interface ArchiveTargetParts {
  readonly name: string;
  /** Opens the archive of this resource, making it where there is none. */
  readonly make: (resource: Uint8Array) => Promise<Archive>;
  readonly archive: Archive | null;
  /** Its newest point, as was just found. */
  readonly last: ArchivePoint | null;
  readonly journal: Journal;
  /** Of nodes of the index. */
  readonly pack: Pack;
  readonly storageClass: string | null;
  /** Which of the points there are stay when `next` has been made. */
  readonly keep: (all: readonly KeptPoint[], next: KeptPoint) => readonly KeptPoint[];
  readonly random: Random;
  readonly log: Log;
  /** Default PACK_BYTES. */
  readonly packBytes?: number;
}

/** A round, or the passes of a first copy and the round at their end. */
interface Running {
  readonly begin: Begin;
  readonly packs: PackWriter;
  readonly index: ReturnType<typeof indexAccumulator>;
  /** First run of its pieces in the journal. */
  readonly firstRun: number;
  blockBytes: number;
}

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
  #running: Running | null = null;
  /** Of the first copy under way: its id, and the first run of its pieces. */
  #fill: { readonly id: Uint8Array; readonly firstRun: number } | null = null;

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
      node: parts.archive?.store.url ?? parts.name,
      keepsPoints: true,
    };
  }

  /** Null: there is no archive yet. */
  get store(): ObjectStore | null {
    return this.#archive?.store ?? null;
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

  async outcome(round: Uint8Array): Promise<Outcome> {
    return sameId(this.#last?.to.id, round) ? 'committed' : 'none';
  }

  begin(begin: Begin): Promise<void> {
    return this.#one.run(async () => {
      await this.#running?.packs.settle();
      this.#running = null;
      this.#archive ??= await this.#parts.make(begin.resource);
      const archive = this.#archive;
      const { journal } = this.#parts;
      if (!sameId(archive.identity.resource, begin.resource)) {
        throw this.#no('wrong-from', `${archive.store.url} is of another resource`);
      }
      if (!sameId(begin.from?.id, this.#last?.to.id)) {
        const stands = this.#last === null ? 'no point' : `point ${this.#last.to.number}`;
        throw this.#no('wrong-from', `it stands at ${stands}`);
      }
      if (begin.resumeAt > 0) throw this.#no('gone', 'a store keeps no round of a session');
      if (!sameId(journal.from, begin.from?.id)) {
        await journal.dropped(begin.from?.id ?? null);
        this.#held = new HeldPieces(journal, true);
      }
      this.#running = {
        begin,
        packs: this.#packsOf(archive),
        index: indexAccumulator(),
        firstRun: this.#firstRunOf(begin),
        blockBytes: 0,
      };
    });
  }

  put(number: number, frame: Uint8Array): Promise<void> {
    return this.#one.run(async () => {
      const running = this.#current();
      const { sizeBytes } = running.begin;
      const { header, entries } = frameHead(frame, 'frame to send', unpack, sizeBytes);
      assert(header.number === number, 'a frame has its number');
      running.index.add(header, entries);
      const isData = entries.some(({ mask, zero }) => mask !== zero);
      const place = isData
        ? await this.#orLost(running.packs.add('frame', frame, sizeBytes))
        : null;
      for (const { chunk, mask, zero, digest } of entries) {
        const piece: Piece = { mask, zero, place: mask === zero ? null : place };
        running.blockBytes += bitCount(mask & ~zero) * BLOCK_BYTES;
        await this.#parts.journal.piece({ kind: 'piece', lane: 0, chunk, digest, piece });
      }
    });
  }

  async held(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    return this.#held.entries(first, count);
  }

  reuse(number: number, items: readonly ReuseItem[]): Promise<void> {
    return this.#one.run(async () => {
      const running = this.#current();
      const entries: FrameEntry[] = [];
      let bytes = 0;
      for (const { chunk, digest } of items) {
        const found = await this.#held.piece(chunk);
        if (found === null || !equalBytes(found.digest, digest)) {
          throw this.#no('gone', `chunk ${chunk} is not held any more`);
        }
        const { piece } = found;
        const { mask, zero } = piece;
        entries.push({ chunk, mask, zero, digest });
        bytes += bitCount(mask & ~zero) * BLOCK_BYTES;
        await this.#parts.journal.piece({ kind: 'piece', lane: 1, chunk, digest, piece });
      }
      running.index.addEntries(number, entries, bytes);
      running.blockBytes += bytes;
    });
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

  /** See above: handed over is as good as durable. */
  async staged(): Promise<number> {
    return this.#current().index.frames;
  }

  commit(commit: Commit): Promise<CommitAnswer> {
    return this.#one.run(async () => {
      const running = this.#current();
      const { begin, index, packs } = running;
      assert(sameId(begin.round, commit.round), 'what is committed has been begun');
      const { frames, indexDigest } = index.totals();
      if (frames !== commit.frames || !equalBytes(indexDigest, commit.indexDigest)) {
        const text = `${frames} frames came, ${commit.frames} were sent`;
        return { outcome: 'refused', reason: 'bad-frame', text };
      }
      const archive = present(this.#archive, 'a round has begun');
      const trees = await this.#orLost(this.#index(archive, running));
      const place = await this.#orLost(this.#placeOf(archive, begin));
      if (place === null) return this.#overtaken();
      const point = this.#pointOf(commit, running, trees, place);
      const made = await this.#orLost(archive.putPoint(point, this.#parts.random.bytes(ID_BYTES)));
      if (made === 'exists') {
        const stands = await this.#orLost(archive.point(point.place));
        if (!sameId(stands?.to.id, point.to.id)) return this.#overtaken();
      }
      await this.#committed(archive, point, packs);
      return { outcome: 'committed' };
    });
  }

  async applied(point: PointRef): Promise<void> {
    if (sameId(this.#last?.to.id, point.id)) return;
    throw this.#no('apply-failed', 'it does not stand at that point');
  }

  async abandon(): Promise<void> {
    await this.#running?.packs.settle();
    this.#running = null;
  }

  wireBytes(): { readonly up: number; readonly down: number } {
    const { upBytes = 0, downBytes = 0 } = this.#archive?.store.counts ?? {};
    return { up: upBytes, down: downBytes };
  }

  async close(): Promise<void> {
    await this.#running?.packs.settle();
    this.#running = null;
    await this.#parts.journal.close();
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

  /** The passes of a first copy, and what an interrupted one has left, are one with its round. */
  #firstRunOf({ fill, kind }: Begin): number {
    const { journal } = this.#parts;
    const next = journal.newRun();
    if (fill === null) return next;
    if (this.#fill !== null && sameId(this.#fill.id, fill)) return this.#fill.firstRun;
    if (kind === 'round') throw this.#no('gone', 'what belongs to its first copy is not here');
    this.#fill = { id: fill, firstRun: 0 };
    return 0;
  }

  #index(archive: Archive, { packs, firstRun }: Running): Promise<readonly TreeRef[]> {
    const { journal, pack } = this.#parts;
    const older = this.#last?.trees ?? [];
    return writeIndex({ archive, packs, journal, firstRun, pack, older });
  }

  /** Where the point will stand; null: another epoch has come. */
  async #placeOf(archive: Archive, { epoch, from }: Begin): Promise<PointPlace | null> {
    const last = this.#last;
    const { random } = this.#parts;
    if (!sameId(archive.epochs.at(-1)?.epoch.id, epoch.id)) {
      const place = from === null ? null : (last?.place ?? null);
      if ((await archive.putEpoch({ epoch, from: place }, random.bytes(ID_BYTES))) === 'other')
        return null;
    }
    const number = archive.epochs.length;
    const isFirst = last === null || last.place.epoch !== number;
    return { epoch: number, sequence: isFirst ? 1 : last.place.sequence + 1 };
  }

  #pointOf(
    { to, from, consistency, damaged }: Commit,
    running: Running,
    trees: readonly TreeRef[],
    place: PointPlace,
  ): ArchivePoint {
    const { packs, begin, blockBytes } = running;
    const next = { place, number: to.number, timeMs: to.timeMs };
    const last = this.#last;
    const own = last && { place: last.place, number: last.to.number, timeMs: last.to.timeMs };
    const all = own === null ? [] : [own, ...(last?.kept ?? [])];
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
      kept: this.#parts.keep(all, next),
    };
  }

  /** The point is made: nothing that fails from here on changes that. */
  async #committed(archive: Archive, point: ArchivePoint, packs: PackWriter): Promise<void> {
    const { log, journal } = this.#parts;
    this.#running = null;
    this.#fill = null;
    this.#last = point;
    this.#trees = treesOf(archive, point);
    this.#chunks = this.#readerOf(point);
    try {
      await archive.putHead(point.place);
    } catch (error) {
      log.warn('the head of the archive could not be written; the next round does', { error });
    }
    const needed = await neededOf(this.#trees, journal, packs);
    await journal.committed(point.to.id, needed);
    this.#held = new HeldPieces(journal, true);
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

  #current(): Running {
    if (this.#running !== null) return this.#running;
    throw this.#no('gone', 'no round has begun');
  }

  /** What the store does not do leaves the outcome open (H23). */
  async #orLost<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      if (!(cause instanceof HastError) || cause instanceof TargetError) throw cause;
      const { message: text } = cause;
      throw new TargetError({ code: 'TARGET_LOST', target: this.name, text }, { cause });
    }
  }

  #no(reason: RefusalReason, text: string) {
    return new TargetError({ code: 'TARGET_REFUSED', target: this.name, reason, text });
  }
}

const treesOf = (archive: Archive, point: ArchivePoint): PointTrees =>
  new PointTrees(archive, point.trees);

/** Packs of the journal that the new point needs. */
async function neededOf(
  trees: PointTrees,
  journal: Journal,
  packs: PackWriter,
): Promise<ReadonlySet<number>> {
  const needed = new Set(packs.packs.map(({ number }) => number));
  for (const number of journal.packNumbers) {
    if (needed.has(number)) continue;
    const name = await trees.nameOf(number).catch(() => null);
    if (name !== null) needed.add(number);
  }
  return needed;
}
