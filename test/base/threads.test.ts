// Threads of a pool: between tasks the event loop of each turns, without which memory of native
// modules would never be given back; one that dies is replaced.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { threadPool } from '../../src/base/threads.js';

const TASKS = 50;

test('the event loop of a thread turns between tasks', async () => {
  const module = new URL('./turns-thread.js', import.meta.url);
  const pool = threadPool<null, number>({ module, threadsMin: 1, threadsMax: 1, youngMib: 2 });
  try {
    const seen: number[] = [];
    for (let task = 0; task < TASKS; task += 1) seen.push(await pool.run(null));
    const [first = 0, last = 0] = [seen[0], seen.at(-1)];
    assert.ok(last > first, `${first} turns at the first task, ${last} at the last`);
  } finally {
    await pool.close();
  }
});

test('a thread that dies without a task ends nothing: the next task has another', async () => {
  const module = new URL('./dying-thread.js', import.meta.url);
  const deaths: unknown[] = [];
  const died = (error: unknown): void => void deaths.push(error);
  const size = { threadsMin: 1, threadsMax: 1, youngMib: 2 };
  const pool = threadPool<null, number>({ module, ...size, died });
  try {
    assert.equal(await pool.run(null), 1);
    while (deaths.length === 0) await sleep(10);
    assert.match(String(deaths[0]), /this thread dies/);
    assert.equal(await pool.run(null), 1, 'of a new thread');
  } finally {
    await pool.close();
  }
});
