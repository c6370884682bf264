// The alarm of a committed point that does not get into the disk of a target: never for an apply of
// some minutes, never for a daemon that has just begun, and never missing for ever.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AlarmFacts, alarmsOf } from '../../src/control/alarms.js';
import type { TargetStatus } from '../../src/control/api.js';
import { DAY, facts, HOUR, iso, NOW } from './alarm-facts.js';
import { target } from './fake-api.js';

const MINUTE = 60;
const MAX_LAG = 26 * HOUR;

/** An idle target whose last point is not known to be in its disk. */
function applying(
  pointSeconds: number,
  maxLagSeconds: number | null,
  changes: Partial<TargetStatus> = {},
  since: Partial<AlarmFacts> = {},
) {
  const one = target({
    work: 'applying',
    data: 'clean',
    state: 'applying',
    dirtyBytes: 0,
    lastPoint: { id: 'ab'.repeat(16), number: 42, time: iso(pointSeconds) },
    maxLagSeconds,
    ...changes,
  });
  const alarms = alarmsOf(facts(one, since), NOW);
  return alarms.map(({ code, level }) => `${code} ${level}`);
}

test('an apply of some minutes is no alarm; one as long as max-lag is', () => {
  assert.deepEqual(applying(30 * MINUTE, MAX_LAG), []);
  assert.deepEqual(applying(0.8 * MAX_LAG - 1, MAX_LAG), []);
  assert.deepEqual(applying(0.8 * MAX_LAG, MAX_LAG), ['lag warning']);
  assert.deepEqual(applying(MAX_LAG, MAX_LAG), ['lag critical']);
});

test('without max-lag a day is the limit: an idle guest must not look well for ever', () => {
  assert.deepEqual(applying(0.8 * DAY - 1, null), []);
  assert.deepEqual(applying(DAY, null), ['lag critical']);
  const dirty = { dirtyBytes: 4096, data: 'dirty', state: 'dirty' } as const;
  assert.deepEqual(applying(DAY, null, dirty), ['lag critical'], 'dirty or not');
  assert.deepEqual(applying(DAY, DAY, dirty), ['lag critical'], 'once');
});

test('a daemon that has just begun asks first, however old the point of an idle disk', () => {
  const since = (seconds: number) => ({ sinceMs: NOW - seconds * 1000 });
  assert.deepEqual(applying(7 * DAY, MAX_LAG, {}, since(599)), []);
  assert.deepEqual(applying(7 * DAY, MAX_LAG, {}, since(600)), ['lag critical']);
});

test('away, the link is told; a replica that applies is its own business', () => {
  const away = { link: 'down', state: 'unreachable', unreachableSince: iso(HOUR) } as const;
  assert.deepEqual(applying(7 * DAY, null, away), ['unreachable warning']);
  assert.deepEqual(applying(7 * DAY, null, {}, { role: 'secondary' }), []);
});
