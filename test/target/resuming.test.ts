// The target that outlives its session: its contract, and what only it can do. A link is cut at any
// byte of a round, either way, and by seed again and again; whatever happens, every frame arrives
// once and in order, the commit is one, and what was sent twice is counted to the byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { silentLog } from '../../src/base/log.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { ResumingTarget } from '../../src/target/resuming.js';
import type { Target } from '../../src/target/target.js';
import { putAll } from './calls.js';
import { FakeTarget, indexOf, reusedFrame } from './fake-target.js';
import {
  KEEP_MS,
  lostError,
  type ResumingWorld,
  resumingWorld,
  STALL_MS,
} from './resuming-world.js';
import { describeTargetContract } from './target-contract.js';
import { remoteWorld, roundsFrom, storesOf } from './worlds.js';

const never = (): Promise<Target> => Promise.reject(lostError('nobody answers'));

const parts = (again = never) => ({
  again,
  keepMs: KEEP_MS,
  stallMs: STALL_MS,
  clock: systemClock,
  random: seededRandom(3),
  log: silentLog,
});

describeTargetContract('resuming, a fake in this process', async () => {
  const fake = new FakeTarget();
  const target = new ResumingTarget(fake, parts());
  return { target, round: roundsFrom(fake, seededRandom(1)), stores: () => storesOf(fake) };
});

describeTargetContract('resuming, across a session', async (t) => {
  const world = await remoteWorld(t);
  return { ...world, target: new ResumingTarget(world.target, parts()) };
});

describeTargetContract('resuming, cut with every fourth frame', (t) =>
  resumingWorld(t, { connected: (link) => link.cutAfter({ frames: 3 }) }),
);

const seedFromEnv = (): number =>
  Number(process.env['HAST_SEED'] ?? systemClock.wallMs() % 2 ** 31);

/** A round with everything in it, checked at both ends. */
async function wholeRound(world: ResumingWorld): Promise<void> {
  const { target, fake } = world;
  const { held, doubts } = world.stores();
  const { begin, frames, commit } = world.round(6, 60);
  const [last] = frames.slice(-1);
  assert.ok(last);
  fake.wantsAtCommit = [4, 9];
  await target.begin(begin);
  assert.deepEqual(await target.held(0, 100_000), held);
  assert.equal((await target.doubts(0)).chunks.length, 3);
  await target.put(0, frames[0] ?? last);
  await target.reuse(1, held);
  await putAll(target, frames.slice(1, 5), 2);
  assert.equal((await target.digests(5, 3, 'table')).digests.length, 48);
  assert.equal(await target.staged(6), 6);
  const half = { ...commit, frames: 6 };
  assert.deepEqual(await target.commit(half), { outcome: 'wanted' });
  assert.deepEqual([...new Set(target.takeWanted())], [4, 9]);
  await target.put(6, last);
  assert.equal(await target.staged(7), 7);
  const all = [frames[0] ?? last, reusedFrame(held), ...frames.slice(1, 5), last];
  const indexDigest = indexOf(all);
  const answer = await target.commit({ ...commit, frames: 7, indexDigest });
  assert.deepEqual(answer, { outcome: 'committed' });
  await target.applied(commit.to);
  assert.deepEqual(fake.frames.map(hex), all.map(hex), 'each frame once, in order');
  assert.equal(doubts.length, 7);
  const wire = all.map((frame, at) => (at === 1 ? new Uint8Array(20 * held.length) : frame));
  assert.equal(target.resentBytes, world.resent(wire), 'what was sent again is counted');
  assert.equal(target.reconnects, world.dials.length);
}

test('a round that is not disturbed sends nothing again', async (t) => {
  const world = await resumingWorld(t);
  await wholeRound(world);
  assert.deepEqual([world.target.resentBytes, world.target.reconnects], [0, 0]);
  assert.deepEqual(world.warnings, []);
});

/** Of the bytes of a round so many are left out between two cuts; the seed says which. */
const CUT_STEP = 11;

for (const way of ['up', 'down'] as const) {
  test(`a link that is cut at any byte on the way ${way}`, async (t) => {
    const whole = await resumingWorld(t);
    const { up, down } = whole.target.wireBytes();
    await wholeRound(whole);
    const after = whole.target.wireBytes();
    const total = way === 'up' ? after.up - up : after.down - down;
    assert.ok(total > 500);
    const seed = seedFromEnv();
    t.diagnostic(`HAST_SEED=${seed}`);
    let [cuts, tries] = [0, 0];
    for (let at = seed % CUT_STEP; at < total; at += CUT_STEP) {
      tries += 1;
      const connected = (link: { cutAfter(left: object): void }, session: number): void => {
        if (session === 0) link.cutAfter({ [way]: at });
      };
      const world = await resumingWorld(t, { connected });
      await wholeRound(world).catch((error: unknown) => {
        throw new Error(`cut after ${at} bytes ${way}`, { cause: error });
      });
      cuts += world.target.reconnects;
      assert.ok(world.warnings.length <= 1);
      await world.target.close();
      world.clock.autoAdvance = false;
    }
    assert.equal(cuts, tries, 'each of them was noticed and made good');
  });
}

test('cut again and again by seed, with a slow disk', async (t) => {
  const seed = seedFromEnv();
  t.diagnostic(`HAST_SEED=${seed}`);
  for (let run = 0; run < 40; run += 1) {
    const random = seededRandom(seed + run);
    const world = await resumingWorld(t, {
      random,
      keepMs: 1_000_000,
      connected: (link) => {
        const way = random.below(2) === 0 ? 'up' : 'down';
        link.cutAfter({ [way]: random.below(way === 'up' ? 40_000 : 900) });
      },
    });
    const { target, fake, clock } = world;
    const { begin, commit } = world.round(0);
    const frames = Array.from({ length: 30 }, () => random.bytes(1 + random.below(6000)));
    fake.holdStaging = true;
    let done = false;
    const disk = async (): Promise<void> => {
      while (!done) {
        await clock.sleep(1 + random.below(40));
        fake.stage(fake.frames.length);
      }
    };
    void disk();
    await target.begin(begin);
    const watermarks: number[] = [];
    const watch = async (atLeast: number): Promise<void> => {
      watermarks.push(await target.staged(atLeast));
    };
    const watching = Promise.all([watch(30), watch(1), watch(15)]);
    await putAll(target, frames);
    assert.equal(await target.staged(30), 30);
    await watching;
    assert.ok(watermarks.length === 3 && Math.max(...watermarks) === 30);
    const answer = await target.commit({ ...commit, frames: 30, indexDigest: indexOf(frames) });
    done = true;
    assert.deepEqual(answer, { outcome: 'committed' }, `run ${run}`);
    assert.deepEqual(fake.frames.map(hex), frames.map(hex), `run ${run}`);
    assert.equal(target.resentBytes, world.resent(frames), `run ${run}`);
    await target.close();
    clock.autoAdvance = false;
  }
});
