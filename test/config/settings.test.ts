// Effective settings: defaults, inheritance, lists, schedules, targets, keys, and their origins.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeSettings, formatOrigins } from '../../src/config/origins.js';
import { retainLast } from '../../src/config/retain.js';
import { errorsOf, load, projectFile, said, settingsOf, twoNodes, vm1 } from './material.js';

test('defaults of a node', () => {
  assert.deepEqual(settingsOf(''), {
    node: 'a',
    path: 'hast.conf',
    statedir: '/var/lib/hast',
    control: '/run/hast/hastctl.sock',
    exports: ['unix:///run/hast/nbd.sock'],
    exportGroup: null,
    listen: ['tcp4://0.0.0.0:8457', 'tcp6://[::]:8457'],
    pidfile: '/run/hast/hastd.pid',
    resources: [],
  });
});

test('defaults of a resource', () => {
  const common = {
    retain: retainLast(24),
    compression: { codec: 'zstd', level: 3 },
    timeoutSeconds: 20,
  };
  const target = {
    name: 'b',
    remote: 'tcp://127.0.0.1:9457',
    source: null,
    archive: null,
    ...common,
  };
  const schedule = { kind: 'interval', seconds: 900 };
  // Two intervals and an hour.
  const alarm = { rateBitsPerSecond: null, maxLagSeconds: 5400 };
  assert.deepEqual(vm1(), {
    name: 'vm1',
    exportName: 'vm1',
    local: '/srv/a.img',
    replication: 'periodic',
    ...common,
    metaflush: false,
    timezone: null,
    remember: true,
    startAlone: null,
    scrubShare: 0.01,
    spillBytes: 4 * 2 ** 30,
    secretPath: null,
    insecure: false,
    dataThreads: 2,
    exec: null,
    targets: [{ ...target, schedule, ...alarm }],
  });
});

test('the file of the quick start works for both nodes', () => {
  const text = projectFile('config/quickstart.conf');
  for (const [me, peer, port] of [
    ['a', 'b', 18_457],
    ['b', 'a', 18_458],
  ] as const) {
    const settings = settingsOf(text, me);
    assert.equal(settings.statedir, `/var/lib/hast/${me}`);
    assert.equal(settings.control, `/run/hast/${me}.ctl`);
    assert.deepEqual(settings.exports, [`unix:///run/hast/${me}.nbd`]);
    assert.deepEqual(settings.listen, [`tcp://127.0.0.1:${port}`]);
    const [resource] = settings.resources;
    assert.equal(resource?.local, `/var/lib/hast/${me}.img`);
    const [target] = resource?.targets ?? [];
    assert.equal(target?.name, peer);
    assert.equal(target?.remote, `tcp://127.0.0.1:${18_457 + 18_458 - port}`);
    assert.deepEqual(target?.schedule, { kind: 'interval', seconds: 3600 });
  }
});

test('inner scopes override outer ones', () => {
  assert.equal(vm1('timeout 5').timeoutSeconds, 5);
  assert.equal(vm1('timeout 5', 'timeout 6').timeoutSeconds, 6);
  assert.equal(vm1('', '', 'name x').exportName, 'x');
  assert.equal(vm1('', 'name y', 'name x').exportName, 'x');
  assert.equal(vm1('', 'local /other').local, '/srv/a.img');
  assert.equal(vm1('secret /1', 'secret /2').secretPath, '/2');
  assert.equal(vm1('secret /1', 'secret /2', 'secret /3').secretPath, '/3');
  assert.equal(vm1('metaflush on', '', 'metaflush off').metaflush, false);
  assert.equal(vm1('metaflush off', '', 'metaflush on').metaflush, true);
  assert.equal(vm1('remember off').remember, false);
  assert.equal(vm1('start-alone serve', 'start-alone wait').startAlone, 'wait');
  assert.equal(vm1('scrub 5%', 'scrub off').scrubShare, 0);
  const later = settingsOf(`${twoNodes()} timeout 9`);
  assert.equal(later.resources[0]?.timeoutSeconds, 9, 'the order in the file does not matter');
});

test('an on block overrides the top level for this node only', () => {
  const text = 'statedir /all pidfile /p on a { statedir /a } on b { statedir /b pidfile /q }';
  assert.equal(settingsOf(text, 'a').statedir, '/a');
  assert.equal(settingsOf(text, 'a').pidfile, '/p');
  assert.equal(settingsOf(text, 'b').pidfile, '/q');
  assert.equal(settingsOf(text, 'c').statedir, '/all');
});

test('listen and export are lists: all scopes add, the defaults go', () => {
  const text =
    'on a { listen 127.0.0.2 export tcp://localhost } listen 127.0.0.1 export /run/x.nbd\n' +
    'on b { listen 127.0.0.3 }';
  const settings = settingsOf(text);
  assert.deepEqual(settings.listen, ['127.0.0.1', '127.0.0.2']);
  assert.deepEqual(settings.exports, ['unix:///run/x.nbd', 'tcp://localhost:10809']);
  const twice = load('listen 127.0.0.1\non a { listen 127.0.0.1 }');
  assert.deepEqual(twice.settings?.listen, ['127.0.0.1']);
  assert.deepEqual(said(twice), ['2:8: listen: note: line 1 has the same address']);
});

test('schedule or interval: the innermost counts, whichever it is', () => {
  const schedule = (top: string, inner = '') => vm1(top, inner).targets[0]?.schedule;
  const cron = '"0 2 * * *"';
  assert.deepEqual(schedule('interval 1h'), { kind: 'interval', seconds: 3600 });
  assert.deepEqual(schedule(`schedule ${cron}`, 'interval 30s'), { kind: 'interval', seconds: 30 });
  assert.deepEqual(schedule('interval 1h', `schedule ${cron}`), {
    kind: 'cron',
    expression: '0 2 * * *',
    timezone: null,
  });
  const zoned = schedule('timezone UTC', `schedule ${cron} timezone Europe/Berlin`);
  assert.equal(zoned?.kind === 'cron' && zoned.timezone, 'Europe/Berlin');
  const outer = schedule(`timezone UTC schedule ${cron}`);
  assert.equal(outer?.kind === 'cron' && outer.timezone, 'UTC');
  assert.match(errorsOf(twoNodes(`interval 1h schedule ${cron}`))[0] ?? '', /exclude each other/);
});

test('cron expressions are asked of the scheduler, with their time zone', () => {
  const asked: unknown[] = [];
  const check = (expression: string, timezone: string | null): string | null => {
    asked.push([expression, timezone]);
    return expression.startsWith('99') ? 'minute 99 is outside 0..59' : null;
  };
  const text = twoNodes(
    'timezone UTC schedule "0 1 * * *"',
    'schedule "99 2 * * *" timezone Europe/Berlin',
  );
  const result = load(text, 'a', check);
  assert.deepEqual(asked, [
    ['0 1 * * *', 'UTC'],
    ['99 2 * * *', 'Europe/Berlin'],
  ]);
  assert.deepEqual(said(result), ['2:25: schedule: minute 99 is outside 0..59']);
  assert.equal(result.settings, null);
});

test('the target is named after the other node', () => {
  const forB = twoNodes().replace('listen tcp://127.0.0.1:8457', 'listen tcp://127.0.0.1:9457');
  assert.equal(settingsOf(forB, 'b').resources[0]?.targets[0]?.name, 'a');
  const none = twoNodes().replaceAll(/remote \S+/g, 'remote none');
  assert.equal(settingsOf(none).resources[0]?.targets[0]?.remote, null);
  const alone = 'resource vm1 { on a { local /x remote none } }';
  assert.deepEqual(settingsOf(alone).resources[0]?.targets, []);
});

test('a network address needs a key, or insecure said aloud', () => {
  const file = (top: string, remote: string): string =>
    `${top} resource vm1 { on a { local /x remote ${remote} } on b { remote none } }`;
  const local = 'listen tcp://127.0.0.1:1';
  for (const remote of ['10.0.0.1', 'hostb', 'tcp6://[2001:db8::1]:1']) {
    for (const top of ['', local, 'listen 0.0.0.0']) {
      const errors = errorsOf(file(top, remote));
      assert.equal(errors.length, 1, 'the missing key is said once');
      assert.match(errors[0] ?? '', /remote: .*`hastctl keygen .*`secret .*`insecure on`/);
      assert.deepEqual(errorsOf(file(`${top} secret /k`, remote)), []);
      assert.deepEqual(errorsOf(file(`${top} insecure on`, remote)), []);
    }
  }
  assert.deepEqual(errorsOf(file(local, '127.0.0.1')), []);
  assert.deepEqual(errorsOf(file('listen /run/l', '/run/peer')), []);
  assert.match(errorsOf(file('', '127.0.0.1'))[0] ?? '', /listen: without a listen line/);
  assert.match(errorsOf(file('listen hosta', '127.0.0.1'))[0] ?? '', /listen: other machines can/);
  assert.deepEqual(errorsOf(file('', 'none')), [], 'nobody is to connect');
});

test('every resource needs its key', () => {
  const resource = (n: number, more: string): string =>
    `resource r${n} { ${more} on a { local /${n} remote 127.0.0.1 } on b { remote none } }\n`;
  const errors = errorsOf(resource(1, 'secret /k') + resource(2, ''));
  assert.equal(errors.length, 1);
  assert.match(errors[0] ?? '', /^2:1: listen: .*resource r2 has no key/);
  assert.deepEqual(errorsOf(resource(1, 'secret /k') + resource(2, 'insecure on')), []);
});

test('what means something else here is noted, with the line to write', () => {
  const text = twoNodes('checksum sha256 exec /bin/x', 'compression lzf');
  const notes = said(load(text));
  assert.equal(notes.length, 3);
  assert.match(notes[0] ?? '', /checksum: note: changes nothing/);
  assert.match(notes[1] ?? '', /exec: note: hooks are not run yet in this version/);
  assert.match(notes[2] ?? '', /compression: note: .*write compression zstd:1/);
  assert.deepEqual(settingsOf(text).resources[0]?.compression, { codec: 'zstd', level: 1 });
  assert.equal(settingsOf(text).resources[0]?.exec, '/bin/x');
});

test('the file of the HAST slides parses word for word; only the key is missing', () => {
  const slides =
    'resource data {\nlocal /dev/ada0\non hosta {\nremote 10.0.0.1\n}\n' +
    'on hostb {\nremote 10.0.0.2\n}\n}\n';
  const errors = errorsOf(slides, 'hosta');
  assert.equal(errors.length, 1);
  assert.match(
    errors[0] ?? '',
    /^4:8: remote: 10.0.0.1 is another machine and resource data has no/,
  );
  const [data] = settingsOf(`secret /etc/hast.key\n${slides}`, 'hostb').resources;
  assert.equal(data?.local, '/dev/ada0');
  assert.deepEqual([data?.targets[0]?.name, data?.targets[0]?.remote], ['hosta', '10.0.0.2']);
});

test('origins name the line of every effective setting, or default', () => {
  const text = twoNodes('\ntimeout 7 compression lzf', 'schedule "0 2 * * *"\ntimezone UTC');
  const origins = describeSettings(load(text));
  const of = (scope: string, setting: string) =>
    origins
      .filter((o) => o.scope === scope && o.setting === setting)
      .map((o) => [o.value, o.origin]);
  assert.deepEqual(of('node', 'statedir'), [['/var/lib/hast', 'default']]);
  assert.deepEqual(of('node', 'listen'), [['tcp://127.0.0.1:8457', 'hast.conf:1']]);
  assert.deepEqual(of('resource vm1', 'timeout'), [['7', 'hast.conf:2']]);
  assert.deepEqual(of('resource vm1', 'compression'), [['zstd:1', 'hast.conf:2']]);
  assert.deepEqual(of('resource vm1', 'name'), [['vm1', 'default']]);
  assert.deepEqual(of('resource vm1', 'exec'), []);
  assert.deepEqual(of('resource vm1 target b', 'schedule'), [['0 2 * * *', 'hast.conf:3']]);
  assert.deepEqual(of('resource vm1 target b', 'timezone'), [['UTC', 'hast.conf:4']]);
  assert.deepEqual(of('resource vm1 target b', 'interval'), []);
  assert.deepEqual(describeSettings(load('timeout 0')), [], 'none when the file is wrong');
  assert.deepEqual(of('resource vm1 target b', 'remote'), [
    ['tcp://127.0.0.1:9457', 'hast.conf:5'],
  ]);
});

test('two default listens have two entries', () => {
  const listens = load('').origins.filter((o) => o.setting === 'listen');
  assert.deepEqual(
    listens.map((o) => [o.value, o.origin]),
    [
      ['tcp4://0.0.0.0:8457', 'default'],
      ['tcp6://[::]:8457', 'default'],
    ],
  );
});

test('the text of hastctl config', () => {
  const text = formatOrigins([
    { scope: 'node', setting: 'statedir', value: '/s', origin: 'default' },
    { scope: 'resource vm1', setting: 'timeout', value: '20', origin: 'hast.conf:1' },
    { scope: 'resource vm1', setting: 'local', value: '/x', origin: 'hast.conf:2' },
  ]);
  assert.equal(
    text,
    'node\n    statedir /s  # default\n' +
      'resource vm1\n    timeout 20   # hast.conf:1\n    local /x     # hast.conf:2\n',
  );
  assert.equal(formatOrigins([]), '');
});
