// Rules about several statements together: doubles, what excludes each other, and that nothing
// listens or sends on a network without a key. Each is a pure look at the tree or the draft.
import { posix } from 'node:path';
import { addressOf, formatAddress, isLoopback } from './address.js';
import type { Findings, Place } from './finding.js';
import { type NodeDraft, pick, type ResourceDraft } from './resolve.js';
import { type Block, type FileTree, lastOf } from './tree.js';

/** What is wrong with a cron expression in a time zone (null: this machine's), or null. */
export type CheckCron = (expression: string, timezone: string | null) => string | null;

/** Every rule about the file as written, whatever the node. */
export function checkFile(tree: FileTree, findings: Findings, checkCron?: CheckCron): void {
  const blocks = [tree.global, ...tree.nodes, ...tree.resources];
  for (const block of [...blocks, ...tree.resources.flatMap((resource) => resource.nodes)]) {
    checkBlock(block, findings);
  }
  for (const block of [tree.global, ...tree.resources]) {
    const cron = lastOf(block.statements, 'schedule');
    const zone = lastOf(block.statements, 'timezone') ?? lastOf(tree.global.statements, 'timezone');
    if (cron?.text == null || checkCron === undefined) continue;
    const fault = checkCron(cron.text, zone?.text ?? null);
    if (fault !== null) findings.error(cron.valuePlace, 'schedule', fault);
  }
  noteSecondBlocks(tree.nodes, findings);
  for (const resource of tree.resources) noteSecondBlocks(resource.nodes, findings);
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
export function checkNode(draft: NodeDraft, findings: Findings): void {
  const paths = draft.resources.filter((resource) => resource.settings.local !== '');
  refuseDoubles(paths, 'local', (r) => posix.normalize(r.settings.local), findings);
  refuseDoubles(draft.resources, 'name', (r) => r.settings.exportName, findings);
  checkSockets(draft, findings);
  checkRemotes(draft, findings);
  checkListens(draft, findings);
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

const remoteOf = ({ settings }: ResourceDraft): string | null =>
  settings.targets[0]?.remote ?? null;

/** The resource would send to another machine without a key. */
const isRemoteOpen = (resource: ResourceDraft): boolean => {
  const remote = remoteOf(resource);
  return remote !== null && isOpen(resource) && !isLoopback(addressOf(remote));
};

/**
 * `remote` is the other node's address. Users of HAST took it for their own (a comment under the
 * Handbook's announcement): where the file shows that, it is an error.
 */
function checkRemotes(draft: NodeDraft, findings: Findings): void {
  const own = new Map<string, number>();
  for (const { text, place } of draft.listens) {
    if (text !== null) own.set(formatAddress(addressOf(text)), place.line);
  }
  for (const resource of draft.resources) {
    const remote = remoteOf(resource);
    if (remote === null) continue;
    const place = pick(resource.levels, 'remote').statement?.valuePlace ?? resource.place;
    const ownLine = own.get(formatAddress(addressOf(remote)));
    if (ownLine !== undefined) {
      const what = `${remote} is where this node itself listens (line ${ownLine})`;
      findings.error(place, 'remote', `${what}; write the address of the other node`);
    }
    if (isRemoteOpen(resource)) {
      const what = `${remote} is another machine and resource ${resource.settings.name} has no key`;
      findings.error(place, 'remote', `${what}; ${HOW}`);
    }
  }
}

/**
 * hastd has one set of listening addresses: each open resource that expects a peer makes an address
 * that others reach an error, HAST's default of all addresses too.
 * A resource that `checkRemotes` reported is not reported again for the same missing key.
 */
function checkListens(draft: NodeDraft, findings: Findings): void {
  const open = draft.resources.find(
    (resource) => remoteOf(resource) !== null && isOpen(resource) && !isRemoteOpen(resource),
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
