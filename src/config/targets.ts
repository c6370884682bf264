// The targets of a resource on one node (DESIGN.md §5): its target blocks, and the peer of a short
// `remote`, and its archive blocks. One file serves all nodes: a block named after the node that
// reads it is that node's own and no target; the peer is the one other `on` block that no target
// block names. A block inside the node's `on` block adds to the one of the same name outside it, or
// overrides it, statement by statement; what neither sets is inherited from the `on` block, the
// resource and the top level, but for `remote`.
import { present } from '../base/assert.js';
import type { Findings, Place } from './finding.js';
import { type Levels, pick, pickSchedule, pickText } from './levels.js';
import { matchesNode } from './node.js';
import type { ArchiveSettings, ScheduleSetting, TargetSettings } from './settings.js';
import { type Block, effective, type ResourceBlock, type Statement } from './tree.js';
import { compressionOf, durationSeconds, rateBits, ruleOf, sizeBytes } from './value.js';

/** Dirty sets that the shared memory of a volume has room for (SLOTS_MAX of src/volume). */
export const TARGETS_MAX = 16;
const ARCHIVE_SECONDS_MIN = 30;

/**
 * Longest time between two firings of a cron expression in a year, seconds; null when it is none.
 * Handed in as `checkCron` is: this layer has no cron parser.
 */
export type LongestGap = (expression: string) => number | null;

/** Without somebody who knows, a cron expression is taken to fire once a day. */
const GAP_SECONDS_DEFAULT = 86_400;
/** What a point may be late beyond the alarm's two rounds, for the rounds themselves. */
const LAG_GRACE_SECONDS = 3600;

export interface TargetDraft {
  readonly settings: TargetSettings;
  readonly place: Place;
  readonly levels: Levels;
}

/** A resource as one node reads it. */
export interface ResourceView {
  readonly resource: ResourceBlock;
  /** The node's own on blocks, the first of which gives its name; never empty. */
  readonly mine: readonly Block[];
  /** Names of the other on blocks, each once. */
  readonly others: readonly string[];
  /** What the node answers to. */
  readonly names: readonly string[];
  /** On block, resource, top level. */
  readonly levels: Levels;
}

type Side = 'inner' | 'outer';

/** One name's target or archive blocks as this node reads them: within its on block, then outside
 * it. */
interface Written {
  readonly name: string;
  readonly kind: 'target' | 'archive';
  readonly place: Place;
  readonly levels: readonly [readonly Statement[], readonly Statement[]];
}

/** Targets of the resource, the peer of a short `remote` first, then the blocks in file order. */
export function resolveTargets(
  view: ResourceView,
  longestGap: LongestGap,
  findings: Findings,
): readonly TargetDraft[] {
  const own = ownName(view);
  const written = writtenTargets(view);
  refuseAliases(view, written, findings);
  refuseNodeNames(view, written, findings);
  const blocks = written.filter(({ name }) => name !== own);
  const peer = peerOf(view, blocks, findings);
  const ofPeer = blocks.find(({ name, kind }) => name === peer && kind === 'target');
  const drafts: TargetDraft[] = [];
  if (peer !== null) {
    const levels = [...(ofPeer?.levels ?? []), ...view.levels];
    const place = ofPeer?.place ?? (view.mine[0] ?? view.resource).place;
    drafts.push({ settings: targetSettings(peer, levels, longestGap), place, levels });
  }
  const around = withoutRemote(view.levels);
  for (const { name, kind, place, levels: inner } of blocks) {
    if (name === peer || drafts.length > TARGETS_MAX) continue;
    if (kind === 'archive') {
      const levels = [...inner, ...around];
      const archive = archiveSettings(view.resource.name, { name, place }, levels, findings);
      const settings = targetSettings(name, levels, longestGap, archive);
      refuseHaste(settings, place, levels, findings);
      drafts.push({ settings, place, levels });
      continue;
    }
    if (pick(inner, 'remote').statement === null) {
      const how = 'write remote tcp://HOST:8457 in it, or remote none';
      findings.error(place, 'target', `target ${name} does not say where it is; ${how}`);
    }
    const levels = [...inner, ...around];
    drafts.push({ settings: targetSettings(name, levels, longestGap), place, levels });
  }
  const beyond = drafts[TARGETS_MAX];
  if (beyond !== undefined) {
    const most = `a resource has at most ${TARGETS_MAX} targets`;
    findings.error(beyond.place, 'target', `${most}; this one is too many, remove it or another`);
  }
  return drafts;
}

/** No point of an archive is removed within a day, and it names so many at most. */
function refuseHaste(
  { name, schedule }: TargetSettings,
  place: Place,
  levels: Levels,
  findings: Findings,
): void {
  if (schedule.kind !== 'interval' || schedule.seconds >= ARCHIVE_SECONDS_MIN) return;
  const most = `archive ${name} may have a point every ${ARCHIVE_SECONDS_MIN} s, not more often`;
  const at = pickSchedule(levels).statement?.valuePlace ?? place;
  findings.error(at, 'interval', `${most}; write interval 5m in the archive block`);
}

/** Levels of the node's own target block, if there is one: what others see in it as a target. */
export function ownLevels(view: ResourceView): Levels {
  const own = writtenTargets(view).find(({ name }) => name === ownName(view));
  return [...(own?.levels ?? []), ...view.levels];
}

const ownName = ({ mine }: ResourceView): string =>
  present(mine[0], 'the node has an on block').name;

/** The blocks that this node reads, by name, in file order of their first. */
function writtenTargets({ resource, mine }: ResourceView): readonly Written[] {
  const inside = new Set(mine.flatMap((block) => block.targets));
  const all = [...resource.targets, ...inside].toSorted(
    (a, b) => a.place.line - b.place.line || a.place.column - b.place.column,
  );
  const byName = new Map<string, Omit<Written, 'name' | 'levels'> & Record<Side, Statement[]>>();
  for (const block of all) {
    const kind = block.scope === 'archive' ? 'archive' : 'target';
    const one = byName.get(block.name) ?? { kind, place: block.place, inner: [], outer: [] };
    byName.set(block.name, one);
    (inside.has(block) ? one.inner : one.outer).push(...effective(block.statements));
  }
  return [...byName].map(([name, { kind, place, inner, outer }]) => ({
    name,
    kind,
    place,
    levels: [effective(inner), effective(outer)],
  }));
}

/** The other side of an archive is no node. That a target has the same name is said by the file's
 * own rules (rules.ts). */
function refuseNodeNames(
  view: ResourceView,
  written: readonly Written[],
  findings: Findings,
): void {
  const nodes = new Set([...view.others, ownName(view)]);
  for (const { name, kind, place } of written) {
    if (kind !== 'archive' || !nodes.has(name)) continue;
    const how = 'give the archive another name, such as offsite';
    findings.error(place, 'archive', `${name} is a node of this resource; ${how}`);
  }
}

/** Under another of its names this node would send to itself. */
function refuseAliases(view: ResourceView, written: readonly Written[], findings: Findings): void {
  const own = ownName(view);
  for (const { name, place } of written) {
    if (name === own || !matchesNode(name, view.names)) continue;
    const what = `${name} is this node, which the on block calls ${own}`;
    findings.error(place, 'target', `${what}; write target ${own}, or name another node`);
  }
}

/**
 * Whose address the short `remote` of the node's on block is; null: it has none, or there is none.
 * Whether the other nodes are covered by target blocks decides, so that the same file can name a
 * different peer on each of three nodes.
 */
function peerOf(view: ResourceView, blocks: readonly Written[], findings: Findings): string | null {
  const { resource, mine, others } = view;
  const { statement, text } = pick(view.levels, 'remote');
  const place = (mine[0] ?? resource).place;
  const named = new Set(blocks.map(({ name }) => name));
  const addressed = new Set(
    blocks.filter(({ levels }) => pick(levels, 'remote').statement).map(({ name }) => name),
  );
  const unnamed = others.filter((name) => !named.has(name));
  const unsaid = unnamed.length > 0 ? unnamed : others.filter((name) => !addressed.has(name));
  const what = `resource ${resource.name}`;
  if (statement === null) {
    if (unnamed.length === 0 && blocks.length > 0) return null;
    const who = unsaid.length === 0 ? 'its other node' : listed(unsaid, 'and');
    const how =
      unsaid.length > 1
        ? 'write target NAME { remote tcp://HOST:8457 } for each'
        : 'write remote tcp://HOST:8457, or remote none';
    const verb = unsaid.length > 1 ? 'are' : 'is';
    findings.error(place, 'remote', `${what} does not say where ${who} ${verb}; ${how}`);
    return unsaid[0] ?? null;
  }
  const [first] = unsaid;
  if (unsaid.length === 1 && first !== undefined) return first;
  if (unsaid.length > 1) {
    const how = 'write target NAME { remote tcp://HOST:8457 } for all but one of them';
    const where = `${what}: this could be where ${listed(unsaid, 'or')} is`;
    findings.error(statement.valuePlace, 'remote', `${where}; ${how}`);
    return null;
  }
  if (others.length === 1) return others[0] ?? null;
  if (text === 'none' || text === null) return null;
  if (others.length === 0) {
    const how = 'write on NAME { ... } too, or target NAME { ... } around this remote';
    const why = 'a target is named after its node';
    const fault = `${what} has no on block for the other node; ${why}: ${how}`;
    findings.error(place, 'on', fault);
  } else {
    const why = `${listed(others, 'and')} have target blocks with their own`;
    findings.error(statement.valuePlace, 'remote', `${what}: ${why}; remove this one`);
  }
  return null;
}

const listed = (names: readonly string[], word: string): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;

/** The on block's `remote` is the peer's alone. */
const withoutRemote = (levels: Levels): Levels =>
  levels.map((level) => level.filter(({ keyword }) => keyword.name !== 'remote'));

/** Text to values. Every text was checked by the parser, and defaults are right (value.test.ts). */
function targetSettings(
  name: string,
  levels: Levels,
  longestGap: LongestGap,
  archive: ArchiveSettings | null = null,
): TargetSettings {
  const remote = archive?.url ?? pick(levels, 'remote').text;
  const schedule = scheduleSetting(levels);
  const rate = pickText(levels, 'rate');
  return {
    name,
    remote: remote === 'none' ? null : remote,
    source: archive === null ? pick(levels, 'source').text : null,
    archive,
    schedule,
    retain: ruleOf(pickText(levels, 'retain')),
    compression: present(compressionOf(pickText(levels, 'compression')), 'it was checked'),
    timeoutSeconds: present(durationSeconds(pickText(levels, 'timeout'), true), 'it was checked'),
    rateBitsPerSecond: rate === 'none' ? null : present(rateBits(rate), 'it was checked'),
    maxLagSeconds: maxLag(levels, schedule, longestGap),
  };
}

function archiveSettings(
  resource: string,
  { name, place }: Pick<Written, 'name' | 'place'>,
  levels: Levels,
  findings: Findings,
): ArchiveSettings {
  const optional = (setting: string): string | null => pick(levels, setting).text;
  const base = (optional('url') ?? '').replace(/\/+$/, '');
  if (pick(levels, 'url').statement === null) {
    const how = 'write url s3://BUCKET/PREFIX, or url file:///DIRECTORY';
    findings.error(place, 'archive', `archive ${name} does not say where it is; ${how}`);
  }
  return {
    url: `${base}/${resource}`,
    base,
    endpoint: optional('endpoint'),
    region: optional('region'),
    checksums: optional('checksums') === 'required' ? 'required' : 'supported',
    storageClass: optional('class'),
    keyPath: optional('key'),
    timezone: optional('timezone'),
    verifyBytes: sizeBytes(pickText(levels, 'verify')) ?? 0,
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

/**
 * Age of the last point that is worth an alarm, seconds; null only for `none`. By default two
 * rounds may be missed, and an hour is for the second one to run: a replicator that has not
 * replicated for long must not say that all is well.
 */
function maxLag(levels: Levels, schedule: ScheduleSetting, longestGap: LongestGap): number | null {
  const { text } = pick(levels, 'max-lag');
  if (text === 'none') return null;
  if (text !== null) return present(durationSeconds(text, false), 'it was checked');
  const seconds = schedule.kind === 'interval' ? schedule.seconds : longestGap(schedule.expression);
  return 2 * (seconds ?? GAP_SECONDS_DEFAULT) + LAG_GRACE_SECONDS;
}
