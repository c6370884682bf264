// C1 without daemon and peer: a replica whose hastd was killed in the middle of an apply is brought
// to its point by recoverOffline; and what is no replica, or is held by a daemon, is refused.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../src/base/assert.js';
import { codeOf } from '../../src/base/errors.js';
import { loadConfig } from '../../src/config/load.js';
import { recoverOffline } from '../../src/daemon/offline.js';
import { Client, CMD } from '../nbd/client.js';
import { assertSameImages, MIB, qemuIo } from './images.js';
import { makePair, type Pair, startPair } from './nodes.js';
import { nothingLost, round, takeRole, until } from './steps.js';

const SIZE = 96 * MIB;
const TRIES = 20;

const settingsOf = ({ config }: Pair, node: string) =>
  present(loadConfig(readFileSync(config, 'utf8'), config, { names: [node] }).settings, 'valid');

const recovered = (pair: Pair, node: string) => recoverOffline(settingsOf(pair, node), 'vm1');

const committedFiles = (pair: Pair) =>
  readdirSync(join(pair.folder, 'b', 'vm1')).filter((name) => name.startsWith('committed-'));

async function writeAll(pair: Pair, fill: number): Promise<void> {
  const client = await Client.open({ path: pair.a.nbdSocket }, 'vm1');
  for (let offset = 0; offset < SIZE; offset += 4 * MIB) {
    const { error } = await client.ask({ type: CMD.WRITE, offset }, Buffer.alloc(4 * MIB, fill));
    assert.equal(error, 0);
  }
  client.socket.destroy();
}

/** Kills b while it applies a round of the whole disk; false: it was too late, or too early. */
async function killedAmidApply(pair: Pair, delayMs: number): Promise<boolean> {
  const { a, b } = pair;
  const syncing = a.control
    .sync('vm1', { wait: 'commit' }, new AbortController().signal)
    .catch(() => null);
  await until('it is committed', async () => committedFiles(pair).length > 0);
  await sleep(delayMs);
  await b.kill('SIGKILL');
  await syncing;
  return committedFiles(pair).length > 0;
}

test('killed in the middle of an apply: the disk stands at the committed point', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h  compression none' });
  const { a, b } = pair;
  await round(a);
  let amid = false;
  for (let fill = 1; fill <= TRIES && !amid; fill += 1) {
    await writeAll(pair, fill);
    amid = await killedAmidApply(pair, fill * 7);
    if (amid) break;
    await b.hastd();
  }
  assert.ok(amid, 'one kill came while a committed round was being applied');
  assert.throws(() => assertSameImages(a.image, b.image), 'the file is a mixture now');
  const before = await recovered(pair, 'b');
  assertSameImages(a.image, b.image);
  const last = (await a.control.points('vm1')).points[0];
  assert.equal(before.path, b.image);
  assert.match(before.notes.join('\n'), /vm1: point \d+ of .* was applied to the end/);
  // Asked for again it says where the disk stands, and changes nothing.
  const again = await recovered(pair, 'b');
  assert.deepEqual(again.point, before.point);
  assert.match(again.notes.join('\n'), /vm1: the disk is at point/);
  await b.hastd();
  await nothingLost(pair);
  const now = (await a.control.points('vm1')).points[0];
  assert.ok((now?.number ?? 0) >= (last?.number ?? 0));
});

async function refused(pair: Pair, node: string, code: string, text: RegExp): Promise<void> {
  await assert.rejects(recovered(pair, node), (error) => {
    assert.equal(codeOf(error), code);
    assert.match(String(error), text);
    return true;
  });
}

test('refused: a daemon that runs, a primary, no state, no disk', async (t) => {
  const pair = await startPair(t, { sizeBytes: MIB });
  const { a, b } = pair;
  await round(a);
  await refused(pair, 'b', 'DAEMON_RUNNING', /another hastd \(pid \d+\)/);
  await Promise.all([a.kill('SIGTERM'), b.kill('SIGTERM')]);
  await refused(pair, 'a', 'NOT_A_REPLICA', /it has been primary here/);
  const { point } = await recovered(pair, 'b');
  assert.equal(point?.consistency, 'crash');
  rmSync(b.image);
  await refused(pair, 'b', 'DISK_MISSING', /b\.img: no such disk/);
  await assert.rejects(recoverOffline(settingsOf(pair, 'b'), 'vm9'), /vm9: is no replica/);
});

test('refused: a state that has never met a primary', async (t: TestContext) => {
  const pair = await makePair(t, { sizeBytes: MIB });
  const { b } = pair;
  await refused(pair, 'b', 'STATE_MISSING', /hastctl create/);
  await b.hastd();
  await b.ask('create', 'vm1');
  await takeRole(b, 'secondary');
  await b.kill('SIGTERM');
  await refused(pair, 'b', 'NOT_A_REPLICA', /never heard of a primary/);
});

test('interrupted in its first copy: at no point, and it says so', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h  compression none' });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 8M', 'flush');
  await writeAll(pair, 3);
  const { signal } = new AbortController();
  const syncing = a.control.sync('vm1', { wait: 'commit' }, signal).catch(() => null);
  await until('something has come', async () => {
    const { resources } = await b.control.status(['vm1']);
    return (resources[0]?.sizeBytes ?? 0) > 0;
  });
  await b.kill('SIGKILL');
  await syncing;
  const { point, notes } = await recovered(pair, 'b');
  assert.equal(point, null);
  assert.match(notes.join(), /the first copy had not ended/);
});
