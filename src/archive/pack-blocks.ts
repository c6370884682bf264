// Reads of packs in blocks of a MiB, kept: for who reads records one after the other as they stand
// (a merge of trees, a restore), so that requests are few. Memory: blocks x BLOCK_BYTES.
import { MIB } from '../base/units.js';
import type { PackName } from '../format/archive-node.js';
import { packKey } from '../format/archive-objects.js';
import type { ObjectStore } from '../store/store.js';
import { Kept } from './kept.js';

const BLOCK_BYTES = MIB;

export class PackBlocks {
  readonly #store: ObjectStore;
  readonly #blocks: Kept<string, Promise<Uint8Array>>;

  constructor(store: ObjectStore, blocks: number) {
    this.#store = store;
    this.#blocks = new Kept(blocks);
  }

  /** The range, in an array of its own or a part of a block. Errors of the store. */
  async read(pack: PackName, offset: number, length: number): Promise<Uint8Array> {
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    const blocks: Uint8Array[] = [];
    for (let block = first; block <= last; block += 1) blocks.push(await this.#block(pack, block));
    const start = offset - first * BLOCK_BYTES;
    const [only] = blocks;
    if (blocks.length === 1 && only !== undefined) return only.subarray(start, start + length);
    return Buffer.concat(blocks).subarray(start, start + length);
  }

  #block(pack: PackName, block: number): Promise<Uint8Array> {
    const key = packKey(pack.name);
    return this.#blocks.get(`${key} ${block}`, () => {
      const from = block * BLOCK_BYTES;
      return this.#store.read(key, from, Math.min(BLOCK_BYTES, pack.bytes - from));
    });
  }
}
