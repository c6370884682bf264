// Timetables on the real clock: interval and cron fire at their nominal times, what was missed
// while nobody was there is caught up once, a stopped one is silent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
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
