// The reader behind the guard of style: if it misread sources, the guard would guard nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hits, importsOf, longFunctions, sourceOf } from './source.js';

const lines = (...all: string[]): string => `${all.join('\n')}\n`;

test('comments and quotes are blanked, line numbers stay', () => {
  const text = lines(
    "const a = 'x // not a comment'; // any",
    '/* any',
    '   any */ const b = `any \u0024{call(`in \u0024{"deep"}`, { any: 1 })} any`;',
    'const c = a / b; const d = /any\'["/]/g; const e = 4 / 2 / 1;',
    "const f = { g: 'it\\'s any' };",
  );
  const { code, bare } = sourceOf('x.ts', text);
  assert.equal(code.length, text.length);
  assert.equal(bare.length, text.length);
  const shrunk = bare.split('\n').map((line) => line.replaceAll(/ +/g, ' ').trim());
  assert.deepEqual(shrunk, [
    'const a = ;',
    '',
    'const b = call( , { any: 1 }) ;',
    'const c = a / b; const d = ; const e = 4 / 2 / 1;',
    'const f = { g: };',
    '',
  ]);
  assert.match(code, /'x \/\/ not a comment'/);
  assert.doesNotMatch(code, /\/\* any/);
});

test('hits name file and line', () => {
  const source = sourceOf('src/a/b.ts', lines('', '', 'x as any;', 'y: any'));
  assert.deepEqual(hits(source, source.bare, /\bany\b/), [
    'src/a/b.ts:3: any',
    'src/a/b.ts:4: any',
  ]);
});

test('imports: static, type, mixed, side effect, re-export, dynamic, worker entry', () => {
  const source = sourceOf(
    'src/a/b.ts',
    lines(
      "import { one } from './one.js';",
      "import type { Two } from '../c/two.js';",
      "import { type Three, three } from '../c/three.js';",
      "import { type Four, type Five } from '../c/four.js';",
      "import './side.js';",
      "export { type X, y } from '../d/x.js';",
      "const later = await import('./later.js');",
      "new Worker(new URL('./entry.js', import.meta.url));",
      'import {',
      '  many,',
      "} from 'node:fs';",
      "// import { no } from './no.js';",
    ),
  );
  const found = importsOf(source).map(({ to, line, typeOnly }) => [to, line, typeOnly]);
  assert.deepEqual(found, [
    ['src/a/one.ts', 1, false],
    ['src/c/two.ts', 2, true],
    ['src/c/three.ts', 3, false],
    ['src/c/four.ts', 4, true],
    ['src/a/side.ts', 5, false],
    ['src/d/x.ts', 6, false],
    ['src/a/later.ts', 7, false],
    ['src/a/entry.ts', 8, false],
    ['node:fs', 9, false],
  ]);
});

test('long functions of every shape are found, with their length', () => {
  const body = (indent: string): string[] => Array(10).fill(`${indent}work();`);
  const shapes: Record<string, string[]> = {
    declared: ['export async function f(a: number): Promise<{ b: number }> {', ...body('  '), '}'],
    arrow: ['const f = (a: number) => {', ...body('  '), '};'],
    wrapped: ['function f(', '  a: number,', '): { b: number } {', ...body('  '), '}'],
    method: ['class A {', '  async *#f(a = {}): T {', ...body('    '), '  }', '}'],
    wide: ['class A {', '  f(', '    a: number,', '  ): void {', ...body('    '), '  }', '}'],
    nested: ['function f() {', '  if (x) {', ...body('    '), '  }', '}'],
  };
  for (const [name, text] of Object.entries(shapes)) {
    const source = sourceOf('x.ts', lines(...text));
    assert.equal(longFunctions(source, 11).length, 1, name);
    assert.equal(longFunctions(source, 20).length, 0, name);
  }
  const harmless = [
    ['if (a) {', ...body('  '), '}'],
    ['class A {', ...body('  '), '}'],
    ['const table = {', ...body('  '), '};'],
    ['call(', ...body('  '), ');'],
  ];
  for (const text of harmless) {
    assert.deepEqual(longFunctions(sourceOf('x.ts', lines(...text)), 5), [], text[0]);
  }
});
