// Intent map, the owner's side: loads the file, says which extents a crash left in doubt, and
// clears bits lazily after a durable checkpoint (H9). Data threads set bits in core.ts.
// Guarantee (W1): at every moment each extent with a block marked in the live map and written has
// its bit in the file's page cache. The proof of the clearer:
//  1. it clears `intentWritten`, then looks at the live map; a writer marks live, then loads
//     `intentWritten`: one of both sees the other, and the clearer then sets it back;
//  2. all of that, and the clearing of the image, is under INTENT_LOCK; a
//     writer that found `intentWritten` clear sets image and file under the same lock, later;
//  3. metaflush on: a bit on its way to the medium is in the image and not in `intentWritten`, so
//     it is not taken; INTENT_CLEARS tells writers that flush meanwhile that bits were (H10).
// Only called between cuts, when every swap so far has been published: what was written before is
// in TARGET.dirty. The `keepdirty` most recently written extents keep their bit; which those are
// is noted at every swap, from the map that was written until then.
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import { BLOCK_BYTES, type ExtentIndex } from '../base/units.js';
import {
  decodeIntentHeader,
  encodeIntentHeader,
  INTENT_PAGE_BITS,
  INTENT_PAGE_BYTES,
  type IntentHeader,
  intentPageOffset,
  intentPages,
  uniteCopies,
} from '../format/intent-file.js';
import type { BlockMap } from '../tracking/block-map.js';
import type { Core, WriteIntentPage } from './core.js';
import * as M from './memory.js';

/** What a data thread does with a page of the map: both copies, one after the other. */
export const intentWriter =
  (handle: FileHandle): WriteIntentPage =>
  (page, bytes) => {
    handle.writeNow(bytes, intentPageOffset(page));
    handle.writeNow(bytes, intentPageOffset(page) + INTENT_PAGE_BYTES);
  };

/** Makes the file, fully written, so that its fdatasync never commits metadata (H9), and published
 * whole. `bits`: those it begins with; null: none. */
export async function createIntentFile(
  files: Files,
  path: string,
  header: IntentHeader,
  bits: SharedArrayBuffer | null = null,
): Promise<void> {
  const temporary = `${path}.new`;
  const handle = await files.open(temporary, 'truncate');
  try {
    await handle.write(encodeIntentHeader(header), 0);
    for (let page = 0; page < intentPages(header); page += 1) {
      const content = new Uint8Array(INTENT_PAGE_BYTES);
      const at = page * INTENT_PAGE_BYTES;
      if (bits !== null) content.set(new Uint8Array(bits, at, INTENT_PAGE_BYTES));
      await handle.write(content, intentPageOffset(page));
      await handle.write(content, intentPageOffset(page) + INTENT_PAGE_BYTES);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await files.rename(temporary, path);
  await files.syncDirectory(path.slice(0, path.lastIndexOf('/')));
}

export class IntentOwner {
  readonly #core: Core;
  readonly #handle: FileHandle;
  readonly #write: WriteIntentPage;
  readonly #keepdirty: number;
  /** Extents by last time seen written, oldest first. */
  readonly #recent = new Map<ExtentIndex, true>();

  constructor(core: Core, handle: FileHandle, keepdirty: number) {
    this.#core = core;
    this.#handle = handle;
    this.#write = intentWriter(handle);
    this.#keepdirty = keepdirty;
  }

  /** Reads the file into shared memory, of each page the union of both copies; `differ` is told of
   * the offset of one whose copies are not the same, which they are afterwards. 'smaller': it is of
   * this disk before a growth (H14), its bits are in memory and the file is to be made anew.
   * 'foreign': everything is in doubt. */
  async load(
    header: IntentHeader,
    differ: (offset: number) => void = () => {},
  ): Promise<'whole' | 'smaller' | 'foreign'> {
    const page = new Uint8Array(INTENT_PAGE_BYTES);
    const copies = new Uint8Array(2 * INTENT_PAGE_BYTES);
    await this.#handle.read(page, 0);
    const found = decodeIntentHeader(page, this.#handle.path);
    const same =
      found.sizeBytes <= header.sizeBytes &&
      found.extentBytes === header.extentBytes &&
      Buffer.compare(found.resource, header.resource) === 0;
    if (!same) return 'foreign';
    for (let index = 0; index < intentPages(found); index += 1) {
      const got = await this.#handle.read(copies, intentPageOffset(index));
      if (got !== copies.length) return 'foreign';
      const united = uniteCopies(copies);
      if (!equalBytes(copies, Buffer.concat([united, united]))) {
        differ(intentPageOffset(index));
        this.#write(index, united);
      }
      for (const target of [this.#core.memory.intent, this.#core.memory.intentWritten]) {
        new Uint8Array(target, index * INTENT_PAGE_BYTES, INTENT_PAGE_BYTES).set(united);
      }
    }
    return found.sizeBytes === header.sizeBytes ? 'whole' : 'smaller';
  }

  /** Marks every block of every set extent in `into`. Returns the number of extents. */
  markExtents(into: BlockMap): number {
    let count = 0;
    for (const extent of this.#setExtents()) {
      const { first, last } = this.#blocks(extent);
      into.mark(first, last);
      count += 1;
    }
    return count;
  }

  /** Clears the bits of extents not written since the last published checkpoint, but for the
   * keepdirty most recent of `noteWritten`. Returns how many were cleared. Synchronous. */
  clearCold(): number {
    const kept = new Set([...this.#recent.keys()].slice(-this.#keepdirty));
    const cold = new Map<number, ExtentIndex[]>();
    for (const extent of this.#setExtents()) {
      if (kept.has(extent) && this.#keepdirty > 0) continue;
      const page = Math.floor(extent / INTENT_PAGE_BITS);
      const list = cold.get(page) ?? [];
      list.push(extent);
      cold.set(page, list);
    }
    let cleared = 0;
    for (const [page, extents] of cold) cleared += this.#clearPage(page, extents);
    return cleared;
  }

  /** All of it under the lock: a writer that has flushed must not set a bit of `intentWritten`
   * again between the taking of it and the clearing of the image. */
  #clearPage(page: number, extents: readonly ExtentIndex[]): number {
    const { control, intent, intentWritten } = this.#core;
    if (Atomics.compareExchange(control, M.INTENT_LOCK, 0, 1) !== 0) return 0;
    let cleared = 0;
    try {
      // Only bits that reached the file: one that a writer is just setting is not ours to touch.
      const taken = extents.filter((extent) => {
        const bit = 1 << (extent & 31);
        return (Atomics.and(intentWritten, extent >>> 5, ~bit) & bit) !== 0;
      });
      if (taken.length > 0) Atomics.add(control, M.INTENT_CLEARS, 1);
      for (const extent of taken) {
        const bit = 1 << (extent & 31);
        if (this.#hot(extent)) {
          Atomics.or(intentWritten, extent >>> 5, bit);
          continue;
        }
        Atomics.and(intent, extent >>> 5, ~bit);
        this.#recent.delete(extent);
        cleared += 1;
      }
      if (cleared > 0) {
        const start = page * INTENT_PAGE_BYTES;
        const bytes = new Uint8Array(this.#core.memory.intent, start, INTENT_PAGE_BYTES);
        this.#write(page, bytes);
      }
    } finally {
      Atomics.store(control, M.INTENT_LOCK, 0);
    }
    return cleared;
  }

  /** Which extents were written since the last swap: `keepdirty` is about those (H9). */
  noteWritten(written: BlockMap): void {
    for (const extent of this.#setExtents()) {
      const { first, last } = this.#blocks(extent);
      if (written.anyMarked(first, last)) this.#touch(extent);
    }
  }

  #touch(extent: ExtentIndex): void {
    this.#recent.delete(extent);
    this.#recent.set(extent, true);
    if (this.#recent.size <= this.#keepdirty) return;
    const oldest = present(this.#recent.keys().next().value, 'the map is not empty');
    this.#recent.delete(oldest);
  }

  #hot(extent: ExtentIndex): boolean {
    const { first, last } = this.#blocks(extent);
    return this.#core.liveMap().anyMarked(first, last);
  }

  #blocks(extent: ExtentIndex): { first: number; last: number } {
    const { extentBytes, sizeBytes } = this.#core.memory;
    const end = Math.min((extent + 1) * extentBytes, sizeBytes);
    return {
      first: (extent * extentBytes) / BLOCK_BYTES,
      last: Math.ceil(end / BLOCK_BYTES) - 1,
    };
  }

  *#setExtents(): Generator<ExtentIndex> {
    const { sizeBytes, extentBytes } = this.#core.memory;
    const extents = Math.ceil(sizeBytes / extentBytes);
    for (let word = 0; word * 32 < extents; word += 1) {
      const bits = Atomics.load(this.#core.intent, word);
      for (let bit = 0; bits !== 0 && bit < 32; bit += 1) {
        if ((bits & (1 << bit)) !== 0 && word * 32 + bit < extents) yield word * 32 + bit;
      }
    }
  }
}
