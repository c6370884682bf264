// hastctl as a child process where the daemon is absent, lost, stopped or not needed: create,
// config, keygen, stop, wrong use, and the exit status of each.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControlError } from '../../src/control/api.js';
import { takeStateDirectory } from '../../src/daemon/state-directory.js';
import { fakeApi, serveFake } from '../control/fake-api.js';
import { scratch } from '../real.js';
import { configured, hastctl, parsed, served } from './run-hastctl.js';

test('create hands sizes to the daemon in bytes', async (t) => {
  const { before, api } = await served(t);
  const made = await hastctl([...before, 'create', '-e', '4M', '-k', '0', '-m', '10g', 'vm1']);
  assert.equal(made.status, 0, made.err);
  assert.match(made.out, /^vm1: created\n {2}adopted 10 GiB/);
  const request = { extentBytes: 2 ** 22, keepdirty: 0, mediaBytes: 10 * 2 ** 30, force: false };
  assert.deepEqual(api.asked.at(-1), ['create', 'vm1', request]);
});

test('create refuses bad sizes and unknown names before it asks anybody', async (t) => {
  const { before, api } = await served(t);
  for (const [option, value] of [
    ['-e', '3M'],
    ['-e', '32k'],
    ['-e', '2G'],
    ['-e', 'big'],
    ['-k', '-1'],
    ['-k', 'x'],
    ['-k', '65537'],
    ['-m', '0'],
    ['-m', '513'],
    ['-m', '300T'],
  ] as const) {
    const result = await hastctl([...before, 'create', `${option}${value}`, 'vm1']);
    assert.equal(result.status, 65, `${option} ${value}: ${result.err}`);
    assert.match(result.err, new RegExp(`hastctl: ${option} ${value}: `));
  }
  const unknown = await hastctl([...before, 'create', 'vm7']);
  assert.equal(unknown.status, 65);
  assert.match(unknown.err, /has no resource vm7 \(it has: vm1\)/);
  assert.deepEqual(api.asked, []);
});

test('existing state is not overwritten without --force', async (t) => {
  const { before, api } = await served(t);
  api.failure = new ControlError({ code: 'STATE_EXISTS', name: 'vm1', path: '/srv/h/a/vm1' });
  const refused = await hastctl([...before, 'create', 'vm1']);
  assert.equal(refused.status, 8);
  assert.match(refused.err, /--force keeps it aside/);
  api.failure = null;
  assert.equal((await hastctl([...before, 'create', '--force', 'vm1'])).status, 0);
  assert.deepEqual(api.asked.at(-1)?.slice(0, 2), ['create', 'vm1']);
  assert.match(JSON.stringify(api.asked.at(-1)), /"force":true/);
});

test('an unreachable daemon is 71, with and without --json', async (t) => {
  const { before } = configured(t);
  for (const verb of [['status'], ['list'], ['sync', 'vm1'], ['role', 'init', 'vm1'], ['stop']]) {
    const result = await hastctl([...before, ...verb]);
    assert.equal(result.status, 71, verb.join(' '));
    assert.match(result.err, /a\.ctl: cannot reach hastd: no such socket \(is it running\?\)\n$/);
    assert.equal(result.out, '');
  }
  const json = await hastctl([...before, 'status', '--json']);
  assert.equal(json.status, 71);
  const error = parsed(json)['error'] as Record<string, unknown>;
  assert.deepEqual([error['code'], error['exitStatus']], ['CONTROL_UNREACHABLE', 71]);
});

test('a daemon lost in the middle of a request is 69', async (t) => {
  const { before, control } = configured(t);
  const server = createServer((socket) => socket.once('data', () => socket.destroy()));
  server.listen(control);
  await once(server, 'listening');
  t.after(() => server.close());
  assert.equal((await hastctl([...before, 'status'])).status, 69);
});

test('a configuration that cannot be read is 72, a wrong one 78 with every finding', async (t) => {
  const { folder, before } = configured(t);
  assert.equal((await hastctl(['-c', join(folder, 'none'), 'status'])).status, 72);
  assert.equal((await hastctl(['-c', folder, 'config'])).status, 72);
  const wrong = join(folder, 'wrong.conf');
  const text = readFileSync(before[1] ?? '', 'utf8');
  writeFileSync(wrong, text.replace('interval 1h', 'intervall 1h\n retain no'));
  for (const verb of ['status', 'config']) {
    const result = await hastctl(['-c', wrong, '--node', 'a', verb]);
    assert.equal(result.status, 78, verb);
    assert.match(result.err, /wrong\.conf:\d+:\d+: .*intervall/);
    assert.match(result.err, /retain/);
    assert.equal(result.out, '');
  }
  const json = parsed(await hastctl(['-c', wrong, '--node', 'a', 'config', '--json']));
  assert.equal(json['settings'], null);
  assert.ok((json['findings'] as unknown[]).length >= 2);
});

test('config prints settings with their origins, --check only a verdict', async (t) => {
  const { before, folder } = configured(t);
  const whole = await hastctl([...before, 'config']);
  assert.equal(whole.status, 0, whole.err);
  assert.match(whole.out, /interval.*hast\.conf/);
  const check = await hastctl([...before, 'config', '--check']);
  assert.equal(check.status, 0);
  assert.equal(check.out, `${folder}/hast.conf: good for node a\n`);
  const json = parsed(await hastctl([...before, 'config', '--json']));
  assert.equal((json['settings'] as Record<string, unknown>)['node'], 'a');
});

test('a schedule that never fires is a finding', async (t) => {
  const { before, folder } = configured(t);
  const file = join(folder, 'never.conf');
  const text = readFileSync(before[1] ?? '', 'utf8');
  writeFileSync(file, text.replace('interval 1h', 'schedule "0 0 30 2 *"'));
  const result = await hastctl(['-c', file, '--node', 'a', 'config', '--check']);
  assert.equal(result.status, 78);
  assert.match(result.err, /never fires/);
});

test('keygen makes a 0600 file of 64 hexadecimal digits and never overwrites', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'hast.key');
  const made = await hastctl(['keygen', path]);
  assert.equal(made.status, 0, made.err);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const key = readFileSync(path, 'utf8');
  assert.match(key, /^[0-9a-f]{64}\n$/);
  assert.ok(!made.out.includes(key.trim()), 'the key itself is not printed');
  const again = await hastctl(['keygen', path]);
  assert.equal(again.status, 73);
  assert.equal(readFileSync(path, 'utf8'), key);
  const nowhere = await hastctl(['keygen', join(folder, 'none', 'key')]);
  assert.equal(nowhere.status, 73);
  const wanted = `hastctl: ${folder}/none/key: cannot write the key: ENOENT`;
  assert.equal(nowhere.err, `${wanted}: no such file or directory\n`);
});

test('stop returns when the socket is silent', async (t) => {
  const { before, control } = configured(t);
  const api = fakeApi();
  const server = await serveFake(control, api);
  t.after(() => server.close());
  void api.stopped.then(() => setTimeout(() => void server.close(), 300));
  const started = performance.now();
  const result = await hastctl([...before, 'stop']);
  assert.equal(result.status, 0, result.err);
  assert.ok(performance.now() - started >= 300);
  assert.equal((await hastctl([...before, 'status'])).status, 71);
});

test('status --check tells all it cannot know with 3 and one line', async (t) => {
  const { before, folder, control } = configured(t);
  const gone = await hastctl([...before, 'status', '--check']);
  assert.equal(gone.status, 3);
  assert.match(gone.out, /^HAST UNKNOWN - .*a\.ctl: cannot reach hastd: no such socket.*\n$/);
  assert.equal(gone.err, '');
  const unread = await hastctl(['-c', join(folder, 'none'), 'status', '--check']);
  assert.equal(unread.status, 3);
  assert.match(unread.out, /^HAST UNKNOWN - .*cannot read the configuration.*\n$/);
  const json = await hastctl([...before, 'status', '--check', '--json']);
  assert.equal(json.status, 3);
  assert.deepEqual(
    [parsed(json)['status'], parsed(json)['exitStatus'], parsed(json)['problems']],
    ['UNKNOWN', 3, []],
  );
  const server = createServer((socket) => socket.once('data', () => socket.destroy()));
  server.listen(control);
  await once(server, 'listening');
  t.after(() => server.close());
  assert.equal((await hastctl([...before, 'status', '--check'])).status, 3);
});

test('dump works without a daemon', async (t) => {
  const { before, folder } = configured(t);
  mkdirSync(join(folder, 'a'));
  assert.equal((await hastctl([...before, 'dump', 'vm1'])).status, 74);
  await hastctl([...before, 'create', '-m', '8M', 'vm1']);
  const text = await hastctl([...before, 'dump', 'vm1']);
  assert.equal(text.status, 0, text.err);
  assert.match(text.out, /^vm1:\n {2}directory: .*\/a\/vm1\n/);
  assert.match(text.out, /\n {2}datasize: 8388608 \(8\.0 MiB\)\n/);
  assert.match(text.out, /\n {2}prevrole: init\n/);
  const json = parsed(await hastctl([...before, 'dump', 'vm1', '--json']));
  assert.deepEqual([json['sizeBytes'], json['copiesAgree']], [8_388_608, true]);
});

test('wrong use is 64, help is 0', async (t) => {
  const { before } = configured(t);
  for (const args of [
    [],
    ['dance'],
    ['status', '--loud'],
    ['role', 'primary'],
    ['sync'],
    ['sync', 'vm1', 'vm2'],
    ['status', '--check', '--watch'],
    ['set', 'vm1', 'rate'],
    ['recover', 'vm1'],
    ['reload', 'vm1'],
    ['-c'],
  ]) {
    const result = await hastctl(args);
    assert.equal(result.status, 64, args.join(' '));
    assert.notEqual(result.err, '');
    assert.equal(result.out, '');
  }
  const json = await hastctl([...before, 'status', '--loud', '--json']);
  assert.equal(json.status, 64);
  assert.equal((parsed(json)['error'] as Record<string, unknown>)['code'], 'CLI_USAGE');
  for (const args of [['-h'], ['status', '--help']]) {
    const result = await hastctl(args);
    assert.equal(result.status, 0);
    assert.match(result.out, /Usage: hastctl/);
  }
});

test('create without a daemon works on the state directory', async (t) => {
  const { before, folder } = configured(t);
  mkdirSync(join(folder, 'a'));
  const made = await hastctl([...before, 'create', '-m', '8M', 'vm1']);
  assert.equal(made.status, 0, made.err);
  assert.equal(statSync(join(folder, 'a.img')).size, 8 * 2 ** 20);
  assert.equal((await hastctl([...before, 'create', '-m', '8M', 'vm1'])).status, 8);
  // Who has the lock may be a hastd with another control socket.
  const release = takeStateDirectory(join(folder, 'a'));
  const held = await hastctl([...before, 'create', '--force', 'vm1']);
  release();
  assert.equal(held.status, 75);
  assert.match(held.err, new RegExp(`\\(pid ${process.pid}\\) uses this state directory`));
  assert.deepEqual(readdirSync(join(folder, 'a')), ['lock', 'vm1'], 'nothing was put aside');
  assert.equal((await hastctl([...before, 'create', '--force', 'vm1'])).status, 0);
  assert.equal(readdirSync(join(folder, 'a')).length, 3);
});
