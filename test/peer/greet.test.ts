// The greeting over streams in memory: what both sides learn, every refusal as both sides see it,
// silence, and bytes that are no greeting.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf } from '../../src/base/digest.js';
import { codeOf, HastError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { LocalResource, Proof, Verdict } from '../../src/peer/admit.js';
import { encodeMessage } from '../../src/peer/encode.js';
import { greet, type Host, receiveGreeting } from '../../src/peer/greet.js';
import { GREETING_TIMEOUT_MS } from '../../src/peer/limits.js';
import type { Message, PeerFacts } from '../../src/peer/messages.js';
import { memoryStreamPair } from '../net/memory-stream.js';
import { FakeClock } from '../world/fake-clock.js';
import { factsOf, idOf, pointOf } from './material.js';

const machinery = (clock = new FakeClock()) => ({ clock, random: seededRandom(21) });
const SECURE: Proof = { identity: 'vm1' };

const hostOf = (found: LocalResource | Verdict | null): Host => ({
  node: 'b',
  find: async () => found,
});
const welcoming = hostOf({ facts: factsOf('b'), insecure: false });

/** Both ends of one greeting; each a session or the error. */
async function meet(host: Host, caller: PeerFacts, proof = SECURE, clock = new FakeClock()) {
  const [near, far] = memoryStreamPair({ names: ['a:1', 'b:2'] });
  const [dialled, hosted] = await Promise.allSettled([
    greet(near, caller, machinery(clock)),
    receiveGreeting(far, proof, host, machinery(clock)),
  ]);
  assert.equal(clock.sleeping, 0, 'no timer is left');
  return { near, far, dialled, hosted };
}

function fault(result: PromiseSettledResult<unknown>) {
  assert.equal(result.status, 'rejected');
  assert.ok(result.status === 'rejected' && result.reason instanceof HastError);
  return result.reason;
}

test('both sides learn the facts of the other and share a session number', async () => {
  const a = factsOf('a', { proposed: idOf(9), point: pointOf(7) });
  const b = factsOf('b', { suspect: true, point: null, resourceId: null });
  const { dialled, hosted } = await meet(hostOf({ facts: b, insecure: false }), a);
  assert.ok(dialled.status === 'fulfilled' && hosted.status === 'fulfilled');
  const [near, far] = [dialled.value.facts, hosted.value.facts];
  assert.deepEqual(near.theirs, b);
  assert.deepEqual(far.theirs, a);
  assert.ok(near.number > 0 && near.number === far.number);
  assert.equal(dialled.value.remote, 'b:2');
  await dialled.value.close();
  hosted.value.destroy(await dialled.value.closed);
});

const REFUSED: readonly [string, Host, Partial<PeerFacts>, Proof, string][] = [
  ['unknown resource', hostOf(null), {}, SECURE, 'unknown-resource'],
  ['plain to TLS only', welcoming, {}, { identity: null }, 'secret-needed'],
  ['wrong resource', welcoming, {}, { identity: 'vm2' }, 'wrong-resource'],
  ['other role', welcoming, { role: 'secondary' }, SECURE, 'role'],
  ['itself', welcoming, { node: 'b' }, SECURE, 'same-node'],
  ['busy', hostOf({ refusal: 'busy', text: 'vm1 is being promoted' }), {}, SECURE, 'busy'],
];

for (const [title, host, caller, proof, refusal] of REFUSED) {
  test(`refused, and both sides know why: ${title}`, async () => {
    const { dialled, hosted, near } = await meet(host, factsOf('a', caller), proof);
    const [there, here] = [fault(dialled), fault(hosted)];
    assert.deepEqual([codeOf(there), codeOf(here)], ['PEER_REFUSED', 'PEER_UNWANTED']);
    assert.ok('refusal' in there.fault && there.fault.refusal === refusal);
    assert.ok('text' in there.fault && 'text' in here.fault);
    assert.equal(there.fault.text, here.fault.text, 'one sentence on both sides');
    await assert.rejects(near.write([new Uint8Array(1)]), 'no connection is left behind');
  });
}

test('a refused caller learns nothing but the reason', async () => {
  let heard = 0;
  const [near, far] = memoryStreamPair();
  const host = receiveGreeting(far, { identity: null }, welcoming, machinery());
  const refused = assert.rejects(host);
  await near.write(
    encodeMessage({
      request: 0,
      message: { type: 'hello', features: 0, nonce: idOf(1), facts: factsOf('a') },
    }),
  );
  const pieces: Uint8Array[] = [];
  for (let piece = await near.read(); piece; piece = await near.read()) {
    heard += piece.length;
    pieces.push(piece);
  }
  await refused;
  const text = Buffer.concat(pieces).toString('latin1');
  assert.ok(heard < 300 && !text.includes(Buffer.from(idOf(0xaa)).toString('latin1')));
});

test('the dialler judges the welcome too', async () => {
  // A host of another mind, that welcomes a caller of its own role.
  const [near, far] = memoryStreamPair();
  const dialled = greet(near, factsOf('a'), machinery());
  const failed = assert.rejects(dialled, (error) => codeOf(error) === 'PEER_UNWANTED');
  await far.read();
  const nonce = seededRandom(21).bytes(16);
  const facts = factsOf('b', { role: 'primary' });
  const message: Message = { type: 'welcome', features: 0, nonce, session: 1, facts };
  await far.write(encodeMessage({ request: 0, message }));
  while (await far.read());
  await failed;
});

test('a WELCOME to another HELLO is refused', async () => {
  const [near, far] = memoryStreamPair();
  const failed = assert.rejects(greet(near, factsOf('a'), machinery()), /answers another HELLO/);
  await far.read();
  const facts = factsOf('b');
  const message: Message = { type: 'welcome', features: 0, nonce: idOf(1), session: 1, facts };
  await far.write(encodeMessage({ request: 0, message }));
  await failed;
});

test('a HELLO of another version is answered so that it can be read', async () => {
  const [near, far] = memoryStreamPair({ names: ['a:1', 'b:2'] });
  const hosted = assert.rejects(
    receiveGreeting(far, SECURE, welcoming, machinery()),
    (error) => codeOf(error) === 'PEER_VERSION',
  );
  const hello: Message = { type: 'hello', features: 0, nonce: idOf(1), facts: factsOf('a') };
  const [header] = encodeMessage({ request: 0, message: hello });
  assert.ok(header);
  header[5] = 0;
  header.set(checkOf(header.subarray(0, 24)), 24);
  await near.write([header]);
  const answer = Buffer.from((await near.read()) ?? []);
  const rest = Buffer.from((await near.read()) ?? []);
  assert.equal(answer[4], 3, 'a REFUSE');
  assert.match(rest.toString(), /node b speaks version 1 of the protocol \(upgrade/);
  await near.end();
  await hosted;
});

test('whoever says nothing is dropped after the greeting time', async () => {
  for (const side of ['dialler', 'host'] as const) {
    const clock = new FakeClock();
    const [near] = memoryStreamPair({ names: ['a:1', 'b:2'] });
    const waiting =
      side === 'dialler'
        ? greet(near, factsOf('a'), machinery(clock))
        : receiveGreeting(near, SECURE, welcoming, machinery(clock));
    const failed = assert.rejects(waiting, (error) => {
      assert.equal(codeOf(error), 'PEER_TIMEOUT');
      const what = side === 'dialler' ? 'WELCOME' : 'HELLO';
      assert.match(String(error), new RegExp(`for 20 seconds while waiting for its ${what}`));
      return true;
    });
    await clock.advance(GREETING_TIMEOUT_MS);
    await failed;
    await assert.rejects(near.read());
  }
});

test('garbage, other messages and early ends are typed errors on either side', async () => {
  const ping = Buffer.concat(encodeMessage({ request: 0, message: { type: 'ping' } }));
  const cases: readonly [Uint8Array, string][] = [
    [seededRandom(3).bytes(500), 'PEER_PROTOCOL'],
    [ping, 'PEER_PROTOCOL'],
    [Buffer.from('GET / HTTP/1.1\r\nHost: b\r\n\r\n......'), 'PEER_PROTOCOL'],
    [new Uint8Array(3), 'PEER_CLOSED'],
    [new Uint8Array(0), 'PEER_CLOSED'],
  ];
  for (const [bytes, code] of cases) {
    for (const side of ['dialler', 'host'] as const) {
      const [near, far] = memoryStreamPair();
      const failed = assert.rejects(
        side === 'dialler'
          ? greet(near, factsOf('a'), machinery())
          : receiveGreeting(near, SECURE, welcoming, machinery()),
        (error) => codeOf(error) === code,
      );
      await far.write([bytes]);
      const ending = far.end();
      await failed;
      await ending;
    }
  }
});
