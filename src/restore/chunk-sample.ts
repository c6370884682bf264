// Which chunks of a disk a check looks at that has not the time for all: pieces of SAMPLE_CHUNKS,
// each drawn for itself, so that a share of a large disk is nearly that. Pure but for the draws.
import type { Random } from '../base/random.js';
import type { ChunkIndex } from '../base/units.js';
import { LEAF_CHUNKS } from '../format/archive-leaf.js';

/** Taken or left together: 1 MiB, some four records. */
export const SAMPLE_CHUNKS = 16;
const STEPS = 1_000_000;

export const everyChunk = (): boolean => true;

/** Of a region of LEAF_CHUNKS; `share`: above 0 and at most 1. */
export function sampleOf(
  region: number,
  share: number,
  random: Random,
): (chunk: ChunkIndex) => boolean {
  if (share >= 1) return everyChunk;
  const draw = (): boolean => random.below(STEPS) < share * STEPS;
  const taken = Array.from({ length: LEAF_CHUNKS / SAMPLE_CHUNKS }, draw);
  return (chunk) => taken[Math.floor((chunk - region * LEAF_CHUNKS) / SAMPLE_CHUNKS)] === true;
}
