// From the blocks of a file to the settings of one node: which blocks are this node's, and
// inheritance (hast.conf(5)): on block of the resource > resource > top level > built in; `listen`
// and `export` are lists to which every scope adds. Targets are in targets.ts. A value that was
// reported as wrong is replaced by its default, so that the rest is still checked; the draft is
// then not used (load.ts).
import { present } from '../base/assert.js';
import { addressOf, formatAddress, NBD_PORT_DEFAULT } from './address.js';
import type { Findings, Place } from './finding.js';
import { LISTEN_DEFAULTS } from './keywords.js';
import { type Levels, pick, pickText } from './levels.js';
import { matchesNode } from './node.js';
import type { NodeSettings, ResourceSettings } from './settings.js';
import { type LongestGap, ownLevels, resolveTargets, type TargetDraft } from './targets.js';
import {
  type Block,
  effective,
  type FileTree,
  type ResourceBlock,
  type Statement,
} from './tree.js';
import {
  compressionOf,
  durationSeconds,
  ruleOf,
  shareOf,
  sizeBytes,
  wholeNumber,
} from './value.js';

export interface ResourceDraft {
  readonly settings: ResourceSettings;
  readonly place: Place;
  readonly levels: Levels;
  /** The same below the node's own target block: for what others keep of the resource here. */
  readonly ownLevels: Levels;
  readonly targets: readonly TargetDraft[];
}

export interface NodeDraft {
  readonly settings: NodeSettings;
  readonly levels: Levels;
  /** Effective `listen` and `export` statements; empty when the defaults apply. */
  readonly listens: readonly Statement[];
  readonly exports: readonly Statement[];
  readonly resources: readonly ResourceDraft[];
}

/** Settings of the node that answers to `names`. */
export function resolve(
  tree: FileTree,
  names: readonly string[],
  longestGap: LongestGap,
  findings: Findings,
): NodeDraft {
  const global = tree.global.statements;
  const mine = tree.nodes.filter((block) => matchesNode(block.name, names));
  const own = mine.flatMap((block) => block.statements);
  const levels = [own, global];
  const listens = additive(levels, 'listen', findings);
  const exports = additive(levels, 'export', findings);
  const node = ownName(tree, names, findings) ?? mine[0]?.name ?? names[0] ?? '';
  const outer = effective(global);
  const resources = tree.resources
    .map((resource) => resolveResource(resource, outer, { names, longestGap }, findings))
    .filter((draft) => draft !== null);
  const text = (name: string): string => pickText(levels, name);
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
        : expectsNobody(resources)
          ? []
          : LISTEN_DEFAULTS,
    pidfile: text('pidfile'),
    resources: resources.map((draft) => draft.settings),
  };
  return { settings, levels, listens, exports, resources };
}

/** Nothing but archives: no node will ever connect. */
const expectsNobody = (resources: readonly ResourceDraft[]): boolean =>
  resources.length > 0 &&
  resources.every(
    ({ targets }) =>
      targets.length > 0 && targets.every(({ settings }) => settings.archive !== null),
  );

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
  { names, longestGap }: { names: readonly string[]; longestGap: LongestGap },
  findings: Findings,
): ResourceDraft | null {
  const mine = resource.nodes.filter((block) => matchesNode(block.name, names));
  const theirs = resource.nodes.filter((block) => !matchesNode(block.name, names));
  const own = mine[0];
  if (own === undefined) {
    findings.error(resource.place, 'resource', noBlock(resource, names));
    return null;
  }
  const inner = effective(mine.flatMap((block) => block.statements));
  const levels = [inner, effective(resource.statements), global];
  if (pick(levels, 'local').statement === null) {
    const text = `resource ${resource.name} has no local disk on this node; write local PATH`;
    findings.error(own.place, 'local', text);
  }
  const others = [...new Set(theirs.map((block) => block.name))];
  const view = { resource, mine, others, names, levels };
  const targets = resolveTargets(view, longestGap, findings);
  const draft = { place: resource.place, levels, ownLevels: ownLevels(view), targets };
  return { ...draft, settings: resourceSettings(resource.name, draft) };
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

/** Text to values. Every text was checked by the parser, and defaults are right (value.test.ts). */
function resourceSettings(name: string, draft: Omit<ResourceDraft, 'settings'>): ResourceSettings {
  const { levels } = draft;
  const optional = (setting: string): string | null => pick(levels, setting).text;
  const text = (setting: string): string => pickText(levels, setting);
  const alone = optional('start-alone');
  return {
    name,
    exportName: optional('name') ?? name,
    local: optional('local') ?? '',
    replication: 'periodic',
    compression: present(compressionOf(text('compression')), 'it was checked'),
    timeoutSeconds: present(durationSeconds(text('timeout'), true), 'it was checked'),
    metaflush: text('metaflush') === 'on',
    retain: ruleOf(pickText(draft.ownLevels, 'retain')),
    timezone: optional('timezone'),
    remember: text('remember') === 'on',
    startAlone: alone === 'serve' || alone === 'wait' ? alone : null,
    scrubShare: present(shareOf(text('scrub')), 'it was checked'),
    spillBytes: present(sizeBytes(text('spill')), 'it was checked'),
    secretPath: optional('secret'),
    insecure: text('insecure') === 'on',
    dataThreads: present(wholeNumber(text('data-threads')), 'it was checked'),
    exec: optional('exec'),
    targets: draft.targets.map((target) => target.settings),
  };
}
