// The simulator in the tests: every history that once broke a promise, a fixed set of seeds, and
// fresh ones. HAST_SEED=n repeats the fresh ones; with HAST_REQUIRE_ALL=1 (CI) they go on for
// SECONDS_CI. A violation prints its seed: `npm run simulate -- --seed N --runs 1` makes it small.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { histories } from './found.js';
import { drawSetup } from './setup.js';
import { catchStrays, type Ended, simulate } from './simulate.js';

const given = process.env['HAST_SEED'];
const fresh = given === undefined ? Date.now() % 1_000_000_000 : Number(given);
const all = process.env['HAST_REQUIRE_ALL'] === '1';
const FIXED_SEED = 1;
const FIXED_RUNS = all ? 20 : 12;
const SECONDS = 10;
const SECONDS_CI = 45;

catchStrays();

const judge = (ended: Ended, what: string): void => {
  const history = ended.trace.slice(-40).join('\n');
  assert.equal(ended.broken, null, `${what}: ${ended.broken?.message}\n${history}`);
};

for (const [name, setup] of histories()) {
  test(`found once: ${name}`, async () => judge(await simulate(setup), name));
}

test('a fixed set of seeds', async (t) => {
  let [crashes, rounds] = [0, 0];
  for (let seed = FIXED_SEED; seed < FIXED_SEED + FIXED_RUNS; seed += 1) {
    const ended = await simulate(drawSetup(seed));
    judge(ended, `seed ${seed}`);
    crashes += ended.counts.crashes + ended.counts.probes;
    rounds += ended.counts.rounds;
  }
  t.diagnostic(`${FIXED_RUNS} runs, ${crashes} crashes, ${rounds} rounds committed`);
  assert.ok(crashes > FIXED_RUNS && rounds > FIXED_RUNS, 'something has been tried');
});

test('fresh seeds', async (t) => {
  const untilMs = performance.now() + (all ? SECONDS_CI : SECONDS) * 1000;
  let [runs, crashes] = [0, 0];
  for (; performance.now() < untilMs; runs += 1) {
    const seed = fresh + runs;
    const ended = await simulate(drawSetup(seed));
    judge(ended, `HAST_SEED=${seed}`);
    crashes += ended.counts.crashes + ended.counts.probes;
  }
  t.diagnostic(`HAST_SEED=${fresh}: ${runs} runs, ${crashes} crashes`);
});
