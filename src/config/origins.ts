// Where each effective setting came from, for `hastctl config`. One entry per setting that has a
// value, in the order of the keyword table; additive settings have one entry per address.
import { present } from '../base/assert.js';
import type { Place } from './finding.js';
import { KEYWORDS } from './keywords.js';
import { type Levels, pick, pickSchedule } from './levels.js';
import type { NodeDraft, ResourceDraft } from './resolve.js';
import type { ConfigResult, SettingOrigin } from './settings.js';
import type { TargetDraft } from './targets.js';
import type { Statement } from './tree.js';
import { compressionText, durationText } from './written.js';

/** Shown below archives. */
const ARCHIVE_ONLY = ['url', 'endpoint', 'region', 'class', 'checksums', 'key'];

/** Shown below the targets, of which each may have its own; the rest below the resource. */
const TARGET_ONLY = [
  ...['remote', 'source', 'schedule', 'interval', 'timezone'],
  ...['max-lag', 'rate'],
  ...ARCHIVE_ONLY,
];

/** All origins: the node's, then per resource its own and each target's. */
export function originsOf(draft: NodeDraft, path: string): readonly SettingOrigin[] {
  const nodeWide = KEYWORDS.filter((keyword) => keyword.scopes.includes('node'));
  const inResource = KEYWORDS.filter((keyword) => !keyword.scopes.includes('node'));
  const list = new Origins(path);
  for (const { name } of nodeWide) {
    if (name === 'listen') list.addAll('node', name, draft.settings.listen, draft.listens);
    else if (name === 'export') list.addAll('node', name, draft.settings.exports, draft.exports);
    else list.pick('node', name, draft.levels);
  }
  for (const resource of draft.resources) {
    const scope = `resource ${resource.settings.name}`;
    for (const { name } of inResource) {
      if (!TARGET_ONLY.includes(name)) addResource(list, scope, name, resource);
    }
    for (const target of resource.targets) addTarget(list, scope, target);
  }
  return list.entries;
}

/** The settings with their origins; empty when the file has errors. */
export const describeSettings = (result: ConfigResult): readonly SettingOrigin[] => result.origins;

/** Text of `hastctl config`: a line per setting under its scope, the origin as a comment. */
export function formatOrigins(origins: readonly SettingOrigin[]): string {
  const lines: string[] = [];
  let scope = '';
  const width = Math.max(0, ...origins.map((o) => o.setting.length + 1 + o.value.length));
  for (const origin of origins) {
    if (origin.scope !== scope) lines.push(origin.scope);
    scope = origin.scope;
    const setting = `${origin.setting} ${origin.value}`.padEnd(width);
    lines.push(`    ${setting}  # ${origin.origin}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Settings whose value is computed are shown as they take effect: lzf as zstd:1. */
function addResource(list: Origins, scope: string, name: string, resource: ResourceDraft): void {
  const { settings, levels } = resource;
  if (name === 'name') list.add(scope, name, settings.exportName, pick(levels, name).statement);
  else if (name === 'compression') {
    list.add(scope, name, compressionText(settings.compression), pick(levels, name).statement);
  } else list.pick(scope, name, name === 'retain' ? resource.ownLevels : levels);
}

/** Of schedule and interval only the one that counts is shown; `max-lag` also when it follows. */
function addTarget(list: Origins, resource: string, { settings, levels }: TargetDraft): void {
  const isArchive = settings.archive !== null;
  const scope = `${resource} ${isArchive ? 'archive' : 'target'} ${settings.name}`;
  for (const name of isArchive ? ARCHIVE_ONLY : ['remote', 'source']) {
    list.pick(scope, name, levels);
  }
  const { schedule } = settings;
  const { text, statement } = pickSchedule(levels);
  const isCron = schedule.kind === 'cron';
  const given = present(text, 'a schedule has a value');
  list.add(scope, isCron ? 'schedule' : 'interval', given, statement);
  if (isCron) list.pick(scope, 'timezone', levels);
  const lag = pick(levels, 'max-lag');
  list.add(scope, 'max-lag', lag.text ?? durationText(settings.maxLagSeconds), lag.statement);
  for (const name of ['retain', 'rate', 'timeout']) list.pick(scope, name, levels);
  const compression = compressionText(settings.compression);
  list.add(scope, 'compression', compression, pick(levels, 'compression').statement);
}

class Origins {
  readonly entries: SettingOrigin[] = [];
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  add(scope: string, setting: string, value: string, statement: { place: Place } | null): void {
    const origin = statement === null ? 'default' : `${this.#path}:${statement.place.line}`;
    this.entries.push({ scope, setting, value, origin });
  }

  pick(scope: string, setting: string, levels: Levels): void {
    const { text, statement } = pick(levels, setting);
    if (text !== null) this.add(scope, setting, text, statement);
  }

  /** `values` are those of `statements` one by one, or defaults when there are none. */
  addAll(
    scope: string,
    setting: string,
    values: readonly string[],
    statements: readonly Statement[],
  ): void {
    for (const [index, value] of values.entries()) {
      this.add(scope, setting, value, statements[index] ?? null);
    }
  }
}
