// First thing at every contact with a target: who descends from whom, and what became of a round
// whose answer was lost (H23, H24, H37). Data moves only after this says 'ready' or 'fill'.
import { present } from '../base/assert.js';
import { hex } from '../base/random.js';
import { EMPTY_TARGET, KNOWN_POINTS_MAX, type TargetRecord } from '../format/resource-state.js';
import { type PointRef, type Relation, relate, sameId } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { RoundError, type RoundParts } from './parts.js';

/** 'ready': stands at our last point, a round may run. 'fill': has no point yet (H43). */
export type Contact = 'ready' | 'fill';

export const recordOf = (file: ResourceFile, target: string): TargetRecord =>
  file.state.targets[target] ?? EMPTY_TARGET;

/** Decides, and settles a proposed round. Error TARGET_DIVERGED when no data may move. */
export async function contact(parts: RoundParts, target: Target): Promise<Contact> {
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
  const relation = relate(mine, target.state);
  if (relation === 'lost-ack') {
    const point = present(target.state.point, 'a lost answer is about a point');
    await parts.table.beginChange();
    await setPoint(parts, point);
    parts.log.info('a round whose answer was lost is committed', { point: hex(point.id) });
    return 'ready';
  }
  if (relation === 'same') {
    await settleProposed(parts, target);
    return 'ready';
  }
  if (relation === 'empty') return 'fill';
  throw diverged(parts, target, relation);
}

/** The target has made `point`: ladder step 8. */
export async function setPoint(parts: RoundParts, point: PointRef): Promise<void> {
  await updateTarget(parts, (record) => ({ ...record, point, proposed: null }), point.id);
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
    const isNews = known !== null && !sameId(last, known);
    const points = isNews ? [...state.knownPoints, known] : state.knownPoints;
    return {
      ...state,
      knownPoints: points.slice(-KNOWN_POINTS_MAX),
      targets: { ...state.targets, [parts.target]: record },
    };
  });
}

async function settleProposed(parts: RoundParts, target: Target): Promise<void> {
  const { proposed } = recordOf(parts.resourceFile, parts.target);
  if (proposed === null) return;
  const outcome = await target.outcome(proposed.point.id);
  // 'forgotten' cannot be meant: it stands at our last point, and what was proposed came after it.
  if (outcome === 'committed') {
    throw diverged(parts, target, 'diverged');
  }
  await updateTarget(parts, (record) => ({ ...record, proposed: null }));
}

function diverged(parts: RoundParts, target: Target, relation: Relation) {
  const theirs = target.state.point ? `point ${target.state.point.number}` : 'no point';
  const record = recordOf(parts.resourceFile, parts.target);
  const ours = record.point ? `point ${record.point.number}` : 'no point';
  const text = `it stands at ${theirs}, this node knows it at ${ours}; ${ADVICE[relation]}`;
  return new RoundError({ code: 'TARGET_DIVERGED', target: parts.target, relation, text });
}

const ADVICE: Readonly<Record<Relation, string>> = {
  same: '',
  'lost-ack': '',
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
