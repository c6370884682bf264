// The control socket from both sides: what a request asks for, the real server fed with any bytes,
// and hastctl fed with any answer. Afterwards a well-formed client is still answered.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HastError } from '../../../src/base/errors.js';
import { MIB } from '../../../src/base/units.js';
import { renderList } from '../../../src/cli/render-list.js';
import { renderStatus } from '../../../src/cli/render-status.js';
import {
  renderEstimate,
  renderPoints,
  renderRounds,
  renderSync,
  renderVerify,
} from '../../../src/cli/render-tables.js';
import { ControlError } from '../../../src/control/api.js';
import { type ControlClient, controlClient } from '../../../src/control/client.js';
import { errorBody, jsonText } from '../../../src/control/error-body.js';
import { readCall } from '../../../src/control/routes.js';
import { fakeApi, serveFake } from '../../control/fake-api.js';
import { type Opened, pure, type Target } from '../target.js';

const HOST = 'Host: x\r\n';
const BODIES = {
  create: '{"extentBytes":65536,"keepdirty":0,"mediaBytes":512,"force":true}',
  role: '{"role":"primary","acceptLoss":true,"acceptDrift":true,"alone":false}',
  sync: '{"wait":"applied"}',
  verify: '{"deep":true}',
  pause: '{"target":"b"}',
  set: '{"target":null,"rateBitsPerSecond":0}',
  resize: '{"sizeBytes":null,"disconnect":true}',
};
const CALLS = [
  ...['GET /v1/status?name=vm1&name=x', 'GET /v1/config', 'POST /v1/stop', 'POST /v1/reload'],
  ...['rounds', 'points', 'estimate'].map((verb) => `GET /v1/resources/vm1/${verb}`),
];
const REQUESTS = [
  ...CALLS.map((line) => ({ line, body: '' })),
  ...Object.entries(BODIES).map(([verb, body]) => ({
    line: `POST /v1/resources/v%6D1/${verb}`,
    body,
  })),
];
const WORDS = [
  ...['/v1/', 'resources/', '%2F', '..', '?name=', '&', 'POST ', 'GET ', 'vm1', '__proto__'],
  ...['acceptLoss', 'true', 'null', '\r\n\r\n', 'Content-Length: ', 'Transfer-Encoding: chunked'],
  ...['Expect: 100-continue\r\n', 'Connection: close\r\n', '0\r\n\r\n', 'HTTP/1.1', 'wait'],
];

/** Input: method, space, target, line end, body. */
const call: Target = {
  name: 'control-call',
  kind: 'json',
  inputBytesMax: 16_384,
  onceBytesMax: MIB,
  totalBytesMax: MIB,
  words: WORDS,
  seeds: () => REQUESTS.map(({ line, body }) => Buffer.from(`${line}\n${body}`)),
  open: pure((input) => {
    const text = Buffer.from(input).toString('utf8');
    const end = text.indexOf('\n');
    const [method = '', target = ''] = text.slice(0, end < 0 ? text.length : end).split(' ');
    const found = readCall(method, target, end < 0 ? '' : text.slice(end + 1));
    if (found.kind !== 'bad') {
      jsonText(found);
      return 'accepted';
    }
    assert.ok([400, 404, 405].includes(found.status) && found.text !== '');
    const error = new ControlError({ code: 'CONTROL_BAD_REQUEST', text: found.text });
    assert.equal(errorBody(error).error.exitStatus, 65);
    return 'refused';
  }),
};

/** Sends bytes, half closes, and gives all that comes back; a reset is an end like any other. */
function exchange(path: string, input: Uint8Array): Promise<Buffer> {
  return new Promise((resolve) => {
    const got: Buffer[] = [];
    const socket = connect({ path });
    socket.on('data', (piece: Buffer) => got.push(piece));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(got)));
    socket.end(input);
  });
}

async function openServer(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-fuzz-'));
  const path = join(folder, 'control.sock');
  const bugs: unknown[] = [];
  const server = await serveFake(path, fakeApi(), bugs);
  const client = controlClient(path);
  return {
    run: async (input) => {
      const answer = (await exchange(path, input)).toString('latin1');
      if (answer !== '') assert.match(answer, /^HTTP\/1\.1 \d{3} /);
      assert.deepEqual(bugs, []);
      const { resources } = await client.status([]);
      assert.equal(resources[0]?.name, 'vm1', 'the next client is answered');
      return /^HTTP\/1\.1 2/.test(answer) ? 'accepted' : 'refused';
    },
    close: async () => {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const http: Target = {
  name: 'control-http',
  kind: 'text',
  inputBytesMax: 16_384,
  onceBytesMax: MIB,
  totalBytesMax: 4 * MIB,
  words: WORDS,
  seeds: () =>
    REQUESTS.map(({ line, body }) => {
      const length = `Content-Length: ${Buffer.byteLength(body)}\r\n`;
      return Buffer.from(`${line} HTTP/1.1\r\n${HOST}${length}\r\n${body}`);
    }),
  open: openServer,
};

/** What hastctl does with the answer to each question. */
const USES: readonly ((client: ControlClient) => Promise<string>)[] = [
  async (client) => renderStatus(await client.status([]), 0),
  async (client) => renderList(await client.status([]), 0),
  async (client) => renderRounds('vm1', (await client.rounds('vm1')).rounds),
  async (client) => renderPoints('vm1', (await client.points('vm1')).points, 0),
  async (client) => renderEstimate('vm1', await client.estimate('vm1')),
  async (client) => renderSync('vm1', await client.sync('vm1', { wait: null }, NEVER)),
  async (client) => renderVerify('vm1', await client.verify('vm1', false, NEVER)),
  async (client) => (await client.pause('vm1', { target: null })).notes.join('\n'),
  async (client) => (await client.role('vm1', ROLE)).notes.join('\n'),
];
const NEVER = new AbortController().signal;
const ROLE = { role: 'init', acceptLoss: false, acceptDrift: false, alone: false } as const;

async function answers(): Promise<Uint8Array[]> {
  const api = fakeApi();
  const values = [
    await api.status([]),
    await api.status([]),
    await api.rounds('vm1'),
    await api.points('vm1'),
    await api.estimate('vm1'),
    await api.sync('vm1', { wait: null }, NEVER),
    { compared: 'disks', results: [RESULT] },
    await api.pause('vm1', { target: null }),
    await api.role('vm1', ROLE),
  ];
  const failure = errorBody(new ControlError({ code: 'NOTHING_TO_CANCEL', name: 'vm1' }));
  return [
    ...values.map((value, at) => answer(at, 200, jsonText(value))),
    answer(0, 409, jsonText(failure)),
  ];
}

const RESULT = {
  ...{ target: 'b', chunks: 1, differing: 1, dirtyChunks: 0, examples: [0], text: 'x' },
};

function answer(use: number, status: number, body: string): Uint8Array {
  const head = `HTTP/1.1 ${status} OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return Buffer.concat([Uint8Array.of(use), Buffer.from(`${head}${body}\n`)]);
}

const ANSWERS = await answers();

/** The length of the body put right. */
function mendAnswer(input: Uint8Array): Uint8Array {
  const text = Buffer.from(input).toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return input;
  const length = text.length - end - 4;
  return Buffer.from(text.replace(/Content-Length: \d*/, `Content-Length: ${length}`), 'latin1');
}

async function openClient(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-fuzz-'));
  const path = join(folder, 'answers.sock');
  let next: Uint8Array = new Uint8Array(0);
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', () => socket.end(next));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = controlClient(path);
  return {
    run: async (input) => {
      next = input.subarray(1);
      const use = USES[(input[0] ?? 0) % USES.length];
      assert.ok(use);
      try {
        assert.equal(typeof (await use(client)), 'string');
        return 'accepted';
      } catch (error) {
        if (!(error instanceof HastError)) throw error;
        assert.equal(typeof error.fault.code, 'string');
        assert.ok(jsonText(errorBody(error)).length > 0);
        return 'refused';
      }
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const client: Target = {
  name: 'control-answer',
  kind: 'json',
  inputBytesMax: 8192,
  onceBytesMax: MIB,
  totalBytesMax: 8 * MIB,
  words: ['error', 'code', 'message', 'exitStatus', 'facts', 'resources', 'rounds', 'HTTP/1.1 '],
  seeds: () => ANSWERS,
  mend: mendAnswer,
  open: openClient,
};

export const CONTROL_TARGETS: readonly Target[] = [call, http, client];
