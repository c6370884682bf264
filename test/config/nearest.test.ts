// The nearest word: distances against a plain model, limits, and ties.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KEYWORDS } from '../../src/config/keywords.js';
import { editDistance, nearest } from '../../src/config/nearest.js';
import { seeded } from './material.js';

const NAMES = KEYWORDS.map((keyword) => keyword.name);

/** The definition, without a table. */
function plain(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  const costs = [
    plain(a.slice(1), b) + 1,
    plain(a, b.slice(1)) + 1,
    plain(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1),
  ];
  if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0]) {
    costs.push(plain(a.slice(2), b.slice(2)) + 1);
  }
  return Math.min(...costs);
}

test('the distance is that of its definition', (t) => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });
  fc.assert(
    fc.property(word, word, (a, b) => assert.equal(editDistance(a, b), plain(a, b))),
    seeded(t, 300),
  );
});

test('one slip in any setting is answered with that setting or one as near', (t) => {
  const slip = fc.tuple(fc.constantFrom(...NAMES), fc.nat(), fc.constantFrom('x', 'q', ''));
  fc.assert(
    fc.property(slip, ([name, at, letter]) => {
      const index = at % name.length;
      const wrong = name.slice(0, index) + letter + name.slice(index + 1);
      const answer = nearest(wrong, NAMES);
      assert.ok(answer !== null, wrong);
      assert.ok(editDistance(wrong, answer) <= editDistance(wrong, name), wrong);
    }),
    seeded(t, 300),
  );
});

test('known typing errors', () => {
  const pairs = {
    compresion: 'compression',
    Interval: 'interval',
    ocal: 'local',
    tiemout: 'timeout',
  };
  for (const [wrong, right] of Object.entries(pairs)) assert.equal(nearest(wrong, NAMES), right);
});

test('nothing near, nothing said', () => {
  for (const wrong of ['', 'xyz', 'bandwidth', 'x'.repeat(10_000)]) {
    assert.equal(nearest(wrong, NAMES), null, wrong.slice(0, 20));
  }
  assert.equal(
    nearest('ab', ['cd', 'ef']),
    null,
    'two letters changed in a short word are another',
  );
});
