// A reload carried out: what the file has anew is known and taken up again, what left it is gone,
// and a secret that cannot be read changes nothing. The round thread is a stand-in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '../../src/base/assert.js';
import { silentLog } from '../../src/base/log.js';
import { loadConfig } from '../../src/config/load.js';
import type { NodeSettings } from '../../src/config/settings.js';
import { Reloading, type ReloadingParts } from '../../src/daemon/reloading.js';
import type { Resource } from '../../src/daemon/resource.js';
import { Roles, type RolesParts } from '../../src/daemon/roles.js';
import { FakeClock } from '../world/fake-clock.js';

function configuration(...names: readonly string[]): NodeSettings {
  const resources = names.map(
    (name) =>
      `resource ${name} { replication periodic  interval 1h  insecure on\n` +
      `  on a { local /${name}.img  remote tcp://10.0.0.2 }\n` +
      `  on b { local /${name}.img  remote tcp://10.0.0.1 } }\n`,
  );
  const text = `on a { statedir /s }  on b { statedir /s }\n${resources.join('')}`;
  return present(loadConfig(text, 'hast.conf', { names: ['a'] }).settings, 'it has no errors');
}

/** A node with vm1 only; `file.now` is what its configuration file says. */
function world(answers: Record<string, unknown>) {
  const clock = new FakeClock();
  const [calls, failing]: [string[], Map<string, Error>] = [[], new Map()];
  const call = async (method: string): Promise<unknown> => {
    calls.push(method);
    const failure = failing.get(method);
    if (failure !== undefined) throw failure;
    return answers[method];
  };
  const file = { now: configuration('vm1') };
  const rounds = { call };
  const parts = { clock, log: silentLog, rounds, settings: file.now, reread: () => file.now };
  const roles = new Roles(parts as unknown as RolesParts);
  const resources = new Map<string, Resource>();
  const reloading = new Reloading(parts as unknown as ReloadingParts, roles, resources);
  return { clock, calls, failing, file, resources, reloading };
}

const KNOWN = { sizeBytes: 4096, ordered: 'secondary', lastPrimary: 'b' };
const TAKE = { take: 'secondary', ordered: 'secondary', alone: false, text: '' };
const SECONDARY = { known: KNOWN, remembered: TAKE, becomeSecondary: { notes: [] } };

test('a resource that comes back has its remembered role again, and the notes say it', async () => {
  const { file, resources, reloading, calls } = world(SECONDARY);
  const notes = (await reloading.reload()).join('\n');
  assert.match(notes, /resource vm1: .*none -> vm1 \(in force\)\nvm1: is secondary again/);
  const vm1 = resources.get('vm1');
  assert.deepEqual([vm1?.role, vm1?.ordered], ['secondary', 'secondary']);
  assert.ok(calls.includes('reload'), 'its state is read anew');
  // It goes when it has no role, not before.
  file.now = configuration();
  await reloading.reload();
  assert.equal(resources.get('vm1'), vm1);
  if (vm1) vm1.role = 'init';
  await reloading.reload();
  assert.equal(resources.size, 0);
  assert.equal(vm1?.asking.signal.aborted, true);
});

test('one that waits for its peers is known meanwhile, and says so', async () => {
  const waits = { ...TAKE, take: 'init', ordered: 'primary', text: 'not reached: b' };
  const { clock, resources, reloading } = world({
    known: { ...KNOWN, ordered: 'primary' },
    remembered: waits,
  });
  const reloaded = reloading.reload();
  await clock.advance(6000);
  assert.match((await reloaded).join('\n'), /vm1: was primary and waits to be it again: not reach/);
  const vm1 = resources.get('vm1');
  assert.deepEqual([vm1?.role, vm1?.ordered], ['init', 'primary']);
  vm1?.asking.abort();
});

test('a secret that cannot be read changes nothing', async () => {
  const { failing, resources, reloading, calls } = world(SECONDARY);
  failing.set('readSecrets', new Error('no.key'));
  await assert.rejects(reloading.reload(), /no\.key/);
  assert.equal(resources.size, 0);
  assert.deepEqual(calls, ['readSecrets']);
});

test('a reload waits for a change of role, and plans from what that has left', async () => {
  const { file, resources, reloading } = world(SECONDARY);
  await reloading.reload();
  const vm1 = present(resources.get('vm1'), 'it was added');
  const old = vm1.settings;
  let finish = (): void => undefined;
  const changing = vm1.order.run(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  const [wanted] = file.now.resources;
  assert.ok(wanted);
  file.now = { ...file.now, resources: [{ ...wanted, local: '/new.img' }] };
  const reloaded = reloading.reload();
  await new Promise(setImmediate);
  assert.equal(vm1.settings, old);
  vm1.role = 'init';
  finish();
  await changing;
  assert.match((await reloaded).join(), /local: \/vm1\.img -> \/new\.img \(in force\)/);
  assert.equal(vm1.settings.local, '/new.img');
});
