// The tests of some acts: how much of them is explored, and what is printed. A part, by seed, in a
// quick run, and a larger one in CI; with HAST_EXHAUST=1 (`npm run exhaust`) every crash point and
// state, judged in both ways, and with the other end alive in three cases a point. HAST_SEED=n
// repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limited } from '../crash/limit.js';
import { type Act, explore } from './explore.js';

const given = process.env['HAST_SEED'];
const seed = given === undefined ? Date.now() % 100_000 : Number(given);
/** In a quick run: one crash point of so many, and one of so many of its distinct states. */
const [STRIDE, SHARE] = process.env['HAST_REQUIRE_ALL'] === '1' ? [3, 3] : [6, 4];

const extent = (): { live: number; both?: boolean; stride?: number; first?: number } => {
  if (process.env['HAST_EXHAUST'] === '1') return { live: 3, both: true };
  return { live: 1, ...{ stride: STRIDE, first: seed % STRIDE, share: SHARE } };
};

/** A test for each act and side. */
export function explored(acts: readonly Act[]): void {
  const limit = limited(540_000);
  for (const act of acts) {
    for (const side of act.sides) {
      test(`${act.name}: the ${side} crashes`, limit, async (t) => {
        const began = performance.now();
        const found = await explore(act, side, { seed, seeded: 24, ...extent() });
        const { points, states, distinct, judged, live, wrong } = found;
        const seconds = ((performance.now() - began) / 1000).toFixed(1);
        const counts = `${points} crash points, ${states} states, ${distinct} distinct`;
        const judgements = `${judged} judgements (${live} with the other end alive)`;
        t.diagnostic(`HAST_SEED=${seed}: ${counts}, ${judgements}, ${seconds} s`);
        assert.ok(judged > 0, 'something has been judged');
        assert.deepEqual(wrong, [], `HAST_SEED=${seed} repeats it`);
      });
    }
  }
}
