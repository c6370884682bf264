// `hastctl status --check`: a monitoring plug-in over the alarms of the daemon. Pure. One line:
// `HAST WORD - what is wrong, or what is well | performance data`, as the guidelines of the
// Monitoring Plugins project have it (label=value[unit];[warning];[critical];[minimum]).
// It never takes silence for health: a resource or target of the configuration that the daemon
// does not have is critical, no resource at all is unknown, and so is every error on the way here.
import { humanSeconds } from '../base/units.js';
import { lagWarningSeconds, worstFirst } from '../control/alarms.js';
import type { Alarm, ResourceStatus, StatusAnswer, TargetStatus } from '../control/api.js';
import { CHECK_STATUS, type CheckWord } from '../control/exit-status.js';
import { plural } from './text.js';

/** Problems that are spelled out on the line; the rest is counted. */
const SHOWN_MAX = 8;
/** Words that are no health, whatever the alarms say. */
const BAD_WORDS: Readonly<Record<string, Alarm['level']>> = {
  failed: 'critical',
  diverged: 'critical',
  suspect: 'critical',
  unreplicated: 'warning',
};

export interface Problem {
  readonly level: Alarm['level'];
  readonly resource: string;
  readonly target: string | null;
  /** Code of the alarm, `missing`, or `state`. */
  readonly code: string;
  readonly text: string;
}

/** What the configuration promises: resources and the targets that have an address. */
export interface Expected {
  readonly name: string;
  readonly targets: readonly string[];
}

export interface CheckResult {
  readonly status: CheckWord;
  readonly exitStatus: number;
  /** Worst first. */
  readonly problems: readonly Problem[];
  /** The line, without its end. */
  readonly text: string;
}

/** `answer` is of all resources; `names`: those to look at, none means all. */
export function checkStatus(
  answer: StatusAnswer,
  expected: readonly Expected[],
  names: readonly string[],
  nowMs: number,
): CheckResult {
  const all = names.length === 0;
  const stranger = names.find((name) => ![...answer.resources, ...expected].some(named(name)));
  if (stranger !== undefined) return unknown(`there is no resource ${stranger} on this node`);
  const resources = answer.resources.filter(({ name }) => all || names.includes(name));
  const wanted = expected.filter(({ name }) => all || names.includes(name));
  if (resources.length + wanted.length === 0) return unknown('there is no resource on this node');
  const problems = worstFirst([
    ...wanted.flatMap((each) => missing(each, resources.find(named(each.name)))),
    ...resources.flatMap(problemsOf),
  ]);
  const critical = problems.some(({ level }) => level === 'critical');
  const status = critical ? 'CRITICAL' : problems.length > 0 ? 'WARNING' : 'OK';
  const said = problems.length > 0 ? troubleText(problems) : healthText(resources, nowMs);
  return result(status, problems, said, resources.flatMap(measured));
}

/** What to say when nothing can be known. */
export const unknown = (why: string): CheckResult => result('UNKNOWN', [], why, []);

function result(
  status: CheckWord,
  problems: readonly Problem[],
  said: string,
  data: readonly string[],
): CheckResult {
  // A bar begins the performance data, and there is one line.
  const plain = said.replaceAll(/[|\s]+/g, ' ').trim();
  const text = [`HAST ${status} - ${plain}`, ...(data.length > 0 ? [data.join(' ')] : [])];
  return { status, exitStatus: CHECK_STATUS[status], problems, text: text.join(' | ') };
}

const named =
  (name: string) =>
  (one: { readonly name: string }): boolean =>
    one.name === name;

function missing(wanted: Expected, found: ResourceStatus | undefined): Problem[] {
  const problem = (target: string | null): Problem => {
    const text = `${target === null ? 'it' : 'the target'} is configured, but hastd has it not`;
    const facts = { resource: wanted.name, target, text: `${text} (hastctl reload)` };
    return { level: 'critical', code: 'missing', ...facts };
  };
  if (found === undefined) return [problem(null)];
  if (found.role !== 'primary') return [];
  return wanted.targets
    .filter((target) => !found.targets.some(named(target)))
    .map((target) => problem(target));
}

function problemsOf({ name, state, alarms }: ResourceStatus): Problem[] {
  const problems = alarms.map((alarm) => ({ ...alarm, resource: name }));
  const level = Object.hasOwn(BAD_WORDS, state) ? BAD_WORDS[state] : undefined;
  if (level === undefined) return problems;
  if (problems.some((told) => told.level === level || told.level === 'critical')) return problems;
  const text = `its state is ${state}`;
  return [...problems, { level, resource: name, target: null, code: 'state', text }];
}

function troubleText(problems: readonly Problem[]): string {
  const shown = problems
    .slice(0, SHOWN_MAX)
    .map(({ resource, target, code, text }) =>
      [resource, ...(target === null ? [] : [target]), `${code}: ${text}`].join(' '),
    );
  const rest = problems.length - shown.length;
  return [...shown, ...(rest > 0 ? [`and ${rest} more`] : [])].join('; ');
}

/** `3 resources clean, oldest point 4m`, or counts by word. */
function healthText(resources: readonly ResourceStatus[], nowMs: number): string {
  const counts = new Map<string, number>();
  for (const { state } of resources) counts.set(state, (counts.get(state) ?? 0) + 1);
  const words = [...counts].map(([word, count]) => `${count} ${word}`);
  const [only] = counts.size === 1 ? counts.keys() : [];
  const many = plural(resources.length, 'resource');
  const first = only === undefined ? `${many}: ${words.join(', ')}` : `${many} ${only}`;
  const ages = resources.flatMap(({ targets }) => targets).flatMap((one) => pointAge(one, nowMs));
  if (ages.length === 0) return first;
  return `${first}, oldest point ${humanSeconds(Math.max(...ages))}`;
}

const pointAge = ({ lastPoint }: TargetStatus, nowMs: number): number[] =>
  lastPoint === null ? [] : [Math.max(0, (nowMs - Date.parse(lastPoint.time)) / 1000)];

/** Lag and dirty bytes of each target; what is not known is `U`. */
function measured({ name, targets }: ResourceStatus): string[] {
  return targets.flatMap(
    ({ name: target, lagSeconds, maxLagSeconds, dirtyBytes, failedRounds }) => {
      const label = `${name}_${target}`.replaceAll(/[^A-Za-z0-9._-]/g, '_');
      const limits =
        maxLagSeconds === null ? ';' : `${lagWarningSeconds(maxLagSeconds)};${maxLagSeconds}`;
      return [
        `${label}_lag=${lagSeconds === null ? 'U' : `${Math.round(lagSeconds)}s`};${limits};0`,
        `${label}_dirty=${dirtyBytes}B;;;0`,
        `${label}_failed=${failedRounds};;;0`,
      ];
    },
  );
}
