// What an operator asks of the points that a secondary retains: which one is meant, its name, and
// what `retain` keeps.
import { isoTime } from '../base/clock.js';
import { ControlError, type PointRecord } from '../control/api.js';
import type {
  PinRequest,
  PruneAnswer,
  PrunedPoint,
  PruneRequest,
} from '../control/retention-api.js';
import type { PointEntry } from '../format/resource-state.js';
import { type PointSpec, pickPoint, pointNameFault, pointSpec } from '../lineage/point-spec.js';
import { setName } from '../receive/pins.js';
import { keptOf } from '../receive/pruning.js';
import type { Replica } from '../receive/replica.js';
import { RestoreError } from '../restore/archive-source.js';
import { pointRecord } from './point-record.js';
import type { ResourceNode } from './resource-node.js';

/** Reads what stands behind the @. Error CONTROL_BAD_REQUEST. */
export function specOf(text: string): PointSpec {
  const spec = pointSpec(text);
  if (typeof spec !== 'string') return spec;
  throw new ControlError({ code: 'CONTROL_BAD_REQUEST', text: spec });
}

/** The point of the chain that is meant; `text`: as it was written. Error POINT_UNKNOWN. */
export function entryOf(
  name: string,
  chain: readonly PointEntry[],
  spec: PointSpec,
  text: string,
): PointEntry {
  const named = chain.map((entry) => ({ ...entry.point, name: entry.name ?? null, entry }));
  const found = pickPoint(named, spec)?.entry;
  if (found !== undefined) return found;
  const [oldest, newest] = [chain[0], chain.at(-1)];
  const known =
    oldest === undefined || newest === undefined
      ? 'none yet'
      : `${chain.length}, ${oldest.point.number} to ${newest.point.number}`;
  throw new RestoreError({ code: 'POINT_UNKNOWN', where: name, point: text, known });
}

/** Names a point, or takes its name away. Errors CONTROL_WRONG_ROLE, CONTROL_BAD_REQUEST,
 * POINT_UNKNOWN, POINT_NAME_TAKEN, POINT_PINNED, POINT_NOT_PINNED. */
export async function pinPoint(
  { settings: { name }, role }: ResourceNode,
  { point, label }: PinRequest,
): Promise<PointRecord> {
  if (role.kind !== 'secondary') {
    const wanted = 'the secondary role (a primary keeps no older points)';
    throw new ControlError({ code: 'CONTROL_WRONG_ROLE', name, role: role.kind, wanted });
  }
  const fault = label === null ? null : pointNameFault(label);
  if (fault !== null) throw new ControlError({ code: 'CONTROL_BAD_REQUEST', text: fault });
  const { replica } = role.resource.parts;
  const entry = entryOf(name, replica.record.chain, specOf(point), point);
  return pointRecord(await setName(replica, entry, label));
}

/** Drops what `retain` does not keep, or says what would go. Error CONTROL_BAD_REQUEST. */
export async function pruneReplica(
  name: string,
  replica: Replica,
  { target, dryRun }: PruneRequest,
): Promise<PruneAnswer> {
  if (target !== null) {
    const text = `${name} is a secondary here: it has points of its own, and no archive ${target}`;
    throw new ControlError({ code: 'CONTROL_BAD_REQUEST', text });
  }
  const before = replica.record.chain;
  const kept = keptOf(before, replica.parts.retain);
  if (!dryRun) await replica.pruning.now();
  const after = dryRun ? before.filter((entry) => kept.has(entry)) : replica.record.chain;
  const still = new Set(after.map(({ point }) => point.number));
  const reasons = keptOf(after, replica.parts.retain);
  return {
    archives: [],
    replica: {
      dryRun,
      removed: before.filter(({ point }) => !still.has(point.number)).map(shown),
      kept: after
        .map((entry) => ({ ...shown(entry), keptBy: whyOf(entry, reasons.get(entry) ?? []) }))
        .reverse(),
    },
  };
}

const whyOf = ({ name }: PointEntry, reasons: readonly string[]): readonly string[] =>
  reasons.map((reason) => (reason === 'pinned' ? `pin ${name ?? ''}` : reason));

const shown = ({ point: { number, timeMs } }: PointEntry): PrunedPoint => ({
  number,
  time: isoTime(timeMs),
});
