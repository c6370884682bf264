// Promotions that an operator must think about: a replica whose disk somebody changed, and a peer
// that answers under the wrong circumstances. What was ordered is remembered.
import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { MIB, qemuIo } from './images.js';
import { type RealNode, startPair } from './nodes.js';
import { round, takeRole, targetOf, until } from './steps.js';

const SIZE = 16 * MIB;

async function fails(node: RealNode, status: number, text: RegExp, ...args: readonly string[]) {
  const finished = await node.ctl(...args);
  assert.equal(finished.status, status, `${finished.stdout}${finished.stderr}\n${node.log()}`);
  assert.match(finished.stderr, text);
}

const roleOf = async (node: RealNode) => (await node.control.status(['vm1'])).resources[0]?.role;

function scribble(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(4096, 0xee), 0, 4096, offset);
  closeSync(fd);
}

test('H28: a replica that somebody wrote to is promoted only with --accept-drift', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h  timeout 3' });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 4M', 'flush');
  await round(a);
  await b.kill('SIGTERM');
  await a.kill('SIGKILL');
  scribble(b.image, 2 * MIB);
  await b.hastd();
  assert.equal(await roleOf(b), 'secondary');
  await until('it is found out', async () => (await targetOf(b)).data === 'suspect');
  const refused = ['role', 'primary', '--accept-loss', 'vm1'] as const;
  await fails(b, 2, /may not be what was received/, ...refused);
  assert.equal(await roleOf(b), 'secondary', 'it stays what it was');
  await fails(b, 5, /does not answer.*--accept-loss/, 'role', 'primary', '--accept-drift', 'vm1');
  await b.ask('role', 'primary', '--accept-loss', '--accept-drift', 'vm1');
  await qemuIo(b.nbdUri, 'read -P 1 0 2M', `read -P 238 2M 4k`, 'write -P 2 3M 64k', 'flush');
  await b.kill('SIGTERM');
  await b.hastd();
  assert.equal(await roleOf(b), 'primary', 'it has been primary since');
});

test('found only when the disk is opened: refused all the same, and left as it was', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h  timeout 3' });
  const { a, b } = pair;
  await round(a);
  await takeRole(b, 'init');
  await a.kill('SIGKILL');
  scribble(b.image, MIB);
  await fails(b, 2, /may not be/, 'role', 'primary', '--accept-loss', 'vm1');
  assert.equal(await roleOf(b), 'init');
  await b.ask('role', 'primary', '--accept-loss', '--accept-drift', 'vm1');
  await qemuIo(b.nbdUri, `read -P 238 1M 4k`);
});

test('the switch back and forth needs no --accept anything, and is remembered', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h  timeout 3' });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 1M', 'flush');
  await round(a);
  await takeRole(a, 'init');
  await takeRole(b, 'primary');
  await fails(a, 2, /b was promoted since/, 'role', 'primary', '--alone', 'vm1');
  await a.ask('create', '--force', 'vm1');
  await takeRole(a, 'secondary');
  await qemuIo(b.nbdUri, 'write -P 2 1M 1M', 'flush');
  await round(b);
  await Promise.all([a.kill('SIGKILL'), b.kill('SIGKILL')]);
  await Promise.all([a.hastd(), b.hastd()]);
  await until('the roles are as they were', async () => {
    return (await roleOf(a)) === 'secondary' && (await roleOf(b)) === 'primary';
  });
  await round(b);
  await takeRole(b, 'init');
  await takeRole(a, 'primary');
  await qemuIo(a.nbdUri, 'read -P 1 0 1M', 'read -P 2 1M 1M');
});
