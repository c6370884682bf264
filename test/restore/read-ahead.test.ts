// What is read ahead, and which chunks a cache keeps: pure decisions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { ChunkSlots } from '../../src/restore/chunk-slots.js';
import { ReadAhead, WINDOW_MAX } from '../../src/restore/read-ahead.js';

test('who reads on gets a window that grows to its limit, and each chunk once', () => {
  const ahead = new ReadAhead();
  let [asked, widest] = [0, 0];
  for (let chunk = 0; chunk < 2000; chunk += 1) {
    const found = ahead.after(chunk, chunk);
    if (found === null) continue;
    assert.ok(found.first >= asked, 'nothing twice');
    assert.ok(found.first > chunk);
    asked = found.first + found.count;
    widest = Math.max(widest, asked - chunk - 1);
    assert.ok(asked - chunk - 1 <= WINDOW_MAX);
  }
  assert.equal(widest, WINDOW_MAX);
  assert.ok(asked >= 2000);
});

test('small reads within one chunk do not grow it; the first of a place asks for nothing', () => {
  const ahead = new ReadAhead();
  for (let times = 0; times < 100; times += 1) assert.equal(ahead.after(7, 7), null);
});

test('reads here and there ask for nearly nothing', () => {
  const ahead = new ReadAhead();
  const random = seededRandom(3);
  let asked = 0;
  for (let times = 0; times < 10_000; times += 1) {
    const chunk = random.below(1_000_000);
    asked += ahead.after(chunk, chunk)?.count ?? 0;
  }
  assert.ok(asked < 100, `${asked} chunks`);
});

test('who skips gets less, then nothing', () => {
  const ahead = new ReadAhead();
  for (let chunk = 0; chunk < 100; chunk += 1) ahead.after(chunk, chunk);
  let [at, asked] = [100, 0];
  for (let times = 0; times < 20; times += 1) {
    asked = ahead.after(at, at)?.count ?? 0;
    at += 3;
  }
  assert.equal(asked, 0);
});

test('several readers are told apart', () => {
  const ahead = new ReadAhead();
  const found = new Set<number>();
  for (let step = 0; step < 50; step += 1) {
    for (let reader = 0; reader < 8; reader += 1) {
      const chunk = reader * 100_000 + step;
      if (ahead.after(chunk, chunk) !== null) found.add(reader);
    }
  }
  assert.equal(found.size, 8);
});

test('slots: what was put is found until another takes its place, and no two share one', () => {
  const slots = new ChunkSlots(64);
  const random = seededRandom(9);
  const bySlot = new Map<number, number>();
  let kept = 0;
  for (let times = 0; times < 5000; times += 1) {
    const chunk = random.below(200);
    const found = slots.find(chunk);
    if (found >= 0) {
      assert.equal(bySlot.get(found), chunk);
      kept += 1;
      if (random.below(10) === 0) {
        slots.drop(chunk);
        assert.ok(!slots.has(chunk));
      }
      continue;
    }
    const slot = slots.take(chunk);
    assert.ok(slot >= 0 && slot < slots.count);
    bySlot.set(slot, chunk);
    assert.equal(slots.find(chunk), slot);
  }
  assert.ok(kept > 500, `${kept} found again`);
  assert.equal(slots.take(0xffff_ffff), -1);
});
