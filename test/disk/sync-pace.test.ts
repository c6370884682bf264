// When an fdatasync may be called in the thread: after quick ones in a row, not for much data, and
// a slow one goes back to the pool for long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DIRTY_BYTES_MAX,
  POOLED_PER_MS,
  QUICK_MIN,
  QUICK_MS_MAX,
  SLOW_MS_MIN,
  SyncPace,
} from '../../src/disk/sync-pace.js';

/** A sync of `ms`; true: it was called in the thread. */
function sync(pace: SyncPace, ms: number, dirtyBytes = 0): boolean {
  const inThread = pace.begin(dirtyBytes);
  pace.took(ms, inThread);
  return inThread;
}

function quickPace(): SyncPace {
  const pace = new SyncPace();
  for (let i = 0; i < QUICK_MIN; i += 1) assert.equal(sync(pace, QUICK_MS_MAX / 2), false);
  return pace;
}

test('in the thread after quick ones in a row', () => {
  const pace = quickPace();
  for (let i = 0; i < 100; i += 1) assert.equal(sync(pace, SLOW_MS_MIN * 0.9), true);
});

test('a slow one on the pool begins the row anew', () => {
  const pace = new SyncPace();
  for (let round = 0; round < 5; round += 1) {
    for (let i = 0; i < QUICK_MIN - 1; i += 1) assert.equal(sync(pace, 0.1), false);
    assert.equal(sync(pace, QUICK_MS_MAX), false);
  }
  for (let i = 0; i < QUICK_MIN; i += 1) assert.equal(sync(pace, 0.1), false);
  assert.equal(sync(pace, 0.1), true);
});

test('a slow one in the thread: the pool, the longer the slower it was', () => {
  for (const ms of [1.5, 50]) {
    const pace = quickPace();
    assert.equal(sync(pace, ms), true);
    for (let i = 0; i < ms * POOLED_PER_MS; i += 1) assert.equal(sync(pace, 0.1), false, `${i}`);
    assert.equal(sync(pace, 0.1), true);
  }
});

test('one that hung for hours does not forbid it for ever', () => {
  const pace = quickPace();
  assert.equal(sync(pace, 3_600_000), true);
  let pooled = 0;
  while (!sync(pace, 0.1)) pooled += 1;
  assert.ok(pooled <= 10_000);
});

test('a disk that is slow every time holds the thread once', () => {
  const pace = quickPace();
  let held = 0;
  for (let i = 0; i < 1000; i += 1) held += sync(pace, 5) ? 1 : 0;
  assert.equal(held, 1);
});

test('much data goes by the pool', () => {
  const pace = quickPace();
  assert.equal(sync(pace, 0.1, DIRTY_BYTES_MAX), true);
  assert.equal(sync(pace, 0.1, DIRTY_BYTES_MAX + 1), false);
  assert.equal(sync(pace, 0.1), true);
});
