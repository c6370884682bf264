// What the journal has of rounds that did not commit, and of a first copy that was interrupted:
// looked up by chunk, in ascending order as a round asks for it (H31). Memory: for each run of the
// journal two pieces of it; asking for an earlier chunk begins anew.
import { Mutex } from '../base/sync.js';
import type { ChunkIndex } from '../base/units.js';
import { DIGEST_BYTES, MASK_ALL } from '../base/units.js';
import type { Piece } from '../format/archive-leaf.js';
import type { FrameEntry } from '../format/changeset.js';
import { zeroDigests } from '../format/digest-table.js';
import type { Journal } from './journal.js';
import { newestRuns } from './runs.js';

export interface HeldPiece {
  readonly chunk: ChunkIndex;
  readonly digest: Uint8Array;
  readonly piece: Piece;
}

export class HeldPieces {
  readonly #asked: Cursor | null;
  readonly #taken: Cursor | null;

  /** `usable`: its pieces go on from where the archive stands. */
  constructor(journal: Journal, usable: boolean) {
    // Runs as of now: what a round adds is its own.
    const { runs } = journal;
    const any = usable && runs > 0;
    this.#asked = any ? new Cursor(journal, runs) : null;
    this.#taken = any ? new Cursor(journal, runs) : null;
  }

  /** What is held of chunks first..first+count-1. */
  async entries(first: ChunkIndex, count: number): Promise<FrameEntry[]> {
    const found = (await this.#asked?.range(first, count)) ?? [];
    return found.map(({ chunk, digest, piece }) => {
      const { mask, zero } = piece;
      return { chunk, mask, zero, digest };
    });
  }

  /** Of one chunk; null: nothing is held of it. */
  async piece(chunk: ChunkIndex): Promise<HeldPiece | null> {
    const [found] = (await this.#taken?.range(chunk, 1)) ?? [];
    return found ?? null;
  }

  /** Digests of chunks of an archive without a point: of those that are held whole, and of zeroes
   * where nothing is held, for an index says nothing of these; none of what is held in part. So a
   * first copy passes over holes. `sizeBytes` of the disk; null: not known, nothing is zeroes. */
  async digests(first: ChunkIndex, count: number, sizeBytes: number | null): Promise<Uint8Array> {
    const zeroes = zeroDigests(first, count, sizeBytes ?? 0);
    const held = (await this.#asked?.range(first, count)) ?? [];
    const digests = held.length === 0 ? zeroes : zeroes.slice();
    for (const { chunk, digest, piece } of held) {
      const at = (chunk - first) * DIGEST_BYTES;
      digests.fill(0, at, at + DIGEST_BYTES);
      if (piece.mask === MASK_ALL) digests.set(digest, at);
    }
    return digests;
  }
}

class Cursor {
  readonly #one = new Mutex();
  readonly #journal: Journal;
  readonly #runs: number;
  #source: AsyncGenerator<HeldPiece> | null = null;
  /** The first that was not handed out yet. */
  #head: HeldPiece | null = null;
  #next = 0;

  constructor(journal: Journal, runs: number) {
    this.#journal = journal;
    this.#runs = runs;
  }

  /** Who asks while another one is being answered waits. */
  range(first: ChunkIndex, count: number): Promise<readonly HeldPiece[]> {
    return this.#one.run(() => this.#range(first, count));
  }

  async #range(first: ChunkIndex, count: number): Promise<readonly HeldPiece[]> {
    if (this.#source === null || first < this.#next) {
      this.#source = newestRuns(this.#journal, this.#runs);
      await this.#pull();
    }
    const found: HeldPiece[] = [];
    for (; this.#head !== null && this.#head.chunk < first + count; await this.#pull()) {
      if (this.#head.chunk >= first) found.push(this.#head);
    }
    this.#next = first + count;
    return found;
  }

  async #pull(): Promise<void> {
    const next = await this.#source?.next();
    this.#head = next === undefined || next.done === true ? null : next.value;
  }
}
