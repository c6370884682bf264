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

export interface Retained {
  readonly number: number;
  readonly timeMs: number;
  readonly pinned: boolean;
}

export type KeptBy = RetainPart | 'newest' | 'pinned';

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
