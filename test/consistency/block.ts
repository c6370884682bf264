// Blocks that say what they are: every 4 KiB that a checking client writes carries who wrote it,
// where, and which version it is, under a checksum, so that a block found in any image is
// recognised, or known to be torn or none of ours. Lengths are bytes; the last block of a disk may
// be short, but has at least one sector.
import { assert } from '../../src/base/assert.js';
import { checkOf, equalBytes, isZero } from '../../src/base/digest.js';
import { BLOCK_BYTES, SECTOR_BYTES } from '../../src/base/units.js';

//  off size field            little-endian, so that the fill can be written as words
//    0    8 magic "HASTTEST"
//    8    8 checksum (first 8 bytes of BLAKE3) of all that follows
//   16    4 seed of the run    20    4 client
//   24    8 block number       32    8 version (float64, exact integers)
//   40    8 zero               48      fill to the end, made from the fields above
const MAGIC = new TextEncoder().encode('HASTTEST');
const CHECKED_FROM = 16;
const FILL_FROM = 48;

export interface BlockIdentity {
  readonly seed: number;
  readonly client: number;
  readonly block: number;
  /** Unique for the client; a repeated write of the same content has the same version. */
  readonly version: number;
}

export type Seen =
  | { readonly kind: 'version'; readonly identity: BlockIdentity }
  | { readonly kind: 'zero' }
  /** The head of a block of ours, or a part of one, and the checksum is wrong. */
  | { readonly kind: 'torn' }
  | { readonly kind: 'alien' };

/** The content of a block; the same identity gives the same bytes. */
export function makeBlock(identity: BlockIdentity, length = BLOCK_BYTES): Uint8Array {
  assert(length % SECTOR_BYTES === 0 && length > 0 && length <= BLOCK_BYTES, 'whole sectors');
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(16, identity.seed, true);
  view.setUint32(20, identity.client, true);
  view.setFloat64(24, identity.block, true);
  view.setFloat64(32, identity.version, true);
  const words = new Uint32Array(bytes.buffer);
  // xorshift32 from all the fields: different in every sector of every version.
  let state = 0x9e3779b9;
  for (let at = 4; at < 10; at += 1) state = mix(state ^ (words[at] ?? 0));
  for (let at = FILL_FROM / 4; at < words.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  bytes.set(checkOf(bytes.subarray(CHECKED_FROM)), 8);
  return bytes;
}

/** What a block of an image is. */
export function identify(bytes: Uint8Array): Seen {
  if (isZero(bytes)) return { kind: 'zero' };
  if (!equalBytes(bytes.subarray(0, 8), MAGIC)) return { kind: 'alien' };
  if (!equalBytes(bytes.subarray(8, 16), checkOf(bytes.subarray(CHECKED_FROM)))) {
    return { kind: 'torn' };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    kind: 'version',
    identity: {
      seed: view.getUint32(16, true),
      client: view.getUint32(20, true),
      block: view.getFloat64(24, true),
      version: view.getFloat64(32, true),
    },
  };
}

/** A step of murmur3's finaliser; never 0, on which xorshift would stand still. */
function mix(value: number): number {
  let state = value;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) | 1;
}
