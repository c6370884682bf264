// The server as plain HTTP over its unix socket, asked by curl: bodies, statuses, limits, and what
// is refused before anybody is asked.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ControlError } from '../../src/control/api.js';
import { needTool } from '../real.js';
import type { FakeApi } from './fake-api.js';
import { ROLE, served } from './served.js';

/** curl with the given arguments: HTTP status and body. */
async function curl(path: string, args: readonly string[], input?: string) {
  const all = ['-sS', '--unix-socket', path, '-w', '\n%{http_code}', ...args];
  const child = spawn('curl', all, { stdio: ['pipe', 'pipe', 'inherit'] });
  const text: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => text.push(piece));
  child.stdin.end(input);
  await once(child, 'close');
  const lines = Buffer.concat(text).toString().split('\n');
  const body: unknown = lines[0] ? JSON.parse(lines[0]) : null;
  return { status: Number(lines.at(-1)), body: body as Record<string, Record<string, unknown>> };
}

test('curl works', async (t) => {
  if (!needTool(t, 'curl')) return;
  const { path, api } = await served(t);
  const status = await curl(path, ['http://hast/v1/status?name=vm1']);
  assert.equal(status.status, 200);
  assert.equal(status.body['node'], 'a');
  const role = await curl(path, ['-d', '{"role":"primary"}', 'http://h/v1/resources/vm1/role']);
  assert.equal(role.status, 200);
  assert.deepEqual(api.asked.at(-1), ['role', 'vm1', { ...ROLE, role: 'primary' }]);
  const set = await curl(path, [
    '-d',
    '{"rateBitsPerSecond":null}',
    'http://h/v1/resources/vm1/set',
  ]);
  assert.equal(set.status, 200);
  assert.deepEqual(api.asked.at(-1), ['set', 'vm1', { target: null, rateBitsPerSecond: null }]);
  const sync = await curl(path, ['-X', 'POST', 'http://hast/v1/resources/vm1/sync']);
  assert.equal(sync.status, 200);
  assert.deepEqual(api.asked.at(-1), ['sync', 'vm1', { wait: null }], 'an empty body will do');
  const missing = await curl(path, ['http://hast/v1/status?name=nope']);
  assert.equal(missing.status, 404);
  assert.deepEqual(missing.body['error'], {
    code: 'CONTROL_NO_RESOURCE',
    message: 'no resource nope on this node (there is: vm1)',
    exitStatus: 1,
    facts: { name: 'nope', known: 'vm1' },
  });
});

test('what the state forbids is 409, what is not there 404, with exit statuses', async (t) => {
  if (!needTool(t, 'curl')) return;
  const { path, api } = await served(t);
  const faults = [
    [409, 2, { code: 'NOTHING_TO_CANCEL', name: 'vm1' }],
    [404, 1, { code: 'CONTROL_NO_TARGET', name: 'vm1', target: 'z', known: 'b' }],
    [409, 2, { code: 'RESIZE_GUESTS', name: 'vm1', guests: 2 }],
    [409, 65, { code: 'RESIZE_SMALLER', name: 'vm1', sizeBytes: 2, wantedBytes: 1 }],
    [409, 65, { code: 'RESIZE_DISK', name: 'vm1', path: '/d', diskBytes: 1, wantedBytes: 2 }],
  ] as const;
  for (const [status, exitStatus, fault] of faults) {
    api.failure = new ControlError(fault);
    const answer = await curl(path, ['-d', '{}', 'http://h/v1/resources/vm1/cancel']);
    assert.equal(answer.status, status, fault.code);
    const { code: _code, ...facts } = fault;
    const { message, ...body } = answer.body['error'] ?? {};
    assert.deepEqual(body, { code: fault.code, exitStatus, facts });
    assert.match(String(message), /^vm1: /);
  }
});

test('bad requests are refused, each with its status, and nothing is asked', async (t) => {
  if (!needTool(t, 'curl')) return;
  const { path, api } = await served(t);
  const vm1 = 'http://hast/v1/resources/vm1';
  const cases: [number, string[], string?][] = [
    [404, ['http://hast/']],
    [404, ['http://hast/v1/nothing']],
    [404, ['http://hast/v2/status']],
    [404, ['http://hast/v1/rounds']],
    [404, ['http://hast/v1/resources/vm1/stop']],
    [404, ['http://hast/v1/resources/vm1/constructor']],
    [405, ['-X', 'DELETE', 'http://hast/v1/status']],
    [405, [`${vm1}/sync`]],
    [400, ['http://hast/v1/resources/%ff/rounds']],
    [400, ['-d', '{', `${vm1}/role`]],
    [400, ['-d', '[]', `${vm1}/role`]],
    [400, ['-d', '{"role":"boss"}', `${vm1}/role`]],
    [400, ['-d', '{"role":"primary","acceptloss":true}', `${vm1}/role`]],
    [400, ['-d', '{"role":"primary","alone":"yes"}', `${vm1}/role`]],
    [400, ['-d', '{"target":5}', `${vm1}/pause`]],
    [400, ['-d', '{"target":""}', `${vm1}/resume`]],
    [400, ['-d', `{"target":"${'t'.repeat(65)}"}`, `${vm1}/cancel`]],
    [400, ['-d', '{"targets":["b"]}', `${vm1}/cancel`]],
    [400, ['-d', '{"target":"b"}', `${vm1}/set`]],
    [400, ['-d', '{"rateBitsPerSecond":-1}', `${vm1}/set`]],
    [400, ['-d', '{"rateBitsPerSecond":1.5}', `${vm1}/set`]],
    [400, ['-d', '{"rateBitsPerSecond":1e14}', `${vm1}/set`]],
    [400, ['-d', '{"rate":"20mbit"}', `${vm1}/set`]],
    [400, ['-d', '{"sizeBytes":0}', `${vm1}/resize`]],
    [400, ['-d', '{"disconnect":1}', `${vm1}/resize`]],
    [400, ['-d', '{"now":true}', 'http://hast/v1/reload']],
    [404, ['-d', '{}', `${vm1}/reload`]],
    [404, ['-d', '{}', 'http://hast/v1/pause']],
    [405, ['-d', '{}', `${vm1}/estimate`]],
    [405, [`${vm1}/pause`]],
    [400, ['-d', '{"extentBytes":-1}', `${vm1}/create`]],
    [400, ['-d', '{"mediaBytes":1e30}', `${vm1}/create`]],
    [413, ['-d', '@-', `${vm1}/role`], 'x'.repeat(70_000)],
    [413, ['-H', 'Transfer-Encoding: chunked', '-d', '@-', `${vm1}/role`], 'x'.repeat(900_000)],
  ];
  for (const [status, args, input] of cases) {
    const answer = await curl(path, args, input);
    assert.equal(answer.status, status, args.join(' '));
    assert.equal(answer.body['error']?.['code'], 'CONTROL_BAD_REQUEST', args.join(' '));
  }
  const untouched: FakeApi['asked'] = [];
  assert.deepEqual(api.asked, untouched);
});
