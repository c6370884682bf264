// Long runs by hand, guided by coverage: `npm run fuzz -- [--minutes T] [--seed N] [TARGET...]`.
// Each target gets an equal share of T minutes (default 2 for each). Prints executions a second,
// the inputs that reached something new, and failures with the smallest input that shows them; both
// go to the corpus. Afterwards the corpus of a target is distilled: the smallest inputs that reach
// what all of them reach, at most TARGET_BYTES_MAX. Status 1 when a demand was broken.
import { parseArgs } from 'node:util';
import { describeError } from '../../src/base/errors.js';
import { CORPUS, corpusOf, drop, keep, TARGET_BYTES_MAX } from './corpus.js';
import { Coverage } from './coverage.js';
import { Bench, fuzz, nameOf } from './engine.js';
import { TARGETS } from './registry.js';
import type { Target } from './target.js';
import { Watchdog } from './watchdog.js';

const MINUTES_EACH = 2;
const HANG_MS_MAX = 20_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string' }, seed: { type: 'string' } },
});
const unknown = positionals.filter((name) => !TARGETS.some((target) => target.name === name));
if (unknown.length > 0) {
  console.error(
    `no target ${unknown.join(', ')}; there are: ${TARGETS.map((t) => t.name).join(' ')}`,
  );
  process.exit(2);
}
const chosen = TARGETS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const minutes = Number(values.minutes ?? MINUTES_EACH * chosen.length);
const ms = (minutes * 60_000) / chosen.length;
const watchdog = new Watchdog(CORPUS, HANG_MS_MAX);
const coverage = new Coverage((url) => url.includes('/dist/src/'));

/** Smallest first, those that reach something no smaller one did, while there is room. */
async function distilled(target: Target, inputs: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const bench = await Bench.open(target, watchdog);
  const kept: Uint8Array[] = [];
  let bytes = 0;
  try {
    coverage.skip();
    coverage.reset();
    for (const seedInput of target.seeds({ bytes: (n) => new Uint8Array(n), below: () => 0 })) {
      await bench.run(seedInput);
    }
    coverage.look();
    for (const input of inputs.toSorted((a, b) => a.length - b.length)) {
      if (bytes + input.length > TARGET_BYTES_MAX) continue;
      await bench.run(input);
      if (!coverage.look()) continue;
      kept.push(input);
      bytes += input.length;
    }
  } finally {
    await bench.close();
  }
  return kept;
}

async function fuzzOne(target: Target): Promise<boolean> {
  const { name } = target;
  const corpus = corpusOf(name);
  const inputs = corpus.map((entry) => entry.input);
  const budget = { runs: Number.POSITIVE_INFINITY, ms };
  const result = await fuzz(target, inputs, seed, budget, { watchdog, coverage });
  const { runs, accepted, found, failure } = result;
  const perSecond = Math.round(runs / (result.ms / 1000));
  const kept = failure === null ? await distilled(target, [...inputs, ...found]) : [];
  const known = new Set(corpus.map((entry) => entry.name));
  const names = new Set(kept.map(nameOf));
  if (failure === null) {
    // What once failed stays under the name it was given.
    for (const one of known) if (/^[0-9a-f]{16}$/.test(one) && !names.has(one)) drop(name, one);
    for (const input of kept) if (!known.has(nameOf(input))) keep(name, input);
  }
  const fresh = kept.filter((input) => !known.has(nameOf(input))).length;
  console.log(
    `${name}: ${runs} inputs, ${perSecond} a second, ${accepted} accepted; ` +
      `${found.length} reached something new, ${fresh} new in the corpus of ${kept.length}`,
  );
  if (failure === null) return true;
  const file = keep(name, failure.input, 'fail-');
  const { error } = failure;
  console.log(`${name}: FAILED on ${file} (${failure.input.length} bytes, HAST_SEED=${seed})`);
  console.log(error instanceof Error ? (error.stack ?? error.message) : describeError(error));
  return false;
}

console.log(`HAST_SEED=${seed}, ${(ms / 1000).toFixed(0)} seconds for each of ${chosen.length}`);
let whole = true;
for (const target of chosen) whole = (await fuzzOne(target)) && whole;
coverage.close();
await watchdog.close();
process.exitCode = whole ? 0 : 1;
