// `hastctl status`: HAST's header and one line per resource that scripts can cut at white space;
// what HAST could not say stands below it on lines that begin with white space. Pure.
import { humanBytes, humanSeconds } from '../base/units.js';
import type { ResourceStatus, StatusAnswer, TargetStatus } from '../control/api.js';
import { age, columns, pointName, progressText, shortTime } from './text.js';

export function renderStatus(answer: StatusAnswer, nowMs: number): string {
  const rows = [['Name', 'Status', 'Role', 'Components'], ...answer.resources.map(statusRow)];
  const [header = '', ...lines] = columns(rows).split('\n');
  const blocks = answer.resources.map((resource, i) => [
    lines[i] ?? '',
    ...continuation(resource, nowMs).map((line) => `  ${line}`),
  ]);
  return `${[header, ...blocks.flat()].join('\n')}\n`;
}

/** Components as HAST: the local path, then where it is replicated to. */
function statusRow(resource: ResourceStatus): string[] {
  const remotes = resource.targets.map((target) => target.remote ?? 'none');
  const components = [resource.local, ...(remotes.length > 0 ? remotes : ['none'])];
  return [resource.name, resource.state, resource.role, components.join(' ')];
}

function continuation(resource: ResourceStatus, nowMs: number): string[] {
  const own = resource.error === null ? [] : [`error: ${resource.error}`];
  return [...own, ...resource.targets.flatMap((target) => targetLines(resource, target, nowMs))];
}

function targetLines(resource: ResourceStatus, target: TargetStatus, nowMs: number): string[] {
  if (resource.role === 'init') return [];
  const facts = [
    target.state,
    pointText(resource, target, nowMs),
    ...(target.dirtyBytes > 0 ? [`${humanBytes(target.dirtyBytes)} dirty`] : []),
    ...(target.nextRun === null ? [] : [nextRunText(target.nextRun, nowMs)]),
    ...(target.skippedFirings > 0 ? [`${target.skippedFirings} firings skipped`] : []),
    verifiedText(target, nowMs),
  ];
  const lines = [`${target.name}: ${facts.join('; ')}`];
  if (target.round) lines.push(`${target.name}: ${progressText(target.round)}`);
  if (target.lastError) {
    const { time, code, text } = target.lastError;
    lines.push(`${target.name}: last error ${shortTime(time)} ${code}: ${text}`);
  }
  return lines;
}

function pointText(resource: ResourceStatus, target: TargetStatus, nowMs: number): string {
  if (target.lastPoint === null) return 'no point yet';
  const name = pointName(resource.name, target.lastPoint);
  return `last point ${name}, ${age(target.lastPoint.time, nowMs)} old`;
}

function nextRunText(nextRun: string, nowMs: number): string {
  const seconds = (Date.parse(nextRun) - nowMs) / 1000;
  return seconds > 0 ? `next run in ${humanSeconds(seconds)}` : 'next run is due';
}

/** DESIGN.md §5: `clean` never stands without when it was last verified. */
const verifiedText = (target: TargetStatus, nowMs: number): string =>
  target.verifiedAt === null ? 'never verified' : `verified ${age(target.verifiedAt, nowMs)} ago`;
