// SIGHUP and `hastctl reload`: what no guest can feel is in force at once, the rest is named and
// stays as it was, and a file with an error changes nothing.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, CMD } from '../nbd/client.js';
import { MIB, qemuIo } from './images.js';
import { type Pair, type RealNode, startPair } from './nodes.js';
import { listen, nothingLost, round, takeRole, targetOf, until } from './steps.js';

const SIZE = 16 * MIB;

/** Changes the file of both nodes. */
function edit(pair: Pair, from: string | RegExp, to: string): void {
  const text = readFileSync(pair.config, 'utf8');
  const edited = text.replace(from, to);
  assert.notEqual(edited, text, 'the file is changed');
  writeFileSync(pair.config, edited);
}

const reloaded = async (node: RealNode): Promise<string> =>
  (await node.control.reload()).notes.join('\n');

test('a schedule comes into force without a guest noticing', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a } = pair;
  const guest = await Client.open({ path: a.nbdSocket }, 'vm1');
  t.after(() => guest.socket.destroy());
  await round(a);
  const before = await targetOf(a);
  edit(pair, 'interval 1h', 'schedule "* * * * * *"');
  const notes = await a.ctl('reload');
  assert.equal(notes.status, 0, notes.stderr);
  const text = notes.stdout + notes.stderr;
  assert.match(text, /resource vm1: target b: .* -> .*\* \* \* .*\(in force\)/);
  const { error } = await guest.ask({ type: CMD.WRITE, offset: 0 }, Buffer.alloc(4096, 7));
  assert.equal(error, 0, 'on the connection of before');
  await until('the schedule fires', async () => {
    return ((await targetOf(a)).lastPoint?.number ?? 0) > (before.lastPoint?.number ?? 0);
  });
  assert.equal((await targetOf(a)).link, 'up');
});

test('SIGHUP reads it too, and what needs a role waits for one that is ordered', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a } = pair;
  await round(a);
  edit(pair, 'interval 1h', 'interval 2h  name disk1');
  const log = listen(a);
  process.kill(a.pid ?? 0, 'SIGHUP');
  const line = await log.line(/configuration read again/);
  assert.match(line, /interval: 1h -> 2h \(in force\)/);
  assert.match(line, /name: vm1 -> disk1 \(from its next role on\)/);
  await qemuIo(a.nbdUri, 'write -P 1 0 64k', 'flush');
  const [resource] = (await a.control.status(['vm1'])).resources;
  assert.equal(resource?.exportName, 'vm1');
  assert.match(await reloaded(a), /name: vm1 -> disk1/, 'it is said again as long as it waits');
  await takeRole(a, 'init');
  await takeRole(a, 'primary');
  await qemuIo(a.nbdUri.replace('vm1', 'disk1'), 'read -P 1 0 64k');
  await nothingLost(pair);
  assert.equal(await reloaded(a), 'nothing has changed');
});

test('a file with an error, or without its secret, changes nothing', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a } = pair;
  await round(a);
  const good = readFileSync(pair.config, 'utf8');
  edit(pair, 'interval 1h', 'interval 20s  intervall 3s');
  const refused = await a.ctl('reload');
  assert.equal(refused.status, 78, refused.stderr);
  assert.match(refused.stderr, /hast\.conf:\d+:\d+: intervall: /);
  const log = listen(a);
  process.kill(a.pid ?? 0, 'SIGHUP');
  await log.line(/intervall.*the configuration stays as it was/);
  writeFileSync(pair.config, good.replace('hast.key', 'no.key').replace('1h', '20s'));
  const keyless = await a.ctl('reload');
  assert.equal(keyless.status, 66, keyless.stderr);
  assert.match(keyless.stderr, /no\.key/);
  const next = Date.parse((await targetOf(a)).nextRun ?? '');
  assert.ok(next > Date.now() + 60_000, 'the old schedule is in force');
  writeFileSync(pair.config, good);
  assert.equal(await reloaded(a), 'nothing has changed');
  await qemuIo(a.nbdUri, 'write -P 1 0 64k', 'flush');
  await nothingLost(pair);
});

test('a resource comes, and goes again, while its neighbour is served', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b, folder } = pair;
  const good = readFileSync(pair.config, 'utf8');
  const second = good
    .slice(good.indexOf('resource vm1'))
    .replaceAll('vm1', 'vm2')
    .replaceAll('a.img', 'a2.img')
    .replaceAll('b.img', 'b2.img');
  writeFileSync(pair.config, `${good}${second}`);
  assert.match(await reloaded(a), /resource vm2: .*none -> vm2 \(in force\)/);
  await reloaded(b);
  await a.ask('create', '-m', String(SIZE), 'vm2');
  await b.ask('create', 'vm2');
  await b.ask('role', 'secondary', 'vm2');
  await a.ask('role', 'primary', 'vm2');
  await qemuIo(a.nbdUri.replace('vm1', 'vm2'), 'write -P 6 0 1M', 'flush');
  await a.ask('sync', 'vm2', '--wait');
  assert.ok(
    readFileSync(join(folder, 'b2.img'))
      .subarray(0, MIB)
      .every((byte) => byte === 6),
  );

  writeFileSync(pair.config, good);
  assert.match(await reloaded(a), /vm2 -> none \(when it has no role\)/);
  await qemuIo(a.nbdUri.replace('vm1', 'vm2'), 'read -P 6 0 1M');
  await takeRole(a, 'init', {}, 'vm2');
  await reloaded(a);
  const { resources } = await a.control.status([]);
  assert.deepEqual(
    resources.map(({ name }) => name),
    ['vm1'],
  );
  await nothingLost(pair);
});

test('another address of the peer is dialled at once', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await round(a);
  const good = readFileSync(pair.config, 'utf8');
  const [, address] = /on a { local \S+ {2}remote (\S+) }/.exec(good) ?? [];
  assert.ok(address !== undefined);
  edit(pair, `remote ${address}`, 'remote tcp://127.0.0.1:1');
  await reloaded(a);
  await until('the link is gone', async () => (await targetOf(a)).link === 'down');
  writeFileSync(pair.config, good);
  await reloaded(a);
  await until('the link is back', async () => (await targetOf(a)).link === 'up');
  assert.equal((await targetOf(b)).link, 'up');
  await nothingLost(pair);
});
