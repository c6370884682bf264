// The clock of tests: order of waking, aborts, both modes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { within } from '../../src/base/clock.js';
import { FakeClock } from './fake-clock.js';

test('time stands still until it is advanced, wall and monotonic together', async () => {
  const clock = new FakeClock({ wallMs: 1000 });
  assert.deepEqual([clock.wallMs(), clock.monotonicMs()], [1000, 0]);
  await clock.advance(250);
  assert.deepEqual([clock.wallMs(), clock.monotonicMs()], [1250, 250]);
  clock.stepWall(-500);
  assert.deepEqual([clock.wallMs(), clock.monotonicMs()], [750, 250]);
});

test('sleepers wake in order of time, then of arrival, and see their own time', async () => {
  const clock = new FakeClock();
  const woken: string[] = [];
  const sleep = async (name: string, ms: number) => {
    await clock.sleep(ms);
    woken.push(`${name}@${clock.monotonicMs()}`);
  };
  const all = [sleep('c', 30), sleep('a', 10), sleep('b1', 20), sleep('b2', 20)];
  await clock.advance(20);
  assert.deepEqual(woken, ['a@10', 'b1@20', 'b2@20']);
  assert.equal(clock.sleeping, 1);
  await clock.advance(10);
  await Promise.all(all);
  assert.deepEqual(woken, ['a@10', 'b1@20', 'b2@20', 'c@30']);
});

test('a sleep begun by a woken one is met in the same advance', async () => {
  const clock = new FakeClock();
  const ticks: number[] = [];
  const loop = (async () => {
    for (let round = 0; round < 3; round += 1) {
      await clock.sleep(10);
      ticks.push(clock.monotonicMs());
    }
  })();
  await clock.advance(35);
  await loop;
  assert.deepEqual(ticks, [10, 20, 30]);
  assert.equal(clock.monotonicMs(), 35);
});

test('an abort ends a sleep at once and it never rejects', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const sleeping = clock.sleep(1000, stop.signal);
  stop.abort();
  await sleeping;
  await clock.sleep(1000, stop.signal);
  assert.deepEqual([clock.sleeping, clock.monotonicMs()], [0, 0]);
});

test('advanceToNext wakes one time only', async () => {
  const clock = new FakeClock();
  const sleeping = Promise.all([clock.sleep(5), clock.sleep(7)]);
  assert.equal(await clock.advanceToNext(), true);
  assert.deepEqual([clock.monotonicMs(), clock.sleeping], [5, 1]);
  assert.equal(await clock.advanceToNext(), true);
  await sleeping;
  assert.equal(await clock.advanceToNext(), false);
});

test('autoAdvance jumps from sleeper to sleeper, and lets work go first', async () => {
  const clock = new FakeClock({ autoAdvance: true });
  const order: string[] = [];
  const late = clock.sleep(3_600_000).then(() => order.push('late'));
  const work = (async () => {
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    order.push('work');
    await clock.sleep(10);
    order.push('early');
  })();
  await Promise.all([late, work]);
  assert.deepEqual(order, ['work', 'early', 'late']);
  assert.equal(clock.monotonicMs(), 3_600_000);
});

test('within: a value in time, or a timeout', async () => {
  const clock = new FakeClock({ autoAdvance: true });
  assert.deepEqual(
    await within(
      clock,
      100,
      clock.sleep(50).then(() => 7),
    ),
    { value: 7 },
  );
  assert.equal(await within(clock, 100, clock.sleep(500)), 'timeout');
});
