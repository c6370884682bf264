// The target across a session: the contract of every target, the window, and a session that breaks
// or ends at any moment. Answers: remote-answers.test.ts. Lies: remote-lies.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { UNSTAGED_BYTES_MAX } from '../../src/peer/limits.js';
import { tlsPair } from '../net/pairs.js';
import { FakeClock } from '../world/fake-clock.js';
import { lost, refused, turns } from './calls.js';
import { FakeTarget } from './fake-target.js';
import { describeTargetContract } from './target-contract.js';
import { remoteWorld, roundsFrom, storesOf } from './worlds.js';

describeTargetContract('fake in this process', async () => {
  const target = new FakeTarget();
  const stores = () => storesOf(target);
  return { target, round: roundsFrom(target, seededRandom(1)), stores };
});

describeTargetContract('across a session in memory', (t) => remoteWorld(t));

describeTargetContract('across a session over TLS', (t) => remoteWorld(t, { pair: tlsPair }));

const MIB = 1024 * 1024;

test('at most 16 MiB are sent and not known to be durable (H31)', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, frames } = round(24, MIB);
  fake.holdStaging = true;
  await target.begin(begin);
  let accepted = 0;
  const putting = (async () => {
    for (const [at, frame] of frames.entries()) {
      await target.put(at, frame);
      accepted += 1;
    }
  })();
  await turns(300);
  assert.equal(accepted, UNSTAGED_BYTES_MAX / MIB);
  assert.equal(fake.frames.length, accepted, 'what was accepted was sent');
  fake.stage(3);
  await turns(100);
  assert.equal(accepted, UNSTAGED_BYTES_MAX / MIB + 3, 'room for three more');
  fake.holdStaging = false;
  fake.stage(accepted);
  await putting;
  assert.equal(await target.staged(24), 24);
});

test('a receiver that is slow to put stops the sender before the 16 MiB', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, frames } = round(12, MIB);
  await target.begin(begin);
  const release = fake.hold('put');
  let accepted = 0;
  const putting = Promise.all(
    frames.map(async (frame, at) => {
      await target.put(at, frame);
      accepted += 1;
    }),
  );
  await turns(100);
  assert.ok(accepted < 4, `${accepted} MiB lie between the two disks`);
  assert.deepEqual(fake.calls.slice(-1), ['put 0'], 'one frame at a time');
  release();
  await putting;
  assert.equal(await target.staged(12), 12);
});

test('a link lost while a commit runs: unknown, and the next contact tells (H23)', async (t) => {
  const world = await remoteWorld(t);
  const { target, fake, far, served } = world;
  const material = world.round(2);
  await target.begin(material.begin);
  for (const [at, frame] of material.frames.entries()) await target.put(at, frame);
  await target.staged(2);
  const release = fake.hold('commit');
  const failed = assert.rejects(target.commit(material.commit), lost(/pulled the cable|cut/));
  await turns(20);
  far.destroy('pulled the cable');
  await failed;
  assert.equal(fake.closed, 0, 'the writer has not ended yet');
  release();
  await served;
  assert.equal(fake.closed, 1);
  const again = await remoteWorld(t, { fake });
  assert.equal(await again.target.outcome(material.begin.round), 'committed');
  assert.deepEqual(await again.target.commit(material.commit), { outcome: 'committed' });
  assert.deepEqual(again.target.state.point, material.commit.to);
});

test('every call on a lost session is TARGET_LOST, those waiting included', async (t) => {
  const { target, fake, far, round } = await remoteWorld(t);
  const { begin, frames, commit } = round(2);
  fake.holdStaging = true;
  await target.begin(begin);
  const waiting = assert.rejects(target.staged(1), lost());
  far.destroy('pulled the cable');
  await waiting;
  const [frame] = frames;
  assert.ok(frame);
  for (const call of [
    () => target.begin(begin),
    () => target.put(0, frame),
    () => target.staged(1),
    () => target.commit(commit),
    () => target.outcome(begin.round),
    () => target.digests(0, 1, 'table'),
    () => target.held(0, 1),
    () => target.reuse(0, [{ chunk: 0, digest: frame.subarray(0, 16) }]),
    () => target.doubts(0),
    () => target.chunk(0, commit.to),
    () => target.applied(commit.to),
    () => target.abandon(begin.round),
  ]) {
    await assert.rejects(call(), lost());
  }
  assert.deepEqual(target.takeWanted(), []);
  await target.close();
});

test('a round is parked when its session ends, and goes on at the watermark (D3)', async (t) => {
  const first = await remoteWorld(t);
  const { fake } = first;
  const { begin, frames, commit } = first.round(6);
  await first.target.begin(begin);
  fake.holdStaging = true;
  for (const [at, frame] of frames.slice(0, 4).entries()) await first.target.put(at, frame);
  await turns(20);
  fake.stage(3);
  await first.target.staged(3);
  first.far.destroy('pulled the cable');
  await first.served;
  fake.holdStaging = false;
  const { target } = await remoteWorld(t, { fake });
  await target.begin({ ...begin, resumeAt: 3 });
  assert.equal(await target.staged(0), 3);
  for (const [at, frame] of frames.slice(3).entries()) await target.put(3 + at, frame);
  assert.equal(await target.staged(6), 6);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
});

test('a round that is not parked any more is refused as gone', async (t) => {
  const first = await remoteWorld(t);
  const { begin, frames } = first.round(1);
  await first.target.begin(begin);
  for (const [at, frame] of frames.entries()) await first.target.put(at, frame);
  await first.target.staged(1);
  first.far.destroy('pulled the cable');
  await first.served;
  first.fake.restart();
  const { target } = await remoteWorld(t, { fake: first.fake });
  await assert.rejects(target.begin({ ...begin, resumeAt: 1 }), refused('gone'));
});

test('what is reused counts little and keeps its place among the frames', async (t) => {
  const { target, fake, round, stores } = await remoteWorld(t);
  const { held } = stores();
  const { begin, frames } = round(1, MIB);
  const [frame] = frames;
  assert.ok(frame);
  fake.holdStaging = true;
  await target.begin(begin);
  for (let at = 0; at < 15; at += 1) await target.put(at, frame);
  for (let at = 15; at < 500; at += 1) await target.reuse(at, held);
  let accepted = false;
  const putting = target.put(500, frame).then(() => {
    accepted = true;
  });
  await turns(200);
  assert.equal(accepted, false, 'a 16th MiB has no room beside the reused');
  assert.deepEqual(fake.calls.slice(-1), ['reuse 499']);
  fake.stage(16);
  await putting;
});

test('frames of another session are dropped (H36)', async (t) => {
  const { target, fake, sender, receiver, round } = await remoteWorld(t);
  const { begin, frames } = round(1);
  const [bytes] = frames;
  assert.ok(bytes);
  await target.begin(begin);
  const session = (sender.facts.number % 1000) + 1;
  assert.notEqual(session, receiver.facts.number);
  await sender.push({ type: 'frame', session, round: begin.round, number: 0, bytes });
  await target.outcome(begin.round);
  assert.equal(fake.frames.length, 0);
  await target.put(0, bytes);
  assert.equal(await target.staged(1), 1);
});

test('the target is closed once its last call has returned, not before', async (t) => {
  const { target, fake, far, served, round } = await remoteWorld(t);
  const { begin, frames } = round(1);
  const [frame] = frames;
  assert.ok(frame);
  await target.begin(begin);
  const release = fake.hold('put');
  await target.put(0, frame);
  await turns(20);
  far.destroy('pulled the cable');
  await turns(20);
  assert.deepEqual([fake.running, fake.closed], [1, 0]);
  release();
  assert.equal(codeOf(await served), 'PEER_CLOSED');
  assert.deepEqual([fake.running, fake.closed], [0, 1]);
});

test('closing the target ends the serving side in order', async (t) => {
  const { target, fake, served } = await remoteWorld(t);
  await target.close();
  assert.match((await served).message, /the other side ended it/);
  assert.equal(fake.closed, 1);
});

test('wire bytes are what the frames took and little more', async (t) => {
  const { target, round } = await remoteWorld(t, { pair: tlsPair });
  const { begin, frames } = round(4, MIB);
  await target.begin(begin);
  const before = target.wireBytes();
  for (const [at, frame] of frames.entries()) await target.put(at, frame);
  await target.staged(4);
  const { up, down } = target.wireBytes();
  const extra = up - before.up - 4 * MIB;
  assert.ok(extra > 0 && extra < 0.005 * 4 * MIB, `${extra} bytes beside the frames`);
  assert.ok(down - before.down < 2000);
});

test('a commit may take far longer than the timeout while the peer lives', async (t) => {
  const clock = new FakeClock();
  const { target, fake, round } = await remoteWorld(t, { clock });
  const { begin, commit } = round(0);
  await target.begin(begin);
  const release = fake.hold('commit');
  const committing = target.commit(commit);
  for (let at = 0; at < 100; at += 1) await clock.advance(10_000);
  release();
  assert.deepEqual(await committing, { outcome: 'committed' });
});
