// Filling a target that has no point (H29, H43): passes without a cut, digests first, then data
// only where they differ; when a pass leaves little, an ordinary cut and round make the point.
// Pass: take the chunk's mark, read, hash, send. What a guest writes meanwhile is marked again in
// the live map, because the mark precedes the data, and belongs to the next pass: a torn read is
// always of a chunk that is marked again. Nothing is preserved, no guest write waits.
// Interrupted, it starts over and goes on by digests: what arrived is found equal.

import { BufferPool, mapAhead } from '../base/ahead.js';
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import {
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  chunkMask,
  DIGEST_BYTES,
  ID_BYTES,
  MIB,
} from '../base/units.js';
import { zeroDigests } from '../format/digest-table.js';
import type { RoundId } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import { isMediumError } from '../volume/repair.js';
import { fetchDigests, WINDOW_CHUNKS } from './known-digests.js';
import { isUnchanged, Outflow } from './outflow.js';
import { type RoundCounts, RoundError, type RoundParts } from './parts.js';
import { markBlocks } from './send.js';

/** A pass that leaves at most this many chunks is the last one: 64 MiB. */
const LITTLE_CHUNKS = 1024;
/** A pass must leave at most this share of what the one before left, or it was the last. */
const SHRINK_MIN = 0.75;
const PASSES_MAX = 20;
const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 4;
/** What a hole reads as. Never written to. */
const ZEROES = new Uint8Array(CHUNK_BYTES);
/** Of a chunk that is not known (format/digest-table.ts). */
const UNKNOWN_DIGEST = new Uint8Array(DIGEST_BYTES);

/** Runs the passes. Afterwards the target has everything but what the pending and live maps mark,
 * and the table what was sent; the caller runs the round that makes the first point. Returns the id
 * of this first copy, for that round: the target must still have all of it. */
export async function fillByPasses(
  parts: RoundParts,
  target: Target,
  counts: RoundCounts,
  signal: AbortSignal,
): Promise<RoundId> {
  const { volume, slot } = parts;
  const fill = parts.random.bytes(ID_BYTES);
  await parts.table.beginChange();
  // What was marked before is part of the first pass, and not of a second one.
  await checkpoint(parts, signal);
  volume.pending(slot).markAll();
  let left = Number.POSITIVE_INFINITY;
  for (let pass = 0; pass < PASSES_MAX; pass += 1) {
    await runPass(parts, target, counts, signal, { fill, first: pass === 0 });
    await checkpoint(parts, signal);
    const now = volume.pending(slot).count().chunks;
    if (now <= LITTLE_CHUNKS || now >= left * SHRINK_MIN) break;
    left = now;
  }
  return fill;
}

/** Folds the marks of the live map into the pending ones. */
async function checkpoint(parts: RoundParts, signal: AbortSignal): Promise<void> {
  while ((await parts.volume.checkpoint()) === 'busy') {
    if (signal.aborted) throw new RoundError({ code: 'ROUND_STOPPED', target: parts.target });
    await parts.clock.sleep(1000, signal);
  }
}

async function runPass(
  parts: RoundParts,
  target: Target,
  counts: RoundCounts,
  signal: AbortSignal,
  { fill, first }: { readonly fill: RoundId; readonly first: boolean },
): Promise<void> {
  const { state } = parts.resourceFile;
  const pending = parts.volume.pending(parts.slot);
  counts.totalBytes = Math.min(pending.count().chunks * CHUNK_BYTES, state.sizeBytes);
  counts.dirtyBytes = Math.max(counts.dirtyBytes, counts.totalBytes);
  counts.doneBytes = 0;
  const id = first ? fill : parts.random.bytes(ID_BYTES);
  await target.begin({
    kind: 'pass',
    resource: present(state.resource, 'a primary has a resource id'),
    round: id,
    epoch: present(state.epochs.at(-1), 'a primary has an epoch'),
    from: null,
    to: { id, number: 0, timeMs: Math.floor(parts.clock.wallMs()) },
    sizeBytes: state.sizeBytes,
    spaceBytes: 0,
    resumeAt: 0,
    fill,
    again: false,
  });
  const outflow = new Outflow(target, parts.compute);
  const pool = new BufferPool(GROUP_CHUNKS * CHUNK_BYTES);
  const before = outflow.blockBytes + counts.sentBytes;
  const flushed: Flushed = { swaps: -1 };
  try {
    for await (const window of mapAhead(windows(state.sizeBytes), 2, prepare)) {
      const read = (run: Run) => readRun(parts, run, pool);
      const groups = mapAhead(takeRuns(parts, window, flushed), GROUPS_AHEAD, read);
      for await (const group of groups) {
        if (signal.aborted) throw new RoundError({ code: 'ROUND_STOPPED', target: parts.target });
        await sendGroup(parts, outflow, group, window, counts);
        counts.sentBytes = before + outflow.blockBytes;
        if (group.bytes !== null) pool.give(group.bytes);
      }
      // Holes are passed over without one, and who asks this thread for a status waits meanwhile.
      await parts.volume.turn();
    }
    await outflow.finish();
  } catch (error) {
    await outflow.settle();
    throw error;
  }

  async function prepare(window: Omit<Window, 'theirs'>): Promise<Window> {
    if (pending.nextChunk(window.first) >= window.end || pending.nextChunk(window.first) < 0) {
      return { ...window, theirs: null };
    }
    const count = window.end - window.first;
    const theirs = first ? await fetchDigests(target, window.first, count, null) : null;
    return { ...window, theirs };
  }
}

/** 1 GiB of disk and, in the first pass, what the target has there. */
interface Window {
  readonly first: ChunkIndex;
  readonly end: ChunkIndex;
  readonly theirs: Uint8Array | null;
}

function* windows(sizeBytes: number): Generator<Omit<Window, 'theirs'>> {
  const chunks = chunkCount(sizeBytes);
  for (let first = 0; first < chunks; first += WINDOW_CHUNKS) {
    yield { first, end: Math.min(chunks, first + WINDOW_CHUNKS) };
  }
}

/** The pending chunks of a window, their marks taken before any of them is looked at, and only when
 * the disk has been flushed since they came: until then a file system may call what was written a
 * hole (here, extents.ts for guests). A checkpoint in the middle of a pass, of whomever, brings new
 * ones, for the next. A hole is one run, whatever its length: a thin disk takes the time of its
 * content. */
async function* takeRuns(
  { volume, slot, resourceFile }: RoundParts,
  window: Window,
  flushed: Flushed,
): AsyncGenerator<Run> {
  const { device } = volume;
  const { sizeBytes } = resourceFile.state;
  while (volume.swaps !== flushed.swaps) {
    const { swaps } = volume;
    await volume.sync();
    flushed.swaps = swaps;
  }
  for (const { first, end } of volume.pending(slot).take(window.first, window.end)) {
    for (let at = first; at < end; ) {
      const data = Math.min(device.nextData(at * CHUNK_BYTES), sizeBytes);
      const dataAt = data === sizeBytes ? end : Math.min(end, Math.floor(data / CHUNK_BYTES));
      if (dataAt > at) yield { first: at, count: dataAt - at, hole: true };
      at = dataAt;
      if (at === end) break;
      const hole = Math.ceil(device.nextHole(data) / CHUNK_BYTES);
      const count = Math.min(GROUP_CHUNKS, Math.max(1, Math.min(end, hole) - at));
      yield { first: at, count, hole: false };
      at += count;
    }
  }
}

/** Live map swaps as of before the last flush: what was marked then is on the disk. */
interface Flushed {
  swaps: number;
}

/** Chunks whose marks were taken. */
interface Run {
  readonly first: ChunkIndex;
  readonly count: number;
  readonly hole: boolean;
}

interface ReadGroup {
  readonly first: ChunkIndex;
  readonly count: number;
  /** Of the chunks, one after the other; null: a hole, nothing was read. */
  readonly bytes: Uint8Array | null;
  readonly digests: Uint8Array;
}

async function readRun(parts: RoundParts, run: Run, pool: BufferPool): Promise<ReadGroup> {
  const { sizeBytes } = parts.resourceFile.state;
  const { first, count } = run;
  if (run.hole) return { first, count, bytes: null, digests: zeroDigests(first, count, sizeBytes) };
  const bytes = pool.take();
  const offset = first * CHUNK_BYTES;
  const length = Math.min(count * CHUNK_BYTES, sizeBytes - offset);
  try {
    await parts.volume.device.readAside(offset, bytes.subarray(0, length));
  } catch (error) {
    if (!isMediumError(error)) throw error;
    leaveToRound(parts, run);
    return { first, count: 0, bytes, digests: new Uint8Array(0) };
  }
  const lengths = Array.from({ length: count }, (_, at) => chunkLength(first + at, sizeBytes));
  return { first, count, bytes, digests: await parts.compute.digests(bytes, lengths) };
}

/** A group with a chunk that cannot be read is marked again: the round at the end of the passes
 * reads it block by block (H21). */
function leaveToRound(parts: RoundParts, { first, count }: Run): void {
  const { sizeBytes } = parts.resourceFile.state;
  for (let chunk = first; chunk < first + count; chunk += 1) {
    markBlocks(parts, chunk, chunkMask(chunk, sizeBytes));
    // What the table says of it is of an earlier life of the target, if anything (H7).
    parts.table.set(chunk, UNKNOWN_DIGEST);
  }
}

async function sendGroup(
  parts: RoundParts,
  outflow: Outflow,
  { first, count, bytes, digests }: ReadGroup,
  window: Window,
  counts: RoundCounts,
): Promise<void> {
  const { sizeBytes } = parts.resourceFile.state;
  const from = (first - window.first) * DIGEST_BYTES;
  const theirs =
    window.theirs?.subarray(from, from + digests.length) ?? parts.table.range(first, count);
  const length = Math.min(count * CHUNK_BYTES, sizeBytes - first * CHUNK_BYTES);
  if (bytes !== null) counts.readBytes += length;
  if (equalBytes(digests, theirs)) counts.skippedBytes += length;
  else {
    for (let at = 0; at < count; at += 1) await sendChunk(at);
  }
  counts.doneBytes += length;
  parts.table.setRun(first, digests);

  async function sendChunk(at: number): Promise<void> {
    const chunk = first + at;
    const [start, chunkBytes] = [at * CHUNK_BYTES, chunkLength(chunk, sizeBytes)];
    const digest = digests.slice(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
    if (isUnchanged(digest, theirs.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES))) {
      counts.skippedBytes += chunkBytes;
      return;
    }
    const content = bytes?.subarray(start, start + chunkBytes) ?? ZEROES.subarray(0, chunkBytes);
    await outflow.add(chunk, chunkMask(chunk, sizeBytes), digest, content);
  }
}
