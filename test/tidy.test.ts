// Guards STYLE.md and the layers of DESIGN.md §7 on the sources as they stand, by reading text: a
// test per rule, each message `file:line: what`. Exceptions are data with a reason: tidy/layers.ts.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KEYWORDS } from '../src/config/keywords.js';
import { EXIT } from '../src/control/exit-status.js';
import { needTool } from './real.js';
import {
  ROWS,
  SIMULATED,
  TYPE_ONLY,
  UNSIMULATED,
  WORLDLY,
  WORLDLY_ALLOWED,
} from './tidy/layers.js';
import { hits, importsOf, longFunctions, type Source, sourcesIn, top } from './tidy/source.js';

const COLUMNS_MAX = 100;
const FILE_LINES_MAX = 300;
const ARGUED_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

const src = sourcesIn('src', '.ts', '.cts');
const all = [...src, ...sourcesIn('test', '.ts', '.mjs'), ...sourcesIn('bench', '.ts', '.mjs')];
/** Where functions are held to length: not in tests, whose callbacks are lists of cases. */
const measured = all.filter((source) => !/(\.test|-contract)\.ts$/.test(source.path));

/** Fails with the list, one a line. */
function none(found: readonly string[], rule: string): void {
  assert.ok(found.length === 0, `${rule}:\n${found.join('\n')}`);
}

const over = (sources: readonly Source[], pattern: RegExp, text: 'text' | 'code' | 'bare') =>
  sources.flatMap((source) => hits(source, source[text], pattern));

/** Folder below src, or the name of an entry file: what has a row. */
const partOf = (path: string): string => path.split('/')[1] ?? '';
const rowOf = (part: string): number => ROWS.findIndex((row) => row.includes(part));

/** The text before the first line of code: blank lines and `//` lines. */
const headerOf = (source: Source): string =>
  source.lines
    .slice(
      0,
      source.lines.findIndex((line) => !/^(\/\/|#!|$)/.test(line)),
    )
    .join('\n');

test('every folder of src has a row', () => {
  const unknown = src.filter((source) => rowOf(partOf(source.path)) < 0);
  none(
    unknown.map((source) => `${source.path}:1: ${partOf(source.path)} is not in DESIGN.md §7`),
    'no row',
  );
});

test('a file imports from its own folder or a lower row', () => {
  const found = src.flatMap((source) =>
    importsOf(source).flatMap((one) => {
      const [from, to] = [partOf(source.path), partOf(one.to)];
      if (!one.to.startsWith('src/') || from === to || rowOf(to) < rowOf(from)) return [];
      const agreed = TYPE_ONLY.some((pair) => pair.from === from && pair.to === to);
      return agreed && one.typeOnly ? [] : [`${source.path}:${one.line}: imports ${one.to}`];
    }),
  );
  none(found, 'upward or sideways import');
});

test('src imports nothing of test or bench, and only packages it declares', () => {
  const manifest = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'));
  const known = new Set(Object.keys(manifest.dependencies));
  const found = src.flatMap((source) =>
    importsOf(source)
      .filter(({ to }) => !to.startsWith('src/') && !to.startsWith('node:'))
      .filter(({ to }) => !known.has(to.split('/', to.startsWith('@') ? 2 : 1).join('/')))
      .map(({ to, line }) => `${source.path}:${line}: imports ${to}`),
  );
  none(found, 'import from outside');
});

test('no import cycles', () => {
  const next = new Map(src.map((one) => [one.path, importsOf(one).map(({ to }) => to)]));
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done' || !next.has(path)) return;
    if (state.get(path) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    state.set(path, 'open');
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of next.keys()) visit(path, []);
  none(cycles, 'cycle');
});

test('no dead files: every source is reached from an entry', (t) => {
  const entries = ['src/hastd.cts', 'src/hastctl.ts'];
  const missing = entries.filter((entry) => !src.some((source) => source.path === entry));
  if (missing.length > 0) return t.skip(`${missing.join(' and ')} not there yet`);
  const next = new Map(src.map((one) => [one.path, importsOf(one).map(({ to }) => to)]));
  const reached = new Set<string>(entries);
  for (const path of reached) for (const to of next.get(path) ?? []) reached.add(to);
  const dead = src.filter((source) => !reached.has(source.path));
  none(
    dead.map((source) => `${source.path}:1: nothing in src imports it`),
    'dead file',
  );
});

test(`lines have at most ${COLUMNS_MAX} columns`, () => {
  const found = all.flatMap((source) =>
    source.lines.flatMap((line, at) =>
      [...line].length > COLUMNS_MAX ? [`${source.path}:${at + 1}: ${line.length} columns`] : [],
    ),
  );
  none(found, 'long line');
});

test(`files have at most ${FILE_LINES_MAX} lines, ${ARGUED_LINES_MAX} with a reason`, () => {
  const found = all.flatMap((source) => {
    const lines = source.lines.length - 1;
    const argued = headerOf(source).replaceAll(/\n\/\/ ?/g, ' ');
    const reason = argued.includes(`longer than ${FILE_LINES_MAX} lines because`);
    const linesMax = reason ? ARGUED_LINES_MAX : FILE_LINES_MAX;
    return lines > linesMax ? [`${source.path}:1: ${lines} lines`] : [];
  });
  none(found, 'long file');
});

test(`functions have at most ${FUNCTION_LINES_MAX} lines`, () => {
  const found = measured.flatMap((source) =>
    longFunctions(source, FUNCTION_LINES_MAX).map(
      ({ line, lines }) => `${source.path}:${line}: ${lines} lines`,
    ),
  );
  none(found, 'long function');
});

test('every file opens with what it is for', () => {
  const found = all.filter(({ lines: [first = '', second = ''] }) => {
    return !/^\/\/ \S/.test(first.startsWith('#!') ? second : first);
  });
  none(
    found.map((source) => `${source.path}:1: no header comment`),
    'header',
  );
});

test('no file is named after nothing', () => {
  const named = /(^|[/.-])(utils?|helpers?|common|types?|misc|lib)(\.|\/|$)/;
  const found = all.filter((source) => named.test(source.path.replace(/\.(ts|mjs)$/, '')));
  none(
    found.map((source) => `${source.path}:1: a name that says what is in it`),
    'name',
  );
});

test('the compiler and the linter are not silenced', () => {
  const marks = /(@ts-(ignore|expect-error|nocheck))|((biome|eslint)-(ignore|disable)\S*)/;
  none(over(all, new RegExp(`(?<=//.*|/\\*.*)(${marks.source})`), 'text'), 'silenced');
});

test('no any', () => {
  none(over(all, /(?<=(:|<|\bas|\||,|=)\s*)any\b(?=\s*([,;)>=|[{]|$))/, 'bare'), 'any');
});

test('no non-null assertion', () => {
  none(over(all, /(?<=[\w)\]])!(?=[.,;)\]}[\s]|$)(?!\s*=)/, 'bare'), 'non-null assertion');
});

test('no error without a code', () => {
  none(over(src, /\bnew Error\(/, 'bare'), 'bare Error');
});

test('time and chance come from src/base', () => {
  const allowed = (path: string, word: string): boolean =>
    WORLDLY_ALLOWED.some((one) => one.file === path && word === one.word);
  const found = src
    .filter((source) => partOf(source.path) !== 'base')
    .flatMap((source) =>
      hits(source, source.bare, WORLDLY).filter(
        (hit) => !allowed(source.path, hit.split(': ').at(-1) ?? ''),
      ),
    );
  none(found, 'not handed in');
});

test('exceptions that nobody needs any more are struck off', () => {
  const stale = WORLDLY_ALLOWED.filter(
    ({ file, word }) => !src.some((one) => one.path === file && one.bare.includes(word)),
  );
  none(
    stale.map(({ file, word }) => `${file}: ${word}`),
    'stale exception',
  );
});

test('what the simulator runs uses only promises and what is handed in', () => {
  const simulated = src.filter((source) => SIMULATED.includes(partOf(source.path)));
  const found = UNSIMULATED.flatMap((pattern) => over(simulated, pattern, 'code'));
  none(found, 'past the simulator');
});

test('console is for cli', () => {
  const silent = src.filter((source) => partOf(source.path) !== 'cli');
  none(over(silent, /\bconsole\./, 'bare'), 'console');
});

test('every fault code stands in a man page', () => {
  const pages = manPages(/\.[578]$/);
  const found = src.flatMap((source) =>
    hits(source, source.code, /\bcode: '[A-Z][A-Z0-9_]+'/).filter((hit) => {
      const code = hit.match(/'(.*)'/)?.[1] ?? '';
      return !new RegExp(`\\b${code}\\b`).test(pages);
    }),
  );
  // A code is declared once and thrown in many places: the first place is enough.
  const first = new Map(found.map((hit) => [hit.split(': ').at(-1), hit] as const).reverse());
  none([...first.values()], 'code without a page');
});

test('every exit status stands in hastctl(8)', () => {
  const page = manPages(/^hastctl\.8$/);
  const found = Object.entries(EXIT).filter(
    ([, status]) => !new RegExp(`^\\.It\\s.*\\b${status}\\b`, 'm').test(page),
  );
  none(
    found.map(([name, status]) => `src/control/exit-status.ts: ${name} ${status}`),
    'status without a page',
  );
});

test('every setting stands in hast.conf(5)', () => {
  const page = manPages(/^hast\.conf\.5$/);
  const found = KEYWORDS.filter(({ name }) => !new RegExp(`^\\.It.*\\b${name}\\b`, 'm').test(page));
  none(
    found.map(({ name }) => `src/config/keywords.ts: ${name}`),
    'setting without a page',
  );
});

test('man pages pass mandoc -Tlint', (t) => {
  if (!needTool(t, 'mandoc')) return;
  const pages = manNames(/\.[578]$/).map((name) => join('man', name));
  if (pages.length === 0) return t.skip('no pages yet');
  const { stdout } = spawnSync('mandoc', ['-Tlint', ...pages], { cwd: top, encoding: 'utf8' });
  // Pages of this project refer to each other before they are installed.
  const found = stdout.split('\n').filter((line) => line !== '' && !/manual not found/.test(line));
  none(found, 'mandoc');
});

test('no path or host of one machine in a file of the project', (t) => {
  if (!existsSync(join(top, '.git')) || !needTool(t, 'git')) return t.skip('not a git checkout');
  const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { stdout } = spawnSync('git', words, { cwd: top, encoding: 'utf8' });
  const folder = '(?<![.\\w])/(wo' + 'rk|fa' + 'rm|ro' + 'ot|home/[a-z]+)/';
  const host = 'https?://(regi' + 'stry|deb|mirr' + 'or)[.]';
  const found = stdout
    .split('\0')
    .filter((name) => name !== '' && statSync(join(top, name), { throwIfNoEntry: false })?.isFile())
    .flatMap((name) => {
      const text = readFileSync(join(top, name), 'latin1');
      return text.split('\n').flatMap((line, at) => {
        const match = line.match(new RegExp(`${folder}|${host}`));
        return match ? [`${name}:${at + 1}: ${match[0]}`] : [];
      });
    });
  none(found, 'one machine');
});

function manNames(pattern: RegExp): string[] {
  const folder = join(top, 'man');
  return existsSync(folder) ? readdirSync(folder).filter((name) => pattern.test(name)) : [];
}

/** The text of the pages with such a name, one after the other. */
const manPages = (pattern: RegExp): string =>
  manNames(pattern)
    .map((name) => readFileSync(join(top, 'man', name), 'utf8'))
    .join('\n');
