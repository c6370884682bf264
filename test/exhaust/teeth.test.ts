// The acts have teeth: for each wrong order there is a crash point and a loss after which something
// does not hold. HAST_SEED=n repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '../../src/base/assert.js';
import { limited } from '../crash/limit.js';
import { receiverActs, senderActs } from './acts.js';
import { explore } from './explore.js';
import { actMutants } from './mutants.js';
import { promotions } from './promotion.js';

const LIMIT = limited(120_000);
const isAll = process.env['HAST_EXHAUST'] === '1';
const given = process.env['HAST_SEED'];
const seed = given === undefined ? Date.now() % 100_000 : Number(given);
const acts = [...senderActs, ...receiverActs, ...promotions];
/** What is said when a promise is broken. */
const BROKEN = /\b(C1|C3|D1|D2|H32)\b|is not marked|is not true|is lost|not a whole|neither copy/;

/** What a guest does by chance may not show it. */
const SEEDS_MAX = 3;
/** One of so many, by seed, unless all are asked for. */
const SHARE = 7;
const chosen = actMutants.filter((_, at) => isAll || (at + seed) % SHARE === 0);

for (const { act: name, side, rule, knobs, from = 0 } of chosen) {
  test(`is found at ${name}, ${side}: ${rule}`, LIMIT, async (t) => {
    const act = present(
      acts.find((each) => each.name === name && each.sides.includes(side)),
      `there is an act ${name}`,
    );
    let count = 0;
    for (let at = 0; at < SEEDS_MAX; at += 1) {
      const options = { seed: seed + at, knobs, from, seeded: 8, live: 1, enough: 1 };
      const { points, judged, wrong } = await explore(act, side, options);
      count += judged;
      const [first] = wrong;
      if (first === undefined) continue;
      assert.match(first, BROKEN, `HAST_SEED=${seed + at}: a promise is broken, not the test`);
      const after = `at crash point ${points}, after ${count} states`;
      t.diagnostic(`HAST_SEED=${seed + at} ${after}: ${first.slice(0, 200)}`);
      return;
    }
    assert.fail(`HAST_SEED=${seed}: ${count} states did not show it`);
  });
}
