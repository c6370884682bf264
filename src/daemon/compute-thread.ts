// Entry of a compute worker: digests of chunks that lie in shared memory, packing and sealing of
// frames. Stateless but for one compressor (DESIGN.md §4, compute workers).
import { chunkDigests } from '../format/compute.js';
import { type FrameFacts, sealFrame } from '../format/frame-header.js';
import { type Compression, type Pack, packer } from '../format/pack.js';

export type ComputeTask =
  | { readonly kind: 'digests'; readonly bytes: Uint8Array; readonly lengths: readonly number[] }
  | {
      readonly kind: 'frame';
      readonly facts: FrameFacts;
      readonly raw: Uint8Array;
      readonly compression: Compression;
    };

const packs = new Map<string, Pack>();

function packFor(compression: Compression): Pack {
  const key = JSON.stringify(compression);
  const pack = packs.get(key) ?? packer(compression);
  packs.set(key, pack);
  return pack;
}

export default function compute(task: ComputeTask): Uint8Array {
  if (task.kind === 'digests') return chunkDigests(task.bytes, task.lengths);
  return sealFrame(task.facts, packFor(task.compression)(task.raw));
}
