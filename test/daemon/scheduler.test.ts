// Timetables on the real clock: interval and cron fire at their nominal times, what was missed
// while nobody was there is caught up once, a stopped one is silent; and a clock that is set, back
// or forward, stops no schedule.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.js';
import type { ScheduleSetting } from '../../src/config/settings.js';
import { startTimetable } from '../../src/daemon/scheduler.js';

/** Fires until `count` have come or 5 s are over; the nominal times. */
async function firings(
  setting: ScheduleSetting,
  lastRunMs: number | null,
  count: number,
): Promise<number[]> {
  const times: number[] = [];
  const table = startTimetable(setting, lastRunMs, systemClock, (nominalMs) => {
    times.push(nominalMs);
  });
  for (let waited = 0; waited < 5000 && times.length < count; waited += 20) {
    await systemClock.sleep(20);
  }
  table.stop();
  return times;
}

test('an interval fires again and again, its nominal times evenly apart', async () => {
  const [first, second] = await firings({ kind: 'interval', seconds: 1 }, null, 2);
  assert.equal((second ?? 0) - (first ?? 0), 1000);
});

test('a cron expression of six fields fires on the second', async () => {
  const setting: ScheduleSetting = { kind: 'cron', expression: '* * * * * *', timezone: 'UTC' };
  const times = await firings(setting, null, 2);
  assert.equal(times.length, 2);
  assert.ok(times.every((time) => time % 1000 === 0));
});

test('a firing missed while the daemon was down is caught up once, at once', async () => {
  const began = systemClock.wallMs();
  const setting: ScheduleSetting = { kind: 'interval', seconds: 3600 };
  const times = await firings(setting, began - 10 * 3600 * 1000, 1);
  assert.equal(times.length, 1, 'ten were missed, one is caught up');
  assert.ok((times[0] ?? 0) - began < 2000);
});

test('a stopped timetable fires no more, and says what its next time was', async () => {
  let fired = 0;
  const table = startTimetable({ kind: 'interval', seconds: 1 }, null, systemClock, () => {
    fired += 1;
  });
  assert.ok(table.nextMs > systemClock.wallMs());
  table.stop();
  await systemClock.sleep(1200);
  assert.equal(fired, 0);
});

const HOUR_MS = 3_600_000;

/** The wall clock of this process, node-schedule's too, set by so much; a watch that is quick. */
function setClock(t: TestContext): { byMs: number; clock: Clock } {
  const real = Date.now;
  const set = {
    byMs: 0,
    clock: {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(Math.min(ms, 50), signal),
    },
  };
  Date.now = () => real() + set.byMs;
  t.after(() => {
    Date.now = real;
  });
  return set;
}

const EVERY_SECOND: readonly ScheduleSetting[] = [
  { kind: 'interval', seconds: 1 },
  { kind: 'cron', expression: '* * * * * *', timezone: 'UTC' },
];

for (const setting of EVERY_SECOND) {
  for (const byMs of [-HOUR_MS, HOUR_MS]) {
    test(`a clock that is set by ${byMs} ms does not stop a ${setting.kind}`, async (t) => {
      const set = setClock(t);
      const late: number[] = [];
      const table = startTimetable(setting, null, set.clock, (nominalMs) => {
        late.push(Date.now() - nominalMs);
        if (late.length === 2) set.byMs = byMs;
      });
      t.after(() => table.stop());
      await systemClock.sleep(5500);
      assert.ok(late.length >= 5, `${late.length} firings`);
      assert.ok(late.length <= 8, `${late.length} firings`);
      // What was leapt over is caught up once, late; no other is.
      assert.ok(late.filter((ms) => ms > 900).length <= 1, String(late));
      assert.ok(Math.abs(table.nextMs - Date.now()) <= 1000);
    });
  }
}

test('an interval that is under way keeps its length when the clock is set', async (t) => {
  const set = setClock(t);
  const setting: ScheduleSetting = { kind: 'interval', seconds: 24 * 3600 };
  for (const byMs of [-HOUR_MS, HOUR_MS]) {
    const table = startTimetable(setting, null, set.clock, () => undefined);
    const beforeMs = table.nextMs - Date.now();
    set.byMs += byMs;
    await systemClock.sleep(200);
    assert.ok(Math.abs(table.nextMs - Date.now() - beforeMs) < 1000);
    table.stop();
  }
});

test('a time of day stays that time of day when the clock is set back', async (t) => {
  const set = setClock(t);
  const setting: ScheduleSetting = { kind: 'cron', expression: '0 2 * * *', timezone: 'UTC' };
  const table = startTimetable(setting, null, set.clock, () => undefined);
  set.byMs = -26 * HOUR_MS;
  await systemClock.sleep(200);
  assert.equal(table.nextMs % (24 * HOUR_MS), 2 * HOUR_MS);
  assert.ok(table.nextMs - Date.now() <= 24 * HOUR_MS);
  table.stop();
});
