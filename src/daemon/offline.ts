// `hastctl recover --offline NAME` (C1, H41): brings the disk of a replica to a whole point without
// a daemon and without its peer: what a crash left committed is applied to the end. Works in the
// calling process, on the same code as a secondary; holds the state directory and the disk.
import { isoTime } from '../base/clock.js';
import { silentLog } from '../base/log.js';
import { nodeFiles } from '../base/node-files.js';
import type { NodeSettings, ResourceSettings } from '../config/settings.js';
import type { PointRecord } from '../control/api.js';
import { reserveSpace } from '../disk/syscalls.js';
import type { Replica } from '../receive/replica.js';
import { ResourceFile } from '../tracking/resource-file.js';
import { startComputePool } from './compute-pool.js';
import { DaemonError } from './daemon-faults.js';
import { Disks } from './disks.js';
import { realMachinery } from './machinery.js';
import { pointRecord } from './point-record.js';
import { replicaOf } from './resource-parts.js';
import { takeStateDirectory } from './state-directory.js';

export interface OfflineRecovery {
  /** Sentences for the operator. */
  readonly notes: readonly string[];
  /** The disk. */
  readonly path: string;
  /** Where it stands now; null: at no whole point, the first copy had not ended. */
  readonly point: PointRecord | null;
}

/**
 * `name` is a resource of `settings`. Errors DAEMON_RUNNING, STATEDIR_UNUSABLE, STATE_MISSING,
 * STATE_UNREADABLE, NOT_A_REPLICA, APPLY_FAILED, and those of opening a disk (DISK_IN_USE).
 */
export async function recoverOffline(
  settings: NodeSettings,
  name: string,
): Promise<OfflineRecovery> {
  const resource = settings.resources.find((each) => each.name === name);
  if (resource === undefined) {
    throw new DaemonError({ code: 'NOT_A_REPLICA', name, text: 'the configuration has none' });
  }
  const release = takeStateDirectory(settings.statedir);
  try {
    const file = await ResourceFile.load(nodeFiles(reserveSpace), `${settings.statedir}/${name}`);
    checkReplica(settings.node, resource, file);
    return await recovered(settings.node, resource, file);
  } finally {
    release();
  }
}

function checkReplica(node: string, { name }: ResourceSettings, { state }: ResourceFile): void {
  const not = (text: string) => new DaemonError({ code: 'NOT_A_REPLICA', name, text });
  if (state.epochs.at(-1)?.node === node) {
    throw not('it has been primary here; its disk is as the guest left it');
  }
  if (state.resource === null || state.sizeBytes === 0) {
    throw not('it has never heard of a primary');
  }
}

async function recovered(
  node: string,
  resource: ResourceSettings,
  file: ResourceFile,
): Promise<OfflineRecovery> {
  const { name, local: path } = resource;
  const disks = new Disks();
  const compute = startComputePool(silentLog);
  const machinery = realMachinery(node, compute, silentLog);
  // Never makes a disk: what is not there cannot be recovered.
  const replica = replicaOf(
    () => resource,
    file,
    machinery,
    (sizeBytes) => disks.openExisting(name, path, sizeBytes),
  );
  const before = file.state.replica.point;
  try {
    await replica.open();
    await replica.idle();
    return { path, ...found(name, replica, before?.number ?? null) };
  } finally {
    await replica.close();
    disks.close(name);
    await compute.close();
  }
}

function found(name: string, { record }: Replica, before: number | null) {
  const { point, chain, suspect } = record;
  const last = chain.at(-1);
  if (point === null || last === undefined) {
    const text = 'the first copy had not ended; the disk is at no whole point';
    return { notes: [`${name}: ${text}`], point: null };
  }
  const { number } = point;
  const notes = [
    number === before
      ? `${name}: the disk is at point ${number} of ${isoTime(point.timeMs)}`
      : `${name}: point ${number} of ${isoTime(point.timeMs)} was applied to the end`,
  ];
  if (suspect !== null)
    notes.push(`${name}: but the disk may not be what was received: ${suspect}`);
  if (last.lostChunks > 0) notes.push(`${name}: ${last.lostChunks} chunks of it are lost`);
  if (last.damagedChunks > 0) {
    notes.push(`${name}: ${last.damagedChunks} chunks could not be read on the primary`);
  }
  notes.push(`${name}: nothing holds the disk from here on`);
  return { notes, point: pointRecord(last) };
}
