// What is enumerated: every subset of few changes and every way to tear them; of many changes the
// classes that the header of losses.ts names. HAST_SEED repeats what is chosen by chance.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import type { Fate, Fates } from '../world/changes.js';
import type { Unsynced } from '../world/tree.js';
import { lossesOf, SUBSETS_OF_MAX, told } from './losses.js';

const random = seededRandom(Number(process.env['HAST_SEED'] ?? 1));

const entries = (count: number): Unsynced[] =>
  Array.from({ length: count }, (_, at) => ({
    sequence: 10 + at,
    path: `/s/${at}`,
    what: 'entry',
    sectors: 0,
    grows: false,
  }));
const written = (sequence: number, sectors: number, grows = false): Unsynced => ({
  sequence,
  path: `/s/${sequence}.x`,
  what: 'write',
  sectors,
  grows,
});

const shown = (fates: Fates): string =>
  [...fates]
    .map(([at, fate]) => `${at}${fate === 'kept' || fate === 'lost' ? '' : `:${fate.torn}`}`)
    .join(' ');
const all = (changes: readonly Unsynced[], seeded = 0, scratch: RegExp | null = null): string[] => [
  ...new Set([...lossesOf(changes, { seeded, random, scratch })].map(shown)),
];

test('every subset of few changes', () => {
  assert.deepEqual(all([]), ['']);
  for (let count = 1; count <= SUBSETS_OF_MAX; count += 1) {
    assert.equal(all(entries(count)).length, 2 ** count, `${count} changes`);
  }
});

test('few writes: every combination of the ways to tear them', () => {
  assert.equal(all([written(1, 1)]).length, 2, 'one sector is whole or lost');
  assert.equal(all([written(1, 2)]).length, 6);
  assert.equal(all([written(1, 2, true), written(2, 2, true)]).length, 49);
  assert.ok(all([written(1, 2), written(2, 2)]).includes('1:first 2:alternate'));
});

test('more writes: each torn while others are kept, lost, and lost from there on', () => {
  const changes = [1, 2, 3, 4].map((sequence) => written(sequence, 8));
  const found = all(changes);
  assert.equal(found.filter((text) => !text.includes(':')).length, 16, 'every subset');
  for (const way of ['2:second', '1 2:second 3 4', '2:second 3 4', '1 2:second']) {
    const sorted = found.map((text) => text.split(' ').sort().join(' '));
    assert.ok(sorted.includes(way), way);
  }
  assert.ok(found.length <= 16 + 4 * 4 * 4);
});

test('many changes: all, none, one, two, prefixes, suffixes, and some by seed', () => {
  const count = SUBSETS_OF_MAX + 3;
  const lost = (which: (at: number) => boolean) =>
    entries(count)
      .filter((_, at) => which(at))
      .map(({ sequence }) => sequence)
      .join(' ');
  const found = new Set(all(entries(count), 30));
  const wanted: ((at: number) => boolean)[] = [() => true, () => false];
  for (let one = 0; one < count; one += 1) {
    wanted.push(
      (at) => at === one,
      (at) => at !== one,
      (at) => at > one,
      (at) => at < one,
    );
    for (let two = 0; two < one; two += 1) {
      wanted.push(
        (at) => at === one || at === two,
        (at) => at !== one && at !== two,
      );
    }
  }
  for (const each of wanted) assert.ok(found.has(lost(each)), lost(each));
  assert.ok(found.size >= new Set(wanted.map(lost)).size + 20, 'and by seed');
});

test('what nobody reads is kept or lost together', () => {
  const changes = [written(1, 8), written(2, 1), ...entries(1)];
  assert.deepEqual(all(changes, 0, /\.x$/).sort(), ['', '1 2', '10', '10 1 2']);
});

test('a message names what was lost', () => {
  const changes = [written(1, 8), written(2, 8), ...entries(1)];
  const fates: Fates = new Map<number, Fate>([
    [1, 'lost'],
    [2, { torn: 'first' }],
  ]);
  assert.equal(told(changes, fates), 'write /s/1.x lost, write /s/2.x torn (first)');
  assert.equal(told(changes, new Map()), 'nothing lost');
});
