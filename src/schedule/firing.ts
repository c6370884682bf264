// When rounds are due: pure functions over a cron expression or an interval. Nothing here reads a
// clock. All times are wall milliseconds since 1970 UTC; intervals are seconds.
// Guarantee: a firing lies strictly after the time it is asked for, so a caller that asks again
// with the *nominal* time of the firing it has just had (not with the clock, whose timer may be a
// millisecond early) never gets the same firing twice.
// Daylight saving (hast.conf(5), `timezone`): a local time that does not exist fires at the first
// instant after the gap, or as far after it as it lies in the gap; one that exists twice fires the
// first time only; wildcards (`*/30`) follow elapsed time and neither pause nor repeat.
import cronParser from 'cron-parser';
import { assert } from '../base/assert.js';

/** The same shape as `ScheduleSetting` of the configuration, which this layer does not know. */
export type FiringSetting =
  | { readonly kind: 'cron'; readonly expression: string; readonly timezone: string | null }
  | { readonly kind: 'interval'; readonly seconds: number };

const CRON_FIELDS_MIN = 5;
const CRON_FIELDS_MAX = 6;
/** Longer than any real expression; keeps the parser away from megabytes. */
export const CRON_LENGTH_MAX = 256;

/**
 * The first firing strictly after `afterMs`. An interval fires at whole steps from `anchorMs`,
 * the last run; an anchor in the future (the clock was set back) keeps its phase but delays
 * nothing beyond one step. The expression must have passed `checkCron`.
 */
export function nextFiring(setting: FiringSetting, afterMs: number, anchorMs: number): number {
  if (setting.kind === 'interval') {
    assert(setting.seconds > 0, 'an interval is at least a second');
    const stepMs = setting.seconds * 1000;
    return anchorMs + (Math.floor((afterMs - anchorMs) / stepMs) + 1) * stepMs;
  }
  return firstAfter(setting.expression, setting.timezone, afterMs);
}

/**
 * True when a firing fell after `lastRunMs` and not after `nowMs`: it was missed while the daemon
 * was down and is owed once, however many there were. A target that never ran has missed nothing.
 */
export function missedFiring(
  setting: FiringSetting,
  lastRunMs: number | null,
  nowMs: number,
): boolean {
  if (lastRunMs === null || lastRunMs >= nowMs) return false;
  return nextFiring(setting, lastRunMs, lastRunMs) <= nowMs;
}

/**
 * What is wrong with a cron expression or its zone, as a sentence saying what to write; null when
 * it is good. Five fields (minute first) or six (second first); `timezone` is an IANA name, null
 * means the zone of the machine. Refused too: an expression that never fires, as 31 February.
 */
export function checkCron(expression: string, timezone: string | null): string | null {
  if (expression.length > CRON_LENGTH_MAX) {
    return `longer than ${CRON_LENGTH_MAX} characters; write five or six short fields`;
  }
  const fields = expression.split(/\s+/).filter((field) => field !== '');
  if (fields.length < CRON_FIELDS_MIN || fields.length > CRON_FIELDS_MAX) {
    return (
      `has ${fields.length} fields; write five (minute hour day month weekday) ` +
      'or six (second first), as in "0 2 * * *"'
    );
  }
  if (timezone !== null && !zoneExists(timezone)) {
    return `time zone ${timezone} is not known here; write a name such as Europe/Berlin or UTC`;
  }
  try {
    firstAfter(expression, timezone, 0);
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason.includes('loop limit') || reason.includes('day of month definition')) {
      return 'never fires: there is no such day in those months';
    }
    return `${reason}; write five or six fields, as in "0 2 * * *"`;
  }
}

function firstAfter(expression: string, timezone: string | null, afterMs: number): number {
  const zone = timezone === null ? {} : { tz: timezone };
  const dates = cronParser.parseExpression(expression, { currentDate: afterMs, ...zone });
  return dates.next().getTime();
}

function zoneExists(timezone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
    return true;
  } catch {
    return false;
  }
}
