// From the blocks of a file to the settings of one node: which blocks are this node's, and
// inheritance (hast.conf(5)): on block of the resource > resource > top level > built in; `listen`
// and `export` are lists to which every scope adds. A value that was reported as wrong is replaced
// by its default, so that the rest is still checked; the draft is then not used (load.ts).
import { present } from '../base/assert.js';
import { addressOf, formatAddress, NBD_PORT_DEFAULT } from './address.js';
import type { Findings, Place } from './finding.js';
import { type Keyword, keywordOf, LISTEN_DEFAULTS } from './keywords.js';
import { matchesNode } from './node.js';
import { SEVERAL_TARGETS } from './parse.js';
import type {
  NodeSettings,
  ResourceSettings,
  ScheduleSetting,
  TargetSettings,
} from './settings.js';
import { type Block, type FileTree, lastOf, type ResourceBlock, type Statement } from './tree.js';
import { compressionOf, durationSeconds, sizeBytes, wholeNumber } from './value.js';

/** Scopes from the innermost out, each with its statements in file order. */
export type Levels = readonly (readonly Statement[])[];

/** An effective value; `statement` is null for a default, `text` null where there is none. */
export interface Picked {
  readonly text: string | null;
  readonly statement: Statement | null;
}

export interface ResourceDraft {
  readonly settings: ResourceSettings;
  readonly place: Place;
  readonly levels: Levels;
}

export interface NodeDraft {
  readonly settings: NodeSettings;
  readonly levels: Levels;
  /** Effective `listen` and `export` statements; empty when the defaults apply. */
  readonly listens: readonly Statement[];
  readonly exports: readonly Statement[];
  readonly resources: readonly ResourceDraft[];
}

/** The value of `name` in the innermost scope that sets it, else its default. */
export function pick(levels: Levels, name: string): Picked {
  const keyword: Keyword = present(keywordOf(name), `${name} is in the table`);
  for (const level of levels) {
    const statement = lastOf(level, name);
    if (statement !== null) return { text: statement.text ?? keyword.default, statement };
  }
  return { text: keyword.default, statement: null };
}

/** The innermost of `schedule` and `interval`, whichever it is; the default is an interval. */
export function pickSchedule(levels: Levels): Picked & { readonly kind: 'cron' | 'interval' } {
  for (const level of levels) {
    const cron = lastOf(level, 'schedule');
    const interval = lastOf(level, 'interval');
    if (cron?.text != null && interval === null) {
      return { kind: 'cron', text: cron.text, statement: cron };
    }
    if (cron !== null || interval !== null)
      return { kind: 'interval', ...pick([level], 'interval') };
  }
  return { kind: 'interval', ...pick([], 'interval') };
}

/** Settings of the node that answers to `names`. */
export function resolve(tree: FileTree, names: readonly string[], findings: Findings): NodeDraft {
  const global = tree.global.statements;
  const mine = tree.nodes.filter((block) => matchesNode(block.name, names));
  const own = mine.flatMap((block) => block.statements);
  const levels = [own, global];
  const listens = additive(levels, 'listen', findings);
  const exports = additive(levels, 'export', findings);
  const node = ownName(tree, names, findings) ?? mine[0]?.name ?? names[0] ?? '';
  const resources = tree.resources
    .map((resource) => resolveResource(resource, global, names, findings))
    .filter((draft) => draft !== null);
  const text = (name: string): string => present(pick(levels, name).text, 'it has a default');
  const control = addressOf(text('control'));
  const settings: NodeSettings = {
    node,
    path: '',
    statedir: text('statedir'),
    control: control.kind === 'unix' ? control.path : '',
    exports: (exports.length > 0 ? exports.map((s) => s.text) : [text('export')])
      .filter((address) => address !== null)
      .map((address) => formatAddress(addressOf(address, NBD_PORT_DEFAULT))),
    exportGroup: pick(levels, 'exportgroup').text,
    listen:
      listens.length > 0
        ? listens.map((s) => s.text).filter((address) => address !== null)
        : LISTEN_DEFAULTS,
    pidfile: text('pidfile'),
    resources: resources.map((draft) => draft.settings),
  };
  return { settings, levels, listens, exports, resources };
}

/** The list of an additive setting, outer scope first; the same address twice is one. */
function additive(levels: Levels, name: string, findings: Findings): readonly Statement[] {
  const list: Statement[] = [];
  const seen = new Map<string, Statement>();
  for (const statement of levels.toReversed().flat()) {
    if (statement.keyword.name !== name) continue;
    const same = statement.text === null ? undefined : seen.get(statement.text);
    if (same === undefined) {
      list.push(statement);
      if (statement.text !== null) seen.set(statement.text, statement);
    } else findings.note(statement.place, name, `line ${same.place.line} has the same address`);
  }
  return list;
}

/** The name that the resources have for this node; two different ones would be two peers. */
function ownName(tree: FileTree, names: readonly string[], findings: Findings): string | null {
  let first: Block | null = null;
  for (const block of tree.resources.flatMap((resource) => resource.nodes)) {
    if (!matchesNode(block.name, names)) continue;
    first ??= block;
    if (block.name !== first.name) {
      const other = `line ${first.place.line} calls this node ${first.name}`;
      findings.error(block.place, 'on', `${other} and this one ${block.name}; use one name`);
    }
  }
  return first?.name ?? null;
}

/**
 * One resource for this node, or null when it has no block for it. Several blocks of this node are
 * read as one, in file order, as HAST does.
 */
function resolveResource(
  resource: ResourceBlock,
  global: readonly Statement[],
  names: readonly string[],
  findings: Findings,
): ResourceDraft | null {
  const mine = resource.nodes.filter((block) => matchesNode(block.name, names));
  const others = resource.nodes.filter((block) => !matchesNode(block.name, names));
  const own = mine[0];
  if (own === undefined) {
    findings.error(resource.place, 'resource', noBlock(resource, names));
    return null;
  }
  const levels = [mine.flatMap((block) => block.statements), resource.statements, global];
  if (pick(levels, 'local').statement === null) {
    const text = `resource ${resource.name} has no local disk on this node; write local PATH`;
    findings.error(own.place, 'local', text);
  }
  const peer = onlyPeer(resource, others, findings);
  const target = resolveTarget(resource, own, peer, levels, findings);
  return { settings: resourceSettings(resource, levels, target), place: resource.place, levels };
}

/** HAST's answer to a file for other nodes: the names that would have been acceptable. */
function noBlock(resource: ResourceBlock, names: readonly string[]): string {
  const [first] = names;
  const written = [...new Set(resource.nodes.map((block) => block.name))].join(', ');
  const found = written === '' ? 'it has none' : `it has blocks for ${written}`;
  const what = `resource ${resource.name} has no on block for this node; ${found}`;
  const acceptable = `acceptable names are ${names.join(', ')}`;
  return `${what}; ${acceptable}: write on ${first} { ... } or use --node`;
}

/** The name of the one other node, or null; a second one is an error. */
function onlyPeer(
  resource: ResourceBlock,
  others: readonly Block[],
  findings: Findings,
): string | null {
  const [first] = others;
  const second = others.find((block) => block.name !== first?.name);
  if (second !== undefined) {
    findings.error(second.place, 'on', `resource ${resource.name}: ${SEVERAL_TARGETS}`);
  }
  return first?.name ?? null;
}

/**
 * The target of a resource: its peer, named after the peer's node (DESIGN.md §5). A resource with
 * `remote none` and no block for another node has none.
 */
function resolveTarget(
  resource: ResourceBlock,
  own: Block,
  peer: string | null,
  levels: Levels,
  findings: Findings,
): TargetSettings | null {
  const { statement, text } = pick(levels, 'remote');
  const what = `resource ${resource.name}`;
  if (statement === null) {
    const how = 'write remote tcp://HOST:8457, or remote none';
    findings.error(own.place, 'remote', `${what} does not say where its other node is; ${how}`);
  }
  const remote = text === 'none' ? null : text;
  if (peer === null) {
    if (remote !== null) {
      const why = 'a target is named after its node';
      const text = `${what} has no on block for the other node; ${why}: write on NAME { ... } too`;
      findings.error(own.place, 'on', text);
    }
    return null;
  }
  return {
    name: peer,
    remote,
    source: pick(levels, 'source').text,
    schedule: scheduleSetting(levels),
    retain: wholeNumber(pick(levels, 'retain').text ?? '') ?? 1,
  };
}

function scheduleSetting(levels: Levels): ScheduleSetting {
  const { kind, text } = pickSchedule(levels);
  const given = present(text, 'an interval has a default');
  if (kind === 'cron') {
    return { kind, expression: given, timezone: pick(levels, 'timezone').text };
  }
  return { kind, seconds: present(durationSeconds(given, false), 'the value was checked') };
}

/** Text to values. Every text was checked by the parser, and defaults are right (value.test.ts). */
function resourceSettings(
  resource: ResourceBlock,
  levels: Levels,
  target: TargetSettings | null,
): ResourceSettings {
  const optional = (name: string): string | null => pick(levels, name).text;
  const text = (name: string): string => present(optional(name), `${name} has a default`);
  const number = (name: string): number => present(wholeNumber(text(name)), 'it was checked');
  return {
    name: resource.name,
    exportName: optional('name') ?? resource.name,
    local: optional('local') ?? '',
    replication: 'periodic',
    compression: present(compressionOf(text('compression')), 'it was checked'),
    timeoutSeconds: present(durationSeconds(text('timeout'), true), 'it was checked'),
    metaflush: text('metaflush') === 'on',
    retain: number('retain'),
    spillBytes: present(sizeBytes(text('spill')), 'it was checked'),
    secretPath: optional('secret'),
    insecure: text('insecure') === 'on',
    dataThreads: number('data-threads'),
    exec: optional('exec'),
    targets: target === null ? [] : [target],
  };
}
