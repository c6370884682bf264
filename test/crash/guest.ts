// A guest in one thread: writes, zeroes, TRIMs and rewrites of any alignment a guest may use, by
// seed. Offsets and lengths are bytes, multiples of 512.
import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, SECTOR_BYTES } from '../../src/base/units.js';
import type { Disk } from '../../src/disk/disk.js';

/** What is written repeats at this length: never equal by chance, and cheap to make. */
const PATTERN_BYTES = 32;

export class Guest {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** `count` operations of any kind. */
  async some(disk: Disk, count: number): Promise<void> {
    for (let done = 0; done < count; done += 1) {
      const { offset, length } = this.#range(disk.sizeBytes);
      const kind = this.#random.below(8);
      if (kind === 0) await disk.zero(offset, length, this.#random.below(2) === 0, false);
      else if (kind === 1) await disk.trim(offset, length);
      else await disk.write(offset, Buffer.alloc(length, this.#random.bytes(PATTERN_BYTES)));
    }
  }

  /** Writes what is there already: dirty, and equal to what the target has. */
  async same(disk: Disk, now: Uint8Array): Promise<void> {
    const { offset, length } = this.#range(disk.sizeBytes);
    await disk.write(offset, now.slice(offset, offset + length));
  }

  /** Puts back an older content, chunk by chunk, in `share` of 8 of the places (H7: A-B-A). */
  async putBack(disk: Disk, older: Uint8Array, share = 4): Promise<void> {
    for (let offset = 0; offset < disk.sizeBytes; offset += CHUNK_BYTES) {
      if (this.#random.below(8) >= share) continue;
      await disk.write(offset, older.slice(offset, offset + CHUNK_BYTES));
    }
  }

  /** Whole blocks mostly; sometimes sectors, sometimes up to three chunks, sometimes the end. */
  #range(sizeBytes: number): { offset: number; length: number } {
    const grain = this.#random.below(4) === 0 ? SECTOR_BYTES : BLOCK_BYTES;
    const wanted = grain * (1 + this.#random.below(this.#random.below(4) === 0 ? 40 : 3));
    const last = Math.floor((sizeBytes - 1) / grain);
    const at = grain * (this.#random.below(8) === 0 ? last : this.#random.below(last + 1));
    return { offset: at, length: Math.min(wanted, sizeBytes - at) };
  }
}
