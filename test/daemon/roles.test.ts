// Changes of role that fail half way, or meet a reload: no role is left that nobody has, no disk
// stays open, no guest is counted that was not taken. Round thread, data threads and exports are
// stand-ins that fail to order; the disks are real files.
import assert from 'node:assert/strict';
import { existsSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { present } from '../../src/base/assert.js';
import { codeOf } from '../../src/base/errors.js';
import { FilesError } from '../../src/base/files.js';
import { silentLog } from '../../src/base/log.js';
import { loadConfig } from '../../src/config/load.js';
import { retainLast } from '../../src/config/retain.js';
import type { NodeSettings } from '../../src/config/settings.js';
import type { Role } from '../../src/control/api.js';
import { Disks } from '../../src/daemon/disks.js';
import { newResource } from '../../src/daemon/resource.js';
import { Roles, type RolesParts } from '../../src/daemon/roles.js';
import type { HandedConnection } from '../../src/nbd/listener.js';
import { scratch } from '../real.js';
import { FakeClock } from '../world/fake-clock.js';

const SIZE = 1024 * 1024;
const FULL = new FilesError({
  code: 'FILE_FAILED',
  operation: 'write',
  path: '/state/vm1/resource.json',
  errno: 'ENOSPC',
});
const ORDER = { acceptLoss: false, acceptDrift: false, alone: false };

function configuration(local: string): NodeSettings {
  const text =
    'on a { statedir /s }  on b { statedir /s }\n' +
    'resource vm1 { replication periodic  interval 1h  insecure on\n' +
    `  on a { local ${local}  remote tcp://10.0.0.2 }\n` +
    '  on b { local /b.img  remote tcp://10.0.0.1 } }\n';
  return present(loadConfig(text, 'hast.conf', { names: ['a'] }).settings, 'it has no errors');
}

interface World {
  /** Methods of the round thread that fail, by name. */
  readonly failing: Map<string, Error>;
  readonly calls: string[];
}

/** `sizeBytes`: what the state says of the disk; null: nothing. */
function world(t: TestContext, sizeBytes: number | null = SIZE) {
  const local = join(scratch(t), 'vm1.img');
  const clock = new FakeClock();
  const node = configuration(local);
  const settings = present(node.resources[0], 'vm1');
  const resource = newResource(settings, clock.wallMs());
  const { failing, calls }: World = { failing: new Map(), calls: [] };
  const takes = new Map<string, (connection: HandedConnection) => Promise<void>>();
  const answers: Record<string, unknown> = {
    known: sizeBytes === null ? null : { sizeBytes, ordered: 'init', lastPrimary: null },
    promotionLoss: null,
    becomePrimary: { name: 'vm1', disk: { sizeBytes: SIZE }, targets: [] },
    becomeSecondary: { role: 'secondary', notes: [] },
  };
  const step = async (name: string): Promise<unknown> => {
    calls.push(name);
    const failure = failing.get(name);
    if (failure !== undefined) throw failure;
    return answers[name];
  };
  const disks = new Disks();
  t.after(() => disks.close('vm1'));
  const dataThreads = {
    open: () => step('open'),
    close: () => step('close'),
    connect: () => {
      const failure = failing.get('connect');
      if (failure !== undefined) throw failure;
    },
  };
  const exports = {
    offer: ({ name }: { name: string }, take: (connection: HandedConnection) => Promise<void>) =>
      takes.set(name, take),
    withdraw: (name: string) => takes.delete(name),
  };
  const rounds = { call: step };
  const parts = { clock, log: silentLog, disks, dataThreads, exports, rounds };
  const roles = new Roles(parts as unknown as RolesParts);
  const order = (role: Role) => roles.order(resource, { role, ...ORDER });
  if (sizeBytes !== null) {
    writeFileSync(local, '');
    truncateSync(local, sizeBytes);
  }
  return { resource, roles, order, failing, calls, takes, disks, local, node };
}

const isFull = (error: unknown): boolean => codeOf(error) === 'FILE_FAILED';
const connection = { agreement: {}, fd: -1, done: () => undefined } as unknown as HandedConnection;

test('the state directory is full at role init: init, said by status, not left half', async (t) => {
  const { resource, order, failing, takes, disks } = world(t);
  await order('primary');
  assert.deepEqual([...takes.keys()], ['vm1']);
  failing.set('becomeInit', FULL);
  await assert.rejects(order('init'), isFull);
  assert.equal(resource.role, 'init');
  assert.equal(resource.ordered, 'primary', 'what is remembered has not changed');
  assert.match(resource.error ?? '', /^vm1: was primary and has no role now: .*ENOSPC/);
  assert.match(resource.error ?? '', /hastctl role primary vm1/);
  assert.equal(disks.deviceOf('vm1'), 'none', 'the disk is let go');
  assert.equal(takes.size, 0);
  failing.clear();
  await order('primary');
  assert.deepEqual([resource.role, resource.error, takes.size], ['primary', null, 1]);
});

test('who only leaves (resize) says it too', async (t) => {
  const { resource, roles, order, failing, disks } = world(t);
  await order('primary');
  failing.set('becomeInit', FULL);
  await assert.rejects(roles.leave(resource), isFull);
  assert.match(resource.error ?? '', /was primary and has no role now: .*ENOSPC/);
  assert.equal(disks.deviceOf('vm1'), 'none');
  await roles.leave(resource);
});

test('left, and the next role not reached: status says it, whatever was the reason', async (t) => {
  const { resource, order, failing, disks } = world(t);
  await order('secondary');
  failing.set('becomePrimary', FULL);
  await assert.rejects(order('primary'), isFull);
  assert.equal(resource.role, 'init');
  assert.match(resource.error ?? '', /^vm1: was secondary and has no role now: .*ENOSPC/);
  assert.equal(disks.deviceOf('vm1'), 'none');
  failing.clear();
  await order('secondary');
  assert.equal(resource.error, null);
});

test('a primary that is not reached is undone, and the first reason is the one told', async (t) => {
  const { resource, order, failing, disks } = world(t);
  failing.set('open', new Error('the first')).set('becomeInit', FULL);
  await assert.rejects(order('primary'), /the first/);
  assert.equal(resource.role, 'init');
  assert.equal(disks.deviceOf('vm1'), 'none');
});

test('an order for the role that it has changes nothing, and is remembered', async (t) => {
  const { resource, order, failing, calls } = world(t);
  failing.set('remember', FULL);
  await assert.rejects(order('primary'), isFull);
  assert.equal(resource.role, 'primary');
  failing.clear();
  calls.length = 0;
  assert.deepEqual((await order('primary')).notes, ['vm1: is primary already']);
  assert.deepEqual(calls, ['remember'], 'the guests stay');
  assert.deepEqual((await order('primary')).notes, ['vm1: is primary already']);
  assert.deepEqual(calls, ['remember']);
});

test('only a guest that was taken is counted', async (t) => {
  const { resource, order, failing, takes } = world(t);
  await order('primary');
  const take = takes.get('vm1');
  assert.ok(take);
  failing.set('connect', new Error('just closed'));
  await assert.rejects(take(connection), /just closed/);
  assert.equal(resource.guests, 0);
  failing.clear();
  await take(connection);
  assert.equal(resource.guests, 1);
  await order('init');
  await order('primary');
  await assert.rejects(take(connection), (error) => codeOf(error) === 'EXPORT_GONE');
  assert.equal(resource.guests, 1, 'of an export that was there before');
});

test('what was offered is withdrawn, whatever the settings say by then', async (t) => {
  const { resource, order, takes } = world(t);
  await order('primary');
  resource.settings = { ...resource.settings, exportName: 'disk1' };
  await order('init');
  assert.deepEqual([...takes.keys()], []);
});

test('a disk that has a size is missing, not unknown, and never made anew', async (t) => {
  const had = world(t);
  rmSync(had.local);
  await assert.rejects(had.order('primary'), (error: Error) => {
    assert.match(error.message, /no such disk \(is its file system mounted\?/);
    return codeOf(error) === 'DISK_MISSING';
  });
  assert.equal(existsSync(had.local), false);
  const never = world(t, null);
  await assert.rejects(never.order('primary'), (error) => codeOf(error) === 'DISK_SIZE_UNKNOWN');
});

test('a reload is planned from what the resource has when it is its turn', async (t) => {
  const { resource, roles, order, node } = world(t);
  const wanted = { ...resource.settings, local: '/elsewhere', retain: retainLast(3) };
  const after = { ...node, resources: [wanted] };
  await order('primary');
  const plan = await roles.reload(resource, node, after);
  assert.deepEqual(
    plan.left.map(({ setting }) => setting),
    ['local'],
  );
  assert.equal(resource.settings.retain.last, 3);
  assert.notEqual(resource.settings.local, '/elsewhere');
  assert.equal(resource.pending?.local, '/elsewhere');
  await order('init');
  // Without a role nothing waits: `create` and `role` find the same disk.
  const again = await roles.reload(resource, node, after);
  assert.equal(resource.settings.local, '/elsewhere');
  assert.equal(resource.pending, null);
  assert.deepEqual(again.left, []);
});
