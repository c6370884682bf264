// Crash walk: every step of both ladders x every class of lost un-synced writes, on both ends, and
// the link cut at every turn (RULES.md §1; W1, D1, D2, D4, C1, H6, H7, H8, H23, H26). Whole disks
// and tables are compared after each. HAST_SEED=n repeats; the totals are printed. Each step meets
// 'none', 'all' and one of the other classes, by seed; every one with HAST_EXHAUST=1.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB, SECTOR_BYTES } from '../../src/base/units.js';
import { historyTrue } from './checks.js';
import type { Shape } from './nodes.js';
import { Pair } from './pair.js';
import { drift, growth, lookAtRound, rounds, story } from './story.js';
import { type Walked, walk, walkLink } from './walk.js';

const KIB = 1024;
const given = process.env['HAST_SEED'];
const isCi = process.env['HAST_REQUIRE_ALL'] === '1';
const isWhole = process.env['HAST_EXHAUST'] === '1';
const others = isWhole ? {} : { others: 1 };
const seed = given === undefined ? Date.now() % 100_000 : Number(given);

const shape = (sizeBytes: number, extentBytes: number, keepdirty: number): Shape => ({
  sizeBytes,
  extentBytes,
  keepdirty,
  spillBytes: 4 * MIB,
  retain: 2,
});
/** Every step: five chunks, the last of one sector. */
const odd = shape(256 * KIB + SECTOR_BYTES, 65_536, 1);
/** Sampled by seed: the first copy has two frames. */
const wide = shape(MIB + 128 * KIB, 131_072, 0);
const STRIDE = 6;

/** Half of the steps, by seed, unless all are asked for. */
const some = isWhole ? {} : { stride: 2, first: seed % 2 };
const sampled = { shape: wide, seeded: 2, stride: STRIDE, first: seed % STRIDE, ...others };

function judge(t: { diagnostic(text: string): void }, name: string, walked: Walked): void {
  const { steps, crashes, wrong } = walked;
  t.diagnostic(`HAST_SEED=${seed} ${name}: ${steps} steps, ${crashes} crashes`);
  assert.ok(crashes > 0, 'something has been walked');
  assert.deepEqual(wrong, [], `${name}: HAST_SEED=${seed} repeats it`);
}

for (const [name, size] of [
  ['an odd disk', odd],
  ['a disk of two frames', wide],
] as const) {
  test(`${name}: without a crash each point is its cut (D2)`, async (t) => {
    let looks = 0;
    for (let run = 0; run < 10; run += 1) {
      t.diagnostic(`HAST_SEED=${seed + run}`);
      await story(new Pair(size, seed + run), async (pair) => {
        looks += 1;
        lookAtRound(pair);
        await historyTrue(pair, pair.replicaNode);
      });
    }
    assert.equal(looks, 30);
  });
}

test('the sender crashes at every step, an odd disk', async (t) => {
  judge(t, 'sender', await walk({ shape: odd, seed, seeded: 3, ...others }, 'sender'));
});

test('the receiver crashes at every step, an odd disk', async (t) => {
  judge(t, 'receiver', await walk({ shape: odd, seed, seeded: 4, ...others }, 'receiver'));
});

test('the sender crashes at every sixth step, a disk of two frames', async (t) => {
  const options = { ...sampled, seed };
  judge(t, 'sender', await walk(options, 'sender'));
});

test('the receiver crashes at every sixth step, a disk of two frames', async (t) => {
  const options = { ...sampled, seed };
  judge(t, 'receiver', await walk(options, 'receiver'));
});

test('the link is lost at every turn: an answer is lost, nothing else (D4, H23)', async (t) => {
  const stride = isCi ? 1 : 3;
  judge(t, 'link', await walkLink({ shape: odd, seed, seeded: 0, stride, first: seed % stride }));
});

test('the link is lost at every turn, and every round goes on (D3, H31)', async (t) => {
  const stride = isCi ? 1 : 3;
  const options = { shape: odd, seed, seeded: 0, stride, first: seed % stride };
  const walked = await walkLink({ ...options, knobs: { resumes: true }, tale: rounds });
  judge(t, 'link, resuming', walked);
});

for (const side of ['sender', 'receiver'] as const) {
  test(`the ${side} crashes around a replica that was changed (H28)`, async (t) => {
    const options = { shape: odd, seed, seeded: 2, tale: drift, from: 0.5, ...others };
    judge(t, `${side}, drift`, await walk({ ...options, ...some }, side));
  });

  test(`the ${side} crashes while the disk grows (H14)`, async (t) => {
    const options = { shape: odd, seed, seeded: 2, tale: growth, ...others };
    judge(t, `${side}, growth`, await walk({ ...options, ...some }, side));
  });
}

test('the sender crashes with metaflush on (H9, H10)', async (t) => {
  const options = { shape: { ...odd, metaflush: true }, seed, seeded: 3, ...others };
  judge(t, 'sender, metaflush', await walk({ ...options, ...some }, 'sender'));
});
