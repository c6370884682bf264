// Pieces of hastctl's output: progress, columns, rates.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitRate, columns, progressText } from '../../src/cli/text.js';
import { progress } from '../control/fake-api.js';

test('progress: unknown end, empty round, more done than planned', () => {
  const idle = { doneBytes: 0, totalBytes: 0, bytesPerSecond: 0, etaSeconds: null };
  const base = progress({ kind: 'settle', ...idle });
  assert.equal(progressText(base), 'comparing: 0 % of 0 B, 0 B/s, end unknown');
  const over = progressText({ ...base, kind: 'pass', doneBytes: 200, totalBytes: 100 });
  assert.match(over, /^first copy: 100 %/);
});

test('columns: rows of different length, no trailing blanks', () => {
  assert.equal(columns([['a', 'bb'], ['ccc'], ['', 'd', 'e']]), 'a    bb\nccc\n     d   e\n');
});

test('bit rates as people say them', () => {
  assert.deepEqual([8000, 20_000_000, 2_500_000_000, 1e12, 64].map(bitRate), [
    '8 kbit/s',
    '20 Mbit/s',
    '2.5 Gbit/s',
    '1000 Gbit/s',
    '64 bit/s',
  ]);
});
