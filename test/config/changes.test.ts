// What a changed file needs: every keyword of the language, resources and targets that come and go,
// and that the same file in other words is no change.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ChangeNeeds, changesBetween, type SettingChange } from '../../src/config/changes.js';
import { KEYWORDS } from '../../src/config/keywords.js';
import { settingsOf, twoNodes } from './material.js';

const between = (old: string, next: string, node = 'a'): readonly SettingChange[] =>
  changesBetween(settingsOf(old, node), settingsOf(next, node));

type Place = 'top' | 'resource' | 'node' | 'archive';

const archive = (text: string): string =>
  `archive offsite { ${text.startsWith('url') ? '' : 'url s3://bucket'} ${text} }`;

const put = (place: Place, text: string): string =>
  twoNodes(
    place === 'top' ? text : '',
    place === 'resource' ? text : place === 'archive' ? archive(text) : '',
    place === 'node' ? text : '',
  );

/** Keyword: where it stands, two values, what a change of it needs; null: it changes nothing. */
const EXPECTED: Readonly<Record<string, readonly [Place, string, string, ChangeNeeds | null]>> = {
  control: ['top', '/run/1', '/run/2', 'restart'],
  listen: ['top', '127.0.0.2', '127.0.0.3', 'restart'],
  pidfile: ['top', '/run/1', '/run/2', 'restart'],
  statedir: ['top', '/srv/1', '/srv/2', 'restart'],
  export: ['top', '/run/1', '/run/2', 'restart'],
  exportgroup: ['top', 'kvm', 'disk', 'restart'],
  replication: ['top', 'periodic', 'periodic', null],
  schedule: ['resource', '"0 1 * * *"', '"0 2 * * *"', 'now'],
  interval: ['resource', '1h', '30m', 'now'],
  timezone: ['resource', 'UTC schedule "0 1 * * *"', 'Europe/Berlin schedule "0 1 * * *"', 'now'],
  'max-lag': ['resource', '26h', 'none', 'now'],
  retain: ['resource', '1', '2', 'now'],
  rate: ['resource', '20mbit', 'none', 'now'],
  compression: ['resource', 'zstd:3', 'none', 'now'],
  checksum: ['resource', 'none', 'crc32', null],
  timeout: ['resource', '20', '30', 'now'],
  exec: ['resource', '/bin/1', '/bin/2', 'now'],
  secret: ['resource', '/etc/1', '/etc/2', 'now'],
  insecure: ['resource', 'on', 'off', 'now'],
  spill: ['resource', '4G', '8G', 'role'],
  remember: ['resource', 'on', 'off', 'now'],
  'start-alone': ['resource', 'serve', 'wait', 'now'],
  scrub: ['resource', '1%', 'off', 'now'],
  'data-threads': ['resource', '2', '4', 'restart'],
  metaflush: ['resource', 'off', 'on', 'role'],
  name: ['resource', 'x', 'y', 'role'],
  local: ['node', '/srv/1.img', '/srv/2.img', 'role'],
  remote: ['node', 'tcp://127.0.0.1:1', 'tcp://127.0.0.1:2', 'now'],
  source: ['node', '127.0.0.2', '127.0.0.3', 'now'],
  url: ['archive', 's3://one/x', 's3://other/x', 'now'],
  endpoint: ['archive', 'http://127.0.0.1:1', 'http://127.0.0.1:2', 'now'],
  region: ['archive', 'here', 'there', 'now'],
  class: ['archive', 'STANDARD', 'STANDARD_IA', 'now'],
  checksums: ['archive', 'supported', 'required', 'now'],
  key: ['archive', '/etc/1', '/etc/2', 'now'],
  verify: ['archive', '2G', 'off', 'now'],
};

test('every keyword of the language has its answer', () => {
  assert.deepEqual(
    KEYWORDS.map(({ name }) => name).filter((name) => !Object.hasOwn(EXPECTED, name)),
    [],
    'a new keyword needs an entry here and in changes.ts',
  );
  assert.equal(Object.keys(EXPECTED).length, KEYWORDS.length);
});

for (const [name, [place, from, to, needs]] of Object.entries(EXPECTED)) {
  test(`${name} needs ${needs ?? 'nothing'}`, () => {
    const changes = between(put(place, `${name} ${from}`), put(place, `${name} ${to}`));
    const found = changes.filter(({ setting }) => setting === name);
    assert.equal(found.length > 0, needs !== null, JSON.stringify(changes));
    for (const change of found) assert.equal(change.needs, needs);
    // The alarm follows the schedule, and nothing else follows anything.
    const follows = ['schedule', 'interval', 'timezone'].includes(name) ? ['max-lag'] : [];
    for (const { setting } of changes) assert.ok([name, ...follows].includes(setting), setting);
    assert.deepEqual(between(put(place, `${name} ${from}`), put(place, `${name} ${from}`)), []);
  });
}

test('a change names resource, target, and both values as they are written', () => {
  const rate = between(twoNodes('', 'rate 20mbit'), twoNodes('', 'rate 1500kbit'));
  const where = { resource: 'vm1', target: 'b', setting: 'rate' };
  assert.deepEqual(rate, [{ ...where, from: '20mbit', to: '1500kbit', needs: 'now' }]);
  const [statedir] = between(twoNodes('statedir /1'), twoNodes('statedir /2'));
  assert.deepEqual([statedir?.resource, statedir?.target], [null, null]);
  const retain = between(twoNodes(), twoNodes('retain 7'));
  assert.deepEqual(
    retain.map(({ target, from, to }) => [target, from, to]),
    [
      [null, '24', '7'],
      ['b', '24', '7'],
    ],
  );
});

test('what the file says in other words is no change', () => {
  const same = between(
    twoNodes('interval 60m spill 4096M compression lzf timeout 1m max-lag 1440m', 'name vm1'),
    twoNodes('interval 1h spill 4G compression zstd:1 timeout 60 max-lag 1d', 'rate none'),
  );
  assert.deepEqual(same, []);
  assert.deepEqual(between('listen 127.0.0.1 listen ::1', 'listen ::1 listen 127.0.0.1'), []);
});

test('from an interval to a schedule and back', () => {
  const to = (from: string, next: string) =>
    between(twoNodes('', from), twoNodes('', next))
      .filter(({ setting }) => setting !== 'max-lag')
      .map((change) => `${change.setting}: ${change.from} -> ${change.to}`);
  const nightly = 'schedule "0 2 * * *"';
  assert.deepEqual(to('interval 1h', 'interval 90m'), ['interval: 1h -> 90m']);
  assert.deepEqual(to('interval 1h', nightly), ['schedule: interval 1h -> "0 2 * * *"']);
  assert.deepEqual(to(nightly, ''), ['interval: schedule "0 2 * * *" -> 15m']);
  assert.deepEqual(to(nightly, `${nightly} timezone UTC`), ['timezone: none -> UTC']);
});

test('targets that come, go, or get an address need the role', () => {
  const file = (targets: string): string =>
    `listen tcp://127.0.0.1:8457 resource vm1 { local /x ${targets} on a { remote /b } on b { } }`;
  const c = 'target c { remote /c }';
  const one = (from: string, to: string): unknown[] =>
    between(file(from), file(to)).map(({ target, setting, needs }) => [target, setting, needs]);
  assert.deepEqual(one('', c), [['c', 'target', 'role']]);
  assert.deepEqual(one(c, ''), [['c', 'target', 'role']]);
  assert.deepEqual(one(c, 'target d { remote /c }'), [
    ['c', 'target', 'role'],
    ['d', 'target', 'role'],
  ]);
  assert.deepEqual(one(c, 'target c { remote none }'), [['c', 'remote', 'role']]);
  assert.deepEqual(one('target c { remote none }', c), [['c', 'remote', 'role']]);
  assert.deepEqual(one(c, 'target c { remote /d }'), [['c', 'remote', 'now']]);
  const two = `${c} target d { remote /d }`;
  assert.deepEqual(one(two, `target d { remote /d } ${c}`), [], 'their order has no meaning');
});

test('a new resource is there at once, one that goes must give up its role', () => {
  const file = (...names: string[]): string =>
    names.map((name) => `resource ${name} { on a { local /${name} remote none } }`).join('\n');
  assert.deepEqual(between(file('r1'), file('r1', 'r2')), [
    { resource: 'r2', target: null, setting: 'resource', from: 'none', to: 'r2', needs: 'now' },
  ]);
  assert.deepEqual(between(file('r1', 'r2'), file('r2')), [
    { resource: 'r1', target: null, setting: 'resource', from: 'r1', to: 'none', needs: 'role' },
  ]);
});

test('another node is another daemon', () => {
  const text = twoNodes().replace('listen tcp://127.0.0.1:8457', 'listen tcp://127.0.0.1:7457');
  const changes = changesBetween(settingsOf(text, 'a'), settingsOf(text, 'b'));
  assert.equal(changes.find(({ setting }) => setting === 'node')?.needs, 'restart');
});
