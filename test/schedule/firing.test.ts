// Firings: cron with time zones and daylight saving, intervals anchored to the last run, what is
// caught up after a stop, and which expressions are refused with which words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import {
  checkCron,
  type FiringSetting,
  missedFiring,
  nextFiring,
} from '../../src/schedule/firing.js';

const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number): string => new Date(ms).toISOString();
const cron = (expression: string, timezone: string | null = 'UTC'): FiringSetting => ({
  kind: 'cron',
  expression,
  timezone,
});
const every = (seconds: number): FiringSetting => ({ kind: 'interval', seconds });

/** The next `count` firings, each asked for with the one before, as a daemon does. */
function firings(setting: FiringSetting, from: string, count: number): string[] {
  const out: string[] = [];
  let after = at(from);
  for (let i = 0; i < count; i += 1) {
    after = nextFiring(setting, after, at(from));
    out.push(iso(after));
  }
  return out;
}

test('a nightly expression fires once a day, strictly after the time asked for', () => {
  assert.deepEqual(firings(cron('0 2 * * *'), '2026-11-20T02:00:00.000Z', 2), [
    '2026-11-21T02:00:00.000Z',
    '2026-11-22T02:00:00.000Z',
  ]);
  assert.deepEqual(firings(cron('0 2 * * *'), '2026-11-20T01:59:59.999Z', 1), [
    '2026-11-20T02:00:00.000Z',
  ]);
});

test('six fields start with seconds', () => {
  assert.deepEqual(firings(cron('*/20 0 2 * * *'), '2026-11-20T01:00:00Z', 4), [
    '2026-11-20T02:00:00.000Z',
    '2026-11-20T02:00:20.000Z',
    '2026-11-20T02:00:40.000Z',
    '2026-11-21T02:00:00.000Z',
  ]);
});

test('the time zone decides, not the zone of the machine', () => {
  const nightly = '0 2 * * *';
  assert.deepEqual(firings(cron(nightly, 'Europe/Berlin'), '2026-07-01T12:00:00Z', 1), [
    '2026-07-02T00:00:00.000Z',
  ]);
  assert.deepEqual(firings(cron(nightly, 'America/New_York'), '2026-07-01T12:00:00Z', 1), [
    '2026-07-02T06:00:00.000Z',
  ]);
});

test('spring in Berlin: a time inside the gap still fires that night, once', () => {
  assert.deepEqual(firings(cron('30 2 * * *', 'Europe/Berlin'), '2026-03-28T12:00:00Z', 2), [
    '2026-03-29T01:30:00.000Z',
    '2026-03-30T00:30:00.000Z',
  ]);
  assert.deepEqual(firings(cron('0 2 * * *', 'Europe/Berlin'), '2026-03-28T12:00:00Z', 2), [
    '2026-03-29T01:00:00.000Z',
    '2026-03-30T00:00:00.000Z',
  ]);
});

test('autumn in Berlin: a time that exists twice fires the first time only', () => {
  assert.deepEqual(firings(cron('30 2 * * *', 'Europe/Berlin'), '2026-10-24T12:00:00Z', 2), [
    '2026-10-25T00:30:00.000Z',
    '2026-10-26T01:30:00.000Z',
  ]);
  assert.equal(
    iso(nextFiring(cron('30 2 * * *', 'Europe/Berlin'), at('2026-10-25T00:45:00Z'), 0)),
    '2026-10-26T01:30:00.000Z',
    'a daemon started between the two does not fire at the second',
  );
});

test('wildcards run through both changes without a pause or a repetition', () => {
  for (const from of ['2026-10-24T23:50:00Z', '2026-03-28T23:50:00Z']) {
    const got = firings(cron('*/30 * * * *', 'Europe/Berlin'), from, 12).map(at);
    const steps = got.slice(1).map((time, i) => time - (got[i] ?? 0));
    assert.deepEqual(new Set(steps), new Set([1_800_000]), from);
  }
});

test('an interval is anchored to the last run, not to the hour or to now', () => {
  const anchor = at('2026-11-20T02:07:11Z');
  assert.equal(nextFiring(every(900), anchor, anchor), anchor + 900_000);
  assert.equal(nextFiring(every(900), anchor + 899_999, anchor), anchor + 900_000);
  assert.equal(nextFiring(every(900), anchor + 900_000, anchor), anchor + 1_800_000);
  assert.equal(nextFiring(every(900), anchor + 10_000_000, anchor), anchor + 12 * 900_000);
});

test('property: an interval fires within a step, a whole number of steps from the anchor', () => {
  const seed = Number(process.env['HAST_SEED'] ?? 20261120);
  console.log(`HAST_SEED=${seed}`);
  const random = seededRandom(seed);
  for (let i = 0; i < 2000; i += 1) {
    const seconds = 1 + random.below(100_000);
    const anchor = random.below(2 ** 31) * 1000 + random.below(1000);
    const after = random.below(2 ** 31) * 1000 + random.below(1000);
    const next = nextFiring(every(seconds), after, anchor);
    assert.ok(next > after && next <= after + seconds * 1000, `step ${seconds} after ${after}`);
    assert.equal(Math.abs((next - anchor) % (seconds * 1000)), 0);
  }
});

test('a clock that was set back delays an interval by one step at most', () => {
  const anchor = at('2027-01-01T00:00:00Z');
  const now = at('2026-01-01T00:00:01Z');
  assert.ok(nextFiring(every(3600), now, anchor) - now <= 3_600_000);
});

test('an interval of zero is our own mistake', () => {
  assert.throws(() => nextFiring(every(0), 0, 0), /assertion failed/);
});

test('a firing that was missed is owed once, however many there were', () => {
  const nightly = cron('0 2 * * *');
  const ran = at('2026-11-20T02:00:00Z');
  assert.equal(missedFiring(nightly, ran, at('2026-11-21T01:59:59Z')), false);
  assert.equal(missedFiring(nightly, ran, at('2026-11-21T02:00:00Z')), true);
  assert.equal(missedFiring(nightly, ran, at('2026-12-20T12:00:00Z')), true);
  const caughtUp = at('2026-12-20T12:00:00Z');
  assert.equal(missedFiring(nightly, caughtUp, caughtUp + 1), false, 'caught up: nothing is owed');
  assert.equal(missedFiring(every(900), ran, ran + 899_999), false);
  assert.equal(missedFiring(every(900), ran, ran + 900_000), true);
});

test('a target that never ran, or ran in the future, has missed nothing', () => {
  for (const setting of [cron('* * * * *'), every(1)]) {
    assert.equal(missedFiring(setting, null, at('2026-11-20T02:00:00Z')), false);
    assert.equal(
      missedFiring(setting, at('2027-01-01T00:00:00Z'), at('2026-01-01T00:00:00Z')),
      false,
    );
  }
});

test('good expressions pass', () => {
  for (const good of [
    '0 2 * * *',
    '*/5 * * * *',
    '30 */10 8-18 * * 1-5',
    '0 0 29 2 *',
    '0 0 L * *',
    ' 0  2 * * * ',
    '0 2 * * SUN',
  ]) {
    assert.equal(checkCron(good, 'Europe/Berlin'), null, good);
    assert.equal(checkCron(good, null), null, good);
  }
});

test('bad expressions are refused with what to write', () => {
  const cases: [string, RegExp][] = [
    ['', /has 0 fields; write five/],
    ['* * *', /has 3 fields/],
    ['@daily', /has 1 fields/],
    ['* * * * * * *', /has 7 fields/],
    ['61 * * * *', /61.*0-59/],
    ['a b c d e', /Invalid characters/],
    ['0 0 30 2 *', /never fires/],
    ['0 0 31 2,4 *', /never fires/],
    ['*/5 '.repeat(100), /longer than 256/],
  ];
  for (const [bad, words] of cases) assert.match(checkCron(bad, 'UTC') ?? 'accepted', words, bad);
});

test('an unknown time zone is named', () => {
  assert.match(checkCron('0 2 * * *', 'Mars/Phobos') ?? '', /Mars\/Phobos is not known/);
});
