// One round of one target: the sender's ladder of RULES.md §1, step by step. Each numbered comment
// is a step and a crash point; any error leaves the bits set (D1), an unknown answer leaves
// `proposed` set for the next contact (H23). What a guest waits for is never in here (W4).
import { present } from '../base/assert.js';
import { codeOf, describeError } from '../base/errors.js';
import { BLOCK_BYTES, CHUNK_BYTES, ID_BYTES } from '../base/units.js';
import { INDEX_ENTRY_BYTES } from '../format/changeset-index.js';
import { RECORD_BYTES } from '../format/frame-header.js';
import { EMPTY_TARGET } from '../format/resource-state.js';
import type { PointRef } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import { CUT_TIMEOUT_MS, type FrozenSet } from '../volume/volume.js';
import { recordOf, setPoint } from './contact.js';
import { type RoundCounts, RoundError, type RoundParts, spillFull } from './parts.js';
import { sendFrozen } from './send.js';

const CUT_TRIES_MAX = 10;
/** Room for headers, trailer and rounding in the space a round asks for. */
const SPACE_SLACK_BYTES = 1024 * 1024;

export interface RoundResult {
  readonly point: PointRef;
  readonly counts: RoundCounts;
  readonly beganMs: number;
  readonly endedMs: number;
}

/** Runs a round to its end. The target has been contacted and answers 'ready', or is filled up to
 * its first point. Rejects with RoundError, TargetError, FilesError or DiskError. */
export async function runRound(
  parts: RoundParts,
  target: Target,
  counts: RoundCounts,
  signal: AbortSignal,
): Promise<RoundResult> {
  const { volume, resourceFile } = parts;
  const { name } = resourceFile.state;
  if (volume.suspect) throw new RoundError({ code: 'ROUND_SUSPECT', resource: name });
  const from = recordOf(resourceFile, parts.target).point;
  const done = stepTimes(parts);
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
    const sent = await send(parts, target, frozen, { from, to }, counts, signal);
    done('send');
    if (!(await hardened)) throw new RoundError({ code: 'ROUND_HARDEN_FAILED', resource: name });
    if (frozen.failed) throw spillFull(parts);
    done('harden');
    // 6. Ask for commit.
    const answer = await target.commit({ round: to.id, from, to, ...sent });
    if (answer.outcome === 'refused') throw refused(parts, answer);
    done('commit');
    // 7. Table.
    await parts.table.beginChange();
    await parts.entries.replay((chunk, digest) => parts.table.set(chunk, digest));
    await parts.table.finishChange(to);
    // 8. Publish.
    await setPoint(parts, to);
    // 9. Drop.
    await parts.dirty.drop(parts.slot, frozen);
    ended = true;
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
  const seconds = (CUT_TRIES_MAX * CUT_TIMEOUT_MS) / 1000;
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

async function send(
  parts: RoundParts,
  target: Target,
  frozen: FrozenSet,
  points: { from: PointRef | null; to: PointRef },
  counts: RoundCounts,
  signal: AbortSignal,
): Promise<{ frames: number; indexDigest: Uint8Array }> {
  const { state } = parts.resourceFile;
  const dirty = frozen.map.count();
  const dirtyBytes = Math.min(dirty.blocks * BLOCK_BYTES, state.sizeBytes);
  counts.dirtyBytes = Math.max(counts.dirtyBytes, dirtyBytes);
  counts.totalBytes = Math.min(dirty.chunks * CHUNK_BYTES, state.sizeBytes);
  counts.doneBytes = 0;
  const perChunk = RECORD_BYTES + INDEX_ENTRY_BYTES;
  const spaceBytes = 2 * (dirtyBytes + dirty.chunks * perChunk) + SPACE_SLACK_BYTES;
  await target.begin({
    kind: 'round',
    resource: present(state.resource, 'a primary has a resource id'),
    round: points.to.id,
    epoch: present(state.epochs.at(-1), 'a primary has an epoch'),
    ...points,
    sizeBytes: state.sizeBytes,
    spaceBytes,
  });
  return sendFrozen(parts, target, frozen, points.from, counts, signal);
}

const refused = (parts: RoundParts, answer: { reason: string; text: string }) =>
  new RoundError({
    code: 'ROUND_REFUSED',
    target: parts.target,
    reason: answer.reason,
    text: answer.text,
  });
