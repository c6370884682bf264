// The longest silence of a cron expression: known ones by hand, and any other against the firings
// themselves, walked one by one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nextFiring } from '../../src/schedule/firing.js';
import { longestGapSeconds } from '../../src/schedule/gap.js';

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

test('known expressions', () => {
  const known: readonly [string, number][] = [
    ['* * * * * *', 1],
    ['*/20 * * * * *', 20],
    ['* * * * *', MINUTE],
    ['*/5 * * * *', 5 * MINUTE],
    ['*/7 * * * *', 7 * MINUTE],
    ['5,10 * * * *', 55 * MINUTE],
    ['0 * * * *', HOUR],
    ['0 2 * * *', DAY],
    ['0 0 2 * * *', DAY],
    ['30 8,20 * * *', 12 * HOUR],
    ['0 8,17 * * *', 15 * HOUR],
    // Friday's last to Monday's first.
    ['*/5 7-19 * * 1-5', 2 * DAY + 11 * HOUR + 5 * MINUTE],
    ['0 3 * * 0', 7 * DAY],
    ['0 3 1 * *', 31 * DAY],
    ['0 3 31 * *', 61 * DAY],
    ['0 3 30 * *', 60 * DAY],
    ['0 3 L * *', 31 * DAY],
    ['0 3 1 1 *', 366 * DAY],
    ['0 3 24 12 *', 365 * DAY],
    // Once in four years: longer than the year that is looked at.
    ['0 3 29 2 *', 4 * 365 * DAY + DAY],
    ['0 3 * * 1#1', 35 * DAY],
    ['0 3 * * 5L', 35 * DAY],
    ['0 3 L * 1', 7 * DAY],
    // Both days given: cron takes either.
    ['0 3 1 * 0', 7 * DAY],
  ];
  for (const [expression, seconds] of known) {
    assert.equal(longestGapSeconds(expression), seconds, expression);
  }
});

test('what is no expression has no gap', () => {
  const wrong = ['', 'x', '0 2 * *', '61 * * * *', '0 0 31 2 *', '* '.repeat(300)];
  for (const expression of wrong) assert.equal(longestGapSeconds(expression), null, expression);
});

test('as the firings themselves say', (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? 20_261_121);
  t.diagnostic(`HAST_SEED=${seed}`);
  const some = (min: number, max: number) =>
    fc
      .uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 })
      .map((values) => values.toSorted((a, b) => a - b).join(','));
  const expressions = fc
    .tuple(
      some(0, 59),
      some(0, 23),
      fc.oneof(fc.constant('*'), some(1, 31)),
      fc.oneof(fc.constantFrom('*', '1#2', '5L'), some(0, 6)),
    )
    .map(([minute, hour, day, weekday]) => `${minute} ${hour} ${day} * ${weekday}`);
  const check = (expression: string): void => {
    let last = nextFiring(
      { kind: 'cron', expression, timezone: 'UTC' },
      Date.parse('1999-12-31T23:59:59Z'),
      0,
    );
    let longest = 0;
    while (last < Date.parse('2001-01-02T00:00:00Z')) {
      const next = nextFiring({ kind: 'cron', expression, timezone: 'UTC' }, last, 0);
      longest = Math.max(longest, (next - last) / 1000);
      last = next;
    }
    assert.equal(longestGapSeconds(expression), longest, expression);
  };
  fc.assert(fc.property(expressions, check), { seed, numRuns: 4 });
});

test('every expression takes little time', () => {
  const start = performance.now();
  for (const expression of ['* * * * * *', '* * * * *', '0 0 29 2 *', '*/7 */5 */3 * *']) {
    longestGapSeconds(expression);
  }
  assert.ok(performance.now() - start < 1000);
});
