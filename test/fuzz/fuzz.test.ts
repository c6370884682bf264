// Fuzzing with a small budget, in every run of the tests: first what is in the corpus, then fresh
// inputs. HAST_SEED=n repeats a failure; `npm run fuzz` goes on for as long as one likes.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { CORPUS, corpusOf } from './corpus.js';
import { Bench, fuzz } from './engine.js';
import { TARGETS } from './registry.js';
import { Watchdog } from './watchdog.js';

const HANG_MS_MAX = 30_000;
/** Of each target, whichever is spent first. */
const BUDGET = { runs: 400, ms: 150 };
const INPUT_SHOWN_BYTES_MAX = 2000;

const given = process.env['HAST_SEED'];
const seed = given === undefined ? systemClock.wallMs() % 2 ** 31 : Number(given);
const watchdog = new Watchdog(CORPUS, HANG_MS_MAX);
after(() => watchdog.close());

const shown = (input: Uint8Array): string =>
  Buffer.from(input.subarray(0, INPUT_SHOWN_BYTES_MAX)).toString('base64');

for (const target of TARGETS) {
  test(`${target.name}: nothing falls`, async (t) => {
    t.diagnostic(`HAST_SEED=${seed}`);
    const corpus = corpusOf(target.name);
    const bench = await Bench.open(target, watchdog);
    try {
      for (const { name, input } of corpus) {
        await assert.doesNotReject(bench.run(input), `corpus/${target.name}/${name}`);
      }
    } finally {
      await bench.close();
    }
    const inputs = corpus.map(({ input }) => input);
    // A repeated seed runs until it fails again: time is no limit then.
    const budget = given === undefined ? BUDGET : { ...BUDGET, ms: Number.POSITIVE_INFINITY };
    const parts = { watchdog, coverage: null };
    const { runs, accepted, failure } = await fuzz(target, inputs, seed, budget, parts);
    t.diagnostic(`${runs} inputs, ${accepted} accepted`);
    if (failure === null) return;
    t.diagnostic(`the smallest input, base64: ${shown(failure.input)}`);
    throw failure.error;
  });
}

test('the corpus is small', () => {
  const bytes = TARGETS.flatMap(({ name }) => corpusOf(name)).reduce(
    (sum, { input }) => sum + input.length,
    0,
  );
  assert.ok(bytes > 0 && bytes < 300 * 1024, `${bytes} bytes`);
});
