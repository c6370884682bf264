// Content for benchmark disks, seeded: pages of text (words by frequency, numbers, identifiers) and
// pages of a database (rows of counters, keys and padding). zstd -3 takes both to about half, as it
// does with the blocks of real disks; no two pages are equal.
import type { Random } from '../src/base/random.js';
import { BLOCK_BYTES } from '../src/base/units.js';

/** Pages are cut from pools of this size at any byte: far more than compression looks back. */
const POOL_BYTES = 16 * 1024 * 1024;
const WORDS = 1024;
const ROW_BYTES = 48;

export interface Content {
  /** A new page of 4 KiB, never given before. */
  page(): Buffer;
  /** Fills `into`, whole pages, with pages of one kind, as a file would. */
  fill(into: Uint8Array): void;
}

export function seededContent(random: Random): Content {
  const pools = [textPool(random), rowPool(random)];
  let serial = 0;
  const put = (pool: Uint8Array, into: Uint8Array): void => {
    const at = random.below(pool.length - into.length);
    into.set(pool.subarray(at, at + into.length));
    for (let page = 0; page < into.length; page += BLOCK_BYTES) {
      serial += 1;
      Buffer.from(into.buffer, into.byteOffset + page, 8).writeBigUInt64BE(BigInt(serial));
    }
  };
  const pick = (): Uint8Array => pools[random.below(pools.length)] ?? new Uint8Array();
  return {
    page: () => {
      const page = Buffer.alloc(BLOCK_BYTES);
      put(pick(), page);
      return page;
    },
    fill: (into) => put(pick(), into),
  };
}

/** Lines of words, the frequent ones short and often, with a number or an identifier between. */
function textPool(random: Random): Uint8Array {
  const letters = 'etaoinshrdlucmfwypvbgkjqxz';
  const words = Array.from({ length: WORDS }, (_, rank) => {
    const length = 2 + random.below(3 + Math.min(8, Math.floor(rank / 32)));
    const letter = (): string => letters[Math.min(random.below(26), random.below(26))] ?? 'e';
    return Array.from({ length }, letter).join('');
  });
  // Rank by the product of two uniform draws: close enough to how often words occur.
  const word = (): string =>
    words[Math.floor((random.below(WORDS) * random.below(WORDS)) / WORDS)] ?? 'a';
  const pool = Buffer.alloc(POOL_BYTES);
  for (let at = 0; at < pool.length; ) {
    const kind = random.below(16);
    const id = Buffer.from(random.bytes(8)).toString('hex');
    const piece = kind === 0 ? `${id}\n` : kind === 1 ? `${random.below(1e6)} ` : `${word()} `;
    at += pool.write(piece, at, 'latin1') || pool.length;
  }
  return pool;
}

/** Rows: a rising key, a small counter, a time, 16 bytes like a hash, a status word, zeroes. */
function rowPool(random: Random): Uint8Array {
  const pool = Buffer.alloc(POOL_BYTES);
  let timeSeconds = 1_700_000_000;
  for (let at = 0, key = 1; at + ROW_BYTES <= pool.length; at += ROW_BYTES, key += 1) {
    timeSeconds += random.below(30);
    pool.writeUInt32LE(key, at);
    pool.writeUInt16LE(random.below(512), at + 4);
    pool.writeUInt32LE(timeSeconds, at + 8);
    pool.set(random.bytes(16), at + 12);
    pool.write(['active', 'closed', 'queued'][random.below(3)] ?? '', at + 28, 'latin1');
  }
  return pool;
}
