// Which restore points are kept: one rule for replicas and archives, as a pure function of the
// points, the rule and a time zone. `last 24 hourly 48 daily 14 weekly 8 monthly 12` keeps the
// newest 24 points; of each of the newest 48 hours that have points the newest point; and so on.
// A point is kept when any part of the rule keeps it, when it is pinned, or when it is the newest.
// Hours, days, weeks (from Monday, ISO 8601) and months are those of the time zone; the hour that
// a clock is set back over counts once. Times are wall milliseconds.

/** How many of each are kept; 0: that part keeps nothing. */
export interface RetainRule {
  readonly last: number;
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
}

export type RetainPart = keyof RetainRule;
export const RETAIN_PARTS: readonly RetainPart[] = ['last', 'hourly', 'daily', 'weekly', 'monthly'];
export const RETAIN_MAX = 4096;

export interface Retained {
  readonly number: number;
  readonly timeMs: number;
  readonly pinned: boolean;
}

export type KeptBy = RetainPart | 'newest' | 'pinned';

const NOTHING: RetainRule = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

export const retainLast = (last: number): RetainRule => ({ ...NOTHING, last });

/** Reads a rule, `24` or `last 24 hourly 48 ...`; what is wrong with it as a string. */
export function parseRetain(text: string): RetainRule | string {
  const words = text.trim().split(/\s+/);
  const [only] = words;
  if (words.length === 1 && only !== undefined && /^\d+$/.test(only)) {
    return checked(retainLast(Number(only)));
  }
  if (words.length % 2 !== 0) return 'it is a number, or pairs like "last 24 daily 14"';
  const rule: Record<RetainPart, number> = { ...NOTHING };
  for (let at = 0; at < words.length; at += 2) {
    const [part = '', count = ''] = words.slice(at, at + 2);
    if (!isPart(part)) return `${part} is none of ${RETAIN_PARTS.join(', ')}`;
    if (!/^\d+$/.test(count)) return `${part} is followed by a number, not by ${count}`;
    if (rule[part] !== 0) return `${part} is there twice`;
    rule[part] = Number(count);
  }
  return checked(rule);
}

/** As it would be written. */
export const retainText = (rule: RetainRule): string =>
  RETAIN_PARTS.filter((part) => rule[part] > 0)
    .map((part) => `${part} ${rule[part]}`)
    .join(' ');

function checked(rule: RetainRule): RetainRule | string {
  const counts = RETAIN_PARTS.map((part) => rule[part]);
  if (counts.every((count) => count === 0)) return 'it keeps nothing';
  const sum = counts.reduce((all, count) => all + count, 0);
  return sum > RETAIN_MAX ? `it may keep ${sum} points; ${RETAIN_MAX} are the most` : rule;
}

const isPart = (word: string): word is RetainPart => RETAIN_PARTS.some((part) => part === word);

/** What keeps each point that is kept, in the order of the points, which does not matter. */
export function keptPoints<P extends Retained>(
  points: readonly P[],
  rule: RetainRule,
  timezone: string,
): Map<P, readonly KeptBy[]> {
  const newestFirst = [...points].sort((a, b) => b.timeMs - a.timeMs || b.number - a.number);
  const reasons = new Map<P, KeptBy[]>();
  const keep = (point: P, reason: KeptBy): void => {
    const has = reasons.get(point);
    if (has === undefined) reasons.set(point, [reason]);
    else has.push(reason);
  };
  const [newest] = newestFirst;
  if (newest !== undefined) keep(newest, 'newest');
  for (const point of newestFirst) if (point.pinned) keep(point, 'pinned');
  for (const point of newestFirst.slice(0, rule.last)) keep(point, 'last');
  const bucketsOf = bucketNames(timezone);
  for (const part of ['hourly', 'daily', 'weekly', 'monthly'] as const) {
    const seen = new Set<string>();
    for (const point of newestFirst) {
      if (seen.size >= rule[part]) break;
      const bucket = bucketsOf(point.timeMs)[part];
      if (seen.has(bucket)) continue;
      seen.add(bucket);
      keep(point, part);
    }
  }
  return reasons;
}

type Buckets = Readonly<Record<Exclude<RetainPart, 'last'>, string>>;

const DAY_MS = 86_400_000;
const WEEK_DAYS = 7;

/** Names of the hour, day, week and month of a time. */
function bucketNames(timezone: string): (timeMs: number) => Buckets {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    hourCycle: 'h23',
  });
  return (timeMs) => {
    const parts = new Map(format.formatToParts(timeMs).map(({ type, value }) => [type, value]));
    const [year, month, day, hour] = (['year', 'month', 'day', 'hour'] as const).map(
      (type) => parts.get(type) ?? '',
    );
    const date = Date.UTC(Number(year), Number(month) - 1, Number(day)) / DAY_MS;
    // 1970-01-01 was a Thursday.
    const monday = date - ((date + 3) % WEEK_DAYS);
    return {
      hourly: `${year}-${month}-${day} ${hour}`,
      daily: `${year}-${month}-${day}`,
      weekly: String(monday),
      monthly: `${year}-${month}`,
    };
  };
}
