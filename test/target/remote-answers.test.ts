// The target across a session: what an honest one answers arrives whole, be it much, late, a
// refusal or an error of its disk.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskError } from '../../src/disk/device.js';
import { type Commit, DAMAGED_CHUNKS_MAX } from '../../src/target/target.js';
import { pointOf } from '../peer/material.js';
import { lost, refused, turns } from './calls.js';
import { refusal } from './fake-target.js';
import { remoteWorld } from './worlds.js';

test('a begin without space is refused with the numbers (H29)', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  fake.fail('begin', refusal('no-space', 'needs 4.0 GiB, 1.2 GiB are free'));
  await assert.rejects(target.begin(round(1).begin), refused('no-space', /4.0 GiB, 1.2 GiB/));
  await target.begin(round(1).begin);
});

test('after a frame that was not taken, none of that round reaches the target', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, frames, commit } = round(6);
  await target.begin(begin);
  fake.fail('put', refusal('bad-frame', 'its checksum is wrong'));
  await assert.rejects(
    async () => {
      for (const [at, frame] of frames.entries()) await target.put(at, frame);
      await target.staged(6);
    },
    refused('bad-frame', /checksum/),
  );
  await turns(50);
  assert.deepEqual(
    fake.calls.filter((call) => call.startsWith('put')),
    ['put 0'],
  );
  const answer = await target.commit(commit);
  assert.deepEqual(answer, {
    outcome: 'refused',
    reason: 'bad-frame',
    text: 'its checksum is wrong',
  });
  assert.ok(!fake.calls.includes('commit'));
});

test('an error of its disk while staging fails the round, with its code', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, frames, commit } = round(1);
  const [frame] = frames;
  assert.ok(frame);
  const fault = { operation: 'write', path: '/srv/b.img', offset: 4096, errno: 'EIO' };
  fake.fail('put', new DiskError({ code: 'DISK_FAILED', ...fault }));
  await target.begin(begin);
  await target.put(0, frame);
  await assert.rejects(target.staged(1), lost(/write at byte 4096 failed: EIO \(DISK_FAILED\)/));
  await assert.rejects(target.commit(commit), lost(/EIO/));
  assert.equal(await target.outcome(begin.round), 'none', 'the session goes on');
});

test('a commit the target itself cannot tell the end of is unknown, not refused', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, commit } = round(0);
  await target.begin(begin);
  fake.fail('commit', new DiskError({ code: 'DISK_MISSING', path: '/srv/b.img' }));
  await assert.rejects(target.commit(commit), lost(/no such disk/));
});

test('chunks wanted at COMMIT are known when it is answered (H28)', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, frames, commit } = round(3);
  fake.wantsAtCommit = Array.from({ length: 40_000 }, (_, at) => 2 * at);
  await target.begin(begin);
  for (const [at, frame] of frames.slice(0, 2).entries()) await target.put(at, frame);
  await target.staged(2);
  assert.deepEqual(await target.commit({ ...commit, frames: 2 }), { outcome: 'wanted' });
  assert.deepEqual(target.takeWanted(), fake.wantsAtCommit);
  const [, , last] = frames;
  assert.ok(last);
  await target.put(2, last);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.deepEqual(target.takeWanted(), []);
});

test('what is held of many chunks is asked for in pieces', async (t) => {
  const { target, fake } = await remoteWorld(t);
  const digest = new Uint8Array(16).fill(3);
  fake.holds = Array.from({ length: 1000 }, (_, at) => ({
    chunk: 77 * at,
    mask: 5,
    zero: 4,
    digest,
  }));
  const held = await target.held(0, 77_000);
  assert.deepEqual(held, fake.holds);
  assert.equal(fake.calls.length, 5);
});

test('more doubts than a message holds are cut, and not complete', async (t) => {
  const { target, fake } = await remoteWorld(t);
  fake.doubtful = Array.from({ length: 20_000 }, (_, at) => at);
  fake.doubtsAtOnce = 20_000;
  const first = await target.doubts(0);
  assert.deepEqual([first.chunks.length, first.complete], [16_384, false]);
  const rest = await target.doubts(16_384);
  assert.deepEqual([rest.chunks.length, rest.complete], [20_000 - 16_384, true]);
});

test('a commit names its consistency and what is damaged (H21)', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const { begin, commit } = round(0);
  await target.begin(begin);
  let seen: Commit | null = null;
  const inner = fake.commit.bind(fake);
  fake.commit = (given) => {
    seen = given;
    return inner(given);
  };
  const damaged = Array.from({ length: DAMAGED_CHUNKS_MAX }, (_, at) => at * 3);
  await target.commit({ ...commit, consistency: 'damaged', damaged });
  assert.deepEqual(seen, { ...commit, consistency: 'damaged', damaged });
});

test('digests of many chunks are asked for in pieces, several at once', async (t) => {
  const { target, fake } = await remoteWorld(t);
  const count = 5 * 16_384 + 11;
  const answer = await target.digests(1000, count, 'table');
  assert.equal(fake.calls.length, 6);
  assert.equal(answer.first, 1000);
  assert.deepEqual(answer.at, fake.point);
  const view = new DataView(answer.digests.buffer);
  for (let at = 0; at < count; at += 1) assert.equal(view.getUint32(at * 16), 1000 + at);
});

test('digests that belong to two points are refused', async (t) => {
  const { target, fake } = await remoteWorld(t);
  const release = fake.hold('digests');
  const failed = assert.rejects(
    target.digests(0, 20_000, 'table'),
    refused('busy', /point changed/),
  );
  await turns(20);
  const first = fake.point;
  Object.defineProperty(fake, 'point', {
    get: () => (fake.calls.length > 1 ? pointOf(9) : first),
  });
  release();
  await failed;
});

test('waiting for an apply holds up nothing else (H25)', async (t) => {
  const { target, fake, round } = await remoteWorld(t);
  const one = round(1);
  await target.begin(one.begin);
  for (const [at, frame] of one.frames.entries()) await target.put(at, frame);
  await target.staged(1);
  await target.commit(one.commit);
  const release = fake.hold('applied');
  let applied = false;
  const waiting = target.applied(one.commit.to).then(() => {
    applied = true;
  });
  const two = round(2);
  await target.begin(two.begin);
  for (const [at, frame] of two.frames.entries()) await target.put(at, frame);
  assert.equal(await target.staged(2), 2);
  assert.equal(applied, false);
  release();
  await waiting;
});

test('an apply that fails says why', async (t) => {
  const { target, fake } = await remoteWorld(t);
  const fault = { operation: 'write', path: '/srv/b.img', offset: 512, errno: 'ENOSPC' };
  fake.fail('applied', new DiskError({ code: 'DISK_FAILED', ...fault }));
  await assert.rejects(target.applied(pointOf(3)), refused('apply-failed', /ENOSPC/));
});
