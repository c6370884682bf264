// What differs between two readings of the configuration, and what each difference needs to come
// into force (SIGHUP, `hastctl reload`). Pure: nothing is applied here. Guarantee: every setting
// has an entry below (the compiler and changes.test.ts ask for it), so that none is left out in
// silence.
//   now      no guest can feel it: schedules, limits, addresses of targets, keys
//   role     the resource's role must be left and taken again: disks, maps, threads, export names
//   restart  hastd must be started again: its sockets, folders, name, and threads of devices
import { isLastOnly, retainText } from './retain.js';
import type {
  ArchiveSettings,
  NodeSettings,
  ResourceSettings,
  ScheduleSetting,
  TargetSettings,
} from './settings.js';
import {
  compressionText,
  durationText,
  onOff,
  rateText,
  scheduleText,
  shareText,
  sizeOrOff,
  sizeText,
} from './written.js';

export type ChangeNeeds = 'now' | 'role' | 'restart';

export interface SettingChange {
  /** Null: a setting of the node. */
  readonly resource: string | null;
  /** Null: a setting of the resource itself. */
  readonly target: string | null;
  /** Keyword of hast.conf(5), or `resource`, `target` or `node` for one that comes, goes or is
   * called otherwise. */
  readonly setting: string;
  /** As written in the file; `none` where there is nothing. */
  readonly from: string;
  readonly to: string;
  readonly needs: ChangeNeeds;
}

interface Entry<T> {
  readonly setting: string;
  readonly needs: ChangeNeeds;
  /** Two values are the same when their texts are. */
  readonly text: (value: T) => string;
}
type Table<T> = { readonly [K in keyof T]: Entry<T[K]> };

const orNone = (text: string | null): string => text ?? 'none';
/** The order of addresses has no meaning. */
const list = (addresses: readonly string[]): string => addresses.toSorted().join(' ');
const seconds = (value: number): string => durationText(value);

const NODE: Table<Omit<NodeSettings, 'path' | 'resources'>> = {
  node: { setting: 'node', needs: 'restart', text: orNone },
  statedir: { setting: 'statedir', needs: 'restart', text: orNone },
  control: { setting: 'control', needs: 'restart', text: orNone },
  exports: { setting: 'export', needs: 'restart', text: list },
  exportGroup: { setting: 'exportgroup', needs: 'restart', text: orNone },
  listen: { setting: 'listen', needs: 'restart', text: list },
  pidfile: { setting: 'pidfile', needs: 'restart', text: orNone },
};

const RESOURCE: Table<Omit<ResourceSettings, 'name' | 'targets'>> = {
  exportName: { setting: 'name', needs: 'role', text: orNone },
  local: { setting: 'local', needs: 'role', text: orNone },
  replication: { setting: 'replication', needs: 'role', text: orNone },
  compression: { setting: 'compression', needs: 'now', text: compressionText },
  timeoutSeconds: { setting: 'timeout', needs: 'now', text: seconds },
  metaflush: { setting: 'metaflush', needs: 'role', text: onOff },
  retain: { setting: 'retain', needs: 'now', text: retainText },
  timezone: { setting: 'timezone', needs: 'now', text: orNone },
  remember: { setting: 'remember', needs: 'now', text: onOff },
  startAlone: { setting: 'start-alone', needs: 'now', text: orNone },
  scrubShare: { setting: 'scrub', needs: 'now', text: shareText },
  // The size of the spill is part of the volume that a role opens.
  spillBytes: { setting: 'spill', needs: 'role', text: sizeText },
  secretPath: { setting: 'secret', needs: 'now', text: orNone },
  insecure: { setting: 'insecure', needs: 'now', text: onOff },
  // The first resource of a device decides, and the threads stay until hastd ends.
  dataThreads: { setting: 'data-threads', needs: 'restart', text: String },
  exec: { setting: 'exec', needs: 'now', text: orNone },
};

const TARGET: Table<Omit<TargetSettings, 'name' | 'schedule' | 'archive'>> = {
  remote: { setting: 'remote', needs: 'now', text: orNone },
  source: { setting: 'source', needs: 'now', text: orNone },
  retain: { setting: 'retain', needs: 'now', text: retainText },
  compression: { setting: 'compression', needs: 'now', text: compressionText },
  timeoutSeconds: { setting: 'timeout', needs: 'now', text: seconds },
  rateBitsPerSecond: { setting: 'rate', needs: 'now', text: rateText },
  maxLagSeconds: { setting: 'max-lag', needs: 'now', text: durationText },
};

const ARCHIVE: Table<Omit<ArchiveSettings, 'url' | 'timezone'>> = {
  base: { setting: 'url', needs: 'now', text: orNone },
  endpoint: { setting: 'endpoint', needs: 'now', text: orNone },
  region: { setting: 'region', needs: 'now', text: orNone },
  checksums: { setting: 'checksums', needs: 'now', text: orNone },
  storageClass: { setting: 'class', needs: 'now', text: orNone },
  keyPath: { setting: 'key', needs: 'now', text: orNone },
  verifyBytes: { setting: 'verify', needs: 'now', text: sizeOrOff },
};

/** All differences: the node's, then by resource in the order of `old`, then what is new. */
export function changesBetween(old: NodeSettings, next: NodeSettings): readonly SettingChange[] {
  const changes = differences(NODE, old, next, { resource: null, target: null });
  const ofNext = new Map(next.resources.map((resource) => [resource.name, resource]));
  for (const resource of old.resources) {
    const after = ofNext.get(resource.name);
    const where = { resource: resource.name, target: null };
    if (after !== undefined) changes.push(...resourceChanges(resource, after));
    // Whether it has a role is the daemon's knowledge; without one there is nothing to leave.
    else changes.push(came(where, 'resource', resource.name, 'none', 'role'));
  }
  const known = new Set(old.resources.map(({ name }) => name));
  for (const { name } of next.resources) {
    const where = { resource: name, target: null };
    if (!known.has(name)) changes.push(came(where, 'resource', 'none', name, 'now'));
  }
  return changes;
}

type Where = Pick<SettingChange, 'resource' | 'target'>;

const came = (
  where: Where,
  setting: string,
  from: string,
  to: string,
  needs: ChangeNeeds,
): SettingChange => ({ ...where, setting, from, to, needs });

function resourceChanges(old: ResourceSettings, next: ResourceSettings): SettingChange[] {
  const resource = old.name;
  const changes = differences(RESOURCE, old, next, { resource, target: null })
    // Of the hours and days of a rule that has some.
    .filter(({ setting }) => setting !== 'timezone' || !isLastOnly(next.retain));
  const ofNext = new Map(next.targets.map((target) => [target.name, target]));
  for (const target of old.targets) {
    const where = { resource, target: target.name };
    const after = ofNext.get(target.name);
    if (after === undefined) changes.push(came(where, 'target', target.name, 'none', 'role'));
    else changes.push(...targetChanges(where, target, after));
  }
  const known = new Set(old.targets.map(({ name }) => name));
  for (const { name } of next.targets) {
    const where = { resource, target: name };
    if (!known.has(name)) changes.push(came(where, 'target', 'none', name, 'role'));
  }
  return changes;
}

/** A target gets its dirty set with its address: `remote none` that ends, or begins, is as if the
 * target came or went. A node that becomes an archive is another target, too. */
function targetChanges(where: Where, old: TargetSettings, next: TargetSettings): SettingChange[] {
  if ((old.archive === null) !== (next.archive === null)) {
    const kind = ({ archive }: TargetSettings): string => (archive === null ? 'target' : 'archive');
    return [came(where, 'target', kind(old), kind(next), 'role')];
  }
  const isOther = (old.remote === null) !== (next.remote === null);
  const changes = differences(TARGET, old, next, where)
    // Of an archive that is its url.
    .filter(({ setting }) => setting !== 'remote' || old.archive === null)
    .map((change) =>
      change.setting === 'remote' && isOther ? { ...change, needs: 'role' as const } : change,
    );
  const ofArchive =
    old.archive === null || next.archive === null
      ? []
      : differences(ARCHIVE, old.archive, next.archive, where);
  return [...changes, ...ofArchive, ...scheduleChanges(where, old.schedule, next.schedule)];
}

/** Named by the keyword that people changed: schedule, interval or timezone. */
function scheduleChanges(
  where: Where,
  old: ScheduleSetting,
  next: ScheduleSetting,
): SettingChange[] {
  const [from, to] = [scheduleText(old), scheduleText(next)];
  if (from === to) return [];
  if (old.kind === 'cron' && next.kind === 'cron' && old.expression === next.expression) {
    return [came(where, 'timezone', orNone(old.timezone), orNone(next.timezone), 'now')];
  }
  const setting = next.kind === 'cron' ? 'schedule' : 'interval';
  const bare = (text: string): string => text.replace(new RegExp(`^${setting} `), '');
  return [came(where, setting, bare(from), bare(to), 'now')];
}

function differences<T>(table: Table<T>, old: T, next: T, where: Where): SettingChange[] {
  const one = <K extends keyof T>(key: K): SettingChange[] => {
    const { setting, needs, text } = table[key];
    const [from, to] = [text(old[key]), text(next[key])];
    return from === to ? [] : [came(where, setting, from, to, needs)];
  };
  return (Object.keys(table) as (keyof T)[]).flatMap(one);
}
