// Roles at the start of hastd (H38): taken, left, waited for with growing patience, and given up to
// an operator who was first.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../src/base/log.js';
import type { ResourceSettings } from '../../src/config/settings.js';
import type { Role } from '../../src/control/api.js';
import { newResource } from '../../src/daemon/resource.js';
import type { Roles } from '../../src/daemon/roles.js';
import { type TakeUpParts, takeUpRole } from '../../src/daemon/take-up.js';
import type { KnownState, RememberedRole } from '../../src/daemon/thread-messages.js';
import { FakeClock } from '../world/fake-clock.js';

const SETTINGS = { name: 'vm1' } as unknown as ResourceSettings;
const found = (take: RememberedRole['take'], text = ''): RememberedRole => ({
  take,
  ordered: 'primary',
  alone: false,
  text,
});

/** A round thread that gives `answers` one after the other, the last one again and again. */
function world(
  answers: readonly RememberedRole[],
  failure: Error | null = null,
  known = (): KnownState => ({ sizeBytes: 4096, ordered: 'primary', lastPrimary: 'a' }),
) {
  const clock = new FakeClock();
  const resource = newResource(SETTINGS, clock.wallMs());
  const [askedMs, taken]: [number[], Role[]] = [[], []];
  const call = async (method: string): Promise<RememberedRole | KnownState> => {
    if (method === 'known') return known();
    askedMs.push(clock.monotonicMs());
    return answers[Math.min(askedMs.length, answers.length) - 1] ?? found('none');
  };
  const roles = {
    takeUp: async (of: typeof resource, role: Role) => {
      if (failure !== null) throw failure;
      taken.push(role);
      of.role = role;
      of.error = null;
    },
  };
  const rounds = { call } as unknown as TakeUpParts['rounds'];
  const parts = { clock, log: silentLog, rounds, roles: roles as unknown as Roles };
  return { clock, resource, askedMs, taken, parts };
}

test('a role that may be taken is taken', async () => {
  for (const role of ['primary', 'secondary'] as const) {
    const { resource, taken, parts } = world([found(role)]);
    await takeUpRole(resource, parts);
    assert.deepEqual(taken, [role]);
    assert.equal(resource.error, null);
    assert.equal(resource.ordered, 'primary');
  }
});

test('nothing remembered is no error; a refusal is one, and is not asked again', async () => {
  const nothing = world([found('none')]);
  await takeUpRole(nothing.resource, nothing.parts);
  assert.equal(nothing.resource.error, null);
  const refused = world([found('none', 'b was promoted since')]);
  await takeUpRole(refused.resource, refused.parts);
  assert.match(refused.resource.error ?? '', /^vm1: was primary and is not now: b was promoted/);
  assert.deepEqual(refused.taken, []);
  assert.equal(refused.askedMs.length, 1);
});

test('who waits asks again, further and further apart, until a peer answers well', async () => {
  const waits = Array.from({ length: 8 }, () => found('init', 'not reached: b'));
  const { clock, resource, askedMs, taken, parts } = world([...waits, found('primary', 'agreed')]);
  const done = takeUpRole(resource, parts);
  await clock.advance(1000);
  assert.match(resource.error ?? '', /^vm1: was primary and waits to be it again: not reached: b$/);
  await clock.advance(300_000);
  await done;
  const gaps = askedMs.slice(1).map((ms, at) => ms - (askedMs[at] ?? 0));
  assert.deepEqual(gaps, [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  assert.deepEqual(taken, ['primary']);
  assert.equal(resource.error, null);
});

test('an operator who decides ends the waiting', async () => {
  const { clock, resource, askedMs, taken, parts } = world([found('init', 'not reached: b')]);
  const done = takeUpRole(resource, parts);
  await clock.advance(7000);
  resource.asking.abort();
  await done;
  const asked = askedMs.length;
  await clock.advance(100_000);
  assert.equal(askedMs.length, asked);
  assert.deepEqual(taken, []);
});

test('an operator who decides while the peer is being asked is not overruled', async () => {
  const { resource, taken, parts } = world([found('primary')]);
  const order = resource.order.run(async () => resource.asking.abort());
  await takeUpRole(resource, parts);
  await order;
  assert.deepEqual(taken, []);
});

test('a role that cannot be taken leaves its reason in status, and hastd runs', async () => {
  const { resource, parts } = world([found('secondary')], new Error('the disk is held'));
  await takeUpRole(resource, parts);
  assert.match(resource.error ?? '', /vm1: the role secondary could not be taken up: .*held/);
  assert.equal(resource.role, 'init');
});

test('while the question is out, it is not a resource that was never created', async () => {
  let answer = (_: RememberedRole): void => undefined;
  const { resource, parts } = world([]);
  const { call } = parts.rounds;
  const asked = new Promise<RememberedRole>((resolve) => {
    answer = resolve;
  });
  const slow = ((method: string) =>
    method === 'known' ? call('known', 'vm1') : asked) as typeof call;
  const done = takeUpRole(resource, { ...parts, rounds: { call: slow } });
  await new Promise(setImmediate);
  assert.equal(resource.ordered, 'primary');
  answer(found('primary'));
  await done;
  assert.equal(resource.role, 'primary');
});

test('a state that cannot be read is said, and nobody is asked', async () => {
  const { resource, askedMs, parts } = world([found('primary')], null, () => {
    throw new Error('neither copy of the state is whole');
  });
  await takeUpRole(resource, parts);
  assert.match(resource.error ?? '', /neither copy/);
  assert.deepEqual([resource.ordered, askedMs.length], [null, 0]);
});
