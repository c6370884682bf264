// The target that outlives its session: its contract, and what only it can do. A link is cut at any
// byte of a round, either way, and by seed again and again; whatever happens, every frame arrives
// once and in order, the commit is one, and what was sent twice is counted to the byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import { silentLog } from '../../src/base/log.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { UNSTAGED_BYTES_MAX } from '../../src/peer/limits.js';
import { FRUITLESS_MAX } from '../../src/target/line.js';
import { ResumingTarget } from '../../src/target/resuming.js';
import { type Target, TargetError } from '../../src/target/target.js';
import { FakeClock } from '../world/fake-clock.js';
import { FakeTarget, indexOf, refusal, reusedFrame } from './fake-target.js';
import {
  KEEP_MS,
  lostError,
  type ResumingWorld,
  resumingWorld,
  STALL_MS,
} from './resuming-world.js';
import { describeTargetContract, lost, refused } from './target-contract.js';
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

async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) await turn();
}

const seedFromEnv = (): number =>
  Number(process.env['HAST_SEED'] ?? systemClock.wallMs() % 2 ** 31);

async function putAll(target: Target, frames: readonly Uint8Array[], first = 0): Promise<void> {
  for (const [at, frame] of frames.entries()) await target.put(first + at, frame);
}

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

test('a lost answer to COMMIT: the outcome is asked for, not the commit (H23)', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(2);
  await target.begin(begin);
  await putAll(target, frames);
  await target.staged(2);
  const release = fake.hold('commit');
  const committing = target.commit(commit);
  await turns(20);
  world.clock.autoAdvance = false;
  world.cut();
  await world.clock.advance(500);
  assert.equal(world.dials.length, 1, 'the next session waits for the writer of this one');
  release();
  world.clock.autoAdvance = true;
  assert.deepEqual(await committing, { outcome: 'committed' });
  assert.deepEqual(fake.calls.slice(-2), ['commit', 'outcome']);
  await target.applied(commit.to);
  const next = world.round(1);
  await target.begin(next.begin);
  await putAll(target, next.frames);
  await target.staged(1);
  assert.deepEqual(await target.commit(next.commit), { outcome: 'committed' });
});

test('a COMMIT that never arrived is asked again, behind what had to be sent again', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(3);
  fake.holdStaging = true;
  await target.begin(begin);
  await putAll(target, frames);
  await turns(20);
  world.links.at(-1)?.cutAfter({ up: 10 });
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.deepEqual(fake.calls.slice(-6), [
    'outcome',
    'begin at 0',
    'put 0',
    'put 1',
    'put 2',
    'commit',
  ]);
});

test('an outcome that is forgotten leaves the commit unknown', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, commit } = world.round(0);
  await target.begin(begin);
  fake.outcome = async () => 'forgotten';
  const release = fake.hold('commit');
  const failed = assert.rejects(target.commit(commit), lost(/forgotten/));
  await turns(20);
  world.cut();
  release();
  await failed;
});

test('a target that lost its staging ends the round, and takes the next', async (t) => {
  const world = await resumingWorld(t, { dialling: async () => world.fake.restart() });
  const { target } = world;
  const { begin, frames, commit } = world.round(4);
  await target.begin(begin);
  await putAll(target, frames.slice(0, 2));
  await target.staged(2);
  world.cut();
  const gone = lost(/it lost its staging \(nothing is staged here\)/);
  await assert.rejects(target.staged(3), gone);
  await assert.rejects(putAll(target, frames.slice(2), 2), gone);
  await assert.rejects(target.commit(commit), gone);
  assert.equal(await target.outcome(begin.round), 'none', 'the session stands');
  const next = world.round(1);
  await target.begin(next.begin);
  await putAll(target, next.frames);
  assert.equal(await target.staged(1), 1);
});

test('a restart before anything was acknowledged begins the round anew', async (t) => {
  const world = await resumingWorld(t, { dialling: async () => world.fake.restart() });
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(3);
  fake.holdStaging = true;
  await target.begin(begin);
  await putAll(target, frames);
  await turns(20);
  fake.holdStaging = false;
  world.cut();
  assert.equal(await target.staged(3), 3);
  assert.equal(target.resentBytes, 9000);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
});

test('a target that has more than was put, or less than it said, ends the round', async (t) => {
  for (const staged of [1, 9]) {
    const world = await resumingWorld(t);
    const { target, fake } = world;
    const { begin, frames } = world.round(3);
    await target.begin(begin);
    await putAll(target, frames);
    await target.staged(3);
    fake.begin = async () => fake.stage(staged);
    world.cut();
    await assert.rejects(target.staged(4), lost(new RegExp(`${staged} frames, not 3 to 3`)));
  }
});

test('what it refuses on the new session is its answer; busy is tried again', async (t) => {
  const world = await resumingWorld(t, {
    connected: (_, session) => {
      if (session === 1) world.fake.fail('begin', refusal('busy', 'another session'));
      if (session === 2) world.fake.fail('begin', refusal('wrong-epoch', 'promoted'));
    },
  });
  const { target } = world;
  await target.begin(world.round(1).begin);
  world.cut();
  await assert.rejects(target.staged(1), refused('wrong-epoch', /promoted/));
  assert.equal(world.dials.length, 2);
});

test('sessions that end before a frame is through: not for ever', async (t) => {
  const world = await resumingWorld(t, { connected: (link) => link.cutAfter({ up: 1000 }) });
  const { target } = world;
  const { begin, frames } = world.round(2);
  await target.begin(begin);
  await assert.rejects(putAll(target, frames), lost(/cut/));
  assert.equal(target.reconnects, FRUITLESS_MAX);
  await assert.rejects(target.staged(1), lost());
});

test('sessions of one frame each carry a round of many', async (t) => {
  const world = await resumingWorld(t, { connected: (link) => link.cutAfter({ up: 3600 }) });
  const { target } = world;
  const { begin, frames, commit } = world.round(40);
  await target.begin(begin);
  await putAll(target, frames);
  await target.staged(40);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.ok(target.reconnects >= 39);
  assert.equal(target.resentBytes, world.resent(frames));
});

test('sessions on which no acknowledgement arrives carry a round of many', async (t) => {
  // A BEGUN has 52 bytes, a STAGED as many.
  const world = await resumingWorld(t, { connected: (link) => link.cutAfter({ down: 60 }) });
  const { target } = world;
  const { begin, frames, commit } = world.round(30);
  await target.begin(begin);
  await putAll(target, frames);
  await target.staged(30);
  for (const link of world.links) link.cutAfter({});
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.ok(target.reconnects > FRUITLESS_MAX);
  assert.equal(target.resentBytes, world.resent(frames));
});

test('after keepMs the error is the first one, and dialling has backed off', async (t) => {
  const world = await resumingWorld(t, {
    dialling: () => Promise.reject(lostError('connection refused')),
  });
  const { target, clock, dials } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  world.cut();
  const fromMs = clock.monotonicMs();
  const waiting = [target.staged(1), target.digests(0, 1, 'table'), putAll(target, frames)];
  for (const one of waiting) await assert.rejects(one, lost(/pulled the cable/));
  const tookMs = clock.monotonicMs() - fromMs;
  assert.ok(tookMs >= KEEP_MS && tookMs < KEEP_MS + 1000, `${tookMs} ms`);
  const delays = dials.map(({ atMs }, at) => atMs - (dials[at - 1]?.atMs ?? fromMs));
  for (const delay of delays.slice(0, -1)) assert.ok(delay >= 250 && delay <= 5000, `${delay} ms`);
  assert.ok((delays[0] ?? 0) <= 500);
  assert.ok(delays.length > 4 && Math.max(...delays) > 1000);
  assert.ok(dials.every(({ round }) => round === hex(begin.round)));
  assert.deepEqual(world.warnings.length, 1, 'logged once');
  for (const call of [() => target.begin(begin), () => target.applied(begin.to)]) {
    await assert.rejects(call(), lost(/pulled the cable/));
  }
});

test('a final error of dialling is the error', async (t) => {
  const diverged = new TargetError({
    code: 'TARGET_REFUSED',
    target: 'b',
    reason: 'wrong-from',
    text: 'it was promoted',
  });
  const world = await resumingWorld(t, { dialling: () => Promise.reject(diverged) });
  await world.target.begin(world.round(1).begin);
  world.cut();
  await assert.rejects(world.target.staged(1), refused('wrong-from', /promoted/));
  assert.equal(world.dials.length, 1);
});

test('without a round a lost session is lost', async (t) => {
  const world = await resumingWorld(t);
  world.cut();
  const { begin, commit } = world.round(1);
  await assert.rejects(world.target.outcome(begin.round), lost(/pulled the cable/));
  await assert.rejects(world.target.digests(0, 1, 'table'), lost());
  await assert.rejects(world.target.commit(commit), lost());
  assert.equal(world.dials.length, 0);
});

test('waiting for an apply goes on, on the next session, beside the next round', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const one = world.round(1);
  await target.begin(one.begin);
  await putAll(target, one.frames);
  await target.staged(1);
  await target.commit(one.commit);
  const release = fake.hold('applied');
  const applied = target.applied(one.commit.to);
  await turns(20);
  world.cut();
  await turns(200);
  assert.equal(target.reconnects, 1);
  const two = world.round(2);
  await target.begin(two.begin);
  await putAll(target, two.frames);
  assert.equal(await target.staged(2), 2);
  release();
  await applied;
});

test('a pass is resumed as a round is (H43)', async (t) => {
  const world = await resumingWorld(t, { fake: new FakeTarget(null) });
  const { target, fake } = world;
  const { begin, frames } = world.round(4);
  await target.begin({ ...begin, kind: 'pass' });
  await putAll(target, frames.slice(0, 2));
  await target.staged(2);
  world.cut();
  await putAll(target, frames.slice(2), 2);
  assert.equal(await target.staged(4), 4);
  assert.deepEqual(
    fake.calls.filter((call) => call.startsWith('begin')),
    ['begin at 0', 'begin at 2'],
  );
  assert.deepEqual(fake.frames.map(hex), frames.map(hex));
  assert.equal(target.resentBytes, 0);
});

test('chunks wanted on a session that was lost are still wanted', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames } = world.round(3);
  await target.begin(begin);
  fake.want([7, 8]);
  await putAll(target, frames.slice(0, 1));
  await target.outcome(begin.round);
  world.cut();
  fake.want([9]);
  await putAll(target, frames.slice(1), 1);
  await target.staged(3);
  await target.outcome(begin.round);
  assert.deepEqual(target.takeWanted().slice(0, 2), [7, 8]);
  assert.deepEqual(target.takeWanted(), []);
});

test('while the session is replaced, at most 16 MiB are kept and put waits (W5)', async (t) => {
  let open = (): void => {};
  const gate = new Promise<void>((go) => {
    open = go;
  });
  const world = await resumingWorld(t, { dialling: () => gate });
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(20, 1024 * 1024);
  fake.holdStaging = true;
  await target.begin(begin);
  let put = 0;
  const putting = (async () => {
    for (const [at, frame] of frames.entries()) {
      await target.put(at, frame);
      put += 1;
      if (put === 10) world.cut();
    }
  })();
  await turns(300);
  assert.equal(put, 10, 'the next is not taken by any session');
  assert.equal(target.wireBytes().up, world.links[0]?.bytesOut, 'the lost session counts once');
  assert.equal(world.dials.length, 1);
  open();
  await turns(300);
  assert.equal(put, UNSTAGED_BYTES_MAX / 2 ** 20);
  fake.holdStaging = false;
  fake.stage(fake.frames.length);
  await putting;
  await target.staged(20);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.equal(target.resentBytes, world.resent(frames));
});

test('one session is dialled, however many calls were interrupted', async (t) => {
  const world = await resumingWorld(t);
  const { target } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  world.cut();
  await Promise.all([
    target.staged(1),
    target.staged(1),
    target.digests(0, 5, 'table'),
    target.held(0, 5),
    target.doubts(0),
    target.chunk(1, begin.to),
    putAll(target, frames),
  ]);
  assert.equal(world.dials.length, 1);
});

test('wire bytes are those of all sessions and never fall', async (t) => {
  const world = await resumingWorld(t);
  const { target } = world;
  const { begin, frames } = world.round(30);
  await target.begin(begin);
  let last = target.wireBytes();
  for (const [at, frame] of frames.entries()) {
    await target.put(at, frame);
    if (at % 7 === 3) world.cut();
    const now = target.wireBytes();
    assert.ok(now.up >= last.up && now.down >= last.down, `${now.up} after ${last.up}`);
    last = now;
  }
  await target.staged(30);
  const links = world.links.reduce((sum, link) => sum + link.bytesOut, 0);
  assert.equal(target.wireBytes().up, links);
  assert.equal(target.reconnects, 4);
});

test('a peer that answers pings and takes nothing loses its session, not the round', async (t) => {
  const clock = new FakeClock();
  const world = await resumingWorld(t, { clock });
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(3);
  await target.begin(begin);
  const release = fake.hold('put');
  const staged = target.staged(3);
  await putAll(target, frames);
  for (let ms = 0; ms < 1.25 * STALL_MS; ms += 5000) {
    assert.deepEqual(world.warnings, []);
    await clock.advance(5000);
  }
  release();
  for (let ms = 0; ms < STALL_MS / 2; ms += 500) await clock.advance(500);
  assert.equal(await staged, 3);
  assert.deepEqual(
    world.warnings.map((line) => line.split(';')[0]),
    ['the target takes nothing', 'the session with the target was lost'],
  );
  assert.equal(target.reconnects, 1);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
});

test('a peer that never takes anything does not hold a round for ever', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames } = world.round(2);
  fake.holdStaging = true;
  await target.begin(begin);
  await putAll(target, frames);
  await assert.rejects(target.staged(1), lost(/took nothing for 60 seconds/));
  assert.equal(target.reconnects, FRUITLESS_MAX);
});

test('slow is not stalled: bytes that leave, or frames acknowledged, are enough', async (t) => {
  const clock = new FakeClock();
  const world = await resumingWorld(t, { clock });
  const { target, fake } = world;
  const { begin, frames } = world.round(8);
  fake.holdStaging = true;
  await target.begin(begin);
  for (const [at, frame] of frames.entries()) {
    await target.put(at, frame);
    for (let ms = 0; ms < 0.7 * STALL_MS; ms += 5000) await clock.advance(5000);
  }
  for (let at = 1; at <= 8; at += 1) {
    fake.stage(at);
    for (let ms = 0; ms < 0.7 * STALL_MS; ms += 5000) await clock.advance(5000);
  }
  assert.deepEqual(world.warnings, []);
});

test('a commit and an apply may take as long as they like (H25)', async (t) => {
  const clock = new FakeClock();
  const world = await resumingWorld(t, { clock });
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(1);
  fake.holdStaging = true;
  await target.begin(begin);
  await putAll(target, frames);
  const release = fake.hold('commit');
  const committing = target.commit(commit);
  for (let at = 0; at < 100; at += 1) await clock.advance(5000);
  release();
  assert.deepEqual(await committing, { outcome: 'committed' });
  const apply = fake.hold('applied');
  const applied = target.applied(commit.to);
  for (let at = 0; at < 100; at += 1) await clock.advance(5000);
  apply();
  await applied;
  assert.deepEqual(world.warnings, []);
});

test('closed while it is replaced: everything waiting ends, no session is left', async (t) => {
  let open = (): void => {};
  const gate = new Promise<void>((go) => {
    open = go;
  });
  const world = await resumingWorld(t, { dialling: () => gate });
  const { target } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  world.cut();
  const waiting = [target.staged(1), target.digests(0, 1, 'table'), putAll(target, frames)].map(
    (one) => assert.rejects(one, lost(/ended here/)),
  );
  await turns(20);
  const closing = target.close();
  await turns(20);
  open();
  await closing;
  await Promise.all(waiting);
  await turns(20);
  for (const link of world.links) await assert.rejects(link.write([new Uint8Array(1)]));
  await assert.rejects(target.begin(begin), lost(/ended here/));
});

test('closed while the round is begun again: nobody waits for the answer', async (t) => {
  const world = await resumingWorld(t, { clock: new FakeClock() });
  const { target, fake, clock } = world;
  await target.begin(world.round(1).begin);
  const release = fake.hold('begin');
  world.cut();
  const waiting = assert.rejects(target.staged(1), lost(/ended here/));
  await clock.advance(1000);
  assert.deepEqual(fake.calls, ['begin at 0', 'begin at 0']);
  await target.close();
  await waiting;
  assert.equal(target.reconnects, 0);
  release();
});

test('given up while it is replaced: nobody dials any more', async (t) => {
  const world = await resumingWorld(t, {
    dialling: () => Promise.reject(lostError('connection refused')),
  });
  const { target, clock } = world;
  const { begin } = world.round(1);
  await target.begin(begin);
  world.cut();
  const waiting = assert.rejects(target.staged(1), lost(/given up/));
  await turns(30);
  await target.abandon(begin.round);
  await waiting;
  await turns(30);
  const before = world.dials.length;
  await clock.sleep(60_000);
  assert.equal(world.dials.length, before);
});

test('a target that cannot is asked again, but not for ever', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  fake.put = () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
  await putAll(target, frames);
  await assert.rejects(target.staged(1), (error) => {
    assert.match(String(error), /ENOSPC/);
    return codeOf(error) === 'TARGET_LOST';
  });
  assert.equal(target.reconnects, FRUITLESS_MAX);
});
