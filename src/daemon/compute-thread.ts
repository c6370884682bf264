// Entry of a compute worker: packs and seals frames. Stateless but for one compressor for each
// setting (DESIGN.md §4, compute workers).
import { type FrameFacts, sealFrame } from '../format/frame-header.js';
import { type Compression, type Pack, packer } from '../format/pack.js';

export interface ComputeTask {
  readonly facts: FrameFacts;
  readonly raw: Uint8Array;
  readonly compression: Compression;
}

const packs = new Map<string, Pack>();

function packFor(compression: Compression): Pack {
  const key = JSON.stringify(compression);
  const pack = packs.get(key) ?? packer(compression);
  packs.set(key, pack);
  return pack;
}

export default function compute(task: ComputeTask): Uint8Array {
  return sealFrame(task.facts, packFor(task.compression)(task.raw));
}
