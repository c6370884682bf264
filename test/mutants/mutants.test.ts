// The mutants stay what they are said to be: each patch has its place in today's source, touches
// nothing but src, and says which rule it breaks. Whether they are found is asked by main.ts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { top } from '../tidy/source.js';
import { applyTo, parseMutant } from './patch.js';
import { mutants } from './patches.js';

const all = mutants();

for (const { name, files } of all) {
  test(`${name}: it has its place in the source`, () => {
    for (const patch of files) {
      assert.match(patch.path, /^src\/[\w/-]+\.ts$/, 'it touches src only');
      const text = readFileSync(join(top, patch.path), 'utf8');
      assert.notEqual(applyTo(text, patch, name), text, 'it changes something');
    }
  });
}

test('the rules that must each have a mutant have one', () => {
  const rules = new Set(all.flatMap(({ rule }) => rule.split(' ')));
  const wanted =
    'W1 W2 W3 D1 D2 D4 C1 C2 C3 C4 H1 H2 H3 H4 H6 H7 H8 H9 H10 H11 H12 H13 H14 H15 H16';
  const further = 'H17 H18 H20 H21 H23 H24 H25 H26 H27 H28 H31 H32 H35 H36 H37 H39 H43';
  const missing = `${wanted} ${further}`.split(' ').filter((rule) => !rules.has(rule));
  assert.deepEqual(missing, []);
});

const PATCH = `rule: W1
breaks: the second
shows: always
--- a/src/x.ts
+++ b/src/x.ts
@@ -2,2 +2,3 @@
 b
-c
+C
+D
`;

test('a patch finds its place where lines have moved, the nearest one', () => {
  const [file] = parseMutant('x', PATCH).files;
  assert.ok(file);
  assert.equal(applyTo('a\nb\nc\nd', file, 'x'), 'a\nb\nC\nD\nd');
  assert.equal(applyTo('b\nc\nb\nc\n1\n2\n3\n4\n5\nb\nc\n', file, 'x').indexOf('C'), 2);
  assert.equal(applyTo('1\n2\n3\n4\nb\nc\n', file, 'x'), '1\n2\n3\n4\nb\nC\nD\n');
});

test('a patch that has rotted, or says too little, is refused', () => {
  const [file] = parseMutant('x', PATCH).files;
  assert.ok(file);
  assert.throws(() => applyTo('a\nb\nX\n', file, 'x'), /x: what it breaks in src\/x\.ts:2/);
  for (const line of ['rule: W1', 'breaks: the second', 'shows: always', '@@ -2,2 +2,3 @@']) {
    assert.throws(() => parseMutant('x', PATCH.replace(`${line}\n`, '')), /^AssertionError.*: x/);
  }
  assert.throws(() => parseMutant('x', PATCH.replace('b/src/x.ts', 'b/src/y.ts')), /x: it changes/);
});
