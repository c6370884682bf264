// One bit for each 4 KiB block of a disk, kept for those pages of the map only that have any: 4 KiB
// of map stand for 128 MiB of disk. Bits are set, never cleared. Which pages have changed is known,
// so that they can be stored. Pure.
import { assert } from '../base/assert.js';

export const MAP_PAGE_BYTES = 4096;
const BITS = MAP_PAGE_BYTES * 8;

export class BlockBits {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #changed = new Set<number>();

  has(block: number): boolean {
    const page = this.#pages.get(Math.floor(block / BITS));
    const bit = block % BITS;
    return page !== undefined && ((page[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  }

  /** Sets first..end-1. */
  set(first: number, end: number): void {
    for (let block = first; block < end; block += 1) {
      const number = Math.floor(block / BITS);
      let page = this.#pages.get(number);
      if (page === undefined) {
        page = new Uint8Array(MAP_PAGE_BYTES);
        this.#pages.set(number, page);
      }
      const bit = block % BITS;
      const byte = page[bit >> 3] ?? 0;
      const isWholeByte = (bit & 7) === 0 && end - block >= 8 && (byte === 0 || byte === 0xff);
      const next = isWholeByte ? 0xff : byte | (1 << (bit & 7));
      if (next !== byte) {
        page[bit >> 3] = next;
        this.#changed.add(number);
      }
      if (isWholeByte) block += 7;
    }
  }

  /** First block after `block`, at most `end`, whose bit is not the same. */
  runEnd(block: number, end: number): number {
    const isSet = this.has(block);
    let at = block + 1;
    while (at < end) {
      const page = this.#pages.get(Math.floor(at / BITS));
      if (page === undefined) {
        if (isSet) return at;
        at = (Math.floor(at / BITS) + 1) * BITS;
        continue;
      }
      const bit = at % BITS;
      if ((bit & 7) === 0 && page[bit >> 3] === (isSet ? 0xff : 0)) at += 8;
      else if (this.has(at) === isSet) at += 1;
      else return at;
    }
    return end;
  }

  /** Copies of the pages that have changed since the last call. */
  takeChanged(): Map<number, Uint8Array> {
    const taken = new Map<number, Uint8Array>();
    for (const number of this.#changed) {
      const page = this.#pages.get(number);
      if (page !== undefined) taken.set(number, new Uint8Array(page));
    }
    this.#changed.clear();
    return taken;
  }

  /** A page as it was stored. */
  load(number: number, bytes: Uint8Array): void {
    assert(bytes.length === MAP_PAGE_BYTES, 'a page is whole');
    this.#pages.set(number, new Uint8Array(bytes));
  }
}
