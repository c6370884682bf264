// What a message says of itself is held against limits before it is believed: lengths, counts,
// order, types, versions. Nothing is allocated beyond the limits, and the largest of each fits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf } from '../../src/base/digest.js';
import { codeOf } from '../../src/base/errors.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { FRAME_BYTES_MAX } from '../../src/format/changeset.js';
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  payloadBytesMax,
} from '../../src/peer/header.js';
import {
  COMMIT_DAMAGED_MAX,
  CONTROL_BYTES_MAX,
  DIGESTS_CHUNKS_MAX,
  DOUBTS_CHUNKS_MAX,
  EPOCHS_MAX,
  GREETING_BYTES_MAX,
  HELD_CHUNKS_MAX,
  PROTOCOL_VERSION,
  REUSE_CHUNKS_MAX,
  WANT_CHUNKS_MAX,
} from '../../src/peer/limits.js';
import { type Message, TYPE_NUMBERS } from '../../src/peer/messages.js';
import { MessageReader } from '../../src/peer/reader.js';
import { EPOCH, factsOf, fedStream, idOf, pointOf, typesCovered } from './material.js';
import { encoded, plain, protocolError, readAll } from './wire.js';

test('a stranger makes us hold no more than a greeting, whatever it says', () => {
  for (const type of ['hello', 'welcome', 'refuse'] as const) {
    const number = TYPE_NUMBERS[type];
    assert.equal(payloadBytesMax(type), GREETING_BYTES_MAX);
    const largest = headerSaying(number, GREETING_BYTES_MAX);
    assert.equal(decodeHeader(largest, 'b:1').payloadBytes, GREETING_BYTES_MAX);
    const larger = headerSaying(number, GREETING_BYTES_MAX + 1);
    assert.throws(() => decodeHeader(larger, 'b:1'), protocolError(/allowed/));
  }
});

/** A header whose own checksum is right, whatever it says. */
function headerSaying(type: number, payloadBytes: number, version = PROTOCOL_VERSION): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(payloadBytes, 0);
  header[4] = type;
  header[5] = version;
  header.set(checkOf(header.subarray(0, 24)), 24);
  return header;
}

test('a length over the limit of its type is refused before anything is allocated', async () => {
  for (const type of typesCovered) {
    const tooLong = payloadBytesMax(type) + 1;
    for (const length of [tooLong, 0xffff_ffff]) {
      const header = headerSaying(TYPE_NUMBERS[type], length);
      assert.throws(() => decodeHeader(header, 'b:1'), protocolError(/bytes; \d+ are allowed/));
    }
  }
});

test('a stranger can claim no more than a greeting', async () => {
  const claim = headerSaying(TYPE_NUMBERS.frame, FRAME_BYTES_MAX);
  const reader = new MessageReader(fedStream([claim]));
  await assert.rejects(reader.greeting(), protocolError(/frame message in place of a greeting/));
  assert.ok(payloadBytesMax('hello') === GREETING_BYTES_MAX && GREETING_BYTES_MAX < 2 ** 18);
});

test('a count that the payload does not hold is refused before it is believed', async () => {
  const payload = Buffer.alloc(4 + 4 + 1 + 32);
  payload.writeUInt32BE(DIGESTS_CHUNKS_MAX + 1, 37);
  const header = encodeHeader('digests-are', 1, payload.length, payload);
  await assert.rejects(
    readAll(Buffer.concat([header, payload])),
    protocolError(/count is 16385; 16384 are allowed/),
  );
  payload.writeUInt32BE(DIGESTS_CHUNKS_MAX, 37);
  const again = encodeHeader('digests-are', 1, payload.length, payload);
  await assert.rejects(
    readAll(Buffer.concat([again, payload])),
    protocolError(/ends inside digests/),
  );
});

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const heldAt = (chunk: number) => ({ chunk, mask: 3, zero: 2, digest: idOf(chunk % 256) });

/** `good` with 4 bytes of its payload at `offset` replaced, and checks that hold. */
function edited(good: Message, offset: number, value: number): Buffer {
  const payload = Buffer.from(encoded(good).subarray(HEADER_BYTES));
  payload.writeUInt32BE(value, offset);
  const header = encodeHeader(good.type, 1, payload.length, payload);
  return Buffer.concat([header, payload]);
}

const COMMIT: Message = {
  type: 'commit',
  commit: {
    round: idOf(1),
    from: pointOf(1),
    to: pointOf(2),
    frames: 1,
    indexDigest: new Uint8Array(32),
    consistency: 'crash',
    damaged: [7],
  },
};

const REUSE: Message = {
  type: 'reuse',
  session: 1,
  round: idOf(1),
  number: 0,
  items: [{ chunk: 5, digest: idOf(5) }],
};

const HELD: Message = { type: 'held-are', first: 10, entries: [heldAt(10), heldAt(12)] };

/** Message, offset in its payload of 4 bytes, what is written there, what is said. */
const EDITS: readonly [Message, number, number, RegExp][] = [
  [{ type: 'held', first: 0, count: 1 }, 4, 0, /asks for no chunk/],
  [{ type: 'held', first: 0, count: 1 }, 4, 16_385, /count is 16385; 16384 are allowed/],
  [{ type: 'held', first: 0xffff_ffff, count: 1 }, 4, 2, /beyond any disk/],
  [HELD, 4, 16_385, /count is 16385; 16384 are allowed/],
  [HELD, 4, 16_384, /not as many chunks as it says/],
  [HELD, 0, 11, /chunk 10 comes too late/],
  [HELD, 32, 10, /chunk 10 comes too late/],
  [HELD, 12, 0, /chunk 10 has impossible masks/],
  [HELD, 12, 0x0001_0002, /chunk 10 has impossible masks/],
  [REUSE, 24, 16_385, /count is 16385; 16384 are allowed/],
  [REUSE, 24, 16_384, /not as many chunks as it says/],
  [REUSE, 24, 0, /names no chunk/],
  [{ type: 'doubts-are', chunks: [1], complete: true }, 1, 16_385, /16384 are allowed/],
  [{ type: 'doubts-are', chunks: [1], complete: true }, 1, 2, /not as many chunks/],
  [{ type: 'doubts-are', chunks: [1], complete: true }, 0, 0x0200_0000, /neither 0 nor 1/],
  [COMMIT, 118, 1025, /count is 1025; 1024 are allowed/],
  [COMMIT, 118, 1024, /not as many chunks as it says/],
  [COMMIT, 117, 0x0300_0000, /consistency is 3, which means nothing here/],
];

test('what a message of the second step says of its length is held against limits', async () => {
  for (const [good, offset, value, why] of EDITS) {
    await assert.rejects(readAll(edited(good, offset, value)), protocolError(why));
  }
});

test('an unknown type names its number; another version names both', () => {
  assert.throws(() => decodeHeader(headerSaying(63, 0), 'b:1'), protocolError(/unknown type 63/));
  for (const version of [0, 2, 255]) {
    assert.throws(
      () => decodeHeader(headerSaying(1, 10, version), 'b:1'),
      (error) => {
        assert.equal(codeOf(error), 'PEER_VERSION');
        const says = `b:1 speaks version ${version} of the protocol, this program version 1`;
        assert.ok(String(error).includes(says), String(error));
        return true;
      },
    );
  }
});

test('a REFUSE of any version can be read', async () => {
  const bytes = encoded({ type: 'refuse', refusal: 'version', text: 'node b speaks version 9' });
  bytes[5] = 9;
  bytes.set(checkOf(bytes.subarray(0, 24)), 24);
  const [got] = await readAll(bytes);
  assert.equal(got?.message.type, 'refuse');
});

test('the largest of each fits its limit', async () => {
  const long = 'x'.repeat(255);
  const epoch = { ...EPOCH, parent: idOf(1), node: long };
  const facts = factsOf('a', {
    node: long,
    resource: long,
    target: long,
    epochs: Array.from({ length: EPOCHS_MAX }, () => epoch),
    proposed: idOf(2),
  });
  const digests = new Uint8Array(16 * DIGESTS_CHUNKS_MAX);
  const largest: Message[] = [
    { type: 'hello', features: 0, nonce: idOf(1), facts },
    { type: 'welcome', features: 0, nonce: idOf(1), session: 1, facts },
    { type: 'digests-are', at: pointOf(1), first: 0, digests },
    { type: 'want', round: idOf(1), chunks: upTo(WANT_CHUNKS_MAX) },
    { type: 'doubts-are', chunks: upTo(DOUBTS_CHUNKS_MAX), complete: false },
    { type: 'held-are', first: 0, entries: upTo(HELD_CHUNKS_MAX).map(heldAt) },
    {
      type: 'reuse',
      session: 1,
      round: idOf(1),
      number: 0,
      items: upTo(REUSE_CHUNKS_MAX).map((chunk) => ({ chunk, digest: idOf(chunk % 256) })),
    },
    { type: 'chunk-is', bytes: new Uint8Array(CHUNK_BYTES) },
    {
      type: 'commit',
      commit: {
        round: idOf(1),
        from: pointOf(1),
        to: pointOf(2),
        frames: 1,
        indexDigest: new Uint8Array(32),
        consistency: 'damaged',
        damaged: upTo(COMMIT_DAMAGED_MAX),
      },
    },
    {
      type: 'frame',
      session: 1,
      round: idOf(1),
      number: 0,
      bytes: new Uint8Array(FRAME_BYTES_MAX),
    },
  ];
  for (const message of largest) {
    const bytes = encoded(message);
    assert.ok(bytes.length - HEADER_BYTES <= payloadBytesMax(message.type));
    const [got] = await readAll(bytes);
    assert.deepEqual(plain(got?.message), plain(message));
  }
  assert.ok(CONTROL_BYTES_MAX === 1024 * 1024);
});
