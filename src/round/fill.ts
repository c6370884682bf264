// Filling a target that has no point (H29, H43): passes without a cut, digests first, then data
// only where they differ; when a pass leaves little, an ordinary cut and round make the point.
// Pass: take the chunk's mark, read, hash, send. What a guest writes meanwhile is marked again in
// the live map, because the mark precedes the data, and belongs to the next pass: a torn read is
// always of a chunk that is marked again. Nothing is preserved, no guest write waits.
// Interrupted, it starts over and goes on by digests: what arrived is found equal.

import { BufferPool, mapAhead } from '../base/ahead.js';
import { present } from '../base/assert.js';
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
import { zeroDigest } from '../format/digest-table.js';
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
      const read = (chunks: readonly ChunkIndex[]) => readGroup(parts, chunks, pool.take());
      const groups = mapAhead(takeGroups(parts, window, flushed), GROUPS_AHEAD, read);
      for await (const group of groups) {
        if (signal.aborted) throw new RoundError({ code: 'ROUND_STOPPED', target: parts.target });
        await sendGroup(parts, outflow, group, window, counts);
        counts.sentBytes = before + outflow.blockBytes;
        pool.give(group.bytes);
      }
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

/** Consecutive pending chunks of a window, their marks taken just before they are handed out, and
 * only when the disk has been flushed since they came: until then a file system may call what was
 * written a hole (readGroup here, extents.ts for guests). A checkpoint in the middle of a pass, of
 * whomever, brings new ones. */
async function* takeGroups(
  { volume, slot }: RoundParts,
  window: Window,
  flushed: Flushed,
): AsyncGenerator<readonly ChunkIndex[]> {
  const pending = volume.pending(slot);
  let chunk = window.first;
  for (;;) {
    while (volume.swaps !== flushed.swaps) {
      const { swaps } = volume;
      await volume.sync();
      flushed.swaps = swaps;
    }
    chunk = pending.nextChunk(chunk);
    if (chunk < 0 || chunk >= window.end) return;
    const group: ChunkIndex[] = [];
    while (group.length < GROUP_CHUNKS && chunk < window.end && pending.chunkMask(chunk) !== 0) {
      group.push(chunk);
      pending.clearChunk(chunk);
      chunk += 1;
    }
    yield group;
  }
}

/** Live map swaps as of before the last flush: what was marked then is on the disk. */
interface Flushed {
  swaps: number;
}

interface ReadGroup {
  readonly chunks: readonly ChunkIndex[];
  readonly bytes: Uint8Array;
  readonly digests: Uint8Array;
  /** False: a hole, nothing was read and `bytes` is arbitrary. */
  readonly data: boolean;
}

async function readGroup(
  parts: RoundParts,
  chunks: readonly ChunkIndex[],
  bytes: Uint8Array,
): Promise<ReadGroup> {
  const { sizeBytes } = parts.resourceFile.state;
  const lengths = chunks.map((chunk) => chunkLength(chunk, sizeBytes));
  const offset = (chunks[0] ?? 0) * CHUNK_BYTES;
  const length = lengths.reduce((sum, each) => sum + each, 0);
  if (parts.volume.device.nextData(offset) >= offset + length) {
    const digests = new Uint8Array(chunks.length * DIGEST_BYTES);
    lengths.forEach((each, at) => {
      digests.set(zeroDigest(each), at * DIGEST_BYTES);
    });
    return { chunks, bytes, digests, data: false };
  }
  try {
    await parts.volume.device.readAside(offset, bytes.subarray(0, length));
  } catch (error) {
    if (!isMediumError(error)) throw error;
    return leaveToRound(parts, chunks, bytes);
  }
  const digests = await parts.compute.digests(bytes, lengths);
  return { chunks, bytes, digests, data: true };
}

/** A group with a chunk that cannot be read is marked again: the round at the end of the passes
 * reads it block by block (H21). */
function leaveToRound(
  parts: RoundParts,
  chunks: readonly ChunkIndex[],
  bytes: Uint8Array,
): ReadGroup {
  const { sizeBytes } = parts.resourceFile.state;
  for (const chunk of chunks) {
    markBlocks(parts, chunk, chunkMask(chunk, sizeBytes));
    // What the table says of it is of an earlier life of the target, if anything (H7).
    parts.table.set(chunk, UNKNOWN_DIGEST);
  }
  return { chunks: [], bytes, digests: new Uint8Array(0), data: false };
}

async function sendGroup(
  parts: RoundParts,
  outflow: Outflow,
  group: ReadGroup,
  window: Window,
  counts: RoundCounts,
): Promise<void> {
  const { sizeBytes } = parts.resourceFile.state;
  for (let at = 0; at < group.chunks.length; at += 1) {
    const chunk = group.chunks[at] ?? 0;
    const length = chunkLength(chunk, sizeBytes);
    const digest = group.digests.slice(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
    counts.doneBytes += length;
    if (group.data) counts.readBytes += length;
    const place = (chunk - window.first) * DIGEST_BYTES;
    const theirs =
      window.theirs === null
        ? parts.table.get(chunk)
        : window.theirs.subarray(place, place + DIGEST_BYTES);
    if (isUnchanged(digest, theirs)) counts.skippedBytes += length;
    else {
      const start = at * CHUNK_BYTES;
      const bytes = group.data
        ? group.bytes.subarray(start, start + length)
        : new Uint8Array(length);
      await outflow.add(chunk, chunkMask(chunk, sizeBytes), digest, bytes);
    }
    parts.table.set(chunk, digest);
  }
}
