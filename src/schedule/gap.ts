// How long a cron expression may be silent: the longest time between two of its firings in a year,
// seconds. Pure, and cheap for every expression: the times of a day are combined from its fields,
// and only days are walked through, by the parser's rules for days but without it, which takes a
// millisecond for each. Days have 24 hours here: of daylight saving, which may add an hour to one
// gap of the year, nothing is known without a zone.
import cronParser from 'cron-parser';
import { CRON_LENGTH_MAX } from './firing.js';

const MINUTE_SECONDS = 60;
const HOUR_SECONDS = 3600;
const DAY_SECONDS = 86_400;
/** The year is 2000, a leap year, in which 30 January to 30 March is longest. */
const YEAR_DAYS = 366;
/** 29 February comes again after four years; as the fifth of some weekday after 28. */
const YEARS_MAX = 30;
/** 1 January 2000. */
const SATURDAY = 6;
/** 0..7: both ends are Sunday. */
const WEEKDAYS_ALL = 8;

type Fields = ReturnType<typeof cronParser.parseExpression>['fields'];

/** Null when it is no cron expression (see checkCron), or never fires. */
export function longestGapSeconds(expression: string): number | null {
  if (expression.length > CRON_LENGTH_MAX) return null;
  const words = expression.split(/\s+/).filter((word) => word !== '');
  if (words.length < 5) return null;
  try {
    const { fields } = cronParser.parseExpression(expression);
    const { second, minute, hour } = fields;
    const ofSecond = steps([...second], MINUTE_SECONDS);
    const ofMinute = steps([...minute], HOUR_SECONDS / MINUTE_SECONDS);
    const ofHour = steps([...hour], DAY_SECONDS / HOUR_SECONDS);
    const days = longestDays(fields, Number(/#([1-5])$/.exec(words.at(-1) ?? '')?.[1] ?? 0));
    if (days === null) return null;
    // From the last firing of a minute, hour, day to the first of the next one that has any.
    const overMinute = ofMinute.within * MINUTE_SECONDS - ofSecond.span;
    const overHour = ofHour.within * HOUR_SECONDS - ofMinute.span * MINUTE_SECONDS - ofSecond.span;
    const overDay =
      days * DAY_SECONDS -
      ofHour.span * HOUR_SECONDS -
      ofMinute.span * MINUTE_SECONDS -
      ofSecond.span;
    return Math.max(
      ofSecond.within,
      ofMinute.within > 0 ? overMinute : 0,
      ofHour.within > 0 ? overHour : 0,
      overDay,
    );
  } catch {
    return null;
  }
}

/** Of the values of a field: the largest step between two, and from the first to the last. */
function steps(values: readonly number[], limit: number): { within: number; span: number } {
  const used = [...new Set(values)].filter((value) => value < limit).toSorted((a, b) => a - b);
  const within = used.map((value, i) => value - (used[i - 1] ?? value));
  return { within: Math.max(0, ...within), span: (used.at(-1) ?? 0) - (used[0] ?? 0) };
}

/** Days between two days that fire, at most, beginning in a year; null when there are no two. */
function longestDays(fields: Fields, nth: number): number | null {
  let before: number | null = null;
  let longest: number | null = null;
  for (const day of days()) {
    if (!fires(fields, nth, day)) continue;
    if (before !== null) longest = Math.max(longest ?? 0, day.number - before);
    before = day.number;
    if (before > YEAR_DAYS) break;
  }
  return longest;
}

interface Day {
  /** 0 is 1 January 2000. */
  readonly number: number;
  /** 1..12. */
  readonly month: number;
  /** 1..31. */
  readonly ofMonth: number;
  readonly lastOfMonth: number;
  /** 0..6, from Sunday. */
  readonly weekday: number;
}

function* days(): Generator<Day> {
  for (let months = 0, number = 0; months < 12 * YEARS_MAX; months += 1) {
    const lengthMs = Date.UTC(2000, months + 1) - Date.UTC(2000, months);
    const lastOfMonth = lengthMs / 1000 / DAY_SECONDS;
    for (let ofMonth = 1; ofMonth <= lastOfMonth; ofMonth += 1, number += 1) {
      const weekday = (number + SATURDAY) % 7;
      yield { number, month: (months % 12) + 1, ofMonth, lastOfMonth, weekday };
    }
  }
}

/**
 * True when some time of this day fires. Day of month and weekday: if both are restricted, either
 * (crontab(5)); L is the last day of the month, 5L its last Friday, 5#2 its second.
 */
function fires(fields: Fields, nth: number, day: Day): boolean {
  const { month, ofMonth, lastOfMonth, weekday } = day;
  if (!has(fields.month, month)) return false;
  const isLastDay = ofMonth === lastOfMonth && has(fields.dayOfMonth, 'L');
  const inMonth = isLastDay || has(fields.dayOfMonth, ofMonth);
  const isLastWeek = ofMonth > lastOfMonth - 7 && has(fields.dayOfWeek, `${weekday}L`);
  const inWeek = isLastWeek || has(fields.dayOfWeek, weekday);
  const everyDay = fields.dayOfMonth.length >= (month === 2 ? 29 : lastOfMonth);
  const everyWeekday = fields.dayOfWeek.length === WEEKDAYS_ALL;
  if (nth > 0 && Math.ceil(ofMonth / 7) !== nth) return false;
  if (everyDay) return everyWeekday || inWeek;
  return inMonth || (!everyWeekday && inWeek);
}

const has = (values: readonly (number | string)[], value: number | string): boolean =>
  values.includes(value);
