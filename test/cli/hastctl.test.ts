// hastctl as a child process against a fake daemon on a real socket: options on both sides of the
// verb, --json, what is asked of the daemon, and the statuses of sync, verify and role.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { deferred } from '../../src/base/sync.js';
import { ControlError } from '../../src/control/api.js';
import { resource, target } from '../control/fake-api.js';
import { HASTCTL, hastctl, parsed, served } from './run-hastctl.js';

test('options stand before or after the verb, or come from HAST_NODE', async (t) => {
  const { file, before } = await served(t);
  const forms: [string[], Record<string, string>?][] = [
    [[...before, 'status']],
    [['status', ...before]],
    [['-c', file, 'status', 'vm1', '--node', 'a']],
    [['--node=a', 'status', `--config=${file}`, 'all']],
    [['-c', file, 'status'], { HAST_NODE: 'a' }],
    [['-c', file, '--node', 'a', 'status'], { HAST_NODE: 'b' }],
  ];
  for (const [args, env] of forms) {
    const result = await hastctl(args, env);
    assert.equal(result.status, 0, `${args.join(' ')}: ${result.err}`);
    assert.match(result.out, /^Name {2}Status {2}Role {5}Components\nvm1 {3}dirty {3}primary /);
    assert.equal(result.err, '');
  }
});

test('status --json has the fields that scripts rely on', async (t) => {
  const { before } = await served(t);
  const result = await hastctl([...before, 'status', '--json']);
  const [first = {}] = parsed(result)['resources'] as Record<string, unknown>[];
  for (const field of ['name', 'role', 'state', 'targets']) assert.ok(field in first, field);
  const [entry] = first['targets'] as Record<string, unknown>[];
  assert.deepEqual(
    [
      'name',
      'kind',
      'link',
      'work',
      'data',
      'state',
      'dirtyBytes',
      'lastPoint',
      'lagSeconds',
      'nextRun',
      'round',
      'lastError',
      'verifiedAt',
    ].filter((field) => !(field in (entry ?? {}))),
    [],
  );
});

test('list prints the attach lines, in JSON too', async (t) => {
  const { before } = await served(t);
  assert.match((await hastctl([...before, 'list'])).out, /\n {2}qemu: -blockdev driver=nbd,/);
  const [first] = parsed(await hastctl(['list', 'vm1', '--json', ...before]))[
    'resources'
  ] as Record<string, Record<string, string>>[];
  assert.match(first?.['attach']?.['libvirt'] ?? '', /^<disk type='network'/);
});

test('rounds and points print tables, or the whole records', async (t) => {
  const { before } = await served(t);
  assert.match((await hastctl([...before, 'rounds', 'vm1'])).out, /vm1@42 {2}committed/);
  assert.match((await hastctl([...before, 'points', 'vm1'])).out, /\nvm1@42 /);
  const rounds = parsed(await hastctl([...before, '--json', 'rounds', 'vm1']))['rounds'];
  assert.equal((rounds as Record<string, unknown>[])[0]?.['guestBytes'], 104_858);
  const points = parsed(await hastctl([...before, 'points', '--json', 'vm1']))['points'];
  assert.equal((points as Record<string, unknown>[])[0]?.['consistency'], 'crash');
});

test('sync asks for what --wait says, wherever it stands', async (t) => {
  const { before, api } = await served(t);
  const forms: [string[], string | null][] = [
    [['sync', 'vm1'], null],
    [['sync', 'vm1', '--wait'], 'applied'],
    [['sync', '--wait', 'vm1'], 'applied'],
    [['sync', '--wait=commit', 'vm1'], 'commit'],
  ];
  for (const [args, wait] of forms) {
    const result = await hastctl([...before, ...args]);
    assert.equal(result.status, 0, result.err);
    assert.deepEqual(api.asked.at(-1), ['sync', 'vm1', { wait }]);
    assert.equal(result.out, 'vm1 b: applied as vm1@43: 3 blocks sent\n');
  }
  assert.equal((await hastctl([...before, 'sync', 'vm1', '--wait=soon'])).status, 64);
});

test('sync that fails is not 0, whichever way it failed', async (t) => {
  const { before, api } = await served(t);
  api.syncAnswer = {
    outcomes: [
      { target: 'b', outcome: 'committed', point: 43, text: '' },
      { target: 'c', outcome: 'failed', point: null, text: 'spill full' },
    ],
  };
  const failed = await hastctl([...before, 'sync', 'vm1', '--wait']);
  assert.equal(failed.status, 6);
  assert.match(failed.out, /vm1 c: failed: spill full/);
  assert.match(failed.err, /hastctl: vm1: not committed on c/);
  const json = await hastctl([...before, 'sync', 'vm1', '--wait', '--json']);
  assert.equal(json.status, 6);
  assert.deepEqual(parsed(json), api.syncAnswer);
  api.failure = new ControlError({ code: 'CONTROL_NO_RESOURCE', name: 'vm2', known: 'vm1' });
  assert.equal((await hastctl([...before, 'sync', 'vm2', '--wait'])).status, 1);
});

test('sync --wait shows progress on standard error while it is held', async (t) => {
  const { before, api } = await served(t);
  const release = deferred<void>();
  api.hold = release.promise;
  const round = {
    id: 'ef',
    kind: 'round',
    doneBytes: 50,
    totalBytes: 100,
    sentBytes: 0,
    wireUpBytes: 0,
    bytesPerSecond: 10,
    etaSeconds: 5,
  } as const;
  api.resources = [resource({ targets: [target({ work: 'sending', round })] })];
  const running = hastctl([...before, 'sync', 'vm1', '--wait']);
  while (!api.asked.some(([kind]) => kind === 'status')) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  release.resolve();
  const result = await running;
  assert.equal(result.status, 0);
  assert.match(result.err, /hastctl: vm1 b: round: 50 % of 100 B, 10 B\/s, 5s left/);
  assert.doesNotMatch(result.out, /50 %/);
});

test('verify is 0 when nothing differs and 7 otherwise', async (t) => {
  const { before, api } = await served(t);
  const result = { target: 'b', chunks: 9, dirtyChunks: 0, examples: [], text: '' };
  api.verifyAnswer = { compared: 'disks', results: [{ ...result, differing: 0 }] };
  assert.equal((await hastctl([...before, 'verify', '--deep', 'vm1'])).status, 0);
  assert.deepEqual(api.asked.at(-1), ['verify', 'vm1', true]);
  api.verifyAnswer = { compared: 'tables', results: [{ ...result, differing: 2 }] };
  const differs = await hastctl([...before, 'verify', 'vm1']);
  assert.equal(differs.status, 7);
  assert.match(differs.err, /2 chunks of 64 KiB differ/);
});

test('role takes several names or all and ends with the first failure', async (t) => {
  const { before, api } = await served(t);
  api.resources = [resource(), resource({ name: 'vm2' })];
  const all = await hastctl([...before, 'role', 'secondary', 'all']);
  assert.equal(all.status, 0);
  assert.deepEqual(
    api.asked.filter(([kind]) => kind === 'role').map(([, name]) => name),
    ['vm1', 'vm2'],
  );
  const some = await hastctl([...before, 'role', 'primary', '--accept-loss', 'nope', 'vm2']);
  assert.equal(some.status, 1);
  assert.match(some.err, /no resource nope/);
  assert.equal(some.out, 'vm2: primary\n');
  assert.deepEqual(api.asked.at(-1), ['role', 'vm2', { role: 'primary', acceptLoss: true }]);
  assert.equal((await hastctl([...before, 'role', 'boss', 'vm1'])).status, 64);
});

test('role that would lose data says so and ends with 5', async (t) => {
  const { before, api } = await served(t);
  const text = 'the point is 3h old';
  api.failure = new ControlError({ code: 'LOSS_NOT_ACCEPTED', name: 'vm1', text });
  const result = await hastctl([...before, 'role', 'primary', 'vm1', '--json']);
  assert.equal(result.status, 5);
  assert.match(result.err, /3h old \(add --accept-loss/);
  assert.equal((parsed(result)['error'] as Record<string, unknown>)['code'], 'LOSS_NOT_ACCEPTED');
});

test('-d tells each request', async (t) => {
  const { before } = await served(t);
  const result = await hastctl([...before, 'status', '-d']);
  assert.match(result.err, /hastctl: GET \/v1\/status\nhastctl: 200 \d+ characters/);
});

test('a reader that goes away is no failure', async (t) => {
  const { file, api } = await served(t);
  api.resources = Array.from({ length: 2000 }, (_, i) => resource({ name: `vm${i}` }));
  const command = `"${process.execPath}" "${HASTCTL}" -c "${file}" --node a list; echo $? >&2`;
  const child = spawn('sh', ['-c', `{ ${command}; } | head -1`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const text: Buffer[] = [];
  child.stderr.on('data', (piece: Buffer) => text.push(piece));
  await once(child, 'close');
  assert.equal(Buffer.concat(text).toString(), '0\n');
});
