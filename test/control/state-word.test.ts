// The derived word: the table of hastctl(8) says the same as the function, over all combinations;
// no word promises more than is known.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Axes,
  resourceWord,
  type StateWord,
  stateWord,
  WORDS_BEST_FIRST,
  worst,
} from '../../src/control/state-word.js';

const PAGE = readFileSync(join(import.meta.dirname, '../../../man/hastctl.8'), 'utf8');

const ALL: Axes[] = (['init', 'primary', 'secondary'] as const).flatMap((role) =>
  (['up', 'down', 'none'] as const).flatMap((link) =>
    (['idle', 'settling', 'sending', 'staged', 'applying', 'paused'] as const).flatMap((work) =>
      (['initialising', 'clean', 'dirty', 'suspect', 'diverged'] as const).map((data) => ({
        role,
        link,
        work,
        data,
      })),
    ),
  ),
);

/** Rows `.It Ic word Ta role Ta link Ta work Ta data` of the page, in order. */
function pageRows(): { word: string; cells: string[] }[] {
  const rows = [...PAGE.matchAll(/^\.It Ic (\S+) Ta (.*)$/gm)].map(([, word = '', rest = '']) => ({
    word,
    cells: rest.split(' Ta ').map((cell) => cell.trim()),
  }));
  return rows.filter((row) => row.cells.length === 4);
}

const pageWord = (axes: Axes): string | undefined =>
  pageRows().find((row) =>
    [axes.role, axes.link, axes.work, axes.data].every(
      (value, i) => row.cells[i] === 'any' || row.cells[i] === value,
    ),
  )?.word;

test('the table of hastctl(8) says what the function says, for every combination', () => {
  assert.ok(pageRows().length > 10, 'the page has the table');
  for (const axes of ALL) assert.equal(pageWord(axes), stateWord(axes), JSON.stringify(axes));
});

test('the page explains every word', () => {
  for (const word of WORDS_BEST_FIRST) {
    assert.match(PAGE, new RegExp(`^\\.It Ic ${word}( Ta|$)`, 'm'), word);
  }
});

test('clean is said only of an idle primary whose target has everything and is not lost', () => {
  const clean = ALL.filter((axes) => stateWord(axes) === 'clean');
  for (const axes of clean) {
    assert.deepEqual([axes.role, axes.work, axes.data], ['primary', 'idle', 'clean']);
    assert.notEqual(axes.link, 'down');
  }
  assert.equal(clean.length, 2);
});

test('trouble is never hidden by work that goes on', () => {
  for (const axes of ALL) {
    if (axes.role === 'init') continue;
    if (axes.data === 'diverged') assert.equal(stateWord(axes), 'diverged');
    if (axes.data === 'suspect') assert.equal(stateWord(axes), 'suspect');
  }
});

test('no word reads as "in sync"', () => {
  for (const word of WORDS_BEST_FIRST as readonly string[]) {
    assert.doesNotMatch(word, /sync|complete|ok|current|healthy|protected/);
  }
});

test('the worst word wins, in any order', () => {
  assert.equal(worst(['clean', 'unreachable', 'sending']), 'unreachable');
  assert.equal(worst(['sending', 'clean', 'unreachable']), 'unreachable');
  assert.equal(worst(['clean']), 'clean');
  assert.equal(worst([]), 'unreplicated');
  const every: StateWord[] = [...WORDS_BEST_FIRST];
  assert.equal(worst(every), 'failed');
});

test('a resource: its own error first, then no role, then its targets', () => {
  assert.equal(resourceWord('primary', 'fdatasync failed', [{ state: 'clean' }]), 'failed');
  assert.equal(resourceWord('init', null, [{ state: 'dirty' }]), 'init');
  assert.equal(resourceWord('primary', null, [{ state: 'clean' }, { state: 'dirty' }]), 'dirty');
  assert.equal(resourceWord('primary', null, []), 'unreplicated');
  assert.equal(resourceWord('primary', null, [{ state: 'news' }]), 'failed', 'an unknown word');
});
