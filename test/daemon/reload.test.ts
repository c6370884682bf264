// A changed file: each setting by itself comes into force when changesBetween says, and neither
// earlier nor later; the notes name everything. The settings come from real configuration text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '../../src/base/assert.js';
import { changesBetween } from '../../src/config/changes.js';
import { loadConfig } from '../../src/config/load.js';
import type { NodeSettings } from '../../src/config/settings.js';
import { planReload, reloadNotes } from '../../src/daemon/reload.js';

/** Node a's settings of a resource with these statements, and of the file with these. */
function settings(inResource = '', more: string[] = []): NodeSettings {
  const text = [
    'on a { statedir /var/lib/hast }',
    'on b { statedir /var/lib/hast }',
    'resource vm1 {',
    '  replication periodic',
    '  insecure on',
    `  ${inResource}`,
    '  on a { local /srv/vm1.img  remote tcp://10.0.0.2 }',
    '  on b { local /srv/vm1.img  remote tcp://10.0.0.1 }',
    '}',
    ...more,
  ].join('\n');
  const result = loadConfig(text, 'hast.conf', { names: ['a'] });
  const wrong = result.findings.filter(({ level }) => level === 'error');
  assert.deepEqual(wrong, [], text);
  return present(result.settings, 'it has no errors');
}

const VM2 = [
  'resource vm2 { replication periodic insecure on interval 1h',
  '  on a { local /srv/vm2.img  remote tcp://10.0.0.2 }',
  '  on b { local /srv/vm2.img  remote tcp://10.0.0.1 } }',
];

const of = (before: NodeSettings, resources: NodeSettings['resources']): NodeSettings => ({
  ...before,
  resources,
});

/** Before, after, and what the change needs. */
const CASES: readonly (readonly [string, string, 'now' | 'role'])[] = [
  ['interval 1h', 'interval 30m', 'now'],
  ['interval 1h', 'schedule "0 2 * * *"', 'now'],
  ['interval 1h', 'interval 1h compression zstd:9', 'now'],
  ['interval 1h', 'interval 1h timeout 7', 'now'],
  ['interval 1h', 'interval 1h rate 20mbit', 'now'],
  ['interval 1h', 'interval 1h max-lag 26h', 'now'],
  ['interval 1h', 'interval 1h retain 3', 'now'],
  ['interval 1h', 'interval 1h remember off', 'now'],
  ['interval 1h', 'interval 1h start-alone wait', 'now'],
  ['interval 1h', 'interval 1h scrub 2%', 'now'],
  ['interval 1h', 'interval 1h metaflush on', 'role'],
  ['interval 1h', 'interval 1h spill 5g', 'role'],
  ['interval 1h', 'interval 1h name disk1', 'role'],
];

for (const [from, to, needs] of CASES) {
  test(`${from} -> ${to}: ${needs}`, () => {
    const [before, after] = [settings(from), settings(to)];
    const plan = planReload(before, after, 'primary');
    const changes = changesBetween(before, after);
    assert.ok(changes.length > 0, 'the case changes something');
    assert.ok(changes.every((change) => change.needs === needs));
    const inForce = of(before, plan.now);
    assert.deepEqual(
      changesBetween(before, inForce),
      changes.filter((change) => change.needs === 'now'),
      'what needs nothing is taken over, and only that',
    );
    if (needs === 'now') {
      assert.deepEqual(inForce.resources, after.resources);
      assert.equal(plan.pending.size, 0);
      assert.match(reloadNotes(plan).join(), /resource vm1: .* -> .* \(in force\)/);
    } else {
      assert.deepEqual(inForce.resources, before.resources);
      assert.deepEqual(plan.pending.get('vm1'), after.resources[0]);
      assert.match(reloadNotes(plan).join(), /-> .* \(from its next role on\)/);
    }
  });
}

test('of two changes the one that can be is taken over now, the other one waits', () => {
  const [before, after] = [settings('interval 1h'), settings('interval 5m spill 5g')];
  const plan = planReload(before, after, 'primary');
  assert.deepEqual(plan.now[0]?.targets[0]?.schedule, { kind: 'interval', seconds: 300 });
  assert.equal(plan.now[0]?.spillBytes, before.resources[0]?.spillBytes);
  assert.deepEqual(plan.pending.get('vm1'), after.resources[0]);
  // Read a second time: what waits is said again, and nothing is lost.
  const again = planReload(of(before, plan.now), after, 'primary');
  assert.deepEqual(again.applied, []);
  assert.deepEqual(again.pending.get('vm1'), after.resources[0]);
  // Taken back before it came into force.
  const back = planReload(of(before, plan.now), settings('interval 5m'), 'primary');
  assert.equal(back.pending.size, 0);
  assert.deepEqual(reloadNotes(back), ['nothing has changed']);
});

test('another address counts at once; one that comes or goes is another target', () => {
  const before = settings('interval 1h');
  const [resource] = before.resources;
  const [target] = resource?.targets ?? [];
  assert.ok(resource && target);
  const at = (remote: string | null, timeoutSeconds = 20) =>
    of(before, [{ ...resource, targets: [{ ...target, remote, timeoutSeconds }] }]);
  const moved = planReload(before, at('tcp://10.0.0.9:8457', target.timeoutSeconds), 'primary');
  assert.equal(moved.now[0]?.targets[0]?.remote, 'tcp://10.0.0.9:8457');
  assert.equal(moved.pending.size, 0);
  const gone = planReload(before, at(null, 7), 'primary');
  assert.equal(gone.now[0]?.targets[0]?.remote, target.remote);
  assert.equal(gone.now[0]?.targets[0]?.timeoutSeconds, 7);
  assert.equal(gone.pending.get('vm1')?.targets[0]?.remote, null);
});

test('a resource that comes is there at once; one that goes stays until it has no role', () => {
  const [one, two] = [settings('interval 1h'), settings('interval 1h', VM2)];
  const come = planReload(one, two, 'primary');
  assert.deepEqual(come.now, two.resources);
  assert.equal(come.gone.size, 0);
  const go = planReload(two, one, 'primary');
  assert.deepEqual(go.now, two.resources);
  assert.deepEqual([...go.gone], ['vm2']);
  assert.match(reloadNotes(go).join(), /vm2 -> none \(when it has no role\)/);
});

test('what the node itself has waits for a restart', () => {
  const before = settings('interval 1h');
  const after = { ...before, control: '/run/other.sock', listen: ['tcp://0.0.0.0:1'] };
  const plan = planReload(before, after, 'primary');
  assert.deepEqual(plan.now, before.resources);
  assert.equal(plan.applied.length, 0);
  assert.equal(plan.left.length, 2);
  for (const note of reloadNotes(plan)) assert.match(note, /not before hastd is started again/);
});
