// BLAKE3 in the two lengths this program uses (DESIGN.md §2, §5): 16 bytes name the content of a
// chunk, 8 bytes check frames, headers and pages. `bytes` may lie in shared memory.
import { Blake3Hasher, blake3 } from '@napi-rs/blake-hash';
import { DIGEST_BYTES } from './units.js';

export const CHECK_BYTES = 8;

/** First 16 bytes of BLAKE3. */
export const digestOf = (bytes: Uint8Array): Uint8Array => blake3(bytes).subarray(0, DIGEST_BYTES);

/** First 8 bytes of BLAKE3: the checksum of frames, headers and pages. */
export const checkOf = (bytes: Uint8Array): Uint8Array => blake3(bytes).subarray(0, CHECK_BYTES);

/** Running BLAKE3 over pieces; `done` gives the 32 bytes of what was added so far. */
export function runningDigest(): { add(bytes: Uint8Array): void; done(): Uint8Array } {
  const hasher = new Blake3Hasher();
  return { add: (bytes) => void hasher.update(bytes), done: () => hasher.digestBuffer() };
}

/** Byte equality of two arrays. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.length).equals(b);
}

const ZERO = Buffer.alloc(65_536);

/** True when every byte is zero; any length. */
export function isZero(bytes: Uint8Array): boolean {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < whole.length; at += ZERO.length) {
    const end = Math.min(whole.length, at + ZERO.length);
    if (whole.compare(ZERO, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}
