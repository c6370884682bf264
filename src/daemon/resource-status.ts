// One resource as `status` shows it: settings, role, replication, next firings, and the alarms that
// follow from all of it. Pure.
import { isoTime } from '../base/clock.js';
import type { ResourceSettings } from '../config/settings.js';
import { alarmsOf } from '../control/alarms.js';
import type { ResourceStatus, Role } from '../control/api.js';
import { resourceWord } from '../control/state-word.js';
import type { ReplicationStatus } from './thread-messages.js';

/** What the round thread says; on a primary also when targets were last found clean. */
export type ReplicationFacts = ReplicationStatus & {
  /** Wall time by target: see AlarmFacts. */
  readonly cleanAtMs?: ReadonlyMap<string, number>;
};

export interface StatusFacts {
  readonly settings: ResourceSettings;
  readonly role: Role;
  readonly error: string | null;
  readonly replication: ReplicationFacts;
  /** Wall times by target. */
  readonly nextRuns: ReadonlyMap<string, number>;
  readonly nbdUri: string | null;
  /** NBD connections now. */
  readonly guests: number;
  /** Since when the local disk answers nothing, wall time. */
  readonly hangsSinceMs: number | null;
  /** The role an operator gave last; null: there is no state. */
  readonly orderedRole: Role | null;
  /** Wall time at which the present role was taken; null: unknown. */
  readonly sinceMs: number | null;
  readonly nowMs: number;
}

export function resourceStatus(facts: StatusFacts): ResourceStatus {
  const { settings, role, replication, nextRuns, hangsSinceMs } = facts;
  const targets = replication.targets.map((target) => {
    const nextMs = target.paused ? undefined : nextRuns.get(target.name);
    return { ...target, nextRun: nextMs === undefined ? null : isoTime(nextMs) };
  });
  const inRole = facts.error ?? (role === 'init' ? null : replication.error);
  const status: Omit<ResourceStatus, 'alarms'> = {
    name: settings.name,
    role,
    state: resourceWord(role, inRole, targets),
    exportName: settings.exportName,
    local: settings.local,
    sizeBytes: replication.sizeBytes,
    extentBytes: replication.extentBytes,
    keepdirty: replication.keepdirty,
    replication: settings.replication,
    nbdUri: facts.nbdUri,
    spillBytes: replication.spillBytes,
    spillBytesMax: settings.spillBytes,
    counters: replication.counters,
    error: inRole ?? replication.error,
    guests: facts.guests,
    alone: replication.alone,
    hangsSince: hangsSinceMs === null ? null : isoTime(hangsSinceMs),
    targets,
  };
  const { orderedRole, sinceMs, nowMs } = facts;
  const cleanAtMs = replication.cleanAtMs ?? new Map<string, number>();
  return {
    ...status,
    alarms: alarmsOf({ ...status, error: inRole, orderedRole, sinceMs, cleanAtMs }, nowMs),
  };
}
