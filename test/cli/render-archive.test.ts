// What `hastctl verify` of an archive says of points: whole are only those that were read to the
// end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Checked, damageText, renderChecked } from '../../src/cli/render-archive.js';

const NONE = { chunks: 9, chunkBytes: 9, damagedChunks: 0, damaged: [], index: [] };

const chunks = (
  share: number,
  damagedChunks: number,
  damagedPoints: readonly number[],
): Checked => {
  const facts = { archive: 'file:///a/vm1', points: [3, 2, 1], share, damagedPoints };
  return { ...NONE, ...facts, checked: 'chunks', damagedChunks };
};

test('points are called whole after a full check only', () => {
  assert.equal(damageText(chunks(1, 0, [])), null);
  const full = '2 chunks damaged or missing, in points 3, 2; whole are 1';
  assert.equal(damageText(chunks(1, 2, [3, 2])), full);
  const sample = '2 chunks damaged or missing, in points 3, 2; nothing was found in 1';
  assert.equal(damageText(chunks(0.05, 2, [3, 2])), sample);
  const damaged = [{ place: 'file:///a/vm1/packs/00/00', why: 'it is not there', points: [2] }];
  const quick: Checked = {
    ...{ archive: 'file:///a/vm1', checked: 'packs', points: [3, 2, 1], packs: 4, bytes: 9 },
    damaged,
  };
  assert.match(damageText(quick) ?? '', /, in point 2; nothing was found in 3, 1$/);
});

test('more chunks are damaged than are named: the points of all of them are bad', () => {
  const text = damageText(chunks(1, 20_000, [3, 2, 1])) ?? '';
  assert.equal(text, '20000 chunks damaged or missing, in points 3, 2, 1; whole are none');
});

test('a share is printed as it was written', () => {
  for (const [share, text] of [
    [0.07, '7'],
    [0.005, '0.5'],
    [0.29, '29'],
    [0.000_01, '0.001'],
  ] as const) {
    assert.ok(renderChecked(chunks(share, 0, []), 0).endsWith(`, a sample of ${text} %\n`), text);
  }
});
