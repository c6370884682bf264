// Every way a session between two ends in memory comes to its end, and the reason that both sides
// are left with.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { NetError } from '../../src/net/faults.js';
import { encodeMessage } from '../../src/peer/encode.js';
import type { Envelope, Message } from '../../src/peer/messages.js';
import { FakeClock } from '../world/fake-clock.js';
import { factsOf, idOf } from './material.js';
import { coded, ignore, pair } from './session-pair.js';

test('a cut rejects everything that waits, with the reason', async () => {
  const { a, b } = pair();
  a.session.start(ignore);
  b.session.start(() => new Promise(() => {}));
  const asked = assert.rejects(
    a.session.ask({ type: 'outcome', round: idOf(1) }),
    coded('PEER_CLOSED'),
  );
  const stuck = assert.rejects(async () => {
    for (let number = 0; ; number += 1) {
      const bytes = new Uint8Array(50_000);
      await a.session.push({ type: 'frame', session: 5, round: idOf(1), number, bytes });
    }
  }, coded('PEER_CLOSED'));
  await turn();
  b.stream.destroy('pulled the cable');
  await Promise.all([asked, stuck]);
  assert.equal(codeOf(await a.session.closed), 'PEER_CLOSED');
  await a.session.finished();
  await assert.rejects(a.session.ask({ type: 'outcome', round: idOf(1) }), coded('PEER_CLOSED'));
});

test('closing lets out what was accepted; the other side sees an end', async () => {
  const { a, b, clock } = pair();
  const seen: string[] = [];
  b.session.start(({ message }) => void seen.push(message.type));
  a.session.start(ignore);
  await a.session.push({ type: 'staged', round: idOf(1), frames: 4 });
  await Promise.all([a.session.close(), a.session.close()]);
  assert.match((await b.session.closed).message, /the other side ended it/);
  assert.deepEqual(seen, ['staged']);
  await a.session.finished();
  await b.session.finished();
  assert.equal(clock.sleeping, 0, 'no timer is left');
});

test('closing does not wait for ever for a peer that does not read', async () => {
  const { a, clock } = pair(new FakeClock(), { capacityBytes: 10 });
  a.session.start(ignore);
  const stuck = assert.rejects(
    a.session.push({ type: 'staged', round: idOf(1), frames: 4 }),
    coded('PEER_CLOSED'),
  );
  await turn();
  const closing = a.session.close();
  await clock.advance(2_000);
  await closing;
  await stuck;
});

test('a session can be closed before it was started', async () => {
  const { a, b } = pair();
  await a.session.close();
  await a.session.finished();
  b.session.destroy(new NetError({ code: 'PEER_ABORTED', address: 'a:1' }));
  b.session.start(ignore);
  await b.session.finished();
  assert.equal(codeOf(await b.session.closed), 'PEER_ABORTED');
});

test('an error of the handler ends the session and is its reason', async () => {
  const { a, b } = pair();
  a.session.start(() => {
    throw new NetError({ code: 'PEER_ABORTED', address: 'here' });
  });
  b.session.start(ignore);
  await b.session.push({ type: 'staged', round: idOf(1), frames: 1 });
  assert.equal(codeOf(await a.session.closed), 'PEER_ABORTED');
  assert.equal(codeOf(await b.session.closed), 'PEER_CLOSED');
});

const FORBIDDEN: readonly [string, Envelope][] = [
  ['an answer nobody asked for', { request: 3, message: { type: 'outcome-is', outcome: 'none' } }],
  [
    'a second HELLO',
    {
      request: 0,
      message: { type: 'hello', features: 0, nonce: idOf(1), facts: factsOf('b') },
    },
  ],
];

for (const [title, envelope] of FORBIDDEN) {
  test(`breaks the protocol: ${title}`, async () => {
    const { a, b } = pair();
    a.session.start(ignore);
    await b.stream.write(encodeMessage(envelope));
    assert.equal(codeOf(await a.session.closed), 'PEER_PROTOCOL');
  });
}

test('a REFUSE that answers a WELCOME ends the session with its reason', async () => {
  const { a, b } = pair();
  a.session.start(ignore);
  const message: Message = { type: 'refuse', refusal: 'size', text: 'too small' };
  await b.stream.write(encodeMessage({ request: 0, message }));
  const reason = await a.session.closed;
  assert.equal(reason.message, 'b:2 refused: too small');
  assert.equal(codeOf(reason), 'PEER_REFUSED');
});

test('garbage inside a session ends it as PEER_PROTOCOL', async () => {
  const { a, b } = pair();
  a.session.start(ignore);
  const ping: Message = { type: 'ping' };
  await b.stream.write(encodeMessage({ request: 0, message: ping }));
  await b.stream.write([new Uint8Array(64).fill(0x5a)]);
  assert.equal(codeOf(await a.session.closed), 'PEER_PROTOCOL');
});
