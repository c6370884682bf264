// The commands in this process, with a world made of values: what create does without a daemon,
// when stop gives up, what is drawn on a terminal, and where each kind of text goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runHastctl } from '../../src/cli/program.js';
import type { CliMachinery, DirectCreate } from '../../src/cli/session.js';
import { loadConfig } from '../../src/config/load.js';
import { ControlError } from '../../src/control/api.js';
import type { ControlClient } from '../../src/control/client.js';
import { DaemonError } from '../../src/daemon/daemon-faults.js';
import { NetError } from '../../src/net/faults.js';
import { checkCron } from '../../src/schedule/firing.js';
import { StateError } from '../../src/tracking/resource-file.js';
import { type FakeApi, fakeApi, resource } from '../control/fake-api.js';

const CONFIG = `
on a { statedir /srv/h/a control unix:///srv/h/a.ctl listen tcp://127.0.0.1 }
on b { statedir /srv/h/b control unix:///srv/h/b.ctl listen tcp://127.0.0.1 }
resource vm1 {
  on a { local /srv/h/a.img remote tcp://127.0.0.1:18458 }
  on b { local /srv/h/b.img remote tcp://127.0.0.1:18457 }
}
`;
const NOW_MS = Date.parse('2026-11-20T05:05:00.000Z');

/** A world whose clock moves only by sleeping. */
function world(api: FakeApi, changes: Partial<CliMachinery> = {}) {
  const text = { out: '', err: '' };
  const created: DirectCreate[] = [];
  const connected: string[] = [];
  let monotonicMs = 0;
  const machinery: CliMachinery = {
    out: (piece) => {
      text.out += piece;
    },
    err: (piece) => {
      text.err += piece;
    },
    terminal: false,
    screen: () => null,
    interrupted: () => new AbortController().signal,
    clock: {
      wallMs: () => NOW_MS,
      monotonicMs: () => monotonicMs,
      sleep: async (ms) => {
        monotonicMs += ms;
        await new Promise((resolve) => setImmediate(resolve));
      },
    },
    readText: async () => CONFIG,
    loadConfig: (file, path, node) =>
      loadConfig(file, path, { names: [node ?? 'nobody'] }, checkCron),
    connect: (path) => {
      connected.push(path);
      return { ...api, config: async () => ({}) } satisfies ControlClient;
    },
    createDirect: async (request) => {
      created.push(request);
      return { notes: ['worked on the state directory'] };
    },
    dump: async (directory) => {
      throw new StateError({ code: 'STATE_MISSING', path: `${directory}/resource.json` });
    },
    restoreChunks: async () => ({ doneBytes: 0, totalBytes: 0, writtenBytes: 0, equalBytes: 0 }),
    recoverOffline: async () => ({ notes: [], point: null, path: '/srv/h/b.img' }),
    createSecret: async () => {},
    checkSecret: async () => {},
    probeStore: async () => assert.fail('no store is tried out'),
    openArchive: async () => assert.fail('no archive is opened'),
    servePoint: async () => assert.fail('nothing is served'),
    alive: () => false,
    ...changes,
  };
  const run = (...args: string[]): Promise<number> => runHastctl(args, { node: 'a' }, machinery);
  return { run, text, created, connected, elapsedMs: () => monotonicMs };
}

const unreachable = new ControlError({
  code: 'CONTROL_UNREACHABLE',
  path: '/srv/h/a.ctl',
  text: 'no such socket',
});

test('create without a daemon gets the configuration and the defaults of HAST', async () => {
  const api = fakeApi();
  api.failure = unreachable;
  const { run, text, created, connected } = world(api);
  assert.equal(await run('create', 'vm1'), 0);
  assert.deepEqual(connected, ['/srv/h/a.ctl']);
  assert.deepEqual(created, [
    {
      statedir: '/srv/h/a',
      name: 'vm1',
      local: '/srv/h/a.img',
      extentBytes: 2_097_152,
      keepdirty: 64,
      mediaBytes: null,
      force: false,
      nowMs: NOW_MS,
    },
  ]);
  assert.equal(text.out, 'vm1: created\n  worked on the state directory\n');
  assert.equal(await run('create', '-e64k', '-k65536', '-m1G', '--force', 'vm1', '--node', 'b'), 0);
  assert.deepEqual(created[1], {
    statedir: '/srv/h/b',
    name: 'vm1',
    local: '/srv/h/b.img',
    extentBytes: 65_536,
    keepdirty: 65_536,
    mediaBytes: 2 ** 30,
    force: true,
    nowMs: NOW_MS,
  });
});

test('create with a daemon that refuses never goes behind its back', async () => {
  for (const code of ['CONTROL_LOST', 'CONTROL_FAILED'] as const) {
    const api = fakeApi();
    api.failure = new ControlError({ code, path: 'p', text: 'the daemon said no' });
    const { run, created } = world(api);
    assert.equal(await run('create', 'vm1'), code === 'CONTROL_LOST' ? 69 : 70);
    assert.deepEqual(created, []);
  }
});

test('a daemon that has the state directory and answers elsewhere is told as that', async () => {
  const api = fakeApi();
  api.failure = unreachable;
  const fault = { code: 'DAEMON_RUNNING', path: '/srv/h/a', holder: 'pid 4711' } as const;
  const { run, text } = world(api, {
    createDirect: async () => {
      throw new DaemonError(fault);
    },
  });
  assert.equal(await run('create', '--force', 'vm1'), 75);
  assert.match(text.err, /\(pid 4711\) uses this state directory/);
  assert.match(text.err, /does not answer on \/srv\/h\/a\.ctl; .* another control socket/);
});

test('stop waits for the process, and says so when it does not end', async () => {
  const api = fakeApi();
  api.status = async () => {
    if (api.asked.some(([kind]) => kind === 'stop')) throw unreachable;
    return { node: 'a', version: '0', pid: 4711, resources: [] };
  };
  let polls = 0;
  const patient = world(api, { alive: (pid) => pid === 4711 && ++polls < 10 });
  assert.equal(await patient.run('stop'), 0);
  assert.equal(polls, 10);
  assert.equal(patient.text.out, 'hastd (pid 4711) has ended\n');
  api.asked.length = 0;
  const endless = world(api, { alive: () => true });
  assert.equal(await endless.run('stop'), 75);
  assert.ok(endless.elapsedMs() >= 120_000);
  assert.match(endless.text.err, /pid 4711\) still runs after 120 seconds/);
});

test('a bug is 70, told in one line, with the stack only under -d', async () => {
  const api = fakeApi();
  api.failure = new TypeError('x is not a function');
  const quiet = world(api);
  assert.equal(await quiet.run('status'), 70);
  assert.equal(quiet.text.err, 'hastctl: x is not a function\n');
  const loud = world(api);
  assert.equal(await loud.run('status', '-d'), 70);
  assert.match(loud.text.err, /at .*program\.test/);
});

test('with --json an error is the one document on standard output', async () => {
  const api = fakeApi();
  api.failure = unreachable;
  const { run, text } = world(api);
  assert.equal(await run('--json', 'status'), 71);
  assert.deepEqual(JSON.parse(text.out), {
    error: {
      code: 'CONTROL_UNREACHABLE',
      message: '/srv/h/a.ctl: cannot reach hastd: no such socket (is it running?)',
      exitStatus: 71,
      facts: { path: '/srv/h/a.ctl', text: 'no such socket' },
    },
  });
});

test('an empty node, and a node that the file does not have, are findings', async () => {
  const { run, text } = world(fakeApi());
  assert.equal(await run('--node', 'c', 'config', '--check'), 78);
  assert.match(text.err, /\ba\b.*\bb\b/, 'the nodes that the file has are listed');
});

test('a name that begins with a hyphen comes after --', async () => {
  const api = fakeApi();
  api.resources = [resource({ name: '--wait' })];
  const { run } = world(api);
  assert.equal(await run('status', '--', '--wait'), 0);
  assert.deepEqual(api.asked.at(-1), ['status', ['--wait']]);
});

test('keygen hands the path on and prints no key', async () => {
  const paths: string[] = [];
  const { run, text } = world(fakeApi(), { createSecret: async (path) => void paths.push(path) });
  assert.equal(await run('keygen', '/etc/hast.key', '--json'), 0);
  assert.deepEqual(paths, ['/etc/hast.key']);
  assert.equal(text.out, '{"path":"/etc/hast.key"}\n');
});

test('a key that this user may not read is a note of --check', async () => {
  const { run, text } = world(fakeApi(), {
    readText: async () => `secret /k\n${CONFIG}`,
    checkSecret: async (path) => {
      throw new NetError({ code: 'SECRET_UNREADABLE', path, errno: 'EACCES' });
    },
  });
  assert.equal(await run('config', '--check'), 0);
  assert.match(text.err, /:1:8: secret: note: \/k: permission denied/);
});

test('dump looks into the state directory of the node and asks no daemon', async () => {
  const looked: string[] = [];
  const { run, text, connected } = world(fakeApi(), {
    dump: async (directory) => {
      looked.push(directory);
      throw new StateError({ code: 'STATE_MISSING', path: `${directory}/resource.json` });
    },
  });
  assert.equal(await run('dump', 'vm1'), 74);
  assert.deepEqual(looked, ['/srv/h/a/vm1']);
  assert.match(text.err, /no state of this resource \(hastctl create makes it\)/);
  assert.equal(await run('dump', '../etc'), 65, 'only names of the configuration');
  assert.equal(looked.length, 1);
  assert.deepEqual(connected, []);
});

test('recover says at which point the disk stands, and where it is', async () => {
  const asked: unknown[] = [];
  const point = { id: 'ab'.repeat(16), number: 42, time: '2026-11-20T02:00:00.000Z' };
  const { run, text, connected } = world(fakeApi(), {
    recoverOffline: async (settings, name) => {
      asked.push([settings.node, settings.statedir, name]);
      return { notes: ['an apply was finished'], point, path: '/srv/h/b.img' };
    },
  });
  assert.equal(await run('recover', '--offline', 'vm1', '--node', 'b'), 0);
  assert.deepEqual(asked, [['b', '/srv/h/b', 'vm1']]);
  assert.equal(
    text.out,
    'vm1: /srv/h/b.img stands at vm1@42 of 2026-11-20T02:00:00Z\n  an apply was finished\n',
  );
  assert.deepEqual(connected, []);
  assert.equal(await run('recover', 'vm1'), 64, 'the word --offline is said by the operator');
  assert.equal(asked.length, 1);
});

test('recover of a replica without a whole point is no success', async () => {
  const { run, text } = world(fakeApi());
  assert.equal(await run('recover', '--offline', 'vm1'), 2);
  assert.match(text.out, /b\.img stands at no whole point/);
  assert.match(text.err, /first copy was never complete/);
});
