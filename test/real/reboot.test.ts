// What hosts come back to after hastd or the machine went down (H38): the role that an operator
// gave is taken up again, unless a peer has gone on without us; without an answer the way hastd
// ended and start-alone decide. Never two primaries of one disk while the other can be asked (H37).
import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MIB, qemuIo } from './images.js';
import { type Pair, type RealNode, startPair } from './nodes.js';
import { listen, nothingLost, round, takeRole, targetOf, until } from './steps.js';

const SIZE = 16 * MIB;
const QUICK = 'interval 1h\n  timeout 3';

async function statusOf(node: RealNode) {
  const { resources } = await node.control.status(['vm1']);
  const resource = resources[0];
  assert.ok(resource !== undefined);
  return resource;
}
const roleOf = async (node: RealNode) => (await statusOf(node)).role;

async function fails(node: RealNode, status: number, text: RegExp, ...args: readonly string[]) {
  const finished = await node.ctl(...args);
  assert.equal(finished.status, status, `${finished.stdout}${finished.stderr}\n${node.log()}`);
  assert.match(finished.stderr, text);
}

/** A pair with a point, and `b` promoted while `a` is down after `signal`. */
async function promotedMeanwhile(pair: Pair, signal: NodeJS.Signals): Promise<void> {
  const { a, b } = pair;
  await round(a);
  await qemuIo(a.nbdUri, 'write -P 1 1M 1M', 'flush');
  await a.kill(signal);
  await until('b misses a', async () => (await targetOf(b)).link === 'down');
  await takeRole(b, 'primary', { acceptLoss: true });
}

test('both hosts end and come back: both roles are there again, and rounds run', async (t) => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
    const { a, b } = pair;
    await qemuIo(a.nbdUri, 'write -P 1 0 1M', 'flush');
    await round(a);
    await Promise.all([a.kill(signal), b.kill(signal)]);
    await b.hastd();
    assert.equal(await roleOf(b), 'secondary', 'a replica asks nobody');
    await a.hastd();
    const { role, alone, error } = await statusOf(a);
    assert.deepEqual({ role, alone, error }, { role: 'primary', alone: false, error: null });
    await qemuIo(a.nbdUri, 'read -P 1 0 1M', 'write -P 2 2M 1M', 'flush');
    await nothingLost(pair);
  }
});

test('alone after a clean end: it serves, says so, and is not alone once b is there', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await round(a);
  await b.kill('SIGKILL');
  await a.kill('SIGTERM');
  await a.hastd();
  const served = await statusOf(a);
  assert.deepEqual([served.role, served.alone], ['primary', true]);
  await qemuIo(a.nbdUri, 'write -P 3 3M 1M', 'flush');
  await b.hastd();
  await until('a has met b', async () => !(await statusOf(a)).alone);
  await nothingLost(pair);
});

test('alone after an unclean end: it waits for b, and takes the role by itself', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 1M', 'flush');
  await round(a);
  await b.kill('SIGTERM');
  await a.kill('SIGKILL');
  await a.hastd();
  const waiting = await statusOf(a);
  assert.equal(waiting.role, 'init');
  assert.match(waiting.error ?? '', /waits to be it again: not reached: b .*end was not clean/);
  assert.ok(waiting.alarms.length > 0, 'nobody who looks takes this for well');
  await fails(a, 2, /whether another node has gone on .*--alone/, 'role', 'primary', 'vm1');
  // The refused order has ended the waiting; a start waits again.
  await a.kill('SIGTERM');
  await a.hastd();
  assert.equal(await roleOf(a), 'init', 'a clean end without the role does not make it clean');
  await b.hastd();
  await until('a is primary again', async () => (await roleOf(a)) === 'primary');
  assert.equal((await statusOf(a)).error, null);
  await qemuIo(a.nbdUri, 'read -P 1 0 1M');
  await nothingLost(pair);
});

test('--alone is an operator who knows; start-alone serve says it beforehand', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await round(a);
  await b.kill('SIGTERM');
  await a.kill('SIGKILL');
  await a.hastd();
  await a.ask('role', 'primary', '--alone', 'vm1');
  const served = await statusOf(a);
  assert.deepEqual([served.role, served.alone, served.error], ['primary', true, null]);
  await qemuIo(a.nbdUri, 'write -P 9 1M 64k', 'flush');

  const config = readFileSync(pair.config, 'utf8');
  writeFileSync(pair.config, config.replace('timeout 3', 'timeout 3\n  start-alone serve'));
  await a.kill('SIGKILL');
  await a.hastd();
  assert.deepEqual([await roleOf(a), (await statusOf(a)).alone], ['primary', true]);
  writeFileSync(pair.config, config.replace('timeout 3', 'timeout 3\n  start-alone wait'));
  await a.kill('SIGTERM');
  await a.hastd();
  assert.equal(await roleOf(a), 'init', 'it waits even after a clean end');
  await b.hastd();
  await until('a is primary again', async () => (await roleOf(a)) === 'primary');
  await nothingLost(pair);
});

test('b was promoted meanwhile: a serves nobody, whatever it is told, and says why', async (t) => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const pair = await startPair(t, { sizeBytes: SIZE, config: `${QUICK}\n  start-alone serve` });
    const { a, b } = pair;
    await promotedMeanwhile(pair, signal);
    await qemuIo(b.nbdUri, 'write -P 5 5M 1M', 'flush');
    await a.hastd();
    const back = await statusOf(a);
    assert.equal(back.role, 'init');
    assert.match(back.error ?? '', /b was promoted since \(epoch 2 of node b\) and is primary/);
    assert.equal(back.nbdUri, null);
    const why = /vm1: b was promoted since .*create --force vm1/;
    await fails(a, 2, why, 'role', 'primary', 'vm1');
    await fails(a, 2, why, 'role', 'primary', '--alone', '--accept-loss', 'vm1');
    assert.equal(await roleOf(a), 'init');
    // Back as the replica, as the page says, and remembered as that.
    await a.ask('create', '--force', 'vm1');
    await takeRole(a, 'secondary');
    await round(b);
    await a.kill(signal);
    await a.hastd();
    assert.equal(await roleOf(a), 'secondary');
  }
});

test('b was promoted and is down now, or has no role: a still finds out, or waits', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await promotedMeanwhile(pair, 'SIGKILL');
  await takeRole(b, 'init');
  await b.kill('SIGTERM');
  await a.hastd();
  assert.equal(await roleOf(a), 'init', 'nobody answers, and a had crashed');
  const log = listen(a);
  await b.hastd();
  await log.line(/b was promoted since.*a remembered role is not taken up/);
  assert.equal(await roleOf(a), 'init');
  assert.equal(await roleOf(b), 'init', 'init was the last order that b had');
});

test('what an operator ordered last counts: init, remember off, a new state', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await round(a);
  await takeRole(a, 'init');
  await takeRole(b, 'init');
  await Promise.all([a.kill('SIGKILL'), b.kill('SIGTERM')]);
  await Promise.all([a.hastd(), b.hastd()]);
  assert.deepEqual([await roleOf(a), await roleOf(b)], ['init', 'init']);
  assert.equal((await statusOf(a)).error, null);

  await takeRole(b, 'secondary');
  await takeRole(a, 'primary');
  const config = readFileSync(pair.config, 'utf8');
  writeFileSync(pair.config, config.replace('timeout 3', 'timeout 3\n  remember off'));
  await Promise.all([a.kill('SIGTERM'), b.kill('SIGTERM')]);
  await Promise.all([a.hastd(), b.hastd()]);
  assert.deepEqual([await roleOf(a), await roleOf(b)], ['init', 'init']);
  writeFileSync(pair.config, config);
  await b.kill('SIGTERM');
  await b.hastd();
  assert.equal(await roleOf(b), 'secondary', 'it was never forgotten');
  await takeRole(a, 'primary');
  await nothingLost(pair);
  await takeRole(b, 'init');
  await b.ask('create', '--force', 'vm1');
  await b.kill('SIGTERM');
  await b.hastd();
  assert.equal(await roleOf(b), 'init', 'a new state remembers nothing');
});

test('the disk is not there at start: hastd runs, and says it; an order helps', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 64k', 'flush');
  await round(a);
  await a.kill('SIGTERM');
  const moved = join(pair.folder, 'moved.img');
  renameSync(a.image, moved);
  await a.hastd();
  const { role, error } = await statusOf(a);
  assert.equal(role, 'init');
  assert.match(error ?? '', /the role primary could not be taken up: .*a\.img: no such disk/);
  renameSync(moved, a.image);
  await takeRole(a, 'primary');
  assert.equal((await statusOf(a)).error, null);
  await nothingLost(pair);
});

test('a start while both ends are booting at once', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await round(a);
  await Promise.all([a.kill('SIGKILL'), b.kill('SIGKILL')]);
  await Promise.all([a.hastd(), b.hastd()]);
  await until('both have their roles', async () => {
    return (await roleOf(a)) === 'primary' && (await roleOf(b)) === 'secondary';
  });
  await nothingLost(pair);
});

test('created anew on a third start, nothing of the old lineage stands in the way', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await round(a);
  await takeRole(a, 'init');
  await a.kill('SIGTERM');
  await a.hastd();
  await a.ask('create', '--force', 'vm1');
  await takeRole(a, 'primary');
  assert.equal((await statusOf(a)).error, null);
  await takeRole(b, 'init');
  await b.ask('create', '--force', 'vm1');
  await takeRole(b, 'secondary');
  await nothingLost(pair);
});
