// H10, W1 with `metaflush on`, in every order of two writers that touch an extent first, a
// checkpoint with its clearer, and another checkpoint: at every step each extent that was written
// since the last published checkpoint has its bit on the medium. Then with mutants.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import {
  Broken,
  type Explored,
  exploreAll,
  exploreSome,
  listening,
  type World,
} from './explorer.js';
import {
  type MetaflushPlan,
  type MetaflushWays,
  MetaflushWorld,
  metaflushRight,
} from './metaflush-world.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_121);

/** All schedules of four switches take some twenty seconds of a core. */
const COMPLETE = process.env['HAST_REQUIRE_ALL'] === '1';

const PLANS: readonly MetaflushPlan[] = [
  { known: 0b00, writers: [0, 0], checkpoints: 1 },
  { known: 0b01, writers: [0, 0], checkpoints: 1 },
  { known: 0b01, writers: [0, 1], checkpoints: 1 },
  { known: 0b01, writers: [0], checkpoints: 2 },
];

function explore(
  plan: MetaflushPlan,
  ways: MetaflushWays,
  run: (make: () => World) => Explored,
): Explored {
  const world = new MetaflushWorld(plan, ways);
  return listening(
    () => world.core.control,
    () => run(() => world.start()),
  );
}

describe('H10: metaflush on, in every order', () => {
  for (const plan of PLANS) {
    const switches = COMPLETE ? 4 : 2;
    test(`at most ${switches} switches: ${JSON.stringify(plan)}`, (t) => {
      const all = (make: () => World) => exploreAll(make, { preemptionsMax: switches });
      const count = explore(plan, metaflushRight, all);
      t.diagnostic(`${count.states} states, ${count.schedules} different schedules to the end`);
      assert.ok(count.states > 1000, 'the world is not smaller than it was');
    });

    test(`seeded schedules: ${JSON.stringify(plan)}`, (t) => {
      t.diagnostic(`HAST_SEED=${SEED}`);
      const random = seededRandom(SEED);
      const count = explore(plan, metaflushRight, (make) => exploreSome(make, 2000, random));
      t.diagnostic(`${count.schedules} schedules, ${count.steps} steps`);
    });
  }
});

describe('the explorer catches, with metaflush on,', () => {
  const [two, keepers] = [PLANS[0], PLANS[3]];
  /** What is wrong, the world that shows it, and the switches that takes. */
  const mutants: readonly (readonly [string, Partial<MetaflushWays>, typeof two, number])[] = [
    ['a writer that does not look at INTENT_CLEARS', { looksAtClears: false }, two, 2],
    ['a flush that began before the touch', { touchesFirst: false }, two, 0],
    ['data written before the bit is confirmed', { waitsForFlush: false }, two, 0],
    ['a clearer that takes bits which are being flushed', { takesConfirmed: false }, two, 3],
    ['a clearer that takes bits before it has the lock', { takesUnderLock: false }, two, 4],
    ['a clearer that does not count its clears', { countsClears: false }, two, 2],
    ['a checkpoint that clears though another came', { looksAtSwaps: false }, keepers, 3],
  ];
  for (const [title, mutant, plan, switches] of mutants) {
    test(title, (t) => {
      assert.ok(plan);
      const ways = { ...metaflushRight, ...mutant };
      const within = (preemptionsMax: number) => (make: () => World) =>
        exploreAll(make, { preemptionsMax });
      if (switches > 0 && COMPLETE) explore(plan, ways, within(switches - 1));
      assert.throws(
        () => explore(plan, ways, within(switches)),
        (error) => {
          assert.ok(error instanceof Broken);
          assert.match(error.message, /W1: extents/);
          t.diagnostic(error.message.split('\n').at(-1) ?? '');
          return true;
        },
      );
    });
  }
});
