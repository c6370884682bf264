// What a broken or wrong peer sends to a running hastd: bytes over plain TCP, headers whose length
// lies and whose checksum is right, a primary that has greeted and then misbehaves.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { checkOf } from '../../src/base/digest.js';
import { encodeMessage } from '../../src/peer/encode.js';
import { HEADER_BYTES } from '../../src/peer/header.js';
import type { Message, PeerFacts } from '../../src/peer/messages.js';
import { factsOf, idOf } from '../peer/material.js';

/** The bytes of a message. */
export const bytesOf = (message: Message, request = 0): Buffer =>
  Buffer.concat(encodeMessage({ request, message }));

/** The same bytes with another payload length in the header, whose checksum is made right. */
export function withLength(bytes: Buffer, payloadBytes: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt32BE(payloadBytes, 0);
  changed.set(checkOf(changed.subarray(0, 24)), 24);
  return changed;
}

/** HELLO of a primary of vm1 named a. */
export const hello = (more: Partial<PeerFacts> = {}): Buffer =>
  bytesOf({ type: 'hello', features: 0, nonce: idOf(1), facts: factsOf('a', more) });

export async function dial(port: number): Promise<Socket> {
  const socket = createConnection({ host: '127.0.0.1', port });
  socket.on('error', () => {}); // being cut off is what is expected
  await once(socket, 'connect');
  return socket;
}

/** Sends bytes, then the end of the stream unless `open`; waits until the other side hangs up. */
export async function sendAndHangUp(port: number, bytes: Uint8Array): Promise<void> {
  const socket = await dial(port);
  socket.resume();
  socket.end(bytes);
  if (!socket.destroyed) await once(socket, 'close');
}

/** Greets as a primary; resolves when the WELCOME has come. */
export async function greeted(port: number, facts: Partial<PeerFacts> = {}): Promise<Socket> {
  const socket = await dial(port);
  socket.write(hello(facts));
  const first = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  const [answer] = first as [Buffer];
  assert.ok(Buffer.isBuffer(answer) && answer.length >= HEADER_BYTES, 'a WELCOME has come');
  assert.equal(answer.readUInt8(4), 2, 'it is a WELCOME');
  return socket;
}

/** The port on which a node of the configuration listens for peers. */
export function portOf(config: string, node: 'a' | 'b'): number {
  const line = new RegExp(`on ${node} .*?listen tcp://127.0.0.1:(\\d+)`);
  return Number(line.exec(readFileSync(config, 'utf8'))?.[1]);
}
