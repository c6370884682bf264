// That no decoder is left out of the table, and that the inputs kept really reach each of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { sourcesIn } from '../tidy/source.js';
import { CORPUS, corpusOf } from './corpus.js';
import { Coverage } from './coverage.js';
import { DECODERS, EXEMPT, MARKS, NOT_DECODERS } from './decoders.js';
import { Bench } from './engine.js';
import { TARGETS } from './registry.js';
import { Watchdog } from './watchdog.js';

const HANG_MS_MAX = 30_000;
/** How a decoder is called. */
const NAMED = /^export (?:async )?(?:function\*? |const )((?:decode|parse|unpack|read)[A-Z]?\w*)/gm;

const src = sourcesIn('src', '.ts', '.cts');
const below = (path: string): string => path.replace(/^src\//, '');

test('a file that takes bytes or texts apart has its row, or a reason why not', () => {
  const known = new Set([...DECODERS.map(({ file }) => file), ...Object.keys(EXEMPT)]);
  const missing = src.filter(({ path, code }) => MARKS.test(code) && !known.has(below(path)));
  assert.deepEqual(
    missing.map(({ path }) => path),
    [],
  );
});

test('an exported function that is named like a decoder stands in the table', () => {
  const known = new Set([...DECODERS.flatMap(({ functions }) => functions)]);
  const fuzzed = new Set(DECODERS.map(({ file }) => file));
  const missing = src
    .filter(({ path }) => fuzzed.has(below(path)))
    .flatMap(({ path, code }) =>
      [...code.matchAll(NAMED)]
        .map(([, name = '']) => name)
        .filter((name) => !known.has(name) && !(name in NOT_DECODERS))
        .map((name) => `${path}: ${name}`),
    );
  assert.deepEqual(missing, []);
});

test('every row has its target and its file, every target a row, every exception a file', () => {
  const targets = TARGETS.map(({ name }) => name);
  assert.equal(new Set(targets).size, targets.length, 'names are used once');
  assert.deepEqual([...new Set(DECODERS.map(({ target }) => target))].sort(), targets.toSorted());
  const files = new Set(src.map(({ path }) => below(path)));
  const named = [...DECODERS.map(({ file }) => file), ...Object.keys(EXEMPT)];
  assert.deepEqual(
    named.filter((file) => !files.has(file)),
    [],
  );
});

test('the inputs that are kept run every decoder of the table', async (t) => {
  const watchdog = new Watchdog(CORPUS, HANG_MS_MAX);
  const coverage = new Coverage((url) => url.includes('/src/'));
  t.after(async () => {
    coverage.close();
    await watchdog.close();
  });
  const idle: string[] = [];
  for (const target of TARGETS) {
    const bench = await Bench.open(target, watchdog);
    coverage.skip();
    const inputs = [...target.seeds(seededRandom(1)), ...corpusOf(target.name).map((e) => e.input)];
    for (const input of inputs) await bench.run(input);
    const called = coverage.called();
    await bench.close();
    for (const { file, functions, target: own } of DECODERS) {
      if (own !== target.name) continue;
      const script = `/src/${file.replace(/ts$/, 'js')}`;
      const names = [...called].find(([url]) => url.endsWith(script))?.[1] ?? new Set();
      const still = functions.filter((name) => !names.has(name));
      idle.push(...still.map((name) => `${own}: ${file}: ${name}`));
    }
  }
  assert.deepEqual(idle, []);
});
