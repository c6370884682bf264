// status --check: the line and the status that a monitoring system gets, and that nothing which
// nobody has confirmed is called OK.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkStatus, unknown } from '../../src/cli/check.js';
import type { Alarm, ResourceStatus } from '../../src/control/api.js';
import { resource, target } from '../control/fake-api.js';

const NOW = Date.parse('2026-11-20T02:04:00.000Z');
const answer = (...resources: ResourceStatus[]) => ({
  node: 'a',
  version: '0.1.0',
  pid: 1,
  resources,
});
const clean = (name: string) => {
  const one = target({ data: 'clean', state: 'clean', dirtyBytes: 0, lagSeconds: 0 });
  return resource({ name, state: 'clean', targets: [one] });
};
const vm1 = { name: 'vm1', targets: ['b'] };
const alarm = (level: Alarm['level'], code: Alarm['code'], text: string): Alarm => ({
  level,
  target: 'b',
  code,
  text,
});

test('all is well: one line with what there is and performance data', () => {
  const result = checkStatus(answer(clean('vm1')), [vm1], [], NOW);
  assert.deepEqual([result.status, result.exitStatus, result.problems], ['OK', 0, []]);
  assert.equal(
    result.text,
    'HAST OK - 1 resource clean, oldest point 4m | ' +
      'vm1_b_lag=0s;74880;93600;0 vm1_b_dirty=0B;;;0 vm1_b_failed=0;;;0',
  );
});

test('resources in several states are counted by their words', () => {
  const { text } = checkStatus(answer(clean('vm1'), resource({ name: 'vm2' })), [], [], NOW);
  assert.match(text, /^HAST OK - 2 resources: 1 clean, 1 dirty, oldest point 4m \| /);
});

test('a primary that replicates to nobody is no OK, by whatever daemon', () => {
  const alone = resource({ name: 'vm3', state: 'unreplicated', targets: [] });
  const said = 'has no target with an address: nothing is replicated';
  const told = { level: 'warning', target: null, code: 'no-target', text: said } as const;
  const alarmed = checkStatus(answer({ ...alone, alarms: [told] }), [], [], NOW);
  assert.equal(alarmed.text, `HAST WARNING - vm3 no-target: ${said}`);
  const untold = checkStatus(answer(alone), [], [], NOW);
  assert.equal(untold.text, 'HAST WARNING - vm3 state: its state is unreplicated');
});

test('the worst alarm decides, and is told first', () => {
  const late = resource({ alarms: [alarm('warning', 'lag', '21h behind')] });
  const warned = checkStatus(answer(late), [vm1], [], NOW);
  assert.deepEqual([warned.status, warned.exitStatus], ['WARNING', 1]);
  assert.match(
    warned.text,
    /^HAST WARNING - vm1 b lag: 21h behind \| vm1_b_lag=11100s;74880;93600;0 /,
  );
  const bad = resource({ name: 'vm2', alarms: [alarm('critical', 'suspect', 'in doubt')] });
  const both = checkStatus(answer(late, bad), [vm1], [], NOW);
  assert.deepEqual([both.status, both.exitStatus], ['CRITICAL', 2]);
  assert.match(both.text, /^HAST CRITICAL - vm2 b suspect: in doubt; vm1 b lag: 21h behind \|/);
});

test('what is configured and not there is critical', () => {
  const lost = checkStatus(answer(clean('vm1')), [vm1, { name: 'vm2', targets: [] }], [], NOW);
  assert.equal(lost.status, 'CRITICAL');
  assert.match(
    lost.text,
    /- vm2 missing: it is configured, but hastd has it not \(hastctl reload\)/,
  );
  const target = checkStatus(answer(clean('vm1')), [{ ...vm1, targets: ['b', 'c'] }], [], NOW);
  assert.match(target.text, /^HAST CRITICAL - vm1 c missing: /);
  const nothing = checkStatus(answer(), [vm1], [], NOW);
  assert.equal(nothing.status, 'CRITICAL');
});

test('a secondary is not asked for the targets of its primary', () => {
  const replica = { ...clean('vm1'), role: 'secondary' as const };
  assert.equal(checkStatus(answer(replica), [{ ...vm1, targets: ['x'] }], [], NOW).status, 'OK');
});

test('nothing at all, and names that nobody has, are not known', () => {
  for (const result of [
    checkStatus(answer(), [], [], NOW),
    checkStatus(answer(clean('vm1')), [vm1], ['vm9'], NOW),
    checkStatus(answer(clean('vm1')), [vm1], ['vm1', 'vm9'], NOW),
    unknown('the daemon is away'),
  ]) {
    assert.deepEqual([result.status, result.exitStatus], ['UNKNOWN', 3], result.text);
    assert.match(result.text, /^HAST UNKNOWN - [^|]+$/);
  }
});

test('only the resources that are named count', () => {
  const bad = resource({ name: 'vm2', alarms: [alarm('critical', 'suspect', 'in doubt')] });
  const all = [vm1, { name: 'vm2', targets: ['b'] }, { name: 'vm3', targets: [] }];
  const one = checkStatus(answer(clean('vm1'), bad), all, ['vm1'], NOW);
  assert.equal(one.status, 'OK');
  assert.doesNotMatch(one.text, /vm2/);
  assert.equal(checkStatus(answer(clean('vm1'), bad), all, ['vm3'], NOW).status, 'CRITICAL');
});

test('a bad word is critical though no alarm says so', () => {
  for (const state of ['failed', 'diverged', 'suspect']) {
    const result = checkStatus(answer(resource({ state })), [vm1], [], NOW);
    assert.equal(result.status, 'CRITICAL', state);
    assert.match(result.text, new RegExp(`vm1 state: its state is ${state}`));
  }
});

test('one line, one bar, whatever the texts hold', () => {
  const nasty = alarm('warning', 'rounds-failed', 'a | b\nc\td');
  const strange = resource({ name: "o'x=y z", alarms: [nasty], targets: [target({ name: 'ü' })] });
  const { text } = checkStatus(answer(strange), [], [], NOW);
  assert.equal(text.split('|').length, 2);
  assert.doesNotMatch(text, /\n/);
  assert.match(text, /a b c d \| o_x_y_z___lag=/);
});

test('many problems are counted, not all spelled out', () => {
  const many = Array.from({ length: 20 }, (_, i) =>
    resource({ name: `vm${i}`, alarms: [alarm('warning', 'spill', 'full')], targets: [] }),
  );
  const { text, problems } = checkStatus(answer(...many), [], [], NOW);
  assert.equal(problems.length, 20);
  assert.match(text, /vm7 b spill: full; and 12 more$/);
});

test('a lag that is not known is U, and without max-lag there are no limits', () => {
  const one = target({ lastPoint: null, lagSeconds: null, maxLagSeconds: null, failedRounds: 2 });
  const { text } = checkStatus(answer(resource({ targets: [one] })), [vm1], [], NOW);
  assert.match(text, /vm1_b_lag=U;;;0 vm1_b_dirty=1288490189B;;;0 vm1_b_failed=2;;;0$/);
});
