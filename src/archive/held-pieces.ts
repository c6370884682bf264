// What the journal has of rounds that did not commit, and of a first copy that was interrupted:
// looked up by chunk, in ascending order as a round asks for it (H31). Memory: one piece of the
// journal for each run; asking for an earlier chunk begins anew.
import type { ChunkIndex } from '../base/units.js';
import { DIGEST_BYTES, MASK_ALL } from '../base/units.js';
import type { Piece } from '../format/archive-leaf.js';
import type { FrameEntry } from '../format/changeset.js';
import type { Journal } from './journal.js';
import { newestRuns } from './runs.js';

export interface HeldPiece {
  readonly chunk: ChunkIndex;
  readonly digest: Uint8Array;
  readonly piece: Piece;
}

export class HeldPieces {
  readonly #journal: Journal;
  readonly #usable: boolean;
  /** Runs as of now: what a round adds is its own. */
  readonly #runs: number;
  #source: AsyncGenerator<HeldPiece> | null = null;
  #head: HeldPiece | null = null;
  #next = 0;
  /** Of the last window that was asked for. */
  #window = new Map<ChunkIndex, HeldPiece>();

  /** `usable`: its pieces go on from where the archive stands. */
  constructor(journal: Journal, usable: boolean) {
    this.#journal = journal;
    this.#usable = usable;
    this.#runs = journal.runs;
  }

  /** What is held of chunks first..first+count-1. */
  async entries(first: ChunkIndex, count: number): Promise<FrameEntry[]> {
    const found = await this.#look(first, count);
    return found.map(({ chunk, digest, piece }) => {
      const { mask, zero } = piece;
      return { chunk, mask, zero, digest };
    });
  }

  /** Of a chunk that `entries` has named lately. */
  async piece(chunk: ChunkIndex): Promise<HeldPiece | null> {
    return this.#window.get(chunk) ?? null;
  }

  /** Digests of chunks that are held whole; the others stay as they are. */
  async digestsInto(digests: Uint8Array, first: ChunkIndex, count: number): Promise<void> {
    for (const { chunk, digest, piece } of await this.#look(first, count)) {
      if (piece.mask === MASK_ALL) digests.set(digest, (chunk - first) * DIGEST_BYTES);
    }
  }

  async #look(first: ChunkIndex, count: number): Promise<readonly HeldPiece[]> {
    if (!this.#usable || this.#runs === 0) return [];
    if (this.#source === null || first < this.#next) {
      this.#source = newestRuns(this.#journal, this.#runs);
      this.#head = await this.#pull();
    }
    const found: HeldPiece[] = [];
    for (let head = this.#head; head !== null && head.chunk < first + count; ) {
      if (head.chunk >= first) found.push(head);
      head = await this.#pull();
      this.#head = head;
    }
    this.#next = first + count;
    for (const [chunk] of this.#window) if (chunk < first - count) this.#window.delete(chunk);
    for (const piece of found) this.#window.set(piece.chunk, piece);
    return found;
  }

  async #pull(): Promise<HeldPiece | null> {
    const next = await this.#source?.next();
    return next === undefined || next.done === true ? null : next.value;
  }
}
