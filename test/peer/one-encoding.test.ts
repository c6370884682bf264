// A message has one encoding: what is said in two ways, or means nothing that can be shown, is
// refused although its checks hold.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf } from '../../src/base/digest.js';
import { TIME_MS_MAX } from '../../src/base/units.js';
import { HEADER_BYTES } from '../../src/peer/header.js';
import type { Message } from '../../src/peer/messages.js';
import { factsOf, idOf, pointOf } from './material.js';
import { encoded, protocolError, readAll } from './wire.js';

/** A message with one byte of its payload changed and its checks put right. */
function changed(message: Message, at: number): Buffer {
  const bytes = encoded(message);
  bytes[HEADER_BYTES + at] = 1;
  bytes.set(checkOf(bytes.subarray(HEADER_BYTES)), 16);
  bytes.set(checkOf(bytes.subarray(0, 24)), 24);
  return bytes;
}

test('what is absent has no content', async () => {
  const facts = factsOf('a', { resourceId: null, point: null, proposed: null });
  const hello: Message = { type: 'hello', features: 0, nonce: idOf(1), facts };
  // features, nonce, three names; then 1 + 16 resource id, 1 role, 1 + 32 point, 1 + 16 proposed
  const idAt = 4 + 16 + 2 + 4 + 2;
  const twice = protocolError(/there and not there/);
  for (const at of [idAt + 1, idAt + 16, idAt + 19, idAt + 50, idAt + 52]) {
    await assert.rejects(readAll(changed(hello, at)), twice, `byte ${at}`);
  }
  assert.equal((await readAll(encoded(hello))).length, 1);
});

test('a byte order mark is part of a name', async () => {
  const message: Message = { type: 'failed', round: idOf(1), code: '\uFEFFx', text: '\uFEFF' };
  const [got] = await readAll(encoded(message));
  assert.deepEqual(got?.message, message);
});

test('a point is of a time that can be shown', async () => {
  const applied = (timeMs: number): Message => ({
    type: 'applied',
    point: { ...pointOf(1), timeMs },
  });
  const [got] = await readAll(encoded(applied(TIME_MS_MAX)));
  assert.deepEqual(got?.message, applied(TIME_MS_MAX));
  const late = readAll(encoded(applied(TIME_MS_MAX + 1)));
  await assert.rejects(late, protocolError(/no time that can be shown/));
});
