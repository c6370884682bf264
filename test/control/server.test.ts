// Server and client over a real unix socket: every route, errors as they travel, who may open the
// socket, stale sockets, and requests that are held. Without our client: server-http.test.ts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { AssertionError } from '../../src/base/assert.js';
import { codeOf } from '../../src/base/errors.js';
import { deferred } from '../../src/base/sync.js';
import { ControlError } from '../../src/control/api.js';
import { controlClient, RemoteError } from '../../src/control/client.js';
import { TargetError } from '../../src/target/target.js';
import { scratch } from '../real.js';
import { fakeApi, serveFake } from './fake-api.js';
import { PRUNED } from './pruned.js';
import { REPACKED } from './repacked.js';
import { code, ROLE, served } from './served.js';

const never = (): AbortSignal => new AbortController().signal;

test('every command arrives with its arguments and its answer comes back', async (t) => {
  const { api, client } = await served(t);
  const create = { extentBytes: 4096, keepdirty: 0, mediaBytes: null, force: true };
  assert.equal((await client.status([])).resources[0]?.name, 'vm1');
  assert.equal((await client.status(['vm1'])).resources.length, 1);
  assert.deepEqual(await client.create('vm1', create), { notes: ['adopted 10 GiB as they stand'] });
  const role = { role: 'init', acceptLoss: true, acceptDrift: true, alone: true } as const;
  assert.equal((await client.role('vm1', role)).role, 'init');
  assert.deepEqual(await client.sync('vm1', { wait: 'commit' }, never()), api.syncAnswer);
  assert.deepEqual(await client.verify('vm1', true, never()), api.verifyAnswer);
  assert.equal((await client.rounds('vm1')).rounds[0]?.outcome, 'committed');
  assert.equal((await client.points('vm1')).points[0]?.number, 42);
  const one = { target: 'b' };
  assert.deepEqual(await client.pause('vm1', one), { notes: ['b is held'] });
  assert.deepEqual(await client.resume('vm1', { target: null }), { notes: [] });
  assert.deepEqual(await client.cancel('vm1', one), { notes: [] });
  assert.deepEqual(await client.prune('vm1', { target: null, dryRun: true }), PRUNED);
  const repack = { target: 'offsite', belowPercent: 30, dryRun: false };
  assert.deepEqual(await client.repack('vm1', repack), REPACKED);
  assert.deepEqual(await client.estimate('vm1'), api.estimateAnswer);
  assert.deepEqual(await client.set('vm1', { ...one, rateBitsPerSecond: 0 }), { notes: [] });
  const resize = { sizeBytes: null, disconnect: true };
  assert.match((await client.resize('vm1', resize)).notes[0] ?? '', /20 GiB/);
  assert.match((await client.reload()).notes[0] ?? '', /statedir/);
  assert.deepEqual(await client.config(), { node: 'a', secretPath: null });
  assert.deepEqual(api.asked, [
    ['status', []],
    ['status', ['vm1']],
    ['create', 'vm1', create],
    ['role', 'vm1', role],
    ['sync', 'vm1', { wait: 'commit' }],
    ['verify', 'vm1', true],
    ['rounds', 'vm1'],
    ['points', 'vm1'],
    ['pause', 'vm1', one],
    ['resume', 'vm1', { target: null }],
    ['cancel', 'vm1', one],
    ['prune', 'vm1', { target: null, dryRun: true }],
    ['repack', 'vm1', repack],
    ['estimate', 'vm1'],
    ['set', 'vm1', { ...one, rateBitsPerSecond: 0 }],
    ['resize', 'vm1', resize],
    ['reload'],
  ]);
});

test('names with special characters survive the path', async (t) => {
  const { api, client } = await served(t);
  const name = 'a/b?c d%ü&e';
  await client.rounds(name);
  await assert.rejects(client.status([name, name]), code('CONTROL_NO_RESOURCE'));
  assert.deepEqual(api.asked, [
    ['rounds', name],
    ['status', [name, name]],
  ]);
});

test('a typed error keeps code, sentence, facts and exit status', async (t) => {
  const { api, client } = await served(t);
  await assert.rejects(client.role('vm9', ROLE), (error) => {
    assert.ok(error instanceof RemoteError);
    assert.deepEqual(error.fault, { code: 'CONTROL_NO_RESOURCE', name: 'vm9', known: 'vm1' });
    assert.match(error.message, /no resource vm9 on this node \(there is: vm1\)/);
    assert.equal(error.exitStatus, 1);
    return true;
  });
  const cause = new TargetError({ code: 'TARGET_LOST', target: 'b', text: 'no answer for 20 s' });
  api.failure = cause;
  await assert.rejects(client.sync('vm1', { wait: null }, never()), (error) => {
    assert.ok(error instanceof RemoteError);
    assert.equal(codeOf(error), 'TARGET_LOST');
    assert.equal(error.exitStatus, 6);
    return true;
  });
});

test('an assertion is answered, then told to onBug; other errors only answered', async (t) => {
  const bugs: unknown[] = [];
  const { api, client } = await served(t, bugs);
  api.failure = new TypeError('x is not a function');
  await assert.rejects(client.status([]), code('CONTROL_FAILED'));
  assert.equal(bugs.length, 0);
  api.failure = new AssertionError('assertion failed: one is two');
  await assert.rejects(client.status([]), code('CONTROL_FAILED'));
  assert.deepEqual(bugs, [api.failure]);
});

test('the socket is 0600 and a missing directory is made 0700', async (t) => {
  const path = join(scratch(t), 'run', 'hast', 'control.sock');
  const server = await serveFake(path, fakeApi());
  t.after(() => server.close());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
});

test('a second server is refused while the first answers, and the first goes on', async (t) => {
  const { path, client } = await served(t);
  await assert.rejects(serveFake(path, fakeApi()), code('CONTROL_IN_USE'));
  assert.equal((await client.status([])).node, 'a');
});

test('a stale socket of a killed process is replaced', async (t) => {
  const path = join(scratch(t), 'control.sock');
  const listen = `listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const script = `require('net').createServer().${listen}`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(statSync(path).isSocket());
  const server = await serveFake(path, fakeApi());
  t.after(() => server.close());
  assert.equal((await controlClient(path).status([])).node, 'a');
});

test('a file that is not a socket is left alone', async (t) => {
  const path = join(scratch(t), 'control.sock');
  writeFileSync(path, 'precious');
  await assert.rejects(serveFake(path, fakeApi()), code('CONTROL_SOCKET_FAILED'));
  assert.equal(statSync(path).size, 8);
});

test('a path longer than a socket address is refused, not cut', async (t) => {
  const path = join(scratch(t), 'x'.repeat(108));
  await assert.rejects(serveFake(path, fakeApi()), /longer than 107 bytes/);
});

test('close removes the socket, can be called twice, and frees the place', async (t) => {
  const { path, server, client } = await served(t);
  await Promise.all([server.close(), server.close()]);
  await assert.rejects(client.status([]), code('CONTROL_UNREACHABLE'));
  const again = await serveFake(path, fakeApi());
  await again.close();
});

test('a held sync is not timed out, and its signal fires when the client goes', async (t) => {
  const { api, client } = await served(t);
  api.hold = deferred<void>().promise;
  const leave = new AbortController();
  const asked = client.sync('vm1', { wait: 'applied' }, leave.signal);
  while (api.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  leave.abort();
  await assert.rejects(asked, code('ABORT_ERR'));
  await api.aborted;
});

test('closing the server ends held requests', async (t) => {
  const { api, client, server } = await served(t);
  api.hold = deferred<void>().promise;
  const asked = client.sync('vm1', { wait: 'applied' }, never());
  while (api.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await server.close();
  await api.aborted;
  assert.deepEqual(await asked, api.syncAnswer, 'what the api says after its signal still arrives');
});

test('stop is answered before it happens', async (t) => {
  const { api, client } = await served(t);
  await client.stop();
  await api.stopped;
});

test('a stop that fails does not end the server', async (t) => {
  const { api, client } = await served(t);
  api.failure = new ControlError({ code: 'CONTROL_FAILED', text: 'no' });
  await client.stop();
  api.failure = null;
  assert.equal((await client.status([])).node, 'a');
});

test('the client tells unreachable, lost, foreign and silent servers apart', async (t) => {
  const folder = scratch(t);
  const answers: Record<string, string | null> = {
    lost: null,
    cut: 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"node"',
    foreign: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello',
    mute: 'HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}',
  };
  const wanted: Record<string, string> = {
    lost: 'CONTROL_LOST',
    cut: 'CONTROL_LOST',
    foreign: 'CONTROL_FAILED',
    mute: 'CONTROL_FAILED',
  };
  for (const [name, answer] of Object.entries(answers)) {
    const path = join(folder, name);
    const server = createServer((socket) => {
      socket.once('data', () => (answer === null ? socket.destroy() : socket.end(answer)));
      socket.on('error', () => {});
    });
    server.listen(path);
    await once(server, 'listening');
    await assert.rejects(controlClient(path).status([]), code(wanted[name] ?? ''), name);
    server.close();
  }
  mkdirSync(join(folder, 'directory'));
  const absent = controlClient(join(folder, 'absent')).status([]);
  await assert.rejects(absent, /cannot reach hastd: no such socket/);
  const directory = controlClient(join(folder, 'directory')).status([]);
  await assert.rejects(directory, code('CONTROL_UNREACHABLE'));
});

test('a status that does not come can be given up', async (t) => {
  const { api, client } = await served(t);
  api.status = () => deferred<never>().promise;
  const leave = new AbortController();
  const asked = client.status([], leave.signal);
  setTimeout(() => leave.abort(), 50);
  await assert.rejects(asked, code('ABORT_ERR'));
});
