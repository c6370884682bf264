// An answer that goes on: events as bytes and back, whatever pieces they come in; and over a real
// socket: what ends it early, and that nobody is waited for who has gone.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { ControlError, type PointEvent } from '../../src/control/api.js';
import { controlClient } from '../../src/control/client.js';
import { decodeEvents, encodeEvent, type StreamEvent } from '../../src/control/event-stream.js';
import { scratch } from '../real.js';
import { fakeApi, point, serveFake } from './fake-api.js';

const NEVER = new AbortController().signal;
const REQUEST = { what: 'read' as const, point: '42', from: null };
const bytes = new Uint8Array(70_000).map((_, at) => at % 251);
/** Newlines in content are not line ends. */
bytes.fill(10, 100, 200);
const EVENTS: PointEvent[] = [
  { event: 'opened', point: point(), from: null, uri: null },
  { event: 'chunks', first: 0, count: 9, carried: [3, 8], bytes },
  { event: 'chunks', first: 9, count: 1, carried: [], bytes: new Uint8Array(0) },
  { event: 'ranges', ranges: [[4096, 512]] },
  { event: 'checked', chunks: 10, totalChunks: 10 },
  { event: 'bad', offset: 65_536, length: 65_536, code: 'POINT_CHUNK_BAD', text: 'gone' },
];

async function* inPieces(whole: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < whole.length; at += length) yield whole.subarray(at, at + length);
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

test('events come back as they were, in pieces of any length', async () => {
  const sent: StreamEvent[] = [...EVENTS, { event: 'end' }];
  const whole = Buffer.concat(sent.flatMap((event) => [...encodeEvent(event)]));
  for (const length of [1, 7, 4096, whole.length]) {
    const came = await all(decodeEvents(inPieces(whole, length)));
    assert.deepEqual(came, sent);
  }
  const cut = await all(decodeEvents(inPieces(whole.subarray(0, 5000), 512)));
  assert.deepEqual(cut, sent.slice(0, 1), 'half an event is none');
});

test('what is no event is an error, before anything large is taken in', async () => {
  const lines = [
    'no json\n',
    '{"event":"other"}\n',
    '{"event":"chunks","first":0,"count":1,"carried":[0],"bytes":99999999}\n',
    '{"event":"chunks","first":0,"count":99999999,"carried":[],"bytes":0}\n',
    'x'.repeat(2_000_000),
  ];
  for (const line of lines) {
    const coming = all(decodeEvents(inPieces(Buffer.from(line), 65_536)));
    await assert.rejects(coming, (error) => codeOf(error) === 'CONTROL_FAILED');
  }
});

test('over the socket: all of it, an error in its place, an error at once', async (t) => {
  const path = join(scratch(t), 'ctl');
  const api = fakeApi();
  const server = await serveFake(path, api);
  t.after(() => server.close());
  const client = controlClient(path);
  api.pointEvents = Array.from({ length: 200 }, () => EVENTS).flat();
  assert.deepEqual(await all(client.point('vm1', REQUEST, NEVER)), api.pointEvents);
  assert.deepEqual(api.asked.at(-1), ['point', 'vm1', REQUEST]);
  api.pointEvents = EVENTS.slice(0, 2);
  api.pointFailure = new ControlError({ code: 'CONTROL_NO_RESOURCE', name: 'vm1', known: 'none' });
  const came: PointEvent[] = [];
  const failing = async (): Promise<void> => {
    for await (const event of client.point('vm1', REQUEST, NEVER)) came.push(event);
  };
  await assert.rejects(failing(), (error) => codeOf(error) === 'CONTROL_NO_RESOURCE');
  assert.deepEqual(came, api.pointEvents);
  api.pointEvents = [];
  await assert.rejects(failing(), (error) => codeOf(error) === 'CONTROL_NO_RESOURCE');
  const wrong = client.point('vm1', { ...REQUEST, point: '' }, NEVER);
  await assert.rejects(all(wrong), (error) => codeOf(error) === 'CONTROL_BAD_REQUEST');
});

test('who goes away is not waited for, nor read for any more', async (t) => {
  const path = join(scratch(t), 'ctl');
  const api = fakeApi();
  const server = await serveFake(path, api);
  t.after(() => server.close());
  api.hold = new Promise(() => {});
  api.pointEvents = EVENTS.slice(0, 1);
  const stop = new AbortController();
  const events = controlClient(path).point('vm1', REQUEST, stop.signal);
  const iterator = events[Symbol.asyncIterator]();
  assert.deepEqual((await iterator.next()).value, EVENTS[0]);
  stop.abort();
  await assert.rejects(iterator.next());
  await api.aborted;
  // A client that takes nothing: the events wait, and end with it.
  api.hold = null;
  let given = 0;
  api.point = async function* () {
    for (; ; given += 1) yield { event: 'chunks', first: 0, count: 2, carried: [0, 1], bytes };
  };
  const slow = controlClient(path).point('vm1', REQUEST, NEVER)[Symbol.asyncIterator]();
  await slow.next();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const before = given;
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(given, before, 'nobody reads ahead of it');
  assert.ok(given < 100, `${given} events were taken by nobody`);
  await slow.return?.(undefined);
});

test('a daemon that dies in the middle is CONTROL_LOST', async (t) => {
  const path = join(scratch(t), 'ctl');
  const server = createServer((socket) => {
    socket.once('data', () => {
      const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n';
      socket.end(Buffer.concat([Buffer.from(head), ...encodeEvent(EVENTS[0] as PointEvent)]));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  const events = all(controlClient(path).point('vm1', REQUEST, NEVER));
  await assert.rejects(events, (error) => codeOf(error) === 'CONTROL_LOST');
});
