// An old point of a replica: its disk overlaid with the undos that lead back to the point
// (DESIGN.md §6). Of each block the oldest undo that has it counts, else the disk; the digest is
// that of the oldest undo that has the chunk, else the table's. Guarantee (Q1): a chunk is handed
// out only when it has that digest; anything else is an error that says so, POINT_CHUNK_LOST where
// the content was gone before it was kept (H27).
//
// Beside an apply (H32): its undo is whole, and known here, before its first block is written. So
// what was read of disk and table is of the newest undo known before, if no further one is known
// afterwards; else the chunk is read again, and now comes from that undo. Nobody waits for anybody.
// A chunk whose digest is that of zeroes is zeroes, and is not read.
import { digestOf, equalBytes } from '../base/digest.js';
import { deferred } from '../base/sync.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength, chunkMask } from '../base/units.js';
import { isKnownDigest, zeroDigest } from '../format/digest-table.js';
import type { PointEntry } from '../format/resource-state.js';
import { HistoryError } from './history-faults.js';
import type { UndoIndex } from './undo-index.js';

/** An undo that stands; `lost` as in the state, the first of `lostChunks`. */
export interface UndoLink {
  readonly name: string;
  readonly lost: readonly ChunkIndex[];
  readonly lostChunks: number;
}

/** What a reader was given. `undos` grows at its end. */
export interface Reading {
  readonly resource: string;
  readonly entry: PointEntry;
  /** Those that lead back to the point, oldest first. */
  readonly undos: readonly UndoLink[];
  indexOf(undo: UndoLink): Promise<UndoIndex>;
  /** Runs the reading of a chunk when it is its turn among all readers. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  readDisk(offset: number, into: Uint8Array): Promise<void>;
  /** A copy; null: unknown. */
  tableDigest(chunk: ChunkIndex): Uint8Array | null;
  /** Once, when nothing of the reader uses any of this any more. */
  leave(): Promise<void>;
}

/** A chunk as of the point, before it is verified. `from`: the undos that it comes from. */
interface Found {
  readonly digest: Uint8Array | null;
  /** Null: zeroes, by the digest. */
  readonly bytes: Uint8Array | null;
  readonly from: readonly UndoLink[];
}

export class ReplicaPoint {
  readonly #reading: Reading;
  #running = 0;
  #idle = deferred<void>();
  #closing: Promise<void> | null = null;
  readonly #ended = deferred<void>();

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  get entry(): PointEntry {
    return this.#reading.entry;
  }

  get sizeBytes(): number {
    return this.entry.sizeBytes;
  }

  /** Resolves when it is closed, by whomever. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** The undos known by now, oldest first. */
  get undos(): readonly UndoLink[] {
    return this.#reading.undos;
  }

  /** The content of a chunk in memory of its own; null: zeroes. Errors POINT_CHUNK_LOST,
   * POINT_CHUNK_BAD, POINT_CLOSED, FORMAT_BAD of an undo, those of disk and files. */
  chunk(chunk: ChunkIndex): Promise<Uint8Array | null> {
    return this.#use(async () => {
      const find = () => this.#settled(() => this.#find(chunk));
      const found = await this.#reading.inTurn(find);
      const { bytes, digest } = found;
      if (digest !== null && (bytes === null || equalBytes(digestOf(bytes), digest))) return bytes;
      throw this.#bad(chunk, found);
    });
  }

  /** The digest that the chunk must have. Errors as `chunk`. */
  digest(chunk: ChunkIndex): Promise<Uint8Array> {
    return this.#use(async () => {
      const found = await this.#settled(async () => ({
        digest: await this.#digest(chunk, 0),
        bytes: null,
        from: this.undos.slice(),
      }));
      if (found.digest !== null) return found.digest;
      throw this.#bad(chunk, found);
    });
  }

  /** As `digest`, as of the newer point from which `undos` on lead here; null: unknown. */
  laterDigest(chunk: ChunkIndex, undos: number): Promise<Uint8Array | null> {
    return this.#use(() => this.#settled(() => this.#digest(chunk, undos)));
  }

  /** Looks into the undos themselves, in the reader's keep. */
  use<T>(work: (reading: Reading) => Promise<T>): Promise<T> {
    return this.#use(() => work(this.#reading));
  }

  /** Nothing more is read; waits for what is. Can be called twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#running > 0) await this.#idle.promise;
    await this.#reading.leave();
    this.#ended.resolve();
  }

  async #use<T>(work: () => Promise<T>): Promise<T> {
    this.#mustBeOpen();
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      if (this.#running === 0 && this.#closing !== null) this.#idle.resolve();
    }
  }

  #mustBeOpen(): void {
    if (this.#closing === null) return;
    const { resource, entry } = this.#reading;
    const { number } = entry.point;
    throw new HistoryError({ code: 'POINT_CLOSED', resource, number });
  }

  /** What `look` finds while no apply has begun to write. */
  async #settled<T>(look: () => Promise<T>): Promise<T> {
    for (;;) {
      const known = this.undos.length;
      try {
        const found = await look();
        if (this.undos.length === known) return found;
      } catch (error) {
        if (this.undos.length === known) throw error;
      }
      this.#mustBeOpen();
    }
  }

  async #find(chunk: ChunkIndex): Promise<Found> {
    const { undos, tableDigest, indexOf, readDisk } = this.#reading;
    const length = chunkLength(chunk, this.sizeBytes);
    const pieces: (() => Promise<void>)[] = [];
    const bytes = new Uint8Array(length);
    const from: UndoLink[] = [];
    let missing = chunkMask(chunk, this.sizeBytes);
    let digest: Uint8Array | null = null;
    // One that comes to stand meanwhile is for the next look.
    for (const undo of undos.slice()) {
      const index = await indexOf(undo);
      const entries = await index.find(chunk);
      if (entries.length > 0) from.push(undo);
      for (const entry of entries) {
        digest ??= entry.digest;
        const mask = entry.mask & missing;
        if (mask !== 0) pieces.push(() => index.lay(entry, mask, bytes));
        missing &= ~mask;
      }
      if (missing === 0) break;
    }
    digest ??= tableDigest(chunk);
    if (digest === null || !isKnownDigest(digest)) return { digest: null, bytes: null, from };
    if (equalBytes(digest, zeroDigest(length))) return { digest, bytes: null, from };
    if (missing !== 0) await readDisk(chunk * CHUNK_BYTES, bytes);
    for (const lay of pieces) await lay();
    return { digest, bytes, from };
  }

  async #digest(chunk: ChunkIndex, skipped: number): Promise<Uint8Array | null> {
    const { undos, tableDigest, indexOf } = this.#reading;
    for (const undo of undos.slice(skipped)) {
      const [entry] = await (await indexOf(undo)).find(chunk);
      if (entry !== undefined) return isKnownDigest(entry.digest) ? entry.digest : null;
    }
    return tableDigest(chunk);
  }

  #bad(chunk: ChunkIndex, { digest, from }: Found) {
    const { resource, entry } = this.#reading;
    const { number } = entry.point;
    const facts = { resource, number, chunk, offset: chunk * CHUNK_BYTES };
    const isLost = from.some(
      ({ lost, lostChunks }) => lost.includes(chunk) || lostChunks > lost.length,
    );
    if (isLost) return new HistoryError({ code: 'POINT_CHUNK_LOST', ...facts });
    const why =
      digest === null
        ? 'their digest is not known, so that nobody can say whether they are right'
        : 'they do not have the digest of the point (the disk or a kept file has changed)';
    return new HistoryError({ code: 'POINT_CHUNK_BAD', ...facts, why });
  }
}
