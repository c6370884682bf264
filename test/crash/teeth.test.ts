// The walk has teeth: for each wrong order it finds a crash after which something does not hold.
// H1 and H3 are shown on the generators themselves (test/volume). HAST_SEED=n repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { harmless, type Mutant, mutants } from './mutants.js';
import type { Knobs, Shape } from './nodes.js';
import { type Walked, type WalkOptions, walk, walkLink } from './walk.js';

const given = process.env['HAST_SEED'];
const seed = given === undefined ? Date.now() % 100_000 : Number(given);
/** What the walk says when a promise is broken. */
const BROKEN =
  /\b(C1|D1|D2)\b|is not marked|is not true|is lost|not a whole|names its point|neither copy/;
const SEEDS_MAX = 6;
const shape: Shape = {
  sizeBytes: 256 * 1024 + 512,
  extentBytes: 65_536,
  keepdirty: 0,
  spillBytes: 4 * MIB,
  retain: 3,
};

const walked = (side: Mutant['side'], options: WalkOptions): Promise<Walked> =>
  side === 'link' ? walkLink(options) : walk(options, side);

const options = (knobs: Knobs, at: number): WalkOptions => {
  const stride = 3;
  return { shape, seed: seed + at, knobs, seeded: 2, enough: 1, stride, first: at % stride };
};

for (const { rule, knobs, side, from, metaflush, tale } of mutants) {
  test(`is found: ${rule}`, async (t) => {
    t.diagnostic(`HAST_SEED=${seed}`);
    let crashes = 0;
    for (let at = 0; at < SEEDS_MAX; at += 1) {
      const plain = options(knobs, at);
      const changed = { ...plain, shape: { ...shape, metaflush: metaflush ?? false } };
      const told = tale === undefined ? changed : { ...changed, tale };
      const result = await walked(side, { ...told, from: from ?? 0 }).catch((error: unknown) => ({
        crashes: 0,
        wrong: [`without a crash: ${String(error)}`],
      }));
      crashes += result.crashes;
      const [wrong] = result.wrong;
      if (wrong === undefined) continue;
      assert.match(wrong, BROKEN, 'a promise is broken, not the test');
      t.diagnostic(`after ${crashes} crashes: ${wrong.slice(0, 160)}`);
      return;
    }
    assert.fail(`${crashes} crashes of the ${side} did not show it`);
  });
}

test('a disk that tells nothing by itself does no harm: the clean mark does (H8)', async () => {
  const result = await walk({ ...options(harmless, 0), enough: 5, from: 0.85 }, 'sender');
  assert.deepEqual(result.wrong, [], `HAST_SEED=${seed}`);
});
