// Tools of every byte layout here: offsets from a drawing, magic, check, 64-bit numbers.
// All numbers are big-endian. A magic is ASCII and its last character is the version, a digit.
// A check is the first 8 bytes of BLAKE3 (hast-changeset(5)). Offsets and lengths are bytes.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf, equalBytes, isZero } from '../base/digest.js';
import { TIME_MS_MAX } from '../base/units.js';
import { FormatError } from './changeset.js';

/**
 * Turns a drawing, fields in order with their bytes, into offsets; stops the program at load when
 * the fields do not add up to `totalBytes` (STYLE 9).
 */
export function layout<const F extends Readonly<Record<string, number>>>(
  totalBytes: number,
  fields: F,
): { readonly [K in keyof F]: number } {
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [name, bytes] of Object.entries(fields)) {
    offsets[name] = at;
    at += bytes;
  }
  assert(at === totalBytes, `the drawing has ${totalBytes} bytes, not ${at}`);
  return offsets as { readonly [K in keyof F]: number };
}

/** A place and a kind of bytes being decoded, for the sentence of an error. */
export interface Where {
  /** 'frame', 'changeset header', … */
  readonly what: string;
  /** Path, or name of a peer; with an offset where there is one. */
  readonly place: string;
}

/** The error FORMAT_BAD. */
export const bad = (where: Where, why: string) =>
  new FormatError({ code: 'FORMAT_BAD', what: where.what, place: where.place, why });

/** Error FORMAT_BAD unless `holds`. */
export function expect(holds: boolean, where: Where, why: string): asserts holds {
  if (!holds) throw bad(where, why);
}

/**
 * Bytes from..to-1 in an array of its own. Not `slice`: given a Buffer, that is a view, and what
 * was decoded would change with the buffer it came from.
 */
export const copyOf = (bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array<ArrayBuffer> =>
  new Uint8Array(bytes.subarray(from, to));

export const dataView = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

export function putMagic(bytes: Uint8Array, magic: string): void {
  for (let at = 0; at < magic.length; at += 1) bytes[at] = magic.charCodeAt(at);
}

/** Error FORMAT_VERSION when only the version digit differs, FORMAT_BAD when anything else does. */
export function expectMagic(bytes: Uint8Array, magic: string, where: Where): void {
  expect(bytes.length >= magic.length, where, 'too short for its magic');
  const found = String.fromCharCode(...bytes.subarray(0, magic.length));
  if (found === magic) return;
  const version = found.slice(-1);
  if (found.slice(0, -1) === magic.slice(0, -1) && version >= '0' && version <= '9') {
    const reads = Number(magic.slice(-1));
    throw new FormatError({ code: 'FORMAT_VERSION', ...where, version: Number(version), reads });
  }
  throw bad(where, `magic is not ${magic}`);
}

/** Bytes from..to-1 are reserved: who sets one means something that this program does not know. */
export const expectZero = (bytes: Uint8Array, from: number, to: number, where: Where): void =>
  expect(isZero(bytes.subarray(from, to)), where, `bytes ${from}..${to - 1} are not zero`);

/** Writes the check of bytes 0..at-1 at `at`. */
export const putCheck = (bytes: Uint8Array, at: number): void =>
  bytes.set(checkOf(bytes.subarray(0, at)), at);

export function expectCheck(bytes: Uint8Array, at: number, where: Where): void {
  const found = bytes.subarray(at, at + CHECK_BYTES);
  expect(equalBytes(checkOf(bytes.subarray(0, at)), found), where, 'checksum differs');
}

/** `value` is an integer of 0..2^53-1. */
export function putU64(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a 64-bit field holds a safe integer');
  view.setBigUint64(at, BigInt(value));
}

/** Error FORMAT_BAD above 2^53-1. */
export function takeU64(view: DataView, at: number, where: Where): number {
  const value = Number(view.getBigUint64(at));
  expect(Number.isSafeInteger(value), where, `number at byte ${at} is above 2^53`);
  return value;
}

/** UTF-8 of at most `bytesMax` bytes, cut between characters. */
export function textBytes(text: string, bytesMax: number): Uint8Array {
  const bytes = Buffer.from(text);
  let end = Math.min(bytes.length, bytesMax);
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/** Bytes from..to-1 as a text. Error FORMAT_BAD unless they are UTF-8. */
export function takeText(bytes: Uint8Array, from: number, to: number, where: Where): string {
  const own = bytes.subarray(from, to);
  const text = Buffer.from(own).toString();
  expect(equalBytes(Buffer.from(text), own), where, `bytes ${from}..${to - 1} are no text`);
  return text;
}

/** Wall milliseconds. Error FORMAT_BAD for a time that nothing can show. */
export function takeTime(view: DataView, at: number, where: Where): number {
  const timeMs = takeU64(view, at, where);
  expect(timeMs <= TIME_MS_MAX, where, `time at byte ${at} is beyond all calendars`);
  return timeMs;
}
