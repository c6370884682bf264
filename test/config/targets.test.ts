// The targets of a resource: whose remote is whose on each node of a file, what a target block
// inherits and overrides, what is ambiguous, and the alarm that follows from the schedule.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatFinding } from '../../src/config/finding.js';
import { loadConfig } from '../../src/config/load.js';
import { retainLast } from '../../src/config/retain.js';
import type { ResourceSettings, TargetSettings } from '../../src/config/settings.js';
import { TARGETS_MAX } from '../../src/config/targets.js';
import { longestGapSeconds } from '../../src/schedule/gap.js';
import { SLOTS_MAX } from '../../src/volume/memory.js';
import { errorsOf, load, projectFile, settingsOf } from './material.js';

const resourceOf = (text: string, node = 'a'): ResourceSettings => {
  const [resource] = settingsOf(text, node).resources;
  assert.ok(resource);
  return resource;
};

/** `name@remote` of all targets. */
const targetsOf = (text: string, node = 'a'): readonly string[] =>
  resourceOf(text, node).targets.map(({ name, remote }) => `${name}@${remote ?? 'none'}`);

function targetOf(text: string, name: string, node = 'a'): TargetSettings {
  const found = resourceOf(text, node).targets.find((target) => target.name === name);
  assert.ok(found, name);
  return found;
}

const TOP = 'listen tcp://127.0.0.1:8457\n';
/** One resource; `/a` and so on are unix sockets, for which no key is needed. */
const file = (inResource: string, top = ''): string =>
  `${TOP}${top}\nresource vm1 { local /srv/x\n${inResource}\n}\n`;

const THREE = file(`
  target b { remote /b }
  target c { remote /c retain 31 }
  on a { }
  on b { remote /a }
  on c { remote /a }`);

test('one file serves three nodes', () => {
  assert.deepEqual(targetsOf(THREE, 'a'), ['b@/b', 'c@/c']);
  assert.deepEqual(targetsOf(THREE, 'b'), ['a@/a', 'c@/c']);
  assert.deepEqual(targetsOf(THREE, 'c'), ['a@/a', 'b@/b']);
});

test('with a short remote on the first node, too, the rest is as they say', () => {
  const text = file(
    'target c { remote /c }\non a { remote /b } on b { remote /a } on c { remote /a }',
  );
  assert.deepEqual(targetsOf(text, 'a'), ['b@/b', 'c@/c']);
  assert.deepEqual(targetsOf(text, 'b'), ['a@/a', 'c@/c']);
  assert.match(errorsOf(text, 'c')[0] ?? '', /remote: resource vm1: this could be where a or b is/);
});

test('blocks for all three nodes: each leaves out its own', () => {
  const text = file(
    'target a { remote /a } target b { remote /b } target c { remote /c }\n' +
      'on a { } on b { } on c { }',
  );
  assert.deepEqual(targetsOf(text, 'a'), ['b@/b', 'c@/c']);
  assert.deepEqual(targetsOf(text, 'b'), ['a@/a', 'c@/c']);
  assert.deepEqual(targetsOf(text, 'c'), ['a@/a', 'b@/b']);
});

test('the example of three nodes is one of them', () => {
  const text = projectFile('config/examples/three-nodes.conf');
  for (const [node, targets] of [
    ['a', ['b', 'c']],
    ['b', ['a', 'c']],
    ['c', ['a', 'b']],
  ] as const) {
    assert.deepEqual(
      resourceOf(text, node).targets.map(({ name }) => name),
      targets,
    );
  }
  assert.equal(resourceOf(text, 'c').retain.last, 31);
  assert.equal(resourceOf(text, 'b').retain.last, 24);
  assert.equal(targetOf(text, 'c').rateBitsPerSecond, 20_000_000);
});

test('the short remote comes first, then the blocks in file order', () => {
  const text = file(`
    target z { remote /z }
    on a { remote /b target m { remote /m } }
    target c { remote /c }
    on b { remote /a }`);
  assert.deepEqual(targetsOf(text), ['b@/b', 'z@/z', 'm@/m', 'c@/c']);
});

test('a block of the name of the short remote gives its settings, and wins', () => {
  const two = (block: string): string =>
    file(`target b { ${block} }\non a { remote /b source 127.0.0.9 } on b { remote /a }`);
  const b = targetOf(two('rate 20mbit interval 1h'), 'b');
  assert.deepEqual(
    [b.remote, b.source, b.rateBitsPerSecond, b.schedule],
    ['/b', '127.0.0.9', 20_000_000, { kind: 'interval', seconds: 3600 }],
  );
  assert.deepEqual(targetsOf(two('remote /other')), ['b@/other']);
  assert.deepEqual(targetsOf(two('remote none')), ['b@none']);
  assert.deepEqual(targetsOf(two('remote /other'), 'b'), ['a@/a'], 'its own block is no target');
});

test('what a block does not set is inherited, but for remote', () => {
  const text = file(
    `timeout 30 rate 10mbit max-lag 3h
     target b { remote /b compression none }
     target c { remote /c timeout 7 rate none schedule "0 3 * * *" }
     on a { source 127.0.0.9 target c { timeout 8 retain 2 } }
     on b { remote /a } on c { remote /a }`,
    'retain 5 compression zstd:9 timezone UTC interval 1h',
  );
  const { name: _, ...b } = targetOf(text, 'b');
  assert.deepEqual(b, {
    remote: '/b',
    source: '127.0.0.9',
    schedule: { kind: 'interval', seconds: 3600 },
    archive: null,
    retain: retainLast(5),
    compression: { codec: 'none' },
    timeoutSeconds: 30,
    rateBitsPerSecond: 10_000_000,
    maxLagSeconds: 10_800,
  });
  const c = targetOf(text, 'c');
  assert.deepEqual([c.timeoutSeconds, c.retain.last, c.rateBitsPerSecond], [8, 2, null]);
  assert.deepEqual(c.schedule, { kind: 'cron', expression: '0 3 * * *', timezone: 'UTC' });
  assert.deepEqual(c.compression, { codec: 'zstd', level: 9 });
  const onB = targetOf(text, 'c', 'b');
  assert.deepEqual([onB.timeoutSeconds, onB.retain.last], [7, 5], 'the block of a is for a');
});

test('what a node keeps as a replica is in the block of its own name', () => {
  assert.equal(resourceOf(THREE, 'c').retain.last, 31);
  assert.equal(resourceOf(THREE, 'b').retain.last, 24);
  const text = file('retain 3 target b { retain 9 }\non a { remote /b } on b { remote /a }');
  assert.equal(resourceOf(text, 'b').retain.last, 9);
  assert.equal(resourceOf(text, 'a').retain.last, 3);
  assert.equal(targetOf(text, 'b').retain.last, 9);
});

test('targets without an address', () => {
  const text = file('target c { remote none }\non a { remote none } on b { remote none }');
  assert.deepEqual(targetsOf(text), ['b@none', 'c@none']);
  const only = file('target far { remote /far }\non a { remote none }');
  assert.deepEqual(targetsOf(only), ['far@/far']);
  assert.deepEqual(targetsOf(file('target far { remote /far }\non a { }')), ['far@/far']);
  assert.deepEqual(targetsOf(file('on a { remote none }')), []);
});

test('what is ambiguous or missing says what to write', () => {
  const one = (text: string, node = 'a'): string => {
    const errors = errorsOf(text, node);
    assert.equal(errors.length, 1, errors.join('\n'));
    return errors[0] ?? '';
  };
  const nodes = 'on a { remote /x } on b { remote /a } on c { remote /a }';
  assert.match(one(file(nodes)), /could be where b or c is; write target NAME \{ remote/);
  assert.match(one(file(nodes.replace('remote /x', ''))), /where b and c are; write target NAME/);
  const partly = file(`target c { retain 7 }\n${nodes}`);
  assert.match(one(partly), /^4:1: target: target c does not say where it is; write remote tcp/);
  const full = file(`target b { remote /b } target c { remote /c }\n${nodes}`);
  assert.match(one(full), /^5:15: remote: .*b and c have target blocks.*; remove this one/);
  assert.match(one(file('on a { remote /x }')), /on: .*write on NAME .*, or target NAME/);
  assert.match(one(file('on a { } on b { }')), /remote: .* where b is; write remote/);
  assert.match(one(file('target b { rate 1mbit }\non a { } on b { }')), /target b does not say/);
});

test('under another of its names a node would send to itself', () => {
  const text = file('target a.example.org { remote /b }\non a { }');
  const { findings } = loadConfig(text, 'f', { names: ['a.example.org', 'a'] });
  assert.deepEqual(findings.map(formatFinding), [
    'f:4:1: target: a.example.org is this node, which the on block calls a; ' +
      'write target a, or name another node',
  ]);
});

test('as many targets as a volume has room for', () => {
  assert.equal(TARGETS_MAX, SLOTS_MAX);
  const targets = (count: number): string =>
    Array.from({ length: count }, (_, i) => `target t${i} { remote /t${i} }`).join('\n');
  assert.equal(resourceOf(file(`${targets(16)}\non a { }`)).targets.length, 16);
  assert.match(errorsOf(file(`${targets(17)}\non a { }`)).join('|'), /^20:1: target: [^|]*16 tar/);
  const withShort = file(`${targets(16)}\non a { remote /b } on b { }`);
  assert.match(errorsOf(withShort).join('|'), /^19:1: target: [^|]*$/);
});

test('two targets cannot have one address, whichever way it is written', () => {
  const text = file(
    'target b { remote 127.0.0.1:1 } target c { remote TCP://127.0.0.1:1 }\non a { }',
  );
  assert.match(
    errorsOf(text).join('|'),
    /^4:51: remote: [^|]*already the address of target b[^|]*$/,
  );
});

test('schedules of targets are checked where they stand', () => {
  const asked: unknown[] = [];
  const check = (expression: string, timezone: string | null): string | null => {
    asked.push([expression, timezone]);
    return expression.startsWith('99') ? 'minute 99' : null;
  };
  const text = file(
    'target b { remote /b schedule "0 1 * * *" timezone UTC }\n' +
      'on a { target c { remote /c schedule "99 1 * * *" } }',
    'timezone Europe/Berlin',
  );
  const { findings } = load(text, 'a', check);
  assert.deepEqual(asked, [
    ['0 1 * * *', 'UTC'],
    ['99 1 * * *', 'Europe/Berlin'],
  ]);
  assert.deepEqual(findings.map(formatFinding), ['hast.conf:5:38: schedule: minute 99']);
  const both = errorsOf(file('target b { remote /b interval 1h schedule "0 1 * * *" }\non a { }'));
  assert.match(both[0] ?? '', /exclude each other/);
});

test('the alarm follows from the schedule, and is off only when that is said', () => {
  const lag = (inTarget: string, gap = true): number | null => {
    const text = file(`target b { remote /b ${inTarget} }\non a { }`);
    const result = loadConfig(
      text,
      'f',
      { names: ['a'] },
      undefined,
      gap ? longestGapSeconds : undefined,
    );
    const target = result.settings?.resources[0]?.targets[0];
    assert.ok(target);
    return target.maxLagSeconds;
  };
  const HOUR = 3600;
  assert.equal(lag(''), 1.5 * HOUR);
  assert.equal(lag('interval 10s'), HOUR + 20);
  assert.equal(lag('interval 31d'), (2 * 31 * 24 + 1) * HOUR);
  assert.equal(lag('schedule "0 2 * * *"'), 49 * HOUR);
  assert.equal(lag('schedule "*/5 7-19 * * 1-5"'), 2 * (59 * HOUR + 300) + HOUR);
  assert.equal(lag('schedule "0 * * * *"'), 3 * HOUR);
  assert.equal(lag('schedule "0 * * * *"', false), 49 * HOUR, 'a day, where nobody knows');
  assert.equal(lag('schedule "0 2 * * *" max-lag 26h'), 26 * HOUR);
  assert.equal(lag('max-lag none'), null);
});

test('origins of targets name the block, or default', () => {
  const text = file('target b {\nrate 20mbit }\non a {\nremote /b } on b { remote /a }\nretain 3');
  const origins = load(text).origins.filter(({ scope }) => scope === 'resource vm1 target b');
  assert.deepEqual(
    origins.map(({ setting, value, origin }) => `${setting} ${value} ${origin}`),
    [
      'remote /b hast.conf:7',
      'interval 15m default',
      'max-lag 90m default',
      'retain 3 hast.conf:8',
      'rate 20mbit hast.conf:5',
      'timeout 20 default',
      'compression zstd:3 default',
    ],
  );
  const own = load(THREE, 'c').origins.find(
    (o) => o.scope === 'resource vm1' && o.setting === 'retain',
  );
  assert.deepEqual([own?.value, own?.origin], ['31', 'hast.conf:6']);
});
