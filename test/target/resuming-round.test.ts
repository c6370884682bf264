// What becomes of a round, and of what was asked beside it, when its session is lost: commit and
// outcome, what was staged, wanted, applied, and the frames that are kept meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex } from '../../src/base/random.js';
import { UNSTAGED_BYTES_MAX } from '../../src/peer/limits.js';
import { lost, putAll, refused, turns } from './calls.js';
import { FakeTarget, refusal } from './fake-target.js';
import { resumingWorld } from './resuming-world.js';

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
