// Changes an input in small steps: anywhere (bits, numbers to their extremes, pieces cut,
// doubled, moved, taken from another input), as text (the words of the format), or as JSON
// (json.ts). Everything follows from the Random handed in.
import type { Random } from '../../src/base/random.js';
import { mutateJson } from './json.js';

export type Kind = 'bytes' | 'text' | 'json';

export interface Material {
  readonly kind: Kind;
  readonly words: readonly string[];
  /** Other inputs, to take pieces of. */
  readonly others: readonly Uint8Array[];
  readonly bytesMax: number;
}

const STEPS_MAX = 4;
/** Numbers at which readers break, for 1, 2, 4 and 8 bytes. */
const EXTREMES: readonly bigint[] = [
  ...[0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x100n, 511n, 512n, 513n, 4096n, 4097n, 0x3fffn, 0x4000n],
  ...[0x4001n, 0x7fffn, 0x8000n, 0xffffn, 0x10000n, 0x10001n, 2n ** 20n, 2n ** 20n + 1n],
  ...[2n ** 21n, 2n ** 25n, 2n ** 25n + 1n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n],
  ...[2n ** 48n, 2n ** 48n + 512n, 8_640_000_000_000_000n, 8_640_000_000_000_001n],
  ...[2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
];
const TEXTS = [
  '',
  '0',
  '-1',
  '1e999',
  '\u0000',
  '\uFEFF',
  '\u2028',
  '\r\n',
  '%00',
  '%',
  '../',
  '/',
];

export function mutated(input: Uint8Array, material: Material, random: Random): Uint8Array {
  let bytes = new Uint8Array(input);
  const steps = 1 + random.below(STEPS_MAX);
  for (let step = 0; step < steps; step += 1) {
    bytes = new Uint8Array(oneStep(bytes, material, random)).slice(0, material.bytesMax);
  }
  return bytes;
}

function oneStep(bytes: Uint8Array, material: Material, random: Random): Uint8Array {
  const { kind } = material;
  if (kind === 'json' && random.below(3) > 0) {
    const changed = mutateJson(bytes, material.words, random);
    if (changed !== null) return changed;
  }
  if (kind !== 'bytes' && random.below(2) === 0) return withWord(bytes, material.words, random);
  const steps = [flip, flip, setByte, number, number, add, cut, double, move, erase, end, splice];
  const step = steps[random.below(steps.length)] ?? flip;
  return step(bytes, random, material);
}

const place = (bytes: Uint8Array, random: Random): number => random.below(bytes.length + 1);
/** Mostly short, sometimes anything. */
const span = (random: Random, most: number): number =>
  1 + random.below(Math.max(1, random.below(4) > 0 ? Math.min(most, 32) : most));

function joined(...pieces: Uint8Array[]): Uint8Array {
  return Buffer.concat(pieces);
}

function flip(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(Math.max(1, bytes.length));
  if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  return bytes;
}

function setByte(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(Math.max(1, bytes.length));
  if (at < bytes.length) bytes[at] = random.below(256);
  return bytes;
}

/** A number of 1, 2, 4 or 8 bytes set to an extreme, or moved a little; big-endian, or little. */
function number(bytes: Uint8Array, random: Random): Uint8Array {
  const width = 1 << random.below(4);
  if (bytes.length < width) return bytes;
  const aligned = random.below(2) === 0;
  const drawn = random.below(bytes.length - width + 1);
  const at = aligned ? drawn - (drawn % Math.min(width, 4)) : drawn;
  let value = 0n;
  for (let i = 0; i < width; i += 1) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  const extreme = EXTREMES[random.below(EXTREMES.length)] ?? 0n;
  value = random.below(4) === 0 ? value + BigInt(random.below(9) - 4) : extreme;
  const swapped = random.below(8) === 0;
  for (let i = 0; i < width; i += 1) {
    const to = swapped ? at + i : at + width - 1 - i;
    bytes[to] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  return bytes;
}

function add(bytes: Uint8Array, random: Random): Uint8Array {
  const at = place(bytes, random);
  const fresh = random.bytes(span(random, 64));
  if (random.below(2) === 0) fresh.fill(random.below(256));
  return joined(bytes.subarray(0, at), fresh, bytes.subarray(at));
}

function cut(bytes: Uint8Array, random: Random): Uint8Array {
  const at = place(bytes, random);
  return joined(bytes.subarray(0, at), bytes.subarray(at + span(random, bytes.length)));
}

function double(bytes: Uint8Array, random: Random): Uint8Array {
  const at = place(bytes, random);
  const piece = bytes.subarray(at, at + span(random, bytes.length));
  const times = random.below(16) === 0 ? 64 : 1;
  return joined(bytes.subarray(0, at), ...Array<Uint8Array>(times).fill(piece), bytes.subarray(at));
}

/** A piece written over another place. */
function move(bytes: Uint8Array, random: Random): Uint8Array {
  const [from, to] = [place(bytes, random), place(bytes, random)];
  bytes.copyWithin(to, from, from + span(random, bytes.length));
  return bytes;
}

function erase(bytes: Uint8Array, random: Random): Uint8Array {
  const at = place(bytes, random);
  bytes.fill(random.below(2) === 0 ? 0 : 0xff, at, at + span(random, bytes.length));
  return bytes;
}

const end = (bytes: Uint8Array, random: Random): Uint8Array =>
  bytes.subarray(0, place(bytes, random));

/** A piece of another input in the place of one of this. */
function splice(bytes: Uint8Array, random: Random, { others }: Material): Uint8Array {
  const other = others[random.below(Math.max(1, others.length))] ?? bytes;
  const [at, from] = [place(bytes, random), place(other, random)];
  const piece = other.subarray(from, from + span(random, other.length));
  const over = random.below(2) === 0 ? piece.length : 0;
  return joined(bytes.subarray(0, at), piece, bytes.subarray(at + over));
}

function withWord(bytes: Uint8Array, words: readonly string[], random: Random): Uint8Array {
  const texts = random.below(4) === 0 || words.length === 0 ? TEXTS : words;
  const word = Buffer.from(texts[random.below(texts.length)] ?? '');
  const at = place(bytes, random);
  const over = random.below(2) === 0 ? word.length : 0;
  return joined(bytes.subarray(0, at), word, bytes.subarray(at + over));
}
