// Which points are kept: against a plain model, over days on which clocks are set, and the words
// that a rule is written in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { retainLast, retainOf, retainText } from '../../src/config/retain.js';
import { keptPoints, type Retained, type RetainRule } from '../../src/retention/keep.js';

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 9, 20);

const point = (timeMs: number, number: number, pinned = false): Retained => ({
  number,
  timeMs,
  pinned,
});

const rule = (changes: Partial<RetainRule>): RetainRule => ({ ...retainLast(0), ...changes });

const numbers = (kept: Map<Retained, unknown>): number[] =>
  [...kept.keys()].map(({ number }) => number).sort((a, b) => a - b);

test('rules as they are written', () => {
  assert.deepEqual(retainOf('24'), retainLast(24));
  const whole = { last: 24, hourly: 48, daily: 14, weekly: 8, monthly: 12 };
  assert.deepEqual(retainOf(' last 24  hourly 48 daily 14 weekly 8 monthly 12 '), whole);
  assert.equal(retainText(whole), 'last 24 hourly 48 daily 14 weekly 8 monthly 12');
  assert.match(String(retainOf('daily')), /pairs such as/);
  assert.match(String(retainOf('daily x')), /followed by a number/);
  assert.match(String(retainOf('yearly 3')), /yearly is none of last, hourly/);
  assert.match(String(retainOf('daily 3 daily 4')), /twice/);
  assert.match(String(retainOf('0')), /keeps nothing/);
  assert.match(String(retainOf('last 0 daily 0')), /keeps nothing/);
  assert.match(String(retainOf('last 5000')), /3072 are the most/);
  assert.match(String(retainOf('')), /.+/);
});

test('of each of the newest days that have points the newest point is kept', () => {
  // Every six hours for ten days, none on the fourth.
  const points = Array.from({ length: 40 }, (_, i) => point(START_MS + 6 * i * HOUR_MS, i)).filter(
    ({ number }) => Math.floor(number / 4) !== 3,
  );
  const kept = keptPoints(points, rule({ daily: 7 }), 'UTC');
  assert.deepEqual(numbers(kept), [11, 19, 23, 27, 31, 35, 39]);
  assert.deepEqual([...kept.values()].at(0), ['newest', 'daily']);
});

test('the newest and what is pinned stay, whatever the rule', () => {
  const points = [point(1, 1, true), point(2, 2), point(3, 3)];
  assert.deepEqual(numbers(keptPoints(points, rule({ monthly: 1 }), 'UTC')), [1, 3]);
  assert.equal(keptPoints([], retainLast(3), 'UTC').size, 0);
});

test('days and hours are those of the time zone', () => {
  // 23:30 and 00:30 in Berlin are one day in UTC.
  const late = point(Date.UTC(2026, 10, 20, 22, 30), 1);
  const early = point(Date.UTC(2026, 10, 20, 23, 30), 2);
  assert.deepEqual(numbers(keptPoints([late, early], rule({ daily: 5 }), 'Europe/Berlin')), [1, 2]);
  assert.deepEqual(numbers(keptPoints([late, early], rule({ daily: 5 }), 'UTC')), [2]);
  // 25 October 2026: 02:30 comes twice.
  const first = point(Date.UTC(2026, 9, 25, 0, 30), 3);
  const second = point(Date.UTC(2026, 9, 25, 1, 30), 4);
  const hours = rule({ hourly: 9 });
  assert.deepEqual(numbers(keptPoints([first, second], hours, 'Europe/Berlin')), [4]);
});

test('weeks begin on Mondays, also over the end of a year', () => {
  const sunday = point(Date.UTC(2027, 0, 3, 12), 1);
  const monday = point(Date.UTC(2027, 0, 4, 12), 2);
  const before = point(Date.UTC(2026, 11, 28, 12), 0);
  const kept = keptPoints([before, sunday, monday], rule({ weekly: 5 }), 'UTC');
  assert.deepEqual(numbers(kept), [1, 2]);
});

test('more rule keeps no fewer points; what is kept is kept again without the others', () => {
  const points = fc.uniqueArray(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 80 });
  const count = fc.nat(10);
  const rules = fc.record({
    last: count,
    hourly: count,
    daily: count,
    weekly: count,
    monthly: count,
  });
  fc.assert(
    fc.property(points, rules, rules, (hours, one, more) => {
      const all = hours.map((hour, i) => point(START_MS + hour * HOUR_MS, i));
      const sum: RetainRule = {
        last: one.last + more.last,
        hourly: one.hourly + more.hourly,
        daily: one.daily + more.daily,
        weekly: one.weekly + more.weekly,
        monthly: one.monthly + more.monthly,
      };
      const kept = numbers(keptPoints(all, one, 'Europe/Berlin'));
      const wider = new Set(numbers(keptPoints(all, sum, 'Europe/Berlin')));
      assert.ok(kept.every((number) => wider.has(number)));
      const left = all.filter(({ number }) => kept.includes(number));
      assert.deepEqual(numbers(keptPoints(left, one, 'Europe/Berlin')), kept);
    }),
    { numRuns: 200 },
  );
});
