// A session between two ends in memory: questions and answers, order, backpressure, the beat. Time
// is a fake clock's. How sessions end: session-end.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { deferred } from '../../src/base/sync.js';
import { encodeMessage } from '../../src/peer/encode.js';
import { REQUESTS_MAX } from '../../src/peer/limits.js';
import type { Envelope } from '../../src/peer/messages.js';
import { MessageReader } from '../../src/peer/reader.js';
import { FakeClock } from '../world/fake-clock.js';
import { idOf } from './material.js';
import { coded, type End, ignore, pair } from './session-pair.js';

test('answers find their questions, in whatever order they come', async () => {
  const { a, b } = pair();
  const kept: Envelope[] = [];
  b.session.start(async (envelope) => {
    kept.push(envelope);
    if (kept.length < 3) return;
    for (const { request, message } of kept.reverse()) {
      assert.ok(message.type === 'outcome');
      const outcome = message.round[0] === 2 ? 'none' : 'committed';
      await b.session.answer(request, { type: 'outcome-is', outcome });
    }
  });
  a.session.start(ignore);
  const ask = (fill: number) => a.session.ask({ type: 'outcome', round: idOf(fill) });
  const answers = await Promise.all([ask(1), ask(2), ask(3)]);
  assert.deepEqual(
    answers.map((answer) => answer.type === 'outcome-is' && answer.outcome),
    ['committed', 'none', 'committed'],
  );
});

test('messages are handled in the order of sending, one at a time', async () => {
  const { a, b } = pair();
  const seen: number[] = [];
  let running = 0;
  const done = deferred<void>();
  b.session.start(async ({ message }) => {
    running += 1;
    assert.equal(running, 1, 'one at a time');
    await turn();
    running -= 1;
    assert.ok(message.type === 'frame');
    seen.push(message.number);
    if (seen.length === 50) done.resolve();
  });
  a.session.start(ignore);
  const frame = (number: number) => {
    const bytes = new Uint8Array(1 + ((number * 7919) % 5000));
    return a.session.push({ type: 'frame', session: 5, round: idOf(1), number, bytes });
  };
  await Promise.all(Array.from({ length: 50 }, (_, number) => frame(number)));
  await done.promise;
  assert.deepEqual(seen, [...Array(50).keys()]);
});

test('a busy handler stops the sender, and nothing is queued without a limit (W5)', async () => {
  const { a, b } = pair();
  const gate = deferred<void>();
  let handled = 0;
  b.session.start(async () => {
    await gate.promise;
    handled += 1;
  });
  a.session.start(ignore);
  let sent = 0;
  const sending = (async () => {
    for (let number = 0; number < 100; number += 1) {
      const bytes = new Uint8Array(10_000);
      await a.session.push({ type: 'frame', session: 5, round: idOf(1), number, bytes });
      sent += 1;
    }
  })();
  for (let at = 0; at < 50; at += 1) await turn();
  assert.ok(sent < 20, `${sent} frames of 10 kB were taken`);
  gate.resolve();
  await sending;
  while (handled < 100) await turn();
});

test('questions that are open have a limit', async () => {
  const { a, b } = pair();
  const requests: number[] = [];
  b.session.start(({ request }) => void requests.push(request));
  a.session.start(ignore);
  const asked = Array.from({ length: REQUESTS_MAX + 10 }, () =>
    a.session.ask({ type: 'outcome', round: idOf(1) }),
  );
  for (let at = 0; at < 300; at += 1) await turn();
  assert.equal(requests.length, REQUESTS_MAX);
  for (let at = 0; at < asked.length; at += 1) {
    while (requests[at] === undefined) await turn();
    await b.session.answer(requests[at] ?? 0, { type: 'outcome-is', outcome: 'none' });
  }
  await Promise.all(asked);
});

test('an idle session lives for hours: each side hears the beat of the other', async () => {
  const { a, b, clock } = pair();
  a.session.start(ignore);
  b.session.start(ignore);
  let ended = 0;
  for (const { session } of [a, b]) void session.closed.then(() => (ended += 1));
  for (let at = 0; at < 720; at += 1) await clock.advance(10_000);
  assert.equal(ended, 0);
  const { up, down } = a.session.wireBytes();
  const perMinute = (up + down) / 120;
  assert.ok(perMinute > 300 && perMinute < 1500, `${perMinute} bytes a minute`);
});

test('a side with a short timeout is beaten often enough', async () => {
  const { a, b, clock } = pair(new FakeClock(), { a: { timeoutMs: 2000 } });
  a.session.start(ignore);
  b.session.start(ignore);
  let ended = false;
  for (const { session } of [a, b]) void session.closed.then(() => (ended = true));
  for (let at = 0; at < 300; at += 1) await clock.advance(100);
  assert.equal(ended, false);
});

test('a silent peer is noticed after the timeout, not before', async () => {
  const { a, clock } = pair();
  a.session.start(ignore);
  const asked = assert.rejects(
    a.session.ask({ type: 'outcome', round: idOf(1) }),
    coded('PEER_TIMEOUT'),
  );
  let ended = false;
  void a.session.closed.then(() => (ended = true));
  await clock.advance(19_999);
  assert.equal(ended, false);
  await clock.advance(1);
  assert.match(
    (await a.session.closed).message,
    /b:2: nothing came for 20 seconds while waiting for a sign of life/,
  );
  await asked;
  assert.equal(clock.sleeping, 0, 'no timer is left');
});

test('bytes of a long message count as a sign of life', async () => {
  const { a, b, clock } = pair();
  let got = 0;
  a.session.start(() => {
    got += 1;
  });
  const whole = Buffer.concat(
    encodeMessage({
      request: 0,
      message: {
        type: 'frame',
        session: 5,
        round: idOf(1),
        number: 0,
        bytes: new Uint8Array(1000),
      },
    }),
  );
  for (let at = 0; at < whole.length; at += 50) {
    await b.stream.write([whole.subarray(at, at + 50)]);
    await clock.advance(15_000);
  }
  assert.equal(got, 1);
});

test('a handler that takes long is not taken for a silent peer, at either end', async () => {
  const { a, b, clock } = pair();
  const gate = deferred<void>();
  b.session.start(async ({ request }) => {
    await gate.promise;
    await b.session.answer(request, { type: 'committed', round: idOf(1) });
  });
  a.session.start(ignore);
  const point = { id: idOf(1), number: 1, timeMs: 1 };
  const asked = a.session.ask({
    type: 'commit',
    commit: {
      round: idOf(1),
      from: null,
      to: point,
      frames: 0,
      indexDigest: new Uint8Array(32),
      consistency: 'crash' as const,
      damaged: [],
    },
  });
  for (let at = 0; at < 60; at += 1) await clock.advance(10_000);
  gate.resolve();
  assert.equal((await asked).type, 'committed');
  for (let at = 0; at < 6; at += 1) await clock.advance(10_000);
  assert.equal((await a.session.ask({ type: 'outcome', round: idOf(1) })).type, 'committed');
});

test('beats do not pile up behind a write that is stuck', async () => {
  const { a, b, clock } = pair(new FakeClock(), { capacityBytes: 100 });
  a.session.start(ignore);
  const bytes = new Uint8Array(5000);
  const stuck = a.session.push({ type: 'frame', session: 5, round: idOf(1), number: 0, bytes });
  for (let at = 0; at < 20; at += 1) {
    await b.stream.write(encodeMessage({ request: 0, message: { type: 'ping' } }));
    await clock.advance(10_000);
  }
  const reader = new MessageReader(b.stream);
  const types = [(await reader.next())?.message.type];
  await stuck;
  await clock.advance(6_000);
  await Promise.all([
    a.session.close(),
    reader.next().then((one) => types.push(one?.message.type)),
  ]);
  assert.deepEqual(types.slice(0, 1), ['frame']);
  assert.ok(a.session.wireBytes().up < 5300, 'the frame and at most two beats');
});

test('two ends that both send all the time do not stand against each other', async () => {
  const { a, b, clock } = pair(new FakeClock(), { capacityBytes: 100 });
  const frames = async (end: End): Promise<void> => {
    for (let number = 0; number < 40; number += 1) {
      const bytes = new Uint8Array(5000);
      await end.session.push({ type: 'frame', session: 5, round: idOf(1), number, bytes });
    }
  };
  a.session.start(ignore);
  b.session.start(ignore);
  const sending = Promise.all([frames(a), frames(b)]);
  await clock.advance(15_000);
  await sending;
});
