// hastctl as a child process against a fake daemon on a real socket: options on both sides of the
// verb, --json, what is asked of the daemon, and the statuses of sync, verify and role.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { deferred } from '../../src/base/sync.js';
import { ControlError } from '../../src/control/api.js';
import { estimate, progress, resource, target } from '../control/fake-api.js';
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
  const round = progress({ resentBytes: 2048 });
  api.resources = [resource({ targets: [target({ work: 'sending', round })] })];
  const running = hastctl([...before, 'sync', 'vm1', '--wait']);
  while (!api.asked.some(([kind]) => kind === 'status')) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  release.resolve();
  const result = await running;
  assert.equal(result.status, 0);
  assert.match(
    result.err,
    /hastctl: vm1 b: round: 50 % of 100 B, 10 B\/s, 5s left, 2.0 KiB sent again/,
  );
  assert.doesNotMatch(result.out, /50 %/);
});

test('pause, resume and cancel name one target or all', async (t) => {
  const { before, api } = await served(t);
  for (const [verb, done] of [
    ['pause', 'paused'],
    ['resume', 'resumed'],
    ['cancel', 'cancelled'],
  ] as const) {
    const all = await hastctl([...before, verb, 'vm1']);
    assert.equal(all.status, 0, all.err);
    assert.deepEqual(api.asked.at(-1), [verb, 'vm1', { target: null }]);
    const one = await hastctl([...before, verb, 'vm1', 'b']);
    assert.deepEqual(api.asked.at(-1), [verb, 'vm1', { target: 'b' }]);
    assert.match(one.out, new RegExp(`^vm1 b: ${done}\n`));
    assert.equal((await hastctl([...before, verb])).status, 64);
  }
  const held = await hastctl([...before, 'pause', 'vm1', '--json']);
  assert.deepEqual(parsed(held), { notes: ['b is held'] });
  api.failure = new ControlError({ code: 'NOTHING_TO_CANCEL', name: 'vm1' });
  const idle = await hastctl([...before, 'cancel', 'vm1']);
  assert.deepEqual([idle.status, idle.err], [2, 'hastctl: vm1: no round is running\n']);
  const facts = { name: 'vm1', target: 'z', known: 'b' };
  api.failure = new ControlError({ code: 'CONTROL_NO_TARGET', ...facts });
  const stranger = await hastctl([...before, 'pause', 'vm1', 'z']);
  assert.equal(stranger.status, 1);
  assert.match(stranger.err, /no target z \(there is: b\)/);
});

test('set rate: as the configuration writes it, none, or back to the configuration', async (t) => {
  const { before, api } = await served(t);
  const forms: [string[], object][] = [
    [['rate', '20mbit'], { target: null, rateBitsPerSecond: 20_000_000 }],
    [['rate', 'none'], { target: null, rateBitsPerSecond: 0 }],
    [['rate', 'default', '--target', 'b'], { target: 'b', rateBitsPerSecond: null }],
  ];
  for (const [words, request] of forms) {
    const result = await hastctl([...before, 'set', 'vm1', ...words]);
    assert.equal(result.status, 0, result.err);
    assert.deepEqual(api.asked.at(-1), ['set', 'vm1', request]);
  }
  const asked = api.asked.length;
  for (const value of ['20', '20MB', 'fast', '-1', '1kbit']) {
    const result = await hastctl([...before, 'set', 'vm1', 'rate', '--', value]);
    assert.equal(result.status, 65, value);
    assert.match(result.err, /hastctl: rate .*: /);
  }
  const other = await hastctl([...before, 'set', 'vm1', 'interval', '5m']);
  assert.equal(other.status, 64);
  assert.match(other.err, /only rate can be/);
  assert.equal(api.asked.length, asked);
});

test('resize asks for a size or that of the disk, and cuts no guest off by itself', async (t) => {
  const { before, api } = await served(t);
  const plain = await hastctl([...before, 'resize', 'vm1']);
  assert.equal(plain.out, '20 GiB instead of 10 GiB\n', 'what was done, if anything was');
  assert.deepEqual(api.asked.at(-1), ['resize', 'vm1', { sizeBytes: null, disconnect: false }]);
  await hastctl([...before, 'resize', 'vm1', '-m', '20G', '--disconnect']);
  const sizeBytes = 20 * 2 ** 30;
  assert.deepEqual(api.asked.at(-1), ['resize', 'vm1', { sizeBytes, disconnect: true }]);
  assert.equal((await hastctl([...before, 'resize', 'vm1', '-m', '513'])).status, 65);
  assert.equal((await hastctl([...before, 'resize', 'vm1', '-m', '0'])).status, 65);
  const guests = new ControlError({ code: 'RESIZE_GUESTS', name: 'vm1', guests: 2 });
  const small = { name: 'vm1', sizeBytes: 2048, wantedBytes: 1024 };
  const disk = { name: 'vm1', path: '/srv/a.img', diskBytes: 1024, wantedBytes: 2048 };
  for (const [status, pattern, failure] of [
    [2, /2 NBD clients .* add --disconnect/, guests],
    [65, /never made smaller/, new ControlError({ code: 'RESIZE_SMALLER', ...small })],
    [65, /make the disk larger first/, new ControlError({ code: 'RESIZE_DISK', ...disk })],
  ] as const) {
    api.failure = failure;
    const result = await hastctl([...before, 'resize', 'vm1']);
    assert.equal(result.status, status);
    assert.match(result.err, pattern);
  }
});

test('reload prints what could not be changed', async (t) => {
  const { before, api } = await served(t);
  const result = await hastctl([...before, 'reload']);
  assert.equal(result.status, 0);
  assert.match(result.out, /read again\n {2}statedir cannot change/);
  assert.deepEqual(api.asked, [['reload']]);
});

test('sync --dry-run sends nothing and says what it would cost', async (t) => {
  const { before, api } = await served(t);
  const result = await hastctl([...before, 'sync', 'vm1', '--dry-run']);
  assert.equal(result.status, 0, result.err);
  assert.deepEqual(api.asked, [['estimate', 'vm1']]);
  assert.match(
    result.out,
    /^vm1 b: 1\.0 MiB dirty in 17 chunks, about 512 KiB on the wire, about 90s/,
  );
  const json = await hastctl([...before, 'sync', '--dry-run', 'vm1', '--json']);
  assert.deepEqual(parsed(json), { targets: [estimate()] });
  api.estimateAnswer = { targets: [] };
  const none = await hastctl([...before, 'sync', '--dry-run', 'vm1']);
  assert.deepEqual([none.status, none.out], [1, '']);
  assert.match(none.err, /vm1: no target with an address/);
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
  const request = { role: 'primary', acceptLoss: true, acceptDrift: false, alone: false };
  assert.deepEqual(api.asked.at(-1), ['role', 'vm2', request]);
  await hastctl([...before, 'role', 'primary', 'vm1', '--alone', '--accept-drift']);
  assert.deepEqual(api.asked.at(-1)?.at(2), {
    ...request,
    acceptLoss: false,
    acceptDrift: true,
    alone: true,
  });
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
