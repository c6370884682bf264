// Wanted chunks laid together from the frames that have their blocks, fetched for that, and checked
// against their digests (Q1).

import { isWhole, layFrame, recordId, usesOf, type Wanted } from '../archive/laying.js';
import type { NameOf } from '../archive/tree.js';
import { present } from '../base/assert.js';
import type { ChunkIndex } from '../base/units.js';
import type { BadRecord, Frames, OpenFrame } from './frames.js';

/** A chunk that is not as its point says. */
export interface BadChunk {
  readonly wanted: Wanted;
  /** Records of it that are damaged or missing; none: its content has another digest. */
  readonly records: readonly BadRecord[];
}

/**
 * Fills in the content of all that are wanted, and returns those that are damaged; without
 * `survey` a damaged or missing record is an error, as of `Frames.each`. `end`: chunks from there
 * on may be wanted later.
 */
export async function layChunks(
  frames: Frames,
  nameOf: NameOf,
  wanted: readonly Wanted[],
  end: ChunkIndex,
  survey: boolean,
): Promise<readonly BadChunk[]> {
  const uses = usesOf(wanted);
  const records = [...uses.values()].map(({ record }) => record);
  const bad = new Map<string, BadRecord>();
  const use = (open: OpenFrame): void =>
    layFrame(open, present(uses.get(recordId(open.record)), 'only these were asked for').uses);
  const note = (found: BadRecord): void => void bad.set(recordId(found.record), found);
  await frames.each(records, end, nameOf, use, survey ? note : null);
  const damaged: BadChunk[] = [];
  for (const one of wanted) {
    const records = one.entry.pieces.flatMap(({ place }) => {
      const found = place === null ? undefined : bad.get(recordId(place));
      return found === undefined ? [] : [found];
    });
    if (records.length > 0 || !isWhole(one)) damaged.push({ wanted: one, records });
  }
  return damaged;
}
