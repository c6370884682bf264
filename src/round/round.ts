// One round of one target: the sender's ladder of RULES.md §1, step by step. Each numbered comment
// is a step and a crash point; any error leaves the bits set (D1), an unknown answer leaves
// `proposed` set for the next contact (H23). What a guest waits for is never in here (W4).
import type { Moves } from '../archive/repack.js';
import { assert, present } from '../base/assert.js';
import { codeOf, describeError } from '../base/errors.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkCount, chunkMask, ID_BYTES } from '../base/units.js';
import { INDEX_ENTRY_BYTES } from '../format/changeset-index.js';
import { RECORD_BYTES } from '../format/frame-header.js';
import { EMPTY_TARGET } from '../format/resource-state.js';
import type { PointRef, RoundId } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import { ChunkSet } from '../tracking/chunk-set.js';
import { CUT_TIMEOUT_MS, type FrozenSet } from '../volume/volume.js';
import { recordOf, setPoint } from './contact.js';
import { type RoundCounts, RoundError, type RoundParts, spillFull } from './parts.js';
import { markBlocks, Sending } from './send.js';

const CUT_TRIES_MAX = 10;
/** Room for headers, trailer and rounding in the space a round asks for. */
const SPACE_SLACK_BYTES = 1024 * 1024;

export interface RoundResult {
  readonly point: PointRef;
  readonly counts: RoundCounts;
  readonly beganMs: number;
  readonly endedMs: number;
}

/** Runs a round to its end. `fill`: what fillByPasses returned, for the round that makes a first
 * point. The target has been contacted and answers 'ready', or is filled up to
 * its first point. Rejects with RoundError, TargetError, FilesError or DiskError. */
export async function runRound(
  parts: RoundParts,
  target: Target,
  counts: RoundCounts,
  signal: AbortSignal,
  fill: RoundId | null = null,
): Promise<RoundResult> {
  const { volume, resourceFile } = parts;
  const { name } = resourceFile.state;
  if (volume.suspect) throw new RoundError({ code: 'ROUND_SUSPECT', resource: name });
  const from = recordOf(resourceFile, parts.target).point;
  const done = stepTimes(parts);
  // What a suspect target doubts is dirty for it, before the cut (H28).
  const forced = await takeDoubts(parts, target, from, counts);
  const moved = await takeMoves(parts, target, from);
  // 1. Reserve.
  const reserved = await reserve(parts, from);
  // 2. Cut.
  const frozen = await cut(parts, name, signal);
  done('cut');
  let ended = false;
  try {
    // 3. Checkpoint.
    await parts.dirty.publishAll();
    done('checkpoint');
    // 4. Harden, beside the sending.
    const hardened = harden(parts);
    const to: PointRef = { ...reserved, timeMs: Math.floor(frozen.endedMs) };
    // 5. Send.
    const sending = new Sending(parts, target, { frozen, from, forced, moved, counts, signal });
    await begin(parts, target, frozen, { from, to, fill }, counts);
    let sent = await sending.all();
    counts.staged = true;
    done('send');
    // What a guest's fdatasync has failed to write the one after the cut calls clean (H18).
    const isHard = (await hardened) && !volume.suspect;
    if (!isHard) throw new RoundError({ code: 'ROUND_HARDEN_FAILED', resource: name });
    if (frozen.failed) throw spillFull(parts);
    done('harden');
    // 6. Ask for commit.
    for (;;) {
      const damaged = sending.damage.named;
      const consistency = sending.damage.count > 0 ? ('damaged' as const) : ('crash' as const);
      const commit = { round: to.id, from, to, ...sent, consistency, damaged };
      const answer = await target.commit(commit);
      if (answer.outcome === 'refused') throw refused(parts, answer);
      if (answer.outcome === 'committed') break;
      sent = await sending.again();
      if (frozen.failed) throw spillFull(parts);
    }
    done('commit');
    // 7. Table.
    await parts.table.beginChange();
    await parts.entries.replay((chunk, digest) => parts.table.set(chunk, digest));
    await parts.table.finishChange(to);
    // 8. Publish.
    await setPoint(parts, to, counts);
    // 9. Drop; not once an fdatasync has failed, of whomever: those after it succeed (H18).
    const isSafe = !volume.suspect;
    if (isSafe) await parts.dirty.drop(parts.slot, frozen);
    ended = isSafe;
    done('drop');
    return { point: to, counts, beganMs: frozen.beganMs, endedMs: frozen.endedMs };
  } catch (error) {
    if (codeOf(error) !== 'TARGET_LOST') await target.abandon(reserved.id).catch(() => undefined);
    throw error;
  } finally {
    if (!ended) await parts.dirty.merge(frozen);
  }
}

/** Logs, with -d, how long each step took after the one before. */
function stepTimes(parts: RoundParts): (step: string) => void {
  let lastMs = parts.clock.monotonicMs();
  return (step) => {
    const nowMs = parts.clock.monotonicMs();
    parts.log.debug('ladder step', { step, ms: Math.round(nowMs - lastMs) });
    lastMs = nowMs;
  };
}

/** Step 1: id and number are durable before anything leaves. */
async function reserve(parts: RoundParts, from: PointRef | null): Promise<PointRef> {
  const id = parts.random.bytes(ID_BYTES);
  const timeMs = Math.floor(parts.clock.wallMs());
  let point: PointRef = { id, number: 0, timeMs };
  await parts.resourceFile.update((state) => {
    point = { id, number: state.nextPoint, timeMs };
    const record = state.targets[parts.target] ?? EMPTY_TARGET;
    const targets = { ...state.targets, [parts.target]: { ...record, proposed: { point, from } } };
    return { ...state, nextPoint: state.nextPoint + 1, targets };
  });
  return point;
}

async function cut(parts: RoundParts, resource: string, signal: AbortSignal): Promise<FrozenSet> {
  for (let tries = 0; tries < CUT_TRIES_MAX; tries += 1) {
    if (signal.aborted) throw new RoundError({ code: 'ROUND_STOPPED', target: parts.target });
    const frozen = await parts.volume.cut(parts.slot);
    if (frozen !== 'busy') return frozen;
    await parts.clock.sleep(CUT_TIMEOUT_MS, signal);
  }
  // Each try, and the pause after it.
  const seconds = (2 * CUT_TRIES_MAX * CUT_TIMEOUT_MS) / 1000;
  throw new RoundError({ code: 'ROUND_CUT_BUSY', resource, seconds });
}

/** Step 4 (H6): an fdatasync that began after the cut. False: it failed. */
async function harden(parts: RoundParts): Promise<boolean> {
  try {
    await parts.volume.sync();
    return true;
  } catch (error) {
    parts.log.error('fdatasync of the local disk failed', { why: describeError(error) });
    return false;
  }
}

async function begin(
  parts: RoundParts,
  target: Target,
  frozen: FrozenSet,
  { fill, ...points }: { from: PointRef | null; to: PointRef; fill: RoundId | null },
  counts: RoundCounts,
): Promise<void> {
  assert((points.from === null) === (fill !== null), 'a first point is made of its passes');
  const { state } = parts.resourceFile;
  const dirty = frozen.map.count();
  const dirtyBytes = Math.min(dirty.blocks * BLOCK_BYTES, state.sizeBytes);
  counts.dirtyBytes = Math.max(counts.dirtyBytes, dirtyBytes);
  counts.totalBytes = Math.min(dirty.chunks * CHUNK_BYTES, state.sizeBytes);
  counts.doneBytes = 0;
  await target.begin({
    kind: 'round',
    resource: present(state.resource, 'a primary has a resource id'),
    round: points.to.id,
    epoch: present(state.epochs.at(-1), 'a primary has an epoch'),
    ...points,
    sizeBytes: state.sizeBytes,
    spaceBytes: spaceOf(dirty, state.sizeBytes),
    resumeAt: 0,
    fill,
    again: false,
  });
}

/** Most bytes that a round of so much dirt may need at the target: staged, and as undo (H29). */
export function spaceOf(dirty: { blocks: number; chunks: number }, sizeBytes: number): number {
  const dirtyBytes = Math.min(dirty.blocks * BLOCK_BYTES, sizeBytes);
  const perChunk = RECORD_BYTES + INDEX_ENTRY_BYTES;
  return 2 * (dirtyBytes + dirty.chunks * perChunk) + SPACE_SLACK_BYTES;
}

/** Marks what a suspect target must have whole; its other chunks are as its table says (H28). */
async function takeDoubts(
  parts: RoundParts,
  target: Target,
  from: PointRef | null,
  counts: RoundCounts,
): Promise<ChunkSet> {
  const { sizeBytes } = parts.resourceFile.state;
  const forced = new ChunkSet(sizeBytes);
  if (!target.state.suspect || from === null) return forced;
  const chunks = chunkCount(sizeBytes);
  for (let first = 0; ; ) {
    const answer = await target.doubts(first);
    for (const chunk of answer.chunks) {
      if (chunk >= chunks) continue;
      markBlocks(parts, chunk, chunkMask(chunk, sizeBytes));
      forced.add(chunk);
    }
    const last = answer.chunks.at(-1);
    if (answer.complete || last === undefined || last < first) break;
    first = last + 1;
  }
  counts.driftChunks += forced.count;
  parts.log.warn('the target is suspect; what it doubts is sent whole', { chunks: forced.count });
  return forced;
}

/** Marks what a target wants elsewhere though it did not change (a repack of an archive). */
async function takeMoves(
  parts: RoundParts,
  target: Target,
  from: PointRef | null,
): Promise<ChunkSet> {
  const { sizeBytes } = parts.resourceFile.state;
  const moved = new ChunkSet(sizeBytes);
  if (target.state.moves !== true || target.moves === undefined || from === null) return moved;
  const chunks = chunkCount(sizeBytes);
  for (let first: number | null = 0; first !== null; ) {
    const answer: Moves = await target.moves(first);
    for (const { chunk, mask } of answer.moves) {
      if (chunk >= chunks) continue;
      markBlocks(parts, chunk, mask);
      moved.add(chunk);
    }
    first = answer.next;
  }
  parts.log.info('blocks of a repack are sent again', { chunks: moved.count });
  return moved;
}

const refused = (parts: RoundParts, answer: { reason: string; text: string }) =>
  new RoundError({
    code: 'ROUND_REFUSED',
    target: parts.target,
    reason: answer.reason,
    text: answer.text,
  });
