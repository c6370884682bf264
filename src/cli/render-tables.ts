// Tables of rounds and points, results of sync and verify. Pure. Sizes in words; --json has bytes.
import { humanBytes, humanSeconds } from '../base/units.js';
import type {
  EstimateAnswer,
  PointRecord,
  RoundRecord,
  SyncAnswer,
  VerifyAnswer,
} from '../control/api.js';
import { age, columns, plural, pointName, shortTime } from './text.js';

/** Characters of a random id that are shown; --json has all. */
const ID_SHOWN = 8;

const ROUND_HEADER = [
  'Round',
  'Target',
  'Point',
  'Outcome',
  'Cut',
  'Took',
  'Dirty',
  'Read',
  'Skipped',
  'Sent',
  'Up',
  'Down',
  'Coalesced',
];

/** Columns that stand there only when a round has something to say in them. */
const EXTRA_COLUMNS: readonly {
  readonly title: string;
  readonly count: (round: RoundRecord) => number;
  readonly bytes: boolean;
}[] = [
  { title: 'Resent', count: (round) => round.resentBytes, bytes: true },
  { title: 'Reused', count: (round) => round.reusedBytes, bytes: true },
  { title: 'Drift', count: (round) => round.driftChunks, bytes: false },
  { title: 'Damaged', count: (round) => round.damagedChunks, bytes: false },
];

/** Newest last, as the daemon gives them; errors on a line of their own. */
export function renderRounds(resource: string, rounds: readonly RoundRecord[]): string {
  if (rounds.length === 0) return `${resource}: no rounds yet\n`;
  const extra = EXTRA_COLUMNS.filter(({ count }) => rounds.some((round) => count(round) > 0));
  const cells = (round: RoundRecord): string[] =>
    extra.map(({ count, bytes }) => (bytes ? humanBytes(count(round)) : `${count(round)}`));
  const [header = '', ...lines] = columns([
    [...ROUND_HEADER, ...extra.map(({ title }) => title)],
    ...rounds.map((round) => [...roundRow(resource, round), ...cells(round)]),
  ]).split('\n');
  const blocks = rounds.map((round, i) =>
    round.error === null ? [lines[i] ?? ''] : [lines[i] ?? '', `  error: ${round.error}`],
  );
  return `${[header, ...blocks.flat()].join('\n')}\n`;
}

function roundRow(resource: string, round: RoundRecord): string[] {
  return [
    round.id.slice(0, ID_SHOWN),
    round.target,
    round.point === null ? '-' : pointName(resource, { number: round.point }),
    round.outcome,
    shortTime(round.cutTime),
    humanSeconds(round.seconds),
    humanBytes(round.dirtyBytes),
    humanBytes(round.readBytes),
    humanBytes(round.skippedBytes),
    humanBytes(round.sentBytes),
    humanBytes(round.wireUpBytes),
    humanBytes(round.wireDownBytes),
    coalesced(round),
  ];
}

/** What periodic replication saved: bytes the guest wrote over bytes sent, `3.2x`. */
export function coalesced(round: Pick<RoundRecord, 'guestBytes' | 'sentBytes'>): string {
  return round.sentBytes === 0 ? '-' : `${(round.guestBytes / round.sentBytes).toFixed(1)}x`;
}

export function renderPoints(
  resource: string,
  points: readonly PointRecord[],
  nowMs: number,
): string {
  if (points.length === 0) return `${resource}: no points yet\n`;
  const header = [
    'Point',
    'Cut',
    'Age',
    'Name',
    'Consistency',
    'Lost',
    'Size',
    'Changed',
    'Target',
    'Id',
  ];
  const rows = points.map((point) => [
    pointName(resource, point),
    shortTime(point.time),
    age(point.time, nowMs),
    point.name ?? '-',
    point.consistency === 'damaged' ? 'DAMAGED' : point.consistency,
    point.lostChunks === 0 ? '-' : String(point.lostChunks),
    humanBytes(point.sizeBytes),
    humanBytes(point.changedBytes),
    point.target ?? 'here',
    point.id.slice(0, ID_SHOWN),
  ]);
  const damaged = points.some(({ consistency }) => consistency === 'damaged');
  const note = '  DAMAGED: blocks that could not be read at the cut have older content\n';
  const lost = points.some(({ lostChunks }) => lostChunks > 0);
  const lostNote =
    '  Lost: chunks that had changed behind our back at this point; they cannot be read\n';
  return `${columns([header, ...rows])}${damaged ? note : ''}${lost ? lostNote : ''}`;
}

export function renderSync(resource: string, answer: SyncAnswer): string {
  const lines = answer.outcomes.map(({ target, outcome, point, text }) => {
    const made = point === null ? '' : ` as ${pointName(resource, { number: point })}`;
    return `${resource} ${target}: ${outcome}${made}${text === '' ? '' : `: ${text}`}\n`;
  });
  return lines.join('') || `${resource}: there is no target to send to\n`;
}

/** `sync --dry-run`: per target what a round would carry, how long, and the room it may need. */
export function renderEstimate(resource: string, answer: EstimateAnswer): string {
  const lines = answer.targets.flatMap((target) => {
    const { seconds, bytesPerSecond } = target;
    const rate = bytesPerSecond === null ? '' : ` at ${humanBytes(bytesPerSecond)}/s`;
    const time = seconds === null ? 'time not known yet' : `about ${humanSeconds(seconds)}${rate}`;
    const full = target.spillBytes > 0 && target.spillBytes >= target.spillBytesMax;
    const tight = full ? ' (a busy guest could fill it)' : '';
    const spill = `${humanBytes(target.spillBytes)} of ${humanBytes(target.spillBytesMax)}`;
    return [
      `${resource} ${target.target}: ${humanBytes(target.dirtyBytes)} dirty in ` +
        `${plural(target.dirtyChunks, 'chunk')}, about ${humanBytes(target.wireBytes)} on the ` +
        `wire, ${time}`,
      `  room needed at most: here ${spill} of spill${tight}; there ` +
        `${humanBytes(target.targetBytes)}`,
    ];
  });
  return lines.map((line) => `${line}\n`).join('') || `${resource}: there is no target\n`;
}

export function renderVerify(resource: string, answer: VerifyAnswer): string {
  const what = answer.compared === 'tables' ? 'digest tables' : 'disks (read past the page cache)';
  const lines = answer.results.flatMap((result) => [
    `${resource} ${result.target}: compared ${what}: ${result.chunks} chunks, ` +
      `${result.differing} differ, ${result.dirtyChunks} dirty and not comparable now` +
      `${result.text === '' ? '' : `: ${result.text}`}`,
    ...(result.examples.length > 0 ? [`  differing at byte ${result.examples.join(', ')}`] : []),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}
