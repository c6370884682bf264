// Randomness, handed in: real ids from the system, seeded sequences for tests and the simulator.
import { randomFillSync } from 'node:crypto';

export interface Random {
  /** `count` random bytes in a new array. */
  bytes(count: number): Uint8Array;
  /** Uniform integer in 0..limit-1; limit is 1..2^32. */
  below(limit: number): number;
}

export const systemRandom: Random = {
  bytes: (count) => randomFillSync(new Uint8Array(count)),
  below: (limit) => {
    const word = new Uint32Array(randomFillSync(new Uint8Array(4)).buffer)[0] ?? 0;
    return Math.floor((word / 2 ** 32) * limit);
  },
};

/** The generator sfc32 seeded by one number: the same seed gives the same sequence everywhere. */
export function seededRandom(seed: number): Random {
  let [a, b, c, counter] = [0x9e3779b9, seed | 0, Math.floor(seed / 2 ** 32) | 0, 1];
  const next = (): number => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + result;
    return result >>> 0;
  };
  for (let warm = 0; warm < 15; warm += 1) next();
  return {
    below: (limit) => Math.floor((next() / 2 ** 32) * limit),
    bytes: (count) => {
      const out = new Uint8Array(count);
      for (let at = 0; at < count; at += 1) out[at] = next();
      return out;
    },
  };
}

/** Lower-case hexadecimal of an id or digest. */
export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
