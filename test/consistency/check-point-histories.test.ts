// The checker on generated histories: it accepts every image that a legal one can leave, and finds
// one block replaced by an illegal one, and a mixture of two instants. HAST_SEED repeats a run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../src/base/random.js';
import type { BlockLog, OperationRecord } from './block-log.js';
import { checkImage } from './check-point.js';
import { BLOCK, baseImage, kinds, newLog, put, SEED } from './small-log.js';

/** An operation of a generated history; each block takes effect at its own time. */
interface Step {
  readonly operation: OperationRecord;
  readonly effects: readonly { block: number; at: number; happens: boolean }[];
}

/** A random history: up to four under way at a time, stamps are distinct. */
function history(seed: number) {
  const random = seededRandom(seed);
  const { log, time } = newLog();
  const steps: Step[] = [];
  for (let count = 0; count < 30; count += 1) {
    time.now = random.below(1000) + random.below(1000) / 1000;
    const first = random.below(log.blocks);
    const blocks = 1 + random.below(log.blocks - first);
    const written = steps.find(({ operation }) => operation.kind === 'write');
    const choice = random.below(8);
    let operation: OperationRecord;
    if (choice === 0) operation = log.trim(first, blocks, count);
    else if (choice === 1) operation = log.zero(first, blocks, count);
    else if (choice === 2 && written) operation = log.rewrite(written.operation);
    else operation = log.write(first, blocks, count);
    const length = 1 + random.below(60);
    const effects = Array.from({ length: operation.blocks }, (_, index) => ({
      block: operation.firstBlock + index,
      at: operation.issuedAt + (length * (1 + random.below(998))) / 1000,
      happens: operation.kind !== 'trim' || random.below(2) === 0,
    }));
    time.now = operation.issuedAt + length;
    if (random.below(10) > 0) log.answered(operation);
    steps.push({ operation, effects });
  }
  return { log, random, steps };
}

/** The disk at an instant: the last effect of each block. */
function imageAt(log: BlockLog, steps: readonly Step[], instant: number) {
  const image = baseImage(log);
  const shown = new Map<number, { operation: OperationRecord; at: number }>();
  for (const { operation, effects } of steps) {
    for (const { block, at, happens } of effects) {
      if (happens && at <= instant && at > (shown.get(block)?.at ?? -1)) {
        shown.set(block, { operation, at });
      }
    }
  }
  for (const [block, { operation }] of shown) put(image, log, block, operation);
  return { image, shown };
}

const seeds = fc.integer({ min: 0, max: 2 ** 31 });
const runs = { seed: SEED, numRuns: 300 };

test('every image that a history can leave is accepted', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const property = fc.asyncProperty(seeds, async (seed) => {
    const { log, random, steps } = history(seed);
    const instant = random.below(1100);
    const cut = { beganAt: instant - random.below(50), endedAt: instant + random.below(50) };
    assert.deepEqual(await checkImage(imageAt(log, steps, instant).image, log, cut), []);
  });
  await fc.assert(property, runs);
});

test('one block of such an image replaced by an illegal one is always found', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const met = { missing: 0, future: 0 };
  const property = fc.asyncProperty(seeds, async (seed) => {
    const { log, random, steps } = history(seed);
    const instant = random.below(1100);
    const cut = { beganAt: instant - random.below(20), endedAt: instant + random.below(20) };
    const { image } = imageAt(log, steps, instant);
    const block = random.below(log.blocks);
    const done = log.operationsOn(block);
    // Surely overwritten by something exact that had been answered before the cut began.
    const stale = done.filter((one) =>
      done.some(
        (by) => by.kind !== 'trim' && by.issuedAt > one.endedAt && by.answeredAt < cut.beganAt,
      ),
    );
    const future = done.filter((one) => one.issuedAt > cut.endedAt);
    for (const [kind, choices] of Object.entries({ missing: stale, future })) {
      const unique = choices.find((one) => {
        const alike = done.filter((other) => other.client === one.client);
        return one.kind === 'write' && alike.length === 1;
      });
      if (!unique) continue;
      const bad = image.slice();
      put(bad, log, block, unique);
      const found = await checkImage(bad, log, cut);
      assert.deepEqual([kinds(found), found[0]?.block], [kind, block]);
      met[kind as keyof typeof met] += 1;
    }
  });
  await fc.assert(property, runs);
  assert.ok(met.missing > 20 && met.future > 20, JSON.stringify(met));
});

test('a mixture of two instants is found where the difference can be seen', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  let caught = 0;
  let mixtures = 0;
  for (let run = 0; run < 200; run += 1) {
    const { log, steps } = history(SEED * 1000 + run);
    const [early, late] = [imageAt(log, steps, 300).image, imageAt(log, steps, 700).image];
    // As rsync of a disk in use: the first half of old days, the second of new ones.
    const half = 3 * BLOCK;
    const mixture = Buffer.concat([early.subarray(0, half), late.subarray(half)]);
    if (mixture.equals(early) || mixture.equals(late)) continue;
    mixtures += 1;
    const found = await checkImage(mixture, log, { beganAt: 0, endedAt: 1200 });
    if (found.length > 0) caught += 1;
    assert.ok(found.every((one) => one.kind === 'order'));
  }
  assert.ok(caught > mixtures * 0.8, `${caught} of ${mixtures} mixtures caught`);
});
