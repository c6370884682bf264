// `hastctl status`: alarms, worst first, then HAST's header and one line per resource that scripts
// can cut at white space; what HAST could not say stands below it. Every line but the header and
// those of the resources begins with white space. Pure.
import { humanBytes, humanSeconds } from '../base/units.js';
import { worstFirst } from '../control/alarms.js';
import type { PacksStatus, ResourceStatus, StatusAnswer, TargetStatus } from '../control/api.js';
import {
  age,
  bitRate,
  columns,
  plural,
  pointName,
  progressBar,
  progressText,
  shortTime,
} from './text.js';

export interface StatusLook {
  /** Marks of a progress bar for each running round; 0: none. */
  readonly barWidth: number;
}

export function renderStatus(
  answer: StatusAnswer,
  nowMs: number,
  look: StatusLook = { barWidth: 0 },
): string {
  const rows = [['Name', 'Status', 'Role', 'Components'], ...answer.resources.map(statusRow)];
  const [header = '', ...lines] = columns(rows).split('\n');
  const blocks = answer.resources.map((resource, i) => [
    lines[i] ?? '',
    ...continuation(resource, nowMs, look).map((line) => `  ${line}`),
  ]);
  return `${[...alarmLines(answer), header, ...blocks.flat()].join('\n')}\n`;
}

/** `  CRITICAL vm1 b lag: …`: an operator under stress reads the top first. */
function alarmLines(answer: StatusAnswer): string[] {
  const alarms = answer.resources.flatMap(({ name, alarms: own }) =>
    own.map((alarm) => ({ ...alarm, place: [name, alarm.target ?? []].flat().join(' ') })),
  );
  return worstFirst(alarms).map(
    ({ level, place, code, text }) => `  ${level.toUpperCase()} ${place} ${code}: ${text}`,
  );
}

/** Components as HAST: the local path, then where it is replicated to. */
function statusRow(resource: ResourceStatus): string[] {
  const remotes = resource.targets.map((target) => target.remote ?? 'none');
  const components = [resource.local, ...(remotes.length > 0 ? remotes : ['none'])];
  return [resource.name, resource.state, resource.role, components.join(' ')];
}

function continuation(resource: ResourceStatus, nowMs: number, look: StatusLook): string[] {
  const { error, hangsSince, guests, alone } = resource;
  const facts = [
    ...(guests > 0 ? [plural(guests, 'NBD client')] : []),
    ...(alone ? ['primary alone: the peer was not reached'] : []),
  ];
  return [
    ...(error === null ? [] : [`error: ${error}`]),
    ...(hangsSince === null ? [] : [`the disk has answered nothing for ${age(hangsSince, nowMs)}`]),
    ...(facts.length > 0 ? [facts.join('; ')] : []),
    ...resource.targets.flatMap((target) => targetLines(resource, target, nowMs, look)),
  ];
}

function targetLines(
  resource: ResourceStatus,
  target: TargetStatus,
  nowMs: number,
  look: StatusLook,
): string[] {
  if (resource.role === 'init') return [];
  const facts = [
    target.state,
    ...(target.paused && target.state !== 'paused' ? ['paused'] : []),
    pointText(resource, target, nowMs),
    ...archiveText(target),
    ...(target.dirtyBytes > 0 ? [`${humanBytes(target.dirtyBytes)} dirty`] : []),
    ...(target.nextRun === null || target.paused ? [] : [nextRunText(target.nextRun, nowMs)]),
    ...(target.rateBitsPerSecond === null ? [] : [`at most ${bitRate(target.rateBitsPerSecond)}`]),
    ...counts(target),
    verifiedText(target, nowMs),
  ];
  const lines = [`${target.name}: ${facts.join('; ')}`];
  if (target.packs) lines.push(`${target.name}: ${packsText(target.packs, nowMs)}`);
  if (target.round) {
    const bar = look.barWidth > 0 ? `${progressBar(target.round, look.barWidth)} ` : '';
    lines.push(`${target.name}: ${bar}${progressText(target.round)}`);
  }
  if (target.lastError) {
    const { time, code, text } = target.lastError;
    lines.push(`${target.name}: last error ${shortTime(time)} ${code}: ${text}`);
  }
  return lines;
}

/** What is worth a word only when it is there. */
function counts(target: TargetStatus): string[] {
  const { skippedFirings, failedRounds, driftChunks, untrackedChunks, damagedChunks } = target;
  return [
    ...(skippedFirings > 0 ? [`${plural(skippedFirings, 'firing')} skipped`] : []),
    ...(failedRounds > 0 ? [`${plural(failedRounds, 'round')} failed since`] : []),
    ...(driftChunks > 0 ? [`${plural(driftChunks, 'chunk')} had drifted there`] : []),
    ...(untrackedChunks > 0 ? [`${plural(untrackedChunks, 'chunk')} changed untracked`] : []),
    ...(damagedChunks > 0 ? [`${plural(damagedChunks, 'chunk')} damaged`] : []),
  ];
}

function pointText(resource: ResourceStatus, target: TargetStatus, nowMs: number): string {
  if (target.lastPoint === null) return 'no point yet';
  const name = pointName(resource.name, target.lastPoint);
  return `last point ${name}, ${age(target.lastPoint.time, nowMs)} old`;
}

function archiveText({ archive }: TargetStatus): string[] {
  if (archive === undefined) return [];
  const stored = humanBytes(archive.lastStoredBytes);
  return [`${plural(archive.points, 'point')} kept, the last one stored ${stored}`];
}

function nextRunText(nextRun: string, nowMs: number): string {
  const seconds = (Date.parse(nextRun) - nowMs) / 1000;
  return seconds > 0 ? `next run in ${humanSeconds(seconds)}` : 'next run is due';
}

function packsText(packs: PacksStatus, nowMs: number): string {
  const { bytes, in30DaysBytes, neverBytes, oldest, damaged } = packs;
  const share = Math.floor((100 * in30DaysBytes) / Math.max(1, bytes));
  const facts = [
    `${share} % of ${humanBytes(bytes)} looked at within 30 days`,
    oldest === null ? 'none yet' : `the oldest look ${age(oldest, nowMs)} ago`,
    ...(neverBytes > 0 ? [`never ${humanBytes(neverBytes)}`] : []),
    ...(damaged > 0 ? [`${plural(damaged, 'pack')} damaged`] : []),
  ];
  return facts.join('; ');
}

/** DESIGN.md §5: `clean` never stands without when it was last verified. */
const verifiedText = (target: TargetStatus, nowMs: number): string =>
  target.verifiedAt === null ? 'never verified' : `verified ${age(target.verifiedAt, nowMs)} ago`;
