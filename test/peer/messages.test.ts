// Encode and decode against each other, against bytes written by hand, and against the world:
// truncated, damaged and random input gives typed errors. Lengths, counts and versions:
// message-limits.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkOf } from '../../src/base/digest.js';
import { codeOf, HastError } from '../../src/base/errors.js';
import { hex } from '../../src/base/random.js';
import { encodeMessage } from '../../src/peer/encode.js';
import { encodeHeader, HEADER_BYTES, payloadBytesMax } from '../../src/peer/header.js';
import { EPOCHS_MAX } from '../../src/peer/limits.js';
import { TYPE_NUMBERS } from '../../src/peer/messages.js';
import {
  anyEnvelope,
  EPOCH,
  factsOf,
  idOf,
  messageKinds,
  seeded,
  typesCovered,
} from './material.js';
import { encoded, plain, readAll } from './wire.js';

test('every type of message is tested here', () => {
  assert.deepEqual([...typesCovered].sort(), Object.keys(TYPE_NUMBERS).sort());
  const numbers = Object.values(TYPE_NUMBERS);
  assert.ok(
    numbers.every((number) => number > 0 && number < 64),
    '64 and up are kept',
  );
});

test('what is encoded comes back, however the stream is cut up', async (t) => {
  const lengths = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.array(anyEnvelope, { maxLength: 6 }), lengths, async (all, cuts) => {
      const bytes = Buffer.concat(all.flatMap((one) => [...encodeMessage(one)]));
      assert.deepEqual(plain(await readAll(bytes, cuts)), plain(all));
    }),
    seeded(t, 300),
  );
});

for (const [at, kind] of messageKinds.entries()) {
  test(`${typesCovered[at]}: no truncation and no damaged byte is taken`, async (t) => {
    await fc.assert(
      fc.asyncProperty(
        kind,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (one, place, flip) => {
          const bytes = encoded(one, 7);
          // A frame's own bytes are guarded by the checksum inside them, not by the message.
          const guarded = one.type === 'frame' ? HEADER_BYTES + 24 : bytes.length;
          const damaged = Buffer.from(bytes);
          damaged[place % guarded] = (damaged[place % guarded] ?? 0) ^ flip;
          await assert.rejects(readAll(damaged), (error) => error instanceof HastError);
          const short = bytes.subarray(0, 1 + (place % (bytes.length - 1)));
          await assert.rejects(readAll(short), (error) => codeOf(error) === 'PEER_CLOSED');
        },
      ),
      seeded(t, 40),
    );
  });

  test(`${typesCovered[at]}: any payload is a message or PEER_PROTOCOL`, async (t) => {
    const type = typesCovered[at];
    assert.ok(type);
    // Starts from a good payload, so that the fuzz comes past the first field.
    const edit = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) });
    const shape = fc.tuple(
      kind,
      fc.array(edit, { maxLength: 6 }),
      fc.integer({ min: -40, max: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(shape, async ([one, edits, grow]) => {
        const good = encoded(one).subarray(HEADER_BYTES);
        const length = Math.min(payloadBytesMax(type), Math.max(0, good.length + grow));
        const payload = Buffer.alloc(length);
        good.copy(payload);
        for (const { at: place, to } of edits) if (length > 0) payload[place % length] = to;
        const checked = type === 'frame' ? payload.subarray(0, 24) : payload;
        const header = encodeHeader(type, 0, length, checked);
        try {
          const [got] = await readAll(Buffer.concat([header, payload]));
          assert.equal(got?.message.type, type);
        } catch (error) {
          assert.equal(codeOf(error), 'PEER_PROTOCOL', String(error));
        }
      }),
      seeded(t, 60),
    );
  });
}

test('random bytes are never taken for a message', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      await assert.rejects(readAll(bytes), (error) =>
        ['PEER_PROTOCOL', 'PEER_CLOSED'].includes(codeOf(error) ?? ''),
      );
    }),
    seeded(t, 300),
  );
});

test('only the newest epochs travel, long texts are cut between characters', async () => {
  const epochs = Array.from({ length: EPOCHS_MAX + 5 }, (_, number) => ({ ...EPOCH, number }));
  const facts = factsOf('a', { epochs });
  const [hello] = await readAll(encoded({ type: 'hello', features: 0, nonce: idOf(1), facts }));
  assert.ok(hello?.message.type === 'hello');
  assert.equal(hello.message.facts.epochs.length, EPOCHS_MAX);
  assert.equal(hello.message.facts.epochs.at(-1)?.number, EPOCHS_MAX + 4);
  const text = `x${'ä'.repeat(3000)}`;
  const [refuse] = await readAll(encoded({ type: 'refuse', refusal: 'busy', text }));
  assert.ok(refuse?.message.type === 'refuse');
  assert.equal(refuse.message.text, `x${'ä'.repeat(2047)}`);
});

test('bytes as drawn in hast-protocol(7)', () => {
  const bytes = encoded({ type: 'staged', round: idOf(0x11), frames: 0x01020304 }, 0);
  const payload = `${'11'.repeat(16)}01020304`;
  const front = `00000014${'17'}${'01'}0000${'00000000'}${'00000000'}`;
  const payloadCheck = hex(checkOf(Buffer.from(payload, 'hex')));
  const headerCheck = hex(checkOf(Buffer.from(front + payloadCheck, 'hex')));
  assert.equal(hex(bytes), front + payloadCheck + headerCheck + payload);
});
