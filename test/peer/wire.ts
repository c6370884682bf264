// A message as the bytes of a stream and back, for the tests of the codec; and what a violation of
// the protocol must say.
import assert from 'node:assert/strict';
import { codeOf } from '../../src/base/errors.js';
import { hex } from '../../src/base/random.js';
import { encodeMessage } from '../../src/peer/encode.js';
import type { Envelope, Message } from '../../src/peer/messages.js';
import { MessageReader } from '../../src/peer/reader.js';
import { cutUp, fedStream } from './material.js';

export const encoded = (message: Message, request = 0): Buffer =>
  Buffer.concat(encodeMessage({ request, message }));

export async function readAll(
  bytes: Uint8Array,
  lengths: readonly number[] = [],
): Promise<Envelope[]> {
  const reader = new MessageReader(fedStream(cutUp(bytes, lengths)));
  const got: Envelope[] = [];
  for (let one = await reader.next(); one; one = await reader.next()) got.push(one);
  return got;
}

/** Byte arrays of any class as arrays, so that deepEqual looks at content only. */
export const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, one) => (one?.buffer ? hex(one) : one)).toString(),
    (_, o) => (o?.type === 'Buffer' ? hex(Uint8Array.from(o.data)) : o),
  );

export const protocolError = (what: RegExp) => (error: unknown) => {
  assert.equal(codeOf(error), 'PEER_PROTOCOL', String(error));
  assert.match(String(error), what);
  return true;
};
