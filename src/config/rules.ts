// Rules about several statements together: doubles, what excludes each other, and that nothing
// listens or sends on a network without a key. Each is a pure look at the tree or the draft.
import { posix } from 'node:path';
import { addressOf, formatAddress, isLoopback } from './address.js';
import { checkArchiveUrls } from './archive-urls.js';
import type { Findings, Place } from './finding.js';
import { pick } from './levels.js';
import type { NodeDraft, ResourceDraft } from './resolve.js';
import type { LongestGap, TargetDraft } from './targets.js';
import {
  type Block,
  blocksOf,
  type FileTree,
  lastOf,
  type ResourceBlock,
  type Statement,
} from './tree.js';
import { durationText } from './written.js';

/** What is wrong with a cron expression in a time zone (null: this machine's), or null. */
export type CheckCron = (expression: string, timezone: string | null) => string | null;

/** Every rule about the file as written, whatever the node. */
export function checkFile(tree: FileTree, findings: Findings, checkCron?: CheckCron): void {
  for (const block of [tree.global, ...tree.nodes, ...tree.resources.flatMap(blocksOf)]) {
    checkBlock(block, findings);
  }
  if (checkCron !== undefined) checkSchedules(tree, checkCron, findings);
  noteSecondBlocks(tree.nodes, findings);
  for (const resource of tree.resources) {
    noteSecondBlocks(resource.nodes, findings);
    checkTargetNames(resource, findings);
  }
  const seen = new Map<string, Place>();
  for (const { name, place } of tree.resources) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, place);
    else {
      const text = `${name} is already the resource of line ${first.line}; give it another name`;
      findings.error(place, 'resource', text);
    }
  }
}

/** Cron expressions in every scope, in the time zone that the scopes around them set. */
function checkSchedules(tree: FileTree, checkCron: CheckCron, findings: Findings): void {
  const check = (block: Block, zoneAround: string | null): string | null => {
    const cron = lastOf(block.statements, 'schedule');
    const zone = lastOf(block.statements, 'timezone')?.text ?? zoneAround;
    const fault = cron?.text == null ? null : checkCron(cron.text, zone);
    if (cron && fault !== null) findings.error(cron.valuePlace, 'schedule', fault);
    return zone;
  };
  const global = check(tree.global, null);
  for (const resource of tree.resources) {
    const zone = check(resource, global);
    for (const target of blocksOf(resource).flatMap((block) => block.targets)) check(target, zone);
  }
}

/** Of one scope: a target or archive once, and none that is the node around it; of the resource: a
 * name is one of both. */
function checkTargetNames(resource: ResourceBlock, findings: Findings): void {
  const seen = new Map<string, Place>();
  const kinds = new Map<string, Block>();
  const check = (target: Block, around: string): void => {
    const { name, place } = target;
    // A name with a blank is none: the parser said so.
    const key = `${around} ${name}`;
    const first = seen.get(key);
    const before = kinds.get(name);
    if (before === undefined) kinds.set(name, target);
    if (before !== undefined && before.scope !== target.scope) {
      const what = `${name} is already the ${before.scope} of line ${before.place.line}`;
      findings.error(place, target.scope, `${what}; give this one another name`);
    } else if (first === undefined) seen.set(key, place);
    else {
      const what = `${name} is already the ${target.scope} of line ${first.line} of the same scope`;
      findings.error(place, target.scope, `${what}; put both together`);
    }
    if (name !== '' && name === around) {
      const what = `${name} is the node around it, and no node is its own target`;
      findings.error(place, 'target', `${what}; name another node, or move it out of the on block`);
    }
  };
  for (const target of resource.targets) check(target, '');
  for (const node of resource.nodes) {
    for (const target of node.targets) check(target, node.name);
  }
}

/** One scope: HAST lets the last of two statements win, in silence; here it is said. */
function checkBlock(block: Block, findings: Findings): void {
  const seen = new Map<string, Place>();
  for (const { keyword, place } of block.statements) {
    const first = seen.get(keyword.name);
    seen.set(keyword.name, place);
    if (first === undefined || keyword.additive) continue;
    findings.note(place, keyword.name, `overrides line ${first.line} of the same scope`);
  }
  const cron = seen.get('schedule');
  const interval = seen.get('interval');
  if (cron === undefined || interval === undefined) return;
  const later = cron.line - interval.line || cron.column - interval.column;
  const [place, name] = later > 0 ? [cron, 'schedule'] : [interval, 'interval'];
  const text = 'schedule and interval in one scope exclude each other; remove one of them';
  findings.error(place, name, text);
}

/** Two `on` blocks of one name in one place are one block in two parts. */
function noteSecondBlocks(blocks: readonly Block[], findings: Findings): void {
  const seen = new Map<string, Place>();
  for (const { name, place } of blocks) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, place);
    else
      findings.note(
        place,
        'on',
        `goes on with the block of line ${first.line}; the last value wins`,
      );
  }
}

/** Every rule about the effective settings of this node. */
export function checkNode(draft: NodeDraft, longestGap: LongestGap, findings: Findings): void {
  const paths = draft.resources.filter((resource) => resource.settings.local !== '');
  refuseDoubles(paths, 'local', (r) => posix.normalize(r.settings.local), findings);
  refuseDoubles(draft.resources, 'name', (r) => r.settings.exportName, findings);
  checkSockets(draft, findings);
  checkRemotes(draft, findings);
  checkArchiveUrls(draft, findings);
  checkListens(draft, findings);
  noteShortLags(draft, longestGap, findings);
}

/** Two resources cannot share a disk (C3), nor a name that guests ask for. */
function refuseDoubles(
  resources: readonly ResourceDraft[],
  setting: 'local' | 'name',
  keyOf: (resource: ResourceDraft) => string,
  findings: Findings,
): void {
  const seen = new Map<string, string>();
  for (const resource of resources) {
    const key = keyOf(resource);
    const first = seen.get(key);
    const { name } = resource.settings;
    if (first === undefined) seen.set(key, name);
    // The same resource twice is reported as that.
    else if (first !== name) {
      const place = pick(resource.levels, setting).statement?.valuePlace ?? resource.place;
      const what = setting === 'local' ? `the disk ${key}` : `the export name ${key}`;
      findings.error(place, setting, `${what} is already that of resource ${first}; use another`);
    }
  }
}

/** Two sockets, or a socket and the pid file, cannot be one file. */
function checkSockets(draft: NodeDraft, findings: Findings): void {
  const seen = new Map<string, string>();
  const add = (setting: string, path: string, place: Place): void => {
    const key = posix.normalize(path);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, setting);
    else findings.error(place, setting, `${path} is already the path of ${first}; use another`);
  };
  for (const setting of ['control', 'pidfile']) {
    const { text, statement } = pick(draft.levels, setting);
    const path = setting === 'control' ? draft.settings.control : (text ?? '');
    add(setting, path, statement?.valuePlace ?? { line: 1, column: 1 });
  }
  for (const { text, keyword, valuePlace } of [...draft.exports, ...draft.listens]) {
    if (text === null) continue;
    const address = addressOf(text);
    if (address.kind === 'unix') add(keyword.name, address.path, valuePlace);
  }
}

const HOW =
  'make a key with `hastctl keygen /etc/hast.key`, copy it to the other node and write ' +
  '`secret /etc/hast.key`, or write `insecure on` where the network itself is protected';

/** Without a key, and not said to be meant so. */
const isOpen = ({ settings }: ResourceDraft): boolean =>
  settings.secretPath === null && !settings.insecure;

/** The target is a node that has an address; archives are none. */
const isNode = ({ settings: { remote, archive } }: TargetDraft): boolean =>
  remote !== null && archive === null;

/** The target is another machine. */
const isAway = ({ settings: { remote, archive } }: TargetDraft): boolean =>
  remote !== null && archive === null && !isLoopback(addressOf(remote));

const placeOfRemote = (target: TargetDraft): Place =>
  pick(target.levels, 'remote').statement?.valuePlace ?? target.place;

/**
 * `remote` is the other node's address. Users of HAST took it for their own (a comment under the
 * Handbook's announcement): where the file shows that, it is an error. So is one address for two
 * targets of a resource: their rounds would meet at one replica.
 */
function checkRemotes(draft: NodeDraft, findings: Findings): void {
  const own = new Map<string, number>();
  for (const { text, place } of draft.listens) {
    if (text !== null) own.set(formatAddress(addressOf(text)), place.line);
  }
  for (const resource of draft.resources) {
    const seen = new Map<string, string>();
    for (const target of resource.targets) {
      const { name, remote } = target.settings;
      if (remote === null || !isNode(target)) continue;
      const place = placeOfRemote(target);
      const address = formatAddress(addressOf(remote));
      const ownLine = own.get(address);
      if (ownLine !== undefined) {
        const what = `${remote} is where this node itself listens (line ${ownLine})`;
        findings.error(place, 'remote', `${what}; write the address of the other node`);
      }
      const first = seen.get(address);
      if (first === undefined) seen.set(address, name);
      else {
        const what = `${remote} is already the address of target ${first}`;
        findings.error(place, 'remote', `${what}; write that of ${name}`);
      }
    }
    // One missing key is said once.
    const away = isOpen(resource) ? resource.targets.find(isAway) : undefined;
    if (away === undefined) continue;
    const whose = `resource ${resource.settings.name} has no key`;
    const what = `${away.settings.remote} is another machine and ${whose}`;
    findings.error(placeOfRemote(away), 'remote', `${what}; ${HOW}`);
  }
}

/**
 * hastd has one set of listening addresses: each open resource that expects a peer makes an address
 * that others reach an error, HAST's default of all addresses too.
 * A resource that `checkRemotes` reported is not reported again for the same missing key.
 */
function checkListens(draft: NodeDraft, findings: Findings): void {
  const open = draft.resources.find(
    (resource) =>
      isOpen(resource) && resource.targets.some(isNode) && !resource.targets.some(isAway),
  );
  if (open === undefined) return;
  const who = `resource ${open.settings.name} has no key`;
  if (draft.listens.length === 0) {
    const what = `without a listen line other machines can connect, and ${who}`;
    const text = `${what}; write \`listen tcp://127.0.0.1:8457\`, or ${HOW}`;
    findings.error(open.place, 'listen', text);
  }
  for (const { text, valuePlace } of draft.listens) {
    if (text === null || isLoopback(addressOf(text))) continue;
    findings.error(
      valuePlace,
      'listen',
      `other machines can connect to ${text} and ${who}; ${HOW}`,
    );
  }
}

/** A point grows as old as the time between two rounds though each of them is in time. */
function noteShortLags(draft: NodeDraft, longestGap: LongestGap, findings: Findings): void {
  const seen = new Set<Statement>();
  for (const { levels, settings } of draft.resources.flatMap(({ targets }) => targets)) {
    const { statement } = pick(levels, 'max-lag');
    const { schedule, maxLagSeconds } = settings;
    if (statement === null || maxLagSeconds === null || seen.has(statement)) continue;
    const gap = schedule.kind === 'interval' ? schedule.seconds : longestGap(schedule.expression);
    if (gap === null || maxLagSeconds > gap) continue;
    seen.add(statement);
    const what = `${durationText(maxLagSeconds)} is not more than the ${durationText(gap)}`;
    const why = `that may lie between two rounds to ${settings.name}`;
    const how = 'the alarm goes off though each is in time; write a longer one';
    findings.note(statement.valuePlace, 'max-lag', `${what} ${why}: ${how}`);
  }
}
