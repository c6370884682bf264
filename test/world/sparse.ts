// Sparse content: the bytes of one file of the crash world, kept in pages of 4 KiB that exist only
// where something was written, so that a file may be nominally many GiB. A copy shares its pages
// with the original until one of them writes. Offsets and lengths are bytes; what was never written
// reads as zeroes.
import { assert } from '../../src/base/assert.js';
import { digestOf } from '../../src/base/digest.js';
import { hex } from '../../src/base/random.js';

export const PAGE_BYTES = 4096;
/** Grain in which space is counted, as a file system counts it. */
export const SPACE_BYTES = 4096;

type Page = { owner: object; bytes: Uint8Array; spaceMask: number };

/** Of pages that nobody owns any more, and so nobody writes. */
const digests = new WeakMap<Page, string>();

export class Sparse {
  #pages = new Map<number, Page>();
  #owner: object = {};
  #size = 0;
  #allocatedBytes = 0;

  get size(): number {
    return this.#size;
  }

  /** Bytes of space taken, in whole 4 KiB. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  copy(): Sparse {
    const other = new Sparse();
    other.#pages = new Map(this.#pages);
    other.#size = this.#size;
    other.#allocatedBytes = this.#allocatedBytes;
    this.#owner = {}; // from here on neither owns the shared pages
    return other;
  }

  /** Fills `into` as far as the size reaches; returns the bytes read. */
  read(into: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(into.length, this.#size - offset));
    for (const piece of pieces(offset, length)) {
      const target = into.subarray(piece.from, piece.from + piece.length);
      const page = this.#pages.get(piece.page);
      if (page) target.set(page.bytes.subarray(piece.at, piece.at + piece.length));
      else target.fill(0);
    }
    return length;
  }

  write(bytes: Uint8Array, offset: number): void {
    for (const piece of pieces(offset, bytes.length)) {
      const page = this.#own(piece.page);
      page.bytes.set(bytes.subarray(piece.from, piece.from + piece.length), piece.at);
      this.#take(page, piece.at, piece.length);
    }
    this.grow(offset + bytes.length);
  }

  /** The range reads as zeroes and the whole 4 KiB pages of it take no space; size is kept. */
  zero(offset: number, length: number): void {
    for (const piece of pieces(offset, length)) {
      const page = this.#pages.get(piece.page);
      if (!page) continue;
      if (piece.length === PAGE_BYTES) this.#drop(piece.page, page);
      else this.#own(piece.page).bytes.fill(0, piece.at, piece.at + piece.length);
    }
  }

  /** Cuts off or extends by a hole. */
  truncate(bytes: number): void {
    if (bytes < this.#size) {
      const whole = Math.ceil(bytes / PAGE_BYTES);
      this.zero(bytes, Math.min(whole * PAGE_BYTES, this.#size) - bytes);
      for (const [index, page] of this.#pages) if (index >= whole) this.#drop(index, page);
    }
    this.#size = bytes;
  }

  /** Size becomes at least `bytes`. */
  grow(bytes: number): void {
    this.#size = Math.max(this.#size, bytes);
  }

  /** First offset >= `from` in a page that exists, or the size. */
  nextData(from: number): number {
    const last = Math.ceil(this.#size / PAGE_BYTES);
    if (this.#pages.size === 0) return this.#size;
    for (let index = Math.floor(from / PAGE_BYTES); index < last; index += 1) {
      if (this.#pages.has(index)) return Math.min(this.#size, Math.max(from, index * PAGE_BYTES));
    }
    return this.#size;
  }

  /** First offset >= `from` in a page that does not exist, or the size. */
  nextHole(from: number): number {
    let index = Math.floor(from / PAGE_BYTES);
    while (this.#pages.has(index)) index += 1;
    return Math.min(this.#size, Math.max(from, index * PAGE_BYTES));
  }

  /** All of it in one array; for small files. */
  bytes(): Uint8Array {
    const out = new Uint8Array(this.#size);
    for (const [index, { bytes }] of this.#pages) {
      const at = index * PAGE_BYTES;
      out.set(bytes.subarray(0, Math.max(0, this.#size - at)), Math.min(at, this.#size));
    }
    return out;
  }

  /** Equal for equal content in the same pages. */
  fingerprint(): string {
    const pages = [...this.#pages].sort(([a], [b]) => a - b);
    const texts = pages.map(([index, page]) => `${index}:${this.#digest(page)}`);
    return `${this.#size} ${texts.join(' ')}`;
  }

  #digest(page: Page): string {
    const known = page.owner === this.#owner ? undefined : digests.get(page);
    if (known !== undefined) return known;
    const digest = hex(digestOf(page.bytes));
    if (page.owner !== this.#owner) digests.set(page, digest);
    return digest;
  }

  #own(index: number): Page {
    const page = this.#pages.get(index);
    if (page?.owner === this.#owner) return page;
    const bytes = page ? page.bytes.slice() : new Uint8Array(PAGE_BYTES);
    const owned = { owner: this.#owner, bytes, spaceMask: page?.spaceMask ?? 0 };
    this.#pages.set(index, owned);
    return owned;
  }

  #take(page: Page, at: number, length: number): void {
    const last = Math.floor((at + length - 1) / SPACE_BYTES);
    for (let unit = Math.floor(at / SPACE_BYTES); unit <= last; unit += 1) {
      if ((page.spaceMask >> unit) & 1) continue;
      page.spaceMask |= 1 << unit;
      this.#allocatedBytes += SPACE_BYTES;
    }
  }

  #drop(index: number, page: Page): void {
    for (let mask = page.spaceMask; mask !== 0; mask &= mask - 1) {
      this.#allocatedBytes -= SPACE_BYTES;
    }
    this.#pages.delete(index);
  }
}

/** The range cut at page limits: `at` within the page, `from` within the range. */
function* pieces(offset: number, length: number) {
  assert(Number.isSafeInteger(offset) && offset >= 0, 'offset is a natural number');
  for (let from = 0; from < length; ) {
    const page = Math.floor((offset + from) / PAGE_BYTES);
    const at = offset + from - page * PAGE_BYTES;
    const piece = Math.min(PAGE_BYTES - at, length - from);
    yield { page, at, from, length: piece };
    from += piece;
  }
}
