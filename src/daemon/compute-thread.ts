// Entry of a compute worker: packs and seals frames. Stateless but for one compressor for each
// setting (DESIGN.md §4, compute workers).
import { move } from 'piscina';
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

export default function compute(task: ComputeTask): ReturnType<typeof move> {
  const frame = sealFrame(task.facts, packFor(task.compression)(task.raw));
  return move(frame.buffer as ArrayBuffer);
}
