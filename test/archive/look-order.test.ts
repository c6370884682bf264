// What a pass reads within its budget: order, limits, and what rests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chosenPacks, type LookRow } from '../../src/archive/look-order.js';
import type { PackFault } from '../../src/format/archive-looks.js';

const NOW = 1_000_000;
const row = (
  name: string,
  bytes: number,
  lookedMs: number,
  fault: PackFault | null = null,
): LookRow => [name, { name: Buffer.from(name), bytes, lookedMs, fault }];

const chosen = (rows: readonly LookRow[], budgetBytes: number, restMs = 0): string =>
  chosenPacks(rows, { budgetBytes, restMs, nowMs: NOW })
    .map(([name]) => name)
    .join(' ');

const ROWS = [row('d', 10, 700), row('b', 10, 0), row('c', 10, 600), row('a', 10, 0)];

test('never looked at first, then longest ago, as far as the budget goes', () => {
  assert.equal(chosen(ROWS, 100), 'a b c d');
  assert.equal(chosen(ROWS, 39), 'a b c');
  assert.equal(chosen(ROWS, 40), 'a b c d');
  assert.equal(chosen(ROWS, 20), 'a b');
});

test('the first is read whatever it has, so that any budget goes on; of nothing, nothing', () => {
  assert.equal(chosen(ROWS, 1), 'a');
  assert.equal(chosen(ROWS, 0), '');
  assert.equal(chosen([], 100), '');
});

test('what was looked at lately rests; a look from ahead of the clock counts for nothing', () => {
  const rows = [...ROWS, row('e', 10, NOW - 99), row('f', 10, NOW - 100), row('g', 10, NOW + 1)];
  assert.equal(chosen(rows, 100, 100), 'a b c d f g');
});

test('what was damaged is read again, with half of the budget, and does not rest', () => {
  const rows = [...ROWS, row('x', 10, NOW - 1, 'content'), row('y', 10, NOW - 2, 'content')];
  assert.equal(chosen(rows, 100, 100), 'y x a b c d');
  assert.equal(chosen(rows, 30, 100), 'y a b');
  assert.equal(chosen(rows, 8, 100), 'a', 'however many are damaged, the others go on');
});
