// A changed configuration file (SIGHUP, `hastctl reload`): what is taken over at once, what with
// the next role, what only a restart can change. A resource without a role has nothing to leave: it
// takes over all of it, so that `create` and `role` find the same. Pure. Nothing that is taken over
// at once can be felt by a guest. changesBetween (config) says what each change needs; the tables
// below take them over, and a test holds the two together.
import { changesBetween, type SettingChange } from '../config/changes.js';
import type { NodeSettings, ResourceSettings, TargetSettings } from '../config/settings.js';
import type { Role } from '../control/api.js';

export interface ReloadPlan {
  /** In force from now on: every resource that was there, and what is new. */
  readonly now: readonly ResourceSettings[];
  /** By name: in force from the next role on. */
  readonly pending: ReadonlyMap<string, ResourceSettings>;
  /** Names that the file has no more. */
  readonly gone: ReadonlySet<string>;
  readonly applied: readonly SettingChange[];
  /** Named in the notes; they stay as they were. */
  readonly left: readonly SettingChange[];
}

/** `before` is what is in force; `role` is that of its resources, one or several. */
export function planReload(before: NodeSettings, after: NodeSettings, role: Role): ReloadPlan {
  const found = changesBetween(before, after);
  const changes = role === 'init' ? found.map(withoutRole) : found;
  const now: ResourceSettings[] = [];
  const pending = new Map<string, ResourceSettings>();
  const gone = new Set<string>();
  for (const old of before.resources) {
    const wanted = after.resources.find(({ name }) => name === old.name);
    const settings = wanted === undefined ? old : role === 'init' ? wanted : withNow(old, wanted);
    now.push(settings);
    if (wanted === undefined) gone.add(old.name);
    const waits = changes.some(({ resource, needs }) => resource === old.name && needs === 'role');
    if (wanted !== undefined && waits) pending.set(old.name, wanted);
  }
  const known = new Set(before.resources.map(({ name }) => name));
  return {
    now: [...now, ...after.resources.filter(({ name }) => !known.has(name))],
    pending,
    gone,
    applied: changes.filter(({ needs }) => needs === 'now'),
    left: changes.filter(({ needs }) => needs !== 'now'),
  };
}

const withoutRole = (change: SettingChange): SettingChange =>
  change.needs === 'role' ? { ...change, needs: 'now' } : change;

/** Sentences for the operator, a line for each change. */
export function reloadNotes(...plans: readonly Pick<ReloadPlan, 'applied' | 'left'>[]): string[] {
  const changes = [
    ...plans.flatMap(({ applied }) => applied),
    ...plans.flatMap(({ left }) => left),
  ];
  const notes = changes.map((change) => `${changeText(change)} (${when(change)})`);
  return notes.length > 0 ? notes : ['nothing has changed'];
}

function when({ needs, setting, target, to }: SettingChange): string {
  if (needs === 'now') return 'in force';
  if (needs === 'restart') return 'not before hastd is started again';
  const goes = setting === 'resource' && target === null && to === 'none';
  return goes ? 'when it has no role' : 'from its next role on';
}

/** `resource vm1: target b: interval: 1h -> 30m`. */
function changeText({ resource, target, setting, from, to }: SettingChange): string {
  const scope = [resource && `resource ${resource}`, target && `target ${target}`];
  const words = [...scope.filter((text) => text !== null), setting, `${from} -> ${to}`];
  return words.join(': ');
}

const NOW = [
  'compression',
  'timeoutSeconds',
  'retain',
  'remember',
  'startAlone',
  'scrubShare',
  'secretPath',
  'insecure',
  'exec',
] as const satisfies readonly (keyof ResourceSettings)[];

/** Targets that come or go need another role: its maps have a slot for each. */
function withNow(old: ResourceSettings, wanted: ResourceSettings): ResourceSettings {
  const targets = old.targets.map((target) => {
    const other = wanted.targets.find(({ name }) => name === target.name);
    return other === undefined ? target : targetWithNow(target, other);
  });
  return { ...old, ...picked(wanted, NOW), targets };
}

/** All of it, but for an address that comes or goes: such a target has no slot, or keeps its. */
function targetWithNow(old: TargetSettings, wanted: TargetSettings): TargetSettings {
  if ((old.archive === null) !== (wanted.archive === null)) return old;
  const comesOrGoes = (old.remote === null) !== (wanted.remote === null);
  return { ...wanted, remote: comesOrGoes ? old.remote : wanted.remote };
}

function picked<T, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}
