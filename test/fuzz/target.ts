// What is fuzzed: one decoder, or one whole surface, behind one function of bytes. A target says
// what an input means, keeps the demands that need knowledge of the format (no accepted lie, a
// broken checksum is refused at its place), and names its limits; the engine keeps the others: no
// crash, no hang, no allocation above the limit. Sizes are bytes.
import assert from 'node:assert/strict';
import { HastError } from '../../src/base/errors.js';
import type { Random } from '../../src/base/random.js';

export type Verdict = 'accepted' | 'refused';

/** An opened target; a surface holds its server here. */
export interface Opened {
  run(input: Uint8Array): Verdict | Promise<Verdict>;
  close(): Promise<void> | void;
}

export interface Target {
  readonly name: string;
  /** How inputs are changed: anywhere, as text, or as text that is JSON. */
  readonly kind: 'bytes' | 'text' | 'json';
  /** Longest input that is made. */
  readonly inputBytesMax: number;
  /** Most that one input may make the program allocate at once, and in all, beside its own length
   * (counted by allocations.ts). */
  readonly onceBytesMax: number;
  readonly totalBytesMax: number;
  /** Words that mean something in the format. */
  readonly words?: readonly string[];
  /** Valid inputs, made by our own encoders. */
  seeds(random: Random): readonly Uint8Array[];
  /** Puts right what a change broke (checksums, lengths), so that what is behind it is reached. */
  mend?(input: Uint8Array, random: Random): Uint8Array;
  open(): Opened | Promise<Opened>;
}

/** For a target without a server. */
export const pure =
  (run: Opened['run']): Target['open'] =>
  () => ({ run, close: () => {} });

/** What a refusal must be: a typed error whose sentence names `place`. */
export function refusal(error: unknown, place: string): 'refused' {
  if (!(error instanceof HastError)) throw error;
  assert.ok(error.message.includes(place), `the refusal does not name ${place}: ${error.message}`);
  assert.ok(error.message.length <= REFUSAL_CHARACTERS_MAX, 'a refusal is a sentence');
  return 'refused';
}

const REFUSAL_CHARACTERS_MAX = 4096;

/** `decode` gives what was accepted to `check`; a refusal must name `place`. */
export async function decided<T>(
  place: string,
  decode: () => T | Promise<T>,
  check: (value: T) => void | Promise<void>,
): Promise<Verdict> {
  let value: T;
  try {
    value = await decode();
  } catch (error) {
    return refusal(error, place);
  }
  await check(value);
  return 'accepted';
}

/** The bytes with one bit of from..to-1 flipped, which one follows from the bytes themselves. */
export function oneBitOff(bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array {
  const copy = new Uint8Array(bytes);
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) >>> 0;
  const bit = sum % Math.max(1, (to - from) * 8);
  const at = from + (bit >>> 3);
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

/** Byte arrays of any class as hexadecimal, so that values can be compared by content. */
export const plain = (value: unknown): string =>
  JSON.stringify(value, (_key, one: unknown) => {
    if (one instanceof Uint8Array) return `0x${Buffer.from(one).toString('hex')}`;
    return typeof one === 'bigint' ? `${one}n` : one;
  });
