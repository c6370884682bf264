// The target across a session: the contract of every target, and what only a connection can do:
// break at any moment, be slow, lie.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { DiskError } from '../../src/disk/device.js';
import { encodeMessage } from '../../src/peer/encode.js';
import { UNSTAGED_BYTES_MAX, WANT_CHUNKS_MAX, WANTED_CHUNKS_MAX } from '../../src/peer/limits.js';
import type { Message } from '../../src/peer/messages.js';
import { type Commit, DAMAGED_CHUNKS_MAX } from '../../src/target/target.js';
import { tlsPair } from '../net/pairs.js';
import { pointOf } from '../peer/material.js';
import { FakeClock } from '../world/fake-clock.js';
import { FakeTarget, refusal } from './fake-target.js';
import { describeTargetContract, lost, refused } from './target-contract.js';
import { remoteWorld, roundsFrom, storesOf } from './worlds.js';

describeTargetContract('fake in this process', async () => {
  const target = new FakeTarget();
  const stores = () => storesOf(target);
  return { target, round: roundsFrom(target, seededRandom(1)), stores };
});
describeTargetContract('across a session in memory', (t) => remoteWorld(t));
describeTargetContract('across a session over TLS', (t) => remoteWorld(t, { pair: tlsPair }));

async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) await turn();
}

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

test('a target that wants without end breaks the protocol', async (t) => {
  const { target, far, round } = await remoteWorld(t);
  const { begin } = round(1);
  await target.begin(begin);
  const chunks = Array.from({ length: WANT_CHUNKS_MAX }, (_, at) => at);
  const want: Message = { type: 'want', round: begin.round, chunks };
  const other: Message = { ...want, round: pointOf(9).id };
  for (let at = 0; at < 64; at += 1) {
    await far.write(encodeMessage({ request: 0, message: want }));
    await far.write(encodeMessage({ request: 0, message: other }));
  }
  await target.outcome(begin.round);
  assert.equal(target.takeWanted().length, WANTED_CHUNKS_MAX, 'those of another round are not');
  for (let at = 0; at < 65; at += 1) {
    await far.write(encodeMessage({ request: 0, message: want })).catch(() => {});
  }
  await assert.rejects(target.staged(1), lost(/broke the protocol: it wants more chunks/));
});

test('a target that says more is staged than was sent breaks the protocol', async (t) => {
  const { target, far, round } = await remoteWorld(t);
  const { begin, frames } = round(1);
  const [frame] = frames;
  assert.ok(frame);
  await target.begin(begin);
  await target.put(0, frame);
  const message: Message = { type: 'staged', round: begin.round, frames: 2 };
  await far.write(encodeMessage({ request: 0, message }));
  await assert.rejects(target.staged(2), lost(/broke the protocol: it has staged 2 frames/));
});

test('answers to HELD and DOUBTS that cannot be end the session', async (t) => {
  const entry = (chunk: number) => ({ chunk, mask: 1, zero: 0, digest: new Uint8Array(16) });
  const wrong: readonly (readonly ['held' | 'doubts', Message])[] = [
    ['held', { type: 'held-are', first: 0, entries: [] }],
    ['held', { type: 'held-are', first: 10, entries: [entry(10), entry(15)] }],
    ['held', { type: 'doubts-are', chunks: [], complete: true }],
    ['doubts', { type: 'doubts-are', chunks: [10, 12, 12], complete: true }],
    ['doubts', { type: 'doubts-are', chunks: [9], complete: true }],
    ['doubts', { type: 'doubts-are', chunks: [], complete: false }],
  ];
  for (const [call, message] of wrong) {
    const { target, fake, sender, far } = await remoteWorld(t);
    t.after(fake.hold('outcome'));
    // Holds up the serving side, so that our answer is the first.
    const held = assert.rejects(target.outcome(pointOf(1).id), lost());
    const asked = call === 'held' ? target.held(10, 5) : target.doubts(10);
    const failed = assert.rejects(asked, lost(/broke the protocol/));
    await turns(10);
    await far.write(encodeMessage({ request: 2, message }));
    await failed;
    await held;
    assert.equal(codeOf(await sender.closed), 'PEER_PROTOCOL');
  }
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

const FROM_TARGET: readonly Message[] = [
  { type: 'begin', begin: roundsFrom(new FakeTarget(), seededRandom(2))(1).begin },
  { type: 'frame', session: 1, round: pointOf(1).id, number: 0, bytes: new Uint8Array(4) },
  { type: 'outcome', round: pointOf(1).id },
];

for (const message of FROM_TARGET) {
  test(`a target that sends ${message.type} breaks the protocol`, async (t) => {
    const { sender, far } = await remoteWorld(t);
    await far.write(encodeMessage({ request: 0, message }));
    assert.equal(codeOf(await sender.closed), 'PEER_PROTOCOL');
  });
}

test('a primary that sends STAGED breaks the protocol, and the target is closed', async (t) => {
  const { fake, sender, served } = await remoteWorld(t);
  await sender.push({ type: 'staged', round: pointOf(1).id, frames: 3 });
  assert.equal(codeOf(await served), 'PEER_PROTOCOL');
  assert.equal(fake.closed, 1);
});

test('an answer of another kind, or for other chunks, ends the session', async (t) => {
  const digests = new Uint8Array(16);
  const wrong: readonly Message[] = [
    { type: 'committed', round: pointOf(1).id },
    { type: 'digests-are', at: null, first: 5, digests },
    { type: 'digests-are', at: null, first: 0, digests: new Uint8Array(0) },
  ];
  for (const message of wrong) {
    const { target, fake, sender, far } = await remoteWorld(t);
    t.after(fake.hold('digests'));
    const failed = assert.rejects(target.digests(0, 1, 'table'), lost(/broke the protocol/));
    await turns(10);
    await far.write(encodeMessage({ request: 1, message }));
    await failed;
    assert.equal(codeOf(await sender.closed), 'PEER_PROTOCOL');
  }
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
