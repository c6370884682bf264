// What a replica keeps: the newest `retain` points, never none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pointsToDrop } from '../../src/retention/retain-last.js';

test('the oldest go, in order, and only beyond the number kept', () => {
  const chain = [1, 2, 3, 4, 5];
  assert.deepEqual(pointsToDrop(chain, 2), [1, 2, 3]);
  assert.deepEqual(pointsToDrop(chain, 5), []);
  assert.deepEqual(pointsToDrop(chain, 24), []);
  assert.deepEqual(pointsToDrop([], 1), []);
});

test('the newest is always kept', () => {
  assert.deepEqual(pointsToDrop([1, 2], 1), [1]);
  assert.throws(() => pointsToDrop([1, 2], 0), /newest point is always kept/);
});
