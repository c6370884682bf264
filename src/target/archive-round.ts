// A round that goes to an archive: frames into packs, pieces into the journal, and what of it is
// handed over. 'staged' means that a frame is in a pack that will be durable before the point is
// made; a put that fails fails the round. Who waits for more is told when the round ends.
import type { Archive } from '../archive/archive.js';
import type { HeldPieces } from '../archive/held-pieces.js';
import type { Journal } from '../archive/journal.js';
import { PackWriter, type PutPack } from '../archive/pack-writer.js';
import { assert } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { HastError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { type Deferred, deferred } from '../base/sync.js';
import { BLOCK_BYTES, bitCount, ID_BYTES } from '../base/units.js';
import type { Piece } from '../format/archive-leaf.js';
import type { ArchivePoint, PointPlace, TreeRef } from '../format/archive-objects.js';
import type { FrameEntry } from '../format/changeset.js';
import { indexAccumulator } from '../format/changeset-index.js';
import { frameHead } from '../format/frame.js';
import { unpack } from '../format/pack.js';
import type { Named } from './archive-keep.js';
import {
  type Begin,
  type Commit,
  type RefusalReason,
  type ReuseItem,
  TargetError,
} from './target.js';

export class ArchiveRound {
  readonly begin: Begin;
  readonly packs: PackWriter;
  /** First run of its pieces in the journal. */
  readonly firstRun: number;
  readonly #target: string;
  readonly #journal: Journal;
  readonly #index = indexAccumulator();
  #changed: Deferred<void> = deferred();
  #ended: 'committed' | 'given up' | null = null;
  /** Raw, of what was sent and taken over; of a first copy with its passes before. */
  blockBytes = 0;
  /** Of the passes before. */
  #storedBytes = 0;

  constructor(target: string, begin: Begin, packs: PackWriter, journal: Journal, firstRun: number) {
    this.#target = target;
    this.begin = begin;
    this.packs = packs;
    this.#journal = journal;
    this.firstRun = firstRun;
  }

  /** It goes on with a first copy. */
  follow(pass: ArchiveRound): void {
    this.blockBytes = pass.blockBytes;
    this.#storedBytes = pass.storedBytes;
  }

  get storedBytes(): number {
    return this.packs.packs.reduce((sum, { bytes }) => sum + bytes, this.#storedBytes);
  }

  totals(): ReturnType<ReturnType<typeof indexAccumulator>['totals']> {
    return this.#index.totals();
  }

  async put(number: number, frame: Uint8Array): Promise<void> {
    const { sizeBytes } = this.begin;
    const { header, entries } = frameHead(frame, 'frame to send', unpack, sizeBytes);
    assert(header.number === number, 'a frame has its number');
    const isData = entries.some(({ mask, zero }) => mask !== zero);
    const adding = isData ? this.packs.add('frame', frame, sizeBytes) : Promise.resolve(null);
    const place = await orLost(this.#target, adding);
    for (const { chunk, mask, zero, digest } of entries) {
      const piece: Piece = { mask, zero, place: mask === zero ? null : place };
      this.blockBytes += bitCount(mask & ~zero) * BLOCK_BYTES;
      await this.#journal.piece({ kind: 'piece', lane: 0, chunk, digest, piece });
    }
    this.#index.add(header, entries);
    this.#wake();
  }

  /** Error TARGET_REFUSED, 'gone'. */
  async reuse(number: number, items: readonly ReuseItem[], held: HeldPieces): Promise<void> {
    const entries: FrameEntry[] = [];
    let bytes = 0;
    for (const { chunk, digest } of items) {
      const found = await held.piece(chunk);
      if (found === null || !equalBytes(found.digest, digest)) {
        throw refused(this.#target, 'gone', `chunk ${chunk} is not held any more`);
      }
      const { piece } = found;
      const { mask, zero } = piece;
      entries.push({ chunk, mask, zero, digest });
      bytes += bitCount(mask & ~zero) * BLOCK_BYTES;
      await this.#journal.piece({ kind: 'piece', lane: 1, chunk, digest, piece });
    }
    this.#index.addEntries(number, entries, bytes);
    this.blockBytes += bytes;
    this.#wake();
  }

  /** Error TARGET_LOST when it ends before. */
  async staged(atLeast: number): Promise<number> {
    // Of a round that is committed nobody hears more, as across a session.
    while (this.#index.frames < atLeast && this.#ended !== 'given up') await this.#changed.promise;
    if (this.#index.frames >= atLeast) return this.#index.frames;
    const text = 'the round has ended';
    throw new TargetError({ code: 'TARGET_LOST', target: this.#target, text });
  }

  /** The point that it makes at `place`. */
  pointOf(
    { to, from, consistency, damaged }: Commit,
    trees: readonly TreeRef[],
    place: PointPlace,
    named: Named,
  ): ArchivePoint {
    const { packs, begin, blockBytes, storedBytes } = this;
    return {
      to,
      from,
      place,
      sizeBytes: begin.sizeBytes,
      consistency,
      damagedChunks: damaged.length,
      storedBytes,
      blockBytes,
      nextPack: packs.nextPack,
      trees,
      ...named,
    };
  }

  /** It is over; what is on its way has arrived or failed. */
  async end(how: 'committed' | 'given up'): Promise<void> {
    this.#ended = how;
    if (how === 'given up') this.#wake();
    await this.packs.settle();
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }
}

export interface PacksParts {
  readonly journal: Journal;
  readonly storageClass: string | null;
  readonly random: Random;
  readonly packBytes?: number;
}

/** Packs of a round that goes on from `last`: their numbers were never used. */
export function packsOf(
  archive: Archive,
  last: ArchivePoint | null,
  { journal, storageClass, packBytes, random }: PacksParts,
): PackWriter {
  const salt = random.bytes(ID_BYTES);
  return new PackWriter({
    store: archive.store,
    salt,
    key: archive.keyOf(salt),
    firstPack: Math.max(last?.nextPack ?? 0, journal.nextPack),
    storageClass,
    ...(packBytes === undefined ? {} : { packBytes }),
    journal: (pack: PutPack) => journal.pack(pack),
    put: (pack) => journal.put(pack.number),
  });
}

/** What the store does not do leaves the outcome open (H23). */
export async function orLost<T>(target: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof HastError) || cause instanceof TargetError) throw cause;
    const { message: text } = cause;
    throw new TargetError({ code: 'TARGET_LOST', target, text }, { cause });
  }
}

export const refused = (target: string, reason: RefusalReason, text: string) =>
  new TargetError({ code: 'TARGET_REFUSED', target, reason, text });
