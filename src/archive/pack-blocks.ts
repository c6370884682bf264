// Reads of packs in blocks, kept: for who reads records that stand close to each other (a merge of
// trees, nodes of an index), so that requests are few. Memory: blocks x their bytes.
import { MIB } from '../base/units.js';
import type { PackName } from '../format/archive-node.js';
import { packKey } from '../format/archive-objects.js';
import { type ObjectStore, StoreError } from '../store/store.js';
import { Kept } from './kept.js';

const BLOCK_BYTES = MIB;

export class PackBlocks {
  readonly #store: ObjectStore;
  readonly #blockBytes: number;
  readonly #blocks: Kept<string, Uint8Array>;

  /** `blocks`: how many are kept. */
  constructor(store: ObjectStore, blocks: number, blockBytes = BLOCK_BYTES) {
    this.#store = store;
    this.#blocks = new Kept(blocks);
    this.#blockBytes = blockBytes;
  }

  /** The range, in an array of its own or a part of a block. Errors of the store. */
  async read(pack: PackName, offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > pack.bytes) {
      const got = Math.max(0, pack.bytes - offset);
      const facts = { url: this.#store.url, key: packKey(pack.name), offset, wanted: length, got };
      throw new StoreError({ code: 'STORE_SHORT', ...facts });
    }
    const first = Math.floor(offset / this.#blockBytes);
    const last = Math.floor((offset + length - 1) / this.#blockBytes);
    const reading: Promise<Uint8Array>[] = [];
    for (let block = first; block <= last; block += 1) reading.push(this.#block(pack, block));
    const blocks = await Promise.all(reading).catch(unlessShort);
    // The pack has been cut short; what is asked for may still be there.
    if (blocks === null) return this.#store.read(packKey(pack.name), offset, length);
    const start = offset - first * this.#blockBytes;
    const [only] = blocks;
    if (blocks.length === 1 && only !== undefined) return only.subarray(start, start + length);
    return Buffer.concat(blocks).subarray(start, start + length);
  }

  #block(pack: PackName, block: number): Promise<Uint8Array> {
    const key = packKey(pack.name);
    return this.#blocks.get(`${key} ${block}`, () => {
      const from = block * this.#blockBytes;
      return this.#store.read(key, from, Math.min(this.#blockBytes, pack.bytes - from));
    });
  }
}

const unlessShort = (error: unknown): null => {
  if (error instanceof StoreError && error.fault.code === 'STORE_SHORT') return null;
  throw error;
};
