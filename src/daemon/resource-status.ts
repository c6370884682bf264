// One resource as `status` shows it: settings, role, replication, next firings. Pure.
import { isoTime } from '../base/clock.js';
import type { ResourceSettings } from '../config/settings.js';
import type { ResourceStatus, Role } from '../control/api.js';
import { resourceWord } from '../control/state-word.js';
import type { ReplicationStatus } from './thread-messages.js';

export interface StatusFacts {
  readonly settings: ResourceSettings;
  readonly role: Role;
  readonly error: string | null;
  readonly replication: ReplicationStatus;
  /** Wall times by target. */
  readonly nextRuns: ReadonlyMap<string, number>;
  readonly nbdUri: string | null;
}

export function resourceStatus(facts: StatusFacts): ResourceStatus {
  const { settings, role, replication, nextRuns } = facts;
  const error = facts.error ?? (role === 'init' ? null : replication.error);
  const targets = replication.targets.map((target) => {
    const nextMs = nextRuns.get(target.name);
    return { ...target, nextRun: nextMs === undefined ? null : isoTime(nextMs) };
  });
  return {
    name: settings.name,
    role,
    state: resourceWord(role, error, targets),
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
    error: error ?? replication.error,
    targets,
  };
}
