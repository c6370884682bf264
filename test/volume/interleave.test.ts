// Every order of two writers, a reader and a cut, on the generators that the program runs (W1, W2,
// D2, H1-H4, H15-H17): first as they are written, then with mutants, which must be caught.
// The disk has two chunks; a reader of a frozen chunk reads it in two steps, so that it can tear.
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
import { MUTANTS } from './mutants.js';
import { asWritten, type Mutant } from './tiny-parts.js';
import type { Parts, Plan } from './tiny-plan.js';
import { TinyWorld } from './tiny-world.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_712);

/** All schedules of the first world take some ten seconds of a core. */
const COMPLETE = process.env['HAST_REQUIRE_ALL'] === '1';

/** Block 0 is dirty at the cut; one writer overwrites it, another its clean neighbour (H2). */
const plain: Plan = {
  dirty: [0],
  writers: [
    { first: 0, count: 1 },
    { first: 1, count: 1 },
  ],
  targets: 1,
  checkpoints: 0,
  release: false,
  spillRecords: [8, 8],
  end: 'drop',
  bad: [],
  repairs: [],
};
/** One write over two frozen chunks, one beside it. */
const span: Plan = {
  ...plain,
  dirty: [0, 16],
  writers: [
    { first: 1, count: 16 },
    { first: 16, count: 1 },
  ],
};
const full: Plan = { ...plain, spillRecords: [0] };
/** A content that cannot be read, which a guest overwrites, and its neighbour. */
const bad: Plan = { ...plain, bad: [0] };
const twoTargets: Plan = { ...plain, writers: [{ first: 0, count: 1 }], targets: 2 };
/** The spill of the first target has no room, that of the second has. */
const oneFull: Plan = { ...twoTargets, spillRecords: [0, 8], end: 'merge' };
/** Block 0 is clean; it is asked for, and written by a guest, while a round comes. */
const repaired: Plan = {
  ...plain,
  dirty: [16],
  writers: [{ first: 0, count: 1 }],
  repairs: [0],
};
const PLANS: Readonly<Record<Mutant['plan'], Plan>> & Readonly<Record<string, Plan>> = {
  plain,
  span,
  full,
  bad,
  twoTargets,
  oneFull,
  repaired,
  'chunks released while they are written (ladder step 5)': { ...plain, release: true },
  'a checkpoint beside the cut (H9)': { ...plain, checkpoints: 1 },
  'two targets, a cut each (H16)': { ...plain, targets: 2 },
  'a repair, a round and a checkpoint (H20)': { ...repaired, checkpoints: 1 },
  'a repair and a round that is given up (H20)': { ...repaired, end: 'merge' },
  'two targets, a checkpoint, one writer': {
    ...plain,
    writers: [{ first: 1, count: 1 }],
    targets: 2,
    checkpoints: 1,
  },
};

function explore(plan: Plan, parts: Parts, run: (make: () => World) => Explored): Explored {
  const world = new TinyWorld(plan, parts);
  return listening(
    () => world.core.control,
    () => run(() => world.start()),
  );
}

const within = (preemptionsMax: number) => (make: () => World) =>
  exploreAll(make, { preemptionsMax });

describe('D2, W1, W2, W4 in every order of two writers, a reader and a cut', () => {
  test(COMPLETE ? 'all schedules' : 'at most three switches', (t) => {
    const switches = COMPLETE ? Number.POSITIVE_INFINITY : 3;
    const count = explore(plain, asWritten, within(switches));
    t.diagnostic(`${count.states} states, ${count.schedules} different schedules to the end`);
    assert.ok(count.states > (COMPLETE ? 100_000 : 15_000), 'the world is not smaller than it was');
  });

  for (const [name, plan] of Object.entries(PLANS)) {
    test(`at most two switches: ${name}`, (t) => {
      const count = explore(plan, asWritten, within(2));
      t.diagnostic(`${count.states} states, ${count.schedules} different schedules to the end`);
      assert.ok(count.schedules > 100);
    });

    test(`seeded schedules: ${name}`, (t) => {
      t.diagnostic(`HAST_SEED=${SEED}`);
      const random = seededRandom(SEED);
      const count = explore(plan, asWritten, (make) => exploreSome(make, 2000, random));
      t.diagnostic(`${count.schedules} schedules, ${count.steps} steps`);
    });
  }
});

describe('H20: a repair under the closed gate', () => {
  const repairs = Object.entries(PLANS).filter(([, { repairs }]) => repairs.length > 0);
  for (const [name, plan] of repairs) {
    test(`at most three switches: ${name}`, () => {
      explore(plan, asWritten, within(3));
    });
  }
});

describe('the explorer catches', () => {
  for (const mutant of MUTANTS) {
    test(`${mutant.rule}: ${mutant.breaks}`, (t) => {
      const { plan, switches } = mutant;
      if (switches > 0) explore(PLANS[plan], mutant.parts, within(switches - 1));
      const caught = breaks(mutant);
      t.diagnostic(caught.message);
    });
  }
});

/** The schedule that shows what a mutant breaks. */
function breaks(mutant: Mutant): Broken {
  try {
    explore(PLANS[mutant.plan], mutant.parts, within(mutant.switches));
  } catch (error) {
    if (error instanceof Broken) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: 'the mutant was not caught' });
}
