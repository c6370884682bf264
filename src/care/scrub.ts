// The background pass over clean chunks of the primary (H12): the disk, read past the page cache,
// against the digest table of every target. It is the only witness of a write that left no mark. A
// difference is marked for that target, whole, so that its next round sends the chunk.
//
// Proof that no write is taken for a difference. A chunk is compared for a target only if, before
// it was read and after it, both times between cuts, no map of that target and no live map has a
// mark in it, and if the live maps were not swapped meanwhile. A section marks the live map
// before its I/O, and a mark leaves the live map by a swap alone: so no section wrote between the
// two looks. A mark that was dropped before the first look was dropped by a round or a settling
// that had made the table true for the content; that the table is true for the target's point
// (`trusted`) is asked before and after, and it must name the same point.
// Repair (H20) marks nothing, but writes what the table says.
//
// What is due and when is decided apart from the reading: scrubDue. Sizes are bytes.
import { equalBytes } from '../base/digest.js';
import type { HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import {
  BLOCKS_PER_CHUNK,
  blockCount,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  DIGEST_BYTES,
} from '../base/units.js';
import { DiskError } from '../disk/device.js';
import type { Compute } from '../format/compute.js';
import { zeroDigest } from '../format/digest-table.js';
import { sameId } from '../lineage/lineage.js';
import type { DigestTable } from '../tracking/digest-table.js';
import type { Volume } from '../volume/volume.js';

/** Chunks read and compared together: 1 MiB. */
export const SCRUB_GROUP_CHUNKS = 16;
const DAY_MS = 86_400_000;

export interface ScrubTarget {
  readonly target: string;
  readonly slot: number;
  readonly table: Pick<DigestTable, 'get' | 'point'>;
  /** The table's point is the one recorded for the target, and no proposed round is unsettled. */
  readonly trusted: () => boolean;
}

export interface ScrubParts {
  readonly volume: Volume;
  readonly compute: Pick<Compute, 'digests'>;
  readonly targets: readonly ScrubTarget[];
  readonly log: Log;
}

export interface ScrubStep {
  /** Where the next step begins: the number of chunks when the pass is over, the chunk of this
   * step's beginning when nothing could be said (no target is trusted, or a cut came between). */
  readonly next: ChunkIndex;
  /** Chunks compared with one target or more; the others were dirty, or unknown to the tables. */
  readonly comparedChunks: number;
  readonly readBytes: number;
  /** Differences, marked already. TARGET.dirty is not published. */
  readonly untracked: readonly { readonly slot: number; readonly chunk: ChunkIndex }[];
  readonly unreadable: readonly { readonly chunk: ChunkIndex; readonly error: HastError }[];
}

interface Outcome {
  comparedChunks: number;
  readBytes: number;
  readonly untracked: { readonly slot: number; readonly chunk: ChunkIndex }[];
  readonly unreadable: { readonly chunk: ChunkIndex; readonly error: HastError }[];
}

/** A target while a group of chunks is looked at. */
interface Witness {
  readonly target: ScrubTarget;
  /** Id of the point that its table was true for. */
  readonly point: Uint8Array;
}

/** A chunk, and for whom it was clean when it was about to be read. */
interface Candidate {
  readonly chunk: ChunkIndex;
  readonly witnesses: readonly Witness[];
}

/**
 * Compares chunks from..from+count-1 as far as they exist, a group at a time, until `signal` is
 * aborted. Errors of the disk are returned; others reject.
 */
export async function scrubStep(
  parts: ScrubParts,
  from: ChunkIndex,
  count: number,
  signal: AbortSignal,
): Promise<ScrubStep> {
  const end = Math.min(from + count, chunkCount(parts.volume.device.sizeBytes));
  const outcome: Outcome = { comparedChunks: 0, readBytes: 0, untracked: [], unreadable: [] };
  let next = from;
  while (next < end && !signal.aborted) {
    const groupEnd = Math.min(next + SCRUB_GROUP_CHUNKS, end);
    if (!(await scrubGroup(parts, next, groupEnd, outcome))) break;
    next = groupEnd;
  }
  return { next, ...outcome };
}

/** False: nothing can be said of this group now. */
async function scrubGroup(
  parts: ScrubParts,
  first: ChunkIndex,
  end: ChunkIndex,
  outcome: Outcome,
): Promise<boolean> {
  const { volume } = parts;
  const { swaps, candidates } = await volume.betweenCuts(async () => ({
    swaps: volume.swaps,
    candidates: candidatesOf(parts, first, end),
  }));
  if (candidates === null) return false;
  if (candidates.length === 0) return true;
  const digests = await digestsOf(parts, candidates, outcome);
  return volume.betweenCuts(async () => {
    if (volume.swaps !== swaps || volume.suspect) return false;
    for (const candidate of candidates) {
      const digest = digests.get(candidate.chunk);
      if (digest !== undefined) judge(parts, candidate, digest, outcome);
    }
    return true;
  });
}

/** Null: nobody to compare with. */
function candidatesOf(
  { volume, targets }: ScrubParts,
  first: ChunkIndex,
  end: ChunkIndex,
): readonly Candidate[] | null {
  const witnesses = targets.flatMap((target) => {
    const { point } = target.table;
    return point !== null && target.trusted() ? [{ target, point: point.id }] : [];
  });
  if (witnesses.length === 0 || volume.suspect) return null;
  const candidates: Candidate[] = [];
  for (let chunk = first; chunk < end; chunk += 1) {
    const clean = witnesses.filter((witness) => isClean(volume, witness, chunk));
    if (clean.length > 0) candidates.push({ chunk, witnesses: clean });
  }
  return candidates;
}

function isClean(volume: Volume, { target }: Witness, chunk: ChunkIndex): boolean {
  const first = chunk * BLOCKS_PER_CHUNK;
  return !volume.isDirty(target.slot, first, first + BLOCKS_PER_CHUNK - 1);
}

/** Digests of what the medium holds, of the chunks that could be read. A hole is not read. */
async function digestsOf(
  parts: ScrubParts,
  candidates: readonly Candidate[],
  outcome: Outcome,
): Promise<ReadonlyMap<ChunkIndex, Uint8Array>> {
  const { device } = parts.volume;
  const digests = new Map<ChunkIndex, Uint8Array>();
  const full: ChunkIndex[] = [];
  for (const { chunk } of candidates) {
    const length = chunkLength(chunk, device.sizeBytes);
    const offset = chunk * CHUNK_BYTES;
    if (device.nextData(offset) >= offset + length) digests.set(chunk, zeroDigest(length));
    else full.push(chunk);
  }
  if (full.length === 0) return digests;
  // In shared memory, so that compute workers can look at it.
  const bytes = new Uint8Array(new SharedArrayBuffer(full.length * CHUNK_BYTES));
  const lengths = full.map((chunk) => chunkLength(chunk, device.sizeBytes));
  const unread = new Set<ChunkIndex>();
  await Promise.all(
    full.map(async (chunk, at) => {
      const start = at * CHUNK_BYTES;
      const into = bytes.subarray(start, start + (lengths[at] ?? 0));
      try {
        await device.readMedium(chunk * CHUNK_BYTES, into);
        outcome.readBytes += into.length;
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        unread.add(chunk);
        outcome.unreadable.push({ chunk, error });
      }
    }),
  );
  const made = await parts.compute.digests(bytes, lengths);
  full.forEach((chunk, at) => {
    if (unread.has(chunk)) return;
    digests.set(chunk, made.slice(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES));
  });
  return digests;
}

/** Between cuts, after the read. */
function judge(
  parts: ScrubParts,
  { chunk, witnesses }: Candidate,
  digest: Uint8Array,
  outcome: Outcome,
): void {
  const { volume, log } = parts;
  let compared = false;
  for (const witness of witnesses) {
    const { target, slot, table, trusted } = witness.target;
    const samePoint = sameId(table.point?.id ?? null, witness.point) && trusted();
    if (!samePoint || !isClean(volume, witness, chunk)) continue;
    const known = table.get(chunk);
    if (known === null) continue; // the next round gives it a digest, or a settling does
    compared = true;
    if (equalBytes(known, digest)) continue;
    const first = chunk * BLOCKS_PER_CHUNK;
    const last = Math.min(first + BLOCKS_PER_CHUNK, blockCount(volume.device.sizeBytes)) - 1;
    volume.pending(slot).mark(first, last);
    outcome.untracked.push({ slot, chunk });
    log.warn('a chunk differs from its digest though nothing was written', {
      target,
      offset: chunk * CHUNK_BYTES,
    });
  }
  if (compared) outcome.comparedChunks += 1;
}

export interface ScrubDue {
  /** To be looked at now; often 0. */
  readonly chunks: number;
  /** To be handed to the next call: what the time so far was worth beyond that. */
  readonly owed: number;
}

/**
 * How many chunks are due `elapsedMs` after the last call, at `share` of the disk a day (0.01: in a
 * hundred days all of it). Called every second it gives a group at most, or what a very large disk
 * needs in two seconds; time in which nobody called is not made up for.
 */
export function scrubDue(
  share: number,
  sizeBytes: number,
  elapsedMs: number,
  owed: number,
): ScrubDue {
  const chunksPerMs = (chunkCount(sizeBytes) * share) / DAY_MS;
  const chunksMax = Math.max(SCRUB_GROUP_CHUNKS, Math.ceil(chunksPerMs * 2000));
  const total = Math.min(chunksMax + 1, owed + chunksPerMs * Math.max(0, elapsedMs));
  const chunks = Math.min(chunksMax, Math.floor(total));
  return { chunks, owed: total - chunks };
}
