// Builds the two roles of a resource from its settings: what a primary or a replica is made of on
// the round thread. Plain assembly; the order of becoming primary is in replication.ts.
import { present } from '../base/assert.js';
import type { ResourceSettings, TargetSettings } from '../config/settings.js';
import { packer, packRaw } from '../format/pack.js';
import type { DialSecurity } from '../net/connect.js';
import { Pace } from '../net/pace.js';
import type { PeerFacts } from '../peer/messages.js';
import { Replica } from '../receive/replica.js';
import { recordOf } from '../round/contact.js';
import type { RoundParts } from '../round/parts.js';
import { openPrimary } from '../round/primary.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { type LookedTarget, LookLoop } from './look-loop.js';
import type { Machinery } from './machinery.js';
import { archiveOpener, localTimezone, nodeOpener } from './open-target.js';
import { PrimaryResource } from './primary-resource.js';
import { RoundLog } from './round-log.js';
import { ScrubLoop } from './scrub-loop.js';
import { TargetCompute } from './target-compute.js';
import { TargetDriver } from './target-driver.js';
import { TargetLink } from './target-link.js';
import type { OpenDisk, ServedVolume } from './thread-messages.js';

/** `settings` is asked again and again: a reload of the configuration may change what it says. */
export function replicaOf(
  settings: () => ResourceSettings,
  resourceFile: ResourceFile,
  machinery: Machinery,
  openDisk: (sizeBytes: number) => Promise<OpenDisk>,
): Replica {
  const { node, compute, clock, log, files, disks } = machinery;
  // What stays here (undo) is packed at the least cost: it goes over no link.
  const quick = packer({ codec: 'zstd', level: 1 });
  let disk: OpenDisk | null = null;
  const prints = () =>
    disks.fingerprintsOf(present(disk, 'a fingerprint is taken of an open disk'));
  return new Replica({
    node,
    files,
    resourceFile,
    openDevice: async (sizeBytes) => {
      disk = await openDisk(sizeBytes);
      return disks.deviceOf({ ...disk, sizeBytes });
    },
    fingerprints: {
      bootId: disks.bootId,
      now: () => prints().now(),
      differs: (before, now, look) => prints().differs(before, now, look),
    },
    compute: compute.for(settings().compression),
    pack: (raw) => (settings().compression.codec === 'zstd' ? quick : packRaw)(raw),
    get retain() {
      const { retain, timezone } = settings();
      return { rule: retain, timezone: timezone ?? localTimezone() };
    },
    clock,
    log,
  });
}

/** What this node says of a resource at contact; a primary to its `target`. */
export function factsOf(
  machinery: Machinery,
  settings: ResourceSettings,
  resourceFile: ResourceFile,
  role: 'init' | 'primary' | 'secondary',
  target: Pick<TargetSettings, 'name' | 'timeoutSeconds'> | undefined = settings.targets[0],
): PeerFacts {
  const { state } = resourceFile;
  const name = target?.name ?? '';
  const record = recordOf(resourceFile, name);
  const former = role === 'init' && state.epochs.at(-1)?.node === machinery.node;
  const asPrimary = role === 'primary' || former;
  return {
    node: machinery.node,
    resource: settings.name,
    target: role === 'primary' ? name : machinery.node,
    resourceId: state.resource,
    role,
    epochs: state.epochs,
    point: asPrimary ? record.point : state.replica.point,
    proposed: asPrimary ? (record.proposed?.point.id ?? null) : state.replica.lostPoint,
    sizeBytes: state.sizeBytes,
    suspect: former ? !record.drained : state.replica.suspect !== null,
    timeoutMs: (target?.timeoutSeconds ?? settings.timeoutSeconds) * 1000,
  };
}

/** Opens the primary's side and a driver for every target that has an address. */
export async function primaryOf(
  settings: ResourceSettings,
  resourceFile: ResourceFile,
  machinery: Machinery,
  disk: OpenDisk,
  securityOf: () => DialSecurity,
): Promise<{ resource: PrimaryResource; volume: ServedVolume }> {
  const { compute, clock, random, files, disks, waiter } = machinery;
  const log = machinery.log.child({ resource: settings.name });
  const replicated = settings.targets.filter((target) => target.remote !== null);
  const targets = replicated.map((target) => target.name);
  const primary = await openPrimary({
    files,
    resourceFile,
    device: disks.deviceOf(disk),
    fingerprints: disks.fingerprintsOf(disk),
    compute: compute.for(settings.compression),
    waiter,
    clock,
    random,
    log,
    spillBytes: settings.spillBytes,
    metaflush: settings.metaflush,
    targets,
  });
  const rounds = await RoundLog.open(files, `${resourceFile.directory}/rounds.jsonl`);
  const context = { settings, resourceFile, machinery, rounds, securityOf };
  const drivers = replicated.map((target, slot) => {
    const round = present(primary.rounds[slot], 'every target has a slot');
    const guestBytes = (): number => resource.guestBytes;
    return driverOf(context, target, round, guestBytes, primary.belief !== 'exact');
  });
  const { volume: tracked } = primary;
  const scrubbing = compute.for(settings.compression);
  const scrub = new ScrubLoop({
    volume: tracked,
    compute: scrubbing,
    resourceFile,
    targets: drivers,
    clock,
    log,
  });
  const { directory } = resourceFile;
  const looks = new Map(drivers.flatMap((driver) => looksOf(driver, directory, machinery)));
  const parts = { primary, resourceFile, drivers, rounds, scrub, looks, clock, log };
  const resource: PrimaryResource = new PrimaryResource(parts, settings);
  const { memory, intentPath, spillPaths } = primary;
  const volume = { name: settings.name, memory, disk, intentPath, spillPaths, targets };
  return { resource, volume };
}

/** Of an archive; none of a node. */
function looksOf(
  driver: TargetDriver,
  directory: string,
  { files, clock }: Machinery,
): readonly (readonly [string, LookLoop])[] {
  if (driver.settings.archive === null) return [];
  const { name } = driver;
  const target: LookedTarget = {
    name,
    get settings() {
      return driver.settings;
    },
    get busy() {
      return driver.busy;
    },
    get session() {
      return driver.parts.link.current;
    },
  };
  const path = `${directory}/${name}.verified`;
  const { log } = driver.parts;
  return [[name, new LookLoop({ target, files, path, clock, log })]];
}

interface DriverContext {
  readonly settings: ResourceSettings;
  readonly resourceFile: ResourceFile;
  readonly machinery: Machinery;
  readonly rounds: RoundLog;
  readonly securityOf: () => DialSecurity;
}

function driverOf(
  context: DriverContext,
  target: TargetSettings,
  opened: RoundParts,
  guestBytes: () => number,
  doubt: boolean,
): TargetDriver {
  const { settings, resourceFile, machinery, rounds, securityOf } = context;
  const { clock, random } = machinery;
  const compute = new TargetCompute(machinery.compute, target.compression);
  const round: RoundParts = { ...opened, compute };
  const { log } = round;
  const options = {
    target: target.name,
    remote: target.remote,
    source: target.source,
    timeoutMs: target.timeoutSeconds * 1000,
  };
  const pace = new Pace(() => driver.rateBitsPerSecond, clock);
  const resource = { id: () => present(resourceFile.state.resource, 'a primary has an id') };
  const toArchive = archiveOpener({
    resource: { ...resource, name: settings.name },
    settings: () => driver.settings,
    place: () => driver.record.place ?? null,
    machinery,
    directory: resourceFile.directory,
    pace,
  });
  const toNode = nodeOpener({
    facts: () => factsOf(machinery, settings, resourceFile, 'primary', driver.settings),
    security: securityOf,
    dial: machinery.network.dial,
    pace,
    clock,
    random,
  });
  const open = target.archive === null ? toNode : toArchive;
  const link = new TargetLink(options, { round, open, clock, random, log });
  const parts = { round, link, rounds, compute, guestBytes, clock, random, log };
  const driver: TargetDriver = new TargetDriver(parts, target, doubt);
  return driver;
}
