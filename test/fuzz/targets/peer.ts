// The peer protocol as bytes: messages in a stream, and the greeting of a stranger. What is read is
// re-encoded to the byte: every message has one encoding. Layouts: hast-protocol(7).
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isoTime } from '../../../src/base/clock.js';
import { checkOf, equalBytes } from '../../../src/base/digest.js';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { encodeMessage } from '../../../src/peer/encode.js';
import { receiveGreeting } from '../../../src/peer/greet.js';
import { HEADER_BYTES } from '../../../src/peer/header.js';
import {
  FRAME_PAYLOAD_BYTES_MAX,
  FRAME_PREFIX_BYTES,
  GREETING_BYTES_MAX,
  PROTOCOL_VERSION,
} from '../../../src/peer/limits.js';
import { type Envelope, TYPE_NUMBERS } from '../../../src/peer/messages.js';
import { MessageReader } from '../../../src/peer/reader.js';
import type { Session } from '../../../src/peer/session.js';
import { cutUp, factsOf, fedStream, idOf, messageKinds } from '../../peer/material.js';
import { encoded } from '../../peer/wire.js';
import { FakeClock } from '../../world/fake-clock.js';
import { decided, oneBitOff, pure, refusal, type Target } from '../target.js';

const NUMBERS = Object.values(TYPE_NUMBERS);
const VERSION_AT = 5;

/** Lengths and checks of a row of messages put right; sometimes another type. */
export function mendMessages(bytes: Uint8Array, random: Random): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const left = bytes.length - at - HEADER_BYTES;
    let length = view.getUint32(at);
    if (length > left && random.below(4) > 0) length = random.below(2) === 0 ? left : 0;
    view.setUint32(at, length);
    if (random.below(16) === 0) bytes[at + 4] = NUMBERS[random.below(NUMBERS.length)] ?? 0;
    if (random.below(16) > 0) {
      bytes[at + VERSION_AT] = PROTOCOL_VERSION;
      for (const zero of [6, 7, 12, 13, 14, 15]) bytes[at + zero] = 0;
    }
    const payload = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
    const isFrame = bytes[at + 4] === TYPE_NUMBERS.frame;
    bytes.set(checkOf(isFrame ? payload.subarray(0, FRAME_PREFIX_BYTES) : payload), at + 16);
    bytes.set(checkOf(bytes.subarray(at, at + 24)), at + 24);
    at += HEADER_BYTES + length;
  }
  return bytes;
}

async function readAll(bytes: Uint8Array): Promise<Envelope[]> {
  const reader = new MessageReader(fedStream(cutUp(bytes, [1, 7, 100, 3])));
  const got: Envelope[] = [];
  for (let one = await reader.next(); one; one = await reader.next()) got.push(one);
  return got;
}

/** A refusal keeps its meaning whatever the version; all else is the bytes themselves. */
function sameBytes(got: readonly Envelope[], input: Uint8Array): void {
  let at = 0;
  for (const envelope of got) {
    const again = Buffer.concat(encodeMessage(envelope));
    const was = input.slice(at, at + again.length);
    if (envelope.message.type === 'refuse') {
      was.set(again.subarray(VERSION_AT, VERSION_AT + 1), VERSION_AT);
      was.set(again.subarray(24, HEADER_BYTES), 24);
    }
    assert.ok(equalBytes(again, was), `another ${envelope.message.type} than came`);
    usable(envelope);
    at += again.length;
  }
  assert.equal(at, input.length, 'every byte belongs to a message');
}

/** What is done with a message's values later must not fail: times are shown. */
function usable({ message }: Envelope): void {
  if ('facts' in message && message.facts.point) isoTime(message.facts.point.timeMs);
  if (message.type === 'begin') isoTime(message.begin.to.timeMs);
  if (message.type === 'commit') isoTime(message.commit.to.timeMs);
  if ('point' in message) isoTime(message.point.timeMs);
}

/** Bits that are covered: all but the bytes of a frame, which have a check of their own. */
async function mustNotPass(input: Uint8Array, got: readonly Envelope[]): Promise<void> {
  const [first] = got;
  if (first === undefined) return;
  const own = Buffer.concat(encodeMessage(first)).length;
  const covered = first.message.type === 'frame' ? HEADER_BYTES + FRAME_PREFIX_BYTES : own;
  const broken = oneBitOff(input.slice(0, own), 0, covered);
  await assert.rejects(readAll(broken), /b:1/, 'one bit off');
}

const sampled = (random: Random): Uint8Array[] =>
  messageKinds.flatMap((kind) =>
    fc.sample(kind, { seed: random.below(2 ** 31), numRuns: 2 }).map((message) => {
      return encoded(message, random.below(3));
    }),
  );

const messages: Target = {
  name: 'peer-messages',
  kind: 'bytes',
  inputBytesMax: 8192,
  onceBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  totalBytesMax: 4 * FRAME_PAYLOAD_BYTES_MAX,
  seeds: (random) => {
    const all = sampled(random);
    return [...all, Buffer.concat(all.slice(0, 3))];
  },
  mend: mendMessages,
  open: pure((input) =>
    decided(
      'b:1',
      () => readAll(input),
      async (got) => {
        sameBytes(got, input);
        await mustNotPass(input, got);
      },
    ),
  ),
};

const HOST = {
  node: 'b',
  find: async () => ({ facts: factsOf('b'), insecure: true }),
};

/** Greets whoever sends `input`; a caller that is welcome has a session, which then ends. */
async function greeted(input: Uint8Array): Promise<Session> {
  const machinery = { clock: new FakeClock({ autoAdvance: true }), random: seededRandom(1) };
  const stream = fedStream(cutUp(input, [5, 1000]));
  return await receiveGreeting(stream, { identity: null }, HOST, machinery);
}

const greeting: Target = {
  name: 'peer-greeting',
  kind: 'bytes',
  inputBytesMax: 4096,
  onceBytesMax: GREETING_BYTES_MAX,
  totalBytesMax: 2 * GREETING_BYTES_MAX,
  seeds: () => [
    encoded({ type: 'hello', features: 0, nonce: idOf(1), facts: factsOf('a') }),
    encoded({ type: 'refuse', refusal: 'busy', text: 'busy' }),
    encoded({ type: 'welcome', features: 1, nonce: idOf(1), session: 3, facts: factsOf('a') }),
  ],
  mend: mendMessages,
  open: pure(async (input) => {
    let session: Session;
    try {
      session = await greeted(input);
    } catch (error) {
      return refusal(error, 'b:1');
    }
    const { theirs } = session.facts;
    assert.equal(theirs.resource, 'vm1');
    assert.ok(theirs.node !== 'b' && theirs.role !== 'secondary', 'who was welcomed is our peer');
    await session.close();
    return 'accepted';
  }),
};

export const PEER_TARGETS: readonly Target[] = [messages, greeting];
