// Content of the files of a machine in use, seeded: running text, database rows, bytes that do not
// compress. Text and rows take zstd -3 to a third or a half; no two pieces are equal by intent.

import { type Random, seededRandom } from '../src/base/random.js';
import { MIB } from '../src/base/units.js';

const POOL_BYTES = 32 * MIB;
const WORDS = 3000;

export interface NightContent {
  readonly random: Random;
  /** Words with spaces between, frequent ones often. */
  text(bytes: number): Buffer;
  /** Not compressible. */
  noise(bytes: number): Buffer;
  /** Lines of a log: time, name of the service, number, text. */
  log(day: number, service: number, lines: number): Buffer;
}

export function nightContent(seed: number): NightContent {
  const random = seededRandom(seed);
  const pool = textPool(random);
  const text = (bytes: number): Buffer => {
    const at = random.below(pool.length - bytes);
    return pool.subarray(at, at + bytes);
  };
  const line = (day: number, service: number, number: number): string =>
    `2026-01-${String(day).padStart(2, '0')}T00:00:00Z svc${service} ${number} ` +
    `${text(90).toString('latin1')}\n`;
  return {
    random,
    text,
    noise: (bytes) => noiseOf(random, bytes),
    log: (day, service, lines) =>
      Buffer.from(
        Array.from({ length: lines }, (_, number) => line(day, service, number)).join(''),
        'latin1',
      ),
  };
}

/** Every word has letters of its own; rank r is drawn about exp(-r / 400) times as often. */
function textPool(random: Random): Buffer {
  const letter = (): string => String.fromCharCode(97 + random.below(26));
  const words = Array.from({ length: WORDS }, () =>
    Array.from({ length: 3 + random.below(8) }, letter).join(''),
  );
  const pool = Buffer.alloc(POOL_BYTES);
  for (let at = 0; at < pool.length; ) {
    const rank = Math.floor(-Math.log(1 - random.below(2 ** 20) / 2 ** 20) * 400);
    at += pool.write(`${words[Math.min(WORDS - 1, rank)]} `, at, 'latin1') || pool.length;
  }
  return pool;
}

/** As Random.bytes, four bytes a draw. */
function noiseOf(random: Random, bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) out.writeUInt32LE(random.below(2 ** 32), at);
  for (let at = bytes - (bytes % 4); at < bytes; at += 1) out[at] = random.below(256);
  return out;
}
