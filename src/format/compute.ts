// The work that costs processor time and touches no state: digests of chunks, sealing of frames.
// A round hands it to compute workers; under the simulator it runs in the calling thread.
import { digestOf } from '../base/digest.js';
import { CHUNK_BYTES, DIGEST_BYTES } from '../base/units.js';
import type { FrameEntry } from './changeset.js';
import { frameBody } from './frame.js';
import { sealFrame } from './frame-header.js';
import type { Pack } from './pack.js';

export interface Compute {
  /** Digests, 16 bytes each, of the chunks that stand at multiples of 64 KiB in `bytes`;
   * `lengths` are their byte lengths. `bytes` is left alone until it resolves. */
  digests(bytes: Uint8Array, lengths: readonly number[]): Promise<Uint8Array>;
  /** An encoded frame; `blocks` as Frame.blocks, not used after the call returns. */
  frame(
    number: number,
    entries: readonly FrameEntry[],
    blocks: readonly Uint8Array[],
  ): Promise<Uint8Array>;
}

/** Digests of consecutive chunks, in the calling thread. */
export function chunkDigests(bytes: Uint8Array, lengths: readonly number[]): Uint8Array {
  const digests = new Uint8Array(lengths.length * DIGEST_BYTES);
  lengths.forEach((length, at) => {
    const start = at * CHUNK_BYTES;
    digests.set(digestOf(bytes.subarray(start, start + length)), at * DIGEST_BYTES);
  });
  return digests;
}

/** Everything in the calling thread. */
export const inlineCompute = (pack: Pack): Compute => ({
  digests: async (bytes, lengths) => chunkDigests(bytes, lengths),
  frame: async (number, entries, blocks) => {
    const { facts, raw } = frameBody(number, entries, blocks);
    return sealFrame(facts, pack(raw));
  },
});
