// Block map: one bit per 4 KiB block of a disk, in shared memory, used from several threads.
// Flat, so that untouched pages cost nothing; a summary bit per 4 KiB page of bits makes walking
// and clearing cost what is set; a page that is all ones may be held as a flag (H15).
// Guarantee: every access is Atomics; a reader sees a bit from the moment `mark` returns until it
// is cleared, also while a full page is written out. Marking is allowed from any thread; clearing
// and merging belong to one owner per map. 32 MiB of address space per TiB of disk.
import { assert } from '../base/assert.js';
import {
  BLOCKS_PER_CHUNK,
  type BlockIndex,
  bitCount,
  blockCount,
  type ChunkIndex,
  chunkCount,
  MASK_ALL,
} from '../base/units.js';

/** Blocks covered by one 4 KiB page of bits: 128 MiB of disk. */
export const BLOCKS_PER_PAGE = 32_768;
export const CHUNKS_PER_PAGE = BLOCKS_PER_PAGE / BLOCKS_PER_CHUNK;
const WORDS_PER_PAGE = BLOCKS_PER_PAGE / 32;

/** Chunks first..end-1. */
export interface ChunkRun {
  readonly first: ChunkIndex;
  readonly end: ChunkIndex;
}

/** The memory of a map; posted to other threads as it is. */
export interface MapMemory {
  readonly sizeBytes: number;
  readonly bits: SharedArrayBuffer;
  /** One bit a page: it may have bits. */
  readonly summary: SharedArrayBuffer;
  /** One bit a page: all of it is set, whatever the bits say. */
  readonly full: SharedArrayBuffer;
}

export function allocateMap(sizeBytes: number): MapMemory {
  const pages = Math.ceil(blockCount(sizeBytes) / BLOCKS_PER_PAGE);
  const flags = Math.ceil(pages / 32) * 4;
  return {
    sizeBytes,
    bits: new SharedArrayBuffer(pages * WORDS_PER_PAGE * 4),
    summary: new SharedArrayBuffer(flags),
    full: new SharedArrayBuffer(flags),
  };
}

/** Bits first..last (0..31) of a word. */
const span = (first: number, last: number): number =>
  ((0xffff_ffff >>> (31 - (last - first))) << first) | 0;

export class BlockMap {
  readonly memory: MapMemory;
  readonly #bits: Int32Array;
  readonly #summary: Int32Array;
  readonly #full: Int32Array;
  readonly #blocks: number;
  readonly #pages: number;

  constructor(memory: MapMemory) {
    this.memory = memory;
    this.#bits = new Int32Array(memory.bits);
    this.#summary = new Int32Array(memory.summary);
    this.#full = new Int32Array(memory.full);
    this.#blocks = blockCount(memory.sizeBytes);
    this.#pages = Math.ceil(this.#blocks / BLOCKS_PER_PAGE);
  }

  get pages(): number {
    return this.#pages;
  }

  /** Marks blocks first..last. Cheap when they are marked already. */
  mark(first: BlockIndex, last: BlockIndex): void {
    const firstWord = Math.floor(first / 32);
    const lastWord = Math.floor(last / 32);
    for (let word = firstWord; word <= lastWord; word += 1) {
      const low = word === firstWord ? first & 31 : 0;
      const high = word === lastWord ? last & 31 : 31;
      this.orWord(word, span(low, high));
    }
  }

  /** ORs `bits` into word `word` (blocks 32 word .. 32 word + 31), then its summary bit. */
  orWord(word: number, bits: number): void {
    const old = Atomics.load(this.#bits, word);
    if ((old & bits) !== bits) Atomics.or(this.#bits, word, bits);
    this.#flag(this.#summary, Math.floor(word / WORDS_PER_PAGE));
  }

  /** Marks every block that exists, by flags. */
  markAll(): void {
    for (let page = 0; page < this.#pages; page += 1) {
      this.#flag(this.#full, page);
      this.#flag(this.#summary, page);
    }
  }

  /** Mask of the marked blocks of a chunk; blocks beyond the disk are never reported. */
  chunkMask(chunk: ChunkIndex): number {
    const page = Math.floor(chunk / CHUNKS_PER_PAGE);
    if (!this.#flagged(this.#summary, page)) return 0;
    if (this.#flagged(this.#full, page)) return this.#existing(chunk);
    const word = Atomics.load(this.#bits, chunk >>> 1);
    return (word >>> ((chunk & 1) * 16)) & this.#existing(chunk);
  }

  /** True when any of blocks first..last is marked. */
  anyMarked(first: BlockIndex, last: BlockIndex): boolean {
    const firstWord = Math.floor(first / 32);
    const lastWord = Math.floor(last / 32);
    for (let word = firstWord; word <= lastWord; word += 1) {
      const page = Math.floor(word / WORDS_PER_PAGE);
      if (!this.#flagged(this.#summary, page)) {
        word = (page + 1) * WORDS_PER_PAGE - 1;
        continue;
      }
      if (this.#flagged(this.#full, page)) return true;
      const low = word === firstWord ? first & 31 : 0;
      const high = word === lastWord ? last & 31 : 31;
      if ((Atomics.load(this.#bits, word) & span(low, high)) !== 0) return true;
    }
    return false;
  }

  /** First chunk >= `from` with a marked block, or -1. */
  nextChunk(from: ChunkIndex): ChunkIndex {
    const chunks = chunkCount(this.memory.sizeBytes);
    for (let chunk = from; chunk < chunks; chunk += 1) {
      const page = Math.floor(chunk / CHUNKS_PER_PAGE);
      if (!this.#flagged(this.#summary, page)) {
        chunk = (page + 1) * CHUNKS_PER_PAGE - 1;
        continue;
      }
      if (this.chunkMask(chunk) !== 0) return chunk;
    }
    return -1;
  }

  /** Number of marked blocks and of chunks that have one; costs a look at each set page. */
  count(): { blocks: number; chunks: number } {
    let [blocks, chunks] = [0, 0];
    for (const page of this.setPages()) {
      const end = Math.min((page + 1) * BLOCKS_PER_PAGE, this.#blocks);
      const inPage = end - page * BLOCKS_PER_PAGE;
      if (this.#flagged(this.#full, page)) {
        blocks += inPage;
        chunks += Math.ceil(inPage / BLOCKS_PER_CHUNK);
        continue;
      }
      const words = Math.ceil(inPage / 32);
      for (let at = 0; at < words; at += 1) {
        let word = Atomics.load(this.#bits, page * WORDS_PER_PAGE + at);
        if (word === 0) continue;
        const left = inPage - at * 32;
        if (left < 32) word &= span(0, left - 1);
        blocks += bitCount(word) + bitCount(word >>> 16);
        chunks += ((word & MASK_ALL) !== 0 ? 1 : 0) + (word >>> 16 !== 0 ? 1 : 0);
      }
    }
    return { blocks, chunks };
  }

  /** Owner only: clears `mask` of a chunk. */
  clearChunk(chunk: ChunkIndex, mask = MASK_ALL): void {
    const page = Math.floor(chunk / CHUNKS_PER_PAGE);
    if (!this.#flagged(this.#summary, page)) return;
    this.#writeOut(page);
    Atomics.and(this.#bits, chunk >>> 1, ~(mask << ((chunk & 1) * 16)));
  }

  /** Owner only: clears everything; costs what is set. */
  clearAll(): void {
    for (const page of this.setPages()) this.clearPage(page);
  }

  /** Owner only: bits, then flags, so that a mark made meanwhile by a late reader is not hidden. */
  clearPage(page: number): void {
    const flag = ~(1 << (page & 31));
    Atomics.and(this.#full, page >>> 5, flag);
    const end = (page + 1) * WORDS_PER_PAGE;
    // What was never written takes no memory, and a store would change that.
    for (let word = page * WORDS_PER_PAGE; word < end; word += 1)
      if (Atomics.load(this.#bits, word) !== 0) Atomics.store(this.#bits, word, 0);
    Atomics.and(this.#summary, page >>> 5, flag);
  }

  /** Owner only: clears whole pages, from the one that begins with chunk `first` to the one that
   * ends with `end - 1` or with the disk, and returns the runs of chunks that had a mark. What was
   * held as a flag is not written out for it. */
  take(first: ChunkIndex, end: ChunkIndex): ChunkRun[] {
    const ends = end === chunkCount(this.memory.sizeBytes) || end % CHUNKS_PER_PAGE === 0;
    assert(first % CHUNKS_PER_PAGE === 0 && ends, 'whole pages are taken');
    const runs: ChunkRun[] = [];
    let from = -1;
    for (let chunk = first; chunk <= end; chunk += 1) {
      const isMarked = chunk < end && this.chunkMask(chunk) !== 0;
      if (isMarked && from < 0) from = chunk;
      if (isMarked || from < 0) continue;
      runs.push({ first: from, end: chunk });
      from = -1;
    }
    for (let at = first; at < end; at += CHUNKS_PER_PAGE) this.clearPage(at / CHUNKS_PER_PAGE);
    return runs;
  }

  /** Owner only: this := this OR other. */
  merge(other: BlockMap): void {
    for (const page of other.setPages()) this.mergePage(other, page);
  }

  mergePage(other: BlockMap, page: number): void {
    if (other.#flagged(other.#full, page)) {
      this.#flag(this.#full, page);
      this.#flag(this.#summary, page);
      return;
    }
    const end = (page + 1) * WORDS_PER_PAGE;
    for (let word = page * WORDS_PER_PAGE; word < end; word += 1) {
      const bits = Atomics.load(other.#bits, word);
      if (bits !== 0) this.orWord(word, bits);
    }
  }

  /** Pages that may have bits, ascending. */
  *setPages(): Generator<number> {
    for (let page = 0; page < this.#pages; page += 1) {
      if (this.#flagged(this.#summary, page)) yield page;
    }
  }

  /** Copies the words of a page (all ones when flagged full), ORed into `into`. */
  orPageInto(page: number, into: Int32Array): void {
    if (this.#flagged(this.#full, page)) {
      into.fill(-1);
      return;
    }
    if (!this.#flagged(this.#summary, page)) return;
    for (let at = 0; at < WORDS_PER_PAGE; at += 1) {
      const old = into[at] ?? 0;
      into[at] = old | Atomics.load(this.#bits, page * WORDS_PER_PAGE + at);
    }
  }

  isFullPage(page: number): boolean {
    return this.#flagged(this.#full, page);
  }

  markPage(page: number): void {
    this.#flag(this.#full, page);
    this.#flag(this.#summary, page);
  }

  /** A full page as bits: words first, then the flag, so that no reader misses a bit. */
  #writeOut(page: number): void {
    if (!this.#flagged(this.#full, page)) return;
    const end = (page + 1) * WORDS_PER_PAGE;
    for (let word = page * WORDS_PER_PAGE; word < end; word += 1)
      Atomics.store(this.#bits, word, -1);
    Atomics.and(this.#full, page >>> 5, ~(1 << (page & 31)));
  }

  #existing(chunk: ChunkIndex): number {
    const left = this.#blocks - chunk * BLOCKS_PER_CHUNK;
    return left >= BLOCKS_PER_CHUNK ? MASK_ALL : left <= 0 ? 0 : (1 << left) - 1;
  }

  #flag(flags: Int32Array, page: number): void {
    const bit = 1 << (page & 31);
    if ((Atomics.load(flags, page >>> 5) & bit) === 0) Atomics.or(flags, page >>> 5, bit);
  }

  #flagged(flags: Int32Array, page: number): boolean {
    return (Atomics.load(flags, page >>> 5) & (1 << (page & 31))) !== 0;
  }
}
