// H20, the round thread's part: the content of a chunk that the local disk cannot read, from a
// target. Only from one that is connected, stands exactly at the point of its digest table, and for
// which none of the wanted blocks is dirty; and only if the whole chunk has the table's digest. It
// is written back here, under the closed gate (Volume.writeBack).
import type { Clock } from '../base/clock.js';
import { within } from '../base/clock.js';
import { digestOf, equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import { BLOCKS_PER_CHUNK, type ChunkIndex } from '../base/units.js';
import type { RoundParts } from '../round/parts.js';
import type { Target } from '../target/target.js';

/** Then the guest gets its error (H20). */
export const REPAIR_MS_MAX = 5000;

/** A target as it is connected now. */
export interface RepairSource {
  readonly round: Pick<RoundParts, 'target' | 'slot' | 'table' | 'volume' | 'log'>;
  readonly target: Pick<Target, 'chunk'>;
}

/** Asks one target after another, within REPAIR_MS_MAX in all; null: none can give it. */
export async function repairChunk(
  sources: readonly RepairSource[],
  chunk: ChunkIndex,
  mask: number,
  clock: Clock,
): Promise<Uint8Array | null> {
  const answer = await within(clock, REPAIR_MS_MAX, firstOf(sources, chunk, mask));
  return answer === 'timeout' ? null : answer.value;
}

async function firstOf(sources: readonly RepairSource[], chunk: ChunkIndex, mask: number) {
  for (const source of sources) {
    const bytes = await fetchFrom(source, chunk, mask).catch((error: unknown) => {
      source.round.log.warn('a chunk could not be fetched', { chunk, why: describeError(error) });
      return null;
    });
    if (bytes !== null) return bytes;
  }
  return null;
}

async function fetchFrom(
  { round, target }: RepairSource,
  chunk: ChunkIndex,
  mask: number,
): Promise<Uint8Array | null> {
  const { table, volume, log } = round;
  // No cut moves marks between the look and the count of cuts that goes with it.
  const found = await volume.betweenCuts(async () => {
    const { point } = table;
    const known = table.get(chunk);
    if (point === null || known === null || isAnyDirty(round, chunk, mask)) return null;
    // A view that the next question to the table overwrites.
    return { point, digest: known.slice(), swaps: volume.swaps };
  });
  if (found === null) return null;
  const { point, digest, swaps } = found;
  const bytes = await target.chunk(chunk, point);
  if (bytes === null) return null;
  if (equalBytes(digestOf(bytes), digest)) {
    log.warn('a chunk that cannot be read here was fetched from the target', { chunk });
    // The guest does not wait for it.
    volume.writeBack(round.slot, chunk, mask, bytes, swaps).catch((error: unknown) => {
      log.error('it could not be written back', { chunk, why: describeError(error) });
    });
    return bytes;
  }
  log.error('the target sent another content of a chunk than its digest', { chunk });
  return null;
}

function isAnyDirty(
  { volume, slot }: RepairSource['round'],
  chunk: ChunkIndex,
  mask: number,
): boolean {
  for (let at = 0; at < BLOCKS_PER_CHUNK; at += 1) {
    const block = chunk * BLOCKS_PER_CHUNK + at;
    if (mask & (1 << at) && volume.isDirty(slot, block, block)) return true;
  }
  return false;
}
