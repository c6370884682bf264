// First thing at every contact with a target: who descends from whom, and what became of a round
// whose answer was lost (H23, H24, H37). Data moves only after this says 'ready' or 'fill'.
import { present } from '../base/assert.js';
import { hex } from '../base/random.js';
import { EMPTY_TARGET, KNOWN_POINTS_MAX, type TargetRecord } from '../format/resource-state.js';
import {
  type Epoch,
  mayReplicate,
  type PointRef,
  type Relation,
  relate,
  sameId,
} from '../lineage/lineage.js';
import type { Outcome, Target } from '../target/target.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { type RoundCounts, RoundError, type RoundParts } from './parts.js';

/** 'ready': stands at our last point, a round may run. 'fill': has no point yet (H43). 'committed':
 * the round that is running here is committed there. */
export type Contact = 'ready' | 'fill' | 'committed';

export const recordOf = (file: ResourceFile, target: string): TargetRecord =>
  file.state.targets[target] ?? EMPTY_TARGET;

/** Decides, and settles a proposed round. `running`: this process is in the middle of a first copy
 * or round (H31), and this is a new session of it. What is proposed then was proposed by it, for
 * the contact before it began settled what was left; it stays, or the answer to its COMMIT could
 * not be asked for. Error TARGET_DIVERGED when no data may move. */
export async function contact(
  parts: RoundParts,
  target: Target,
  running = false,
): Promise<Contact> {
  const found = await settled(parts, target, running);
  await notePlace(parts, target.state);
  return found;
}

async function settled(parts: RoundParts, target: Target, running: boolean): Promise<Contact> {
  const { resourceFile } = parts;
  const { state } = resourceFile;
  const record = recordOf(resourceFile, parts.target);
  const mine = {
    resource: present(state.resource, 'a primary has a resource id'),
    epochs: state.epochs,
    point: record.point,
    proposed: record.proposed?.point.id ?? null,
    knownPoints: state.knownPoints,
  };
  // H23: before anything else the round is asked for. What the target said of itself may be older
  // than its answer: a commit of the session before may have been under way.
  const outcome = await outcomeOf(parts, target);
  const relation = relate(mine, target.state);
  if (running && mayReplicate(relation)) {
    if (relation === 'lost-ack' || outcome === 'committed') return 'committed';
    if (relation === 'same') return 'ready';
    if (relation === 'empty' && record.point === null) return 'fill';
  }
  if (relation === 'lost-ack' || (mayReplicate(relation) && outcome === 'committed')) {
    const { point } = present(record.proposed, 'a lost answer is about a proposed round');
    await adopt(parts, sameId(target.state.point?.id, point.id) ? target.state.point : point);
    return 'ready';
  }
  if (relation === 'lost-point') {
    await goBack(parts, present(target.state.point, 'it stands at the point before'));
    return 'ready';
  }
  const { keepsPoints = false, point: stands } = target.state;
  const givenUp = keepsPoints ? mine.proposed : null;
  const isOurs = relation === 'behind' && keepsPoints;
  if (stands !== null && (isOurs || isOfEarlierEpoch(relation, mine.epochs, target.state))) {
    await takeOver(parts, stands, givenUp, setBackOf(parts, target.state));
    return 'ready';
  }
  // 'forgotten' cannot be meant of a round proposed after the point at which both stand.
  if (relation === 'same') {
    if (record.proposed) await updateTarget(parts, (old) => ({ ...old, proposed: null }), givenUp);
    return 'ready';
  }
  if (relation === 'empty' || isOurs) {
    if (isGone(record, target.state)) {
      await notePlace(parts, target.state);
      throw diverged(parts, target, 'behind', GONE_ADVICE);
    }
    // It was made anew (create --force), or is an archive elsewhere: what it once had is no point
    // of its any more.
    if (record.point !== null || record.proposed !== null) {
      const nothing = { point: null, proposed: null, verifiedMs: null };
      const place = keepsPoints ? { place: target.state.node } : {};
      const anew = ({ setBack: _, ...old }: TargetRecord) => ({ ...old, ...nothing, ...place });
      await updateTarget(parts, anew, givenUp);
    }
    return 'fill';
  }
  throw diverged(parts, target, relation);
}

/** A round whose answer was lost is committed: its point, with a table that names none and all bits
 * set (sender's ladder, last line). */
async function adopt(parts: RoundParts, point: PointRef | null): Promise<void> {
  const made = present(point, 'a committed round has a point');
  await parts.table.beginChange();
  // Entries of a first copy may still be in memory; from now on they are believed (H7).
  await parts.table.syncEntries();
  await setPoint(parts, made);
  parts.log.info('a round whose answer was lost is committed', { point: hex(made.id) });
}

/** The target could not keep our last point: everything is compared with the one before. */
async function goBack(parts: RoundParts, point: PointRef): Promise<void> {
  await parts.table.beginChange();
  parts.volume.pending(parts.slot).markAll();
  await parts.dirty.publishAll();
  await updateTarget(parts, (record) => ({ ...record, point, proposed: null }));
  parts.log.warn('the target lost its last point; everything is compared', { point: point.number });
}

/** An archive keeps what it had as points, so that a primary of a later epoch goes on from wherever
 * it stands: its newest point is of an epoch that this one descends from, and not of this one. */
function isOfEarlierEpoch(
  relation: Relation,
  epochs: readonly Epoch[],
  { keepsPoints, epochs: theirs }: Target['state'],
): boolean {
  const last = theirs.at(-1);
  if (relation !== 'diverged' || !keepsPoints || last === undefined) return false;
  return epochs.slice(0, -1).some(({ id }) => sameId(id, last.id));
}

/** Where this node knows an archive to have points there is none: its disk is not mounted, or it
 * was removed. At another place there may be none. A state that says no place is of an earlier
 * release. */
const isGone = ({ point, place }: TargetRecord, { keepsPoints, node }: Target['state']): boolean =>
  keepsPoints === true && point !== null && (place === undefined || place === node);

/** What is said of an archive is true of one place. */
async function notePlace(parts: RoundParts, { keepsPoints, node }: Target['state']): Promise<void> {
  if (!keepsPoints || recordOf(parts.resourceFile, parts.target).place === node) return;
  const moved = { place: node, verifiedMs: null };
  await updateTarget(parts, ({ setBack: _, ...record }) => ({ ...record, ...moved }));
}

/** Where an archive stands behind the last point that was known in the same place, its store was
 * restored, or has lost objects: somebody must know that points are gone. */
function setBackOf(
  { resourceFile, target, clock }: RoundParts,
  { point, node }: Target['state'],
): Pick<TargetRecord, 'setBack'> {
  const { point: before, place } = recordOf(resourceFile, target);
  if (point === null || before === null || place !== node) return {};
  if (point.number >= before.number) return {};
  const timeMs = Math.floor(clock.wallMs());
  return { setBack: { from: before.number, to: point.number, timeMs } };
}

/**
 * Everything is compared with where the archive stands; what it has of this lineage is not sent.
 * Its numbers go on, too, so that no two of its points have one. It stands at a point of an earlier
 * epoch, or at one that was made here: by a round that had been given up, for a store may do late
 * what was asked of it; before it was left for another url; or it was set back itself. Nothing is
 * mixed by that: what it holds is asked for, not believed, its point is an ancestor of ours, and
 * the place behind that is taken once. Two nodes with one state (a clone) cannot both go on: the
 * point of the one is unknown to the other.
 * `givenUp`: a round whose point may come late, here or where the archive was.
 */
async function takeOver(
  parts: RoundParts,
  point: PointRef,
  givenUp: Uint8Array | null,
  setBack: Pick<TargetRecord, 'setBack'>,
): Promise<void> {
  if (givenUp !== null) await updateTarget(parts, (record) => record, givenUp);
  await parts.table.beginChange();
  parts.volume.pending(parts.slot).markAll();
  await parts.dirty.publishAll();
  await parts.resourceFile.update((state) => ({
    ...state,
    nextPoint: Math.max(state.nextPoint, point.number + 1),
  }));
  const change = (old: TargetRecord) => ({ ...old, point, proposed: null, ...setBack });
  await updateTarget(parts, change, point.id);
  parts.log.warn('the archive stands at another point of this lineage; everything is compared', {
    point: point.number,
  });
}

async function outcomeOf(parts: RoundParts, target: Target): Promise<Outcome> {
  const { state } = parts.resourceFile;
  const { proposed } = recordOf(parts.resourceFile, parts.target);
  if (proposed === null || !sameId(target.state.resource, state.resource)) return 'none';
  return target.outcome(proposed.point.id);
}

/** The target has made `point`: ladder step 8. `counts`: of the round that made it, if it ran here.
 */
export async function setPoint(
  parts: RoundParts,
  point: PointRef,
  counts: Pick<RoundCounts, 'driftChunks' | 'damagedChunks'> | null = null,
): Promise<void> {
  const drift = counts?.driftChunks ?? 0;
  const damagedChunks = counts?.damagedChunks ?? 0;
  const change = (record: TargetRecord): TargetRecord => ({
    ...record,
    point,
    proposed: null,
    failedRounds: 0,
    driftChunks: record.driftChunks + drift,
    damagedChunks,
  });
  await updateTarget(parts, change, point.id);
}

/** Publishes a changed record of this target; `known` joins the ids of the lineage. */
export function updateTarget(
  parts: RoundParts,
  change: (record: TargetRecord) => TargetRecord,
  known: Uint8Array | null = null,
): Promise<void> {
  return parts.resourceFile.update((state) => {
    const record = change(state.targets[parts.target] ?? EMPTY_TARGET);
    const last = state.knownPoints.at(-1);
    const { running } = state;
    const isNews = known !== null && !sameId(last, known);
    const points = isNews ? [...state.knownPoints, known] : state.knownPoints;
    return {
      ...state,
      knownPoints: points.slice(-KNOWN_POINTS_MAX),
      running: running && { ...running, maps: Math.max(running.maps, parts.dirty.published) },
      targets: { ...state.targets, [parts.target]: record },
    };
  });
}

function diverged(
  parts: RoundParts,
  target: Target,
  relation: Relation,
  advice = (target.state.keepsPoints ? ARCHIVE_ADVICE : ADVICE)[relation],
) {
  const theirs = target.state.point ? `point ${target.state.point.number}` : 'no point';
  const record = recordOf(parts.resourceFile, parts.target);
  const ours = record.point ? `point ${record.point.number}` : 'no point';
  const text = `it stands at ${theirs}, this node knows it at ${ours}; ${advice}`;
  return new RoundError({ code: 'TARGET_DIVERGED', target: parts.target, relation, text });
}

const GONE_ADVICE =
  'its disk is not mounted, or what was there is gone; no data moves ' +
  '(mount it, or give this one another url, where a first copy begins)';

const ADVICE: Readonly<Record<Relation, string>> = {
  same: '',
  'lost-ack': '',
  'lost-point': '',
  empty: '',
  behind:
    'its disk or state was set back to an older point; no data moves ' +
    '(on it: hastctl create --force, then a compare by digests fills it again)',
  ahead:
    'it was promoted since and is a later version of this disk; no data moves ' +
    '(stop writing here; this node can become its secondary after hastctl create --force)',
  diverged:
    'both have gone on from a common point, or this node was set back; no data moves ' +
    '(choose which version to keep; on the other node: hastctl create --force)',
  foreign: 'it holds another resource under this name; no data moves',
};

const WRITTEN_ADVICE =
  'it was written by another primary, or this node was set back; no data moves ' +
  '(stop writing on the other one, or give this one another url)';

const ARCHIVE_ADVICE: typeof ADVICE = {
  ...ADVICE,
  ahead: WRITTEN_ADVICE,
  diverged: WRITTEN_ADVICE,
  foreign: 'it is the archive of another resource; no data moves (give this one another url)',
};
