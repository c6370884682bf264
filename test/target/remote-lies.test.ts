// The target across a session whose other end breaks the protocol, either side: the session ends
// for that reason.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { encodeMessage } from '../../src/peer/encode.js';
import { WANT_CHUNKS_MAX, WANTED_CHUNKS_MAX } from '../../src/peer/limits.js';
import type { Message } from '../../src/peer/messages.js';
import { pointOf } from '../peer/material.js';
import { lost, turns } from './calls.js';
import { FakeTarget } from './fake-target.js';
import { remoteWorld, roundsFrom } from './worlds.js';

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
