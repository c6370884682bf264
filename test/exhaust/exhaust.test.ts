// Every crash point of the short acts that replication rests on x every way to lose what was not
// synced (RULES.md §1; C1, D1, D2, C3, H7, H8, H26, H32, H37): acts.ts, promotion.ts. The figures
// are printed. A part of the crash points, by seed, unless HAST_REQUIRE_ALL=1; HAST_SEED=n repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limited } from '../crash/limit.js';
import { acts } from './acts.js';
import { explore } from './explore.js';

const LIMIT = limited(300_000);
const all = process.env['HAST_REQUIRE_ALL'] === '1';
const given = process.env['HAST_SEED'];
const seed = given === undefined ? Date.now() % 100_000 : Number(given);
/** One crash point of so many, unless all are asked for. */
const STRIDE = 8;

const part = all ? { live: 3, both: true } : { live: 1, stride: STRIDE, first: seed % STRIDE };

for (const act of acts) {
  for (const side of act.sides) {
    test(`${act.name}: the ${side} crashes`, LIMIT, async (t) => {
      const began = performance.now();
      const { points, states, distinct, live, wrong } = await explore(act, side, {
        seed,
        seeded: 24,
        ...part,
      });
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const judged = `${distinct} distinct, ${live} with the other end alive`;
      t.diagnostic(
        `HAST_SEED=${seed}: ${points} points, ${states} states, ${judged}, ${seconds} s`,
      );
      assert.ok(distinct > 0, 'something has been judged');
      assert.deepEqual(wrong, [], `HAST_SEED=${seed} repeats it`);
    });
  }
}
