// A disk that grows (H14): refused where a guest would feel it or the disk has no room, else the
// export, the maps and at the next round the replica have the new size and nothing is lost.
import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../nbd/client.js';
import { MIB, qemuIo } from './images.js';
import { type Pair, type RealNode, startPair } from './nodes.js';
import { nothingLost, round, takeRole, targetOf, until } from './steps.js';

/** The last chunk and the last block are short. */
const SIZE = 8 * MIB + 512;
const GROWN = 24 * MIB + 1536;

async function fails(node: RealNode, status: number, text: RegExp, ...args: readonly string[]) {
  const finished = await node.ctl(...args);
  assert.equal(finished.status, status, `${finished.stdout}${finished.stderr}\n${node.log()}`);
  assert.match(finished.stderr, text);
}

const sizeOf = async (node: RealNode) =>
  (await node.control.status(['vm1'])).resources[0]?.sizeBytes;

test('the disk grows under its primary, and the replica with it', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, `write -P 1 0 1M`, `write -P 2 ${8 * MIB} 512`, 'flush');
  await round(a);
  await qemuIo(a.nbdUri, 'write -P 3 1M 64k', 'flush');
  truncateSync(a.image, GROWN);
  assert.equal(await sizeOf(a), SIZE, 'the disk alone changes nothing');
  await a.ask('resize', 'vm1');
  assert.equal(await sizeOf(a), GROWN);
  const { dirtyBytes } = await targetOf(a);
  assert.ok(dirtyBytes < GROWN, `${dirtyBytes} dirty: the old part is still known`);
  await qemuIo(a.nbdUri, 'read -P 1 0 1M', `write -P 4 ${23 * MIB} 1M`, `write -P 5 ${8 * MIB} 4k`);
  await until('b is there', async () => (await targetOf(a)).link === 'up');
  await round(a);
  assert.equal(statSync(b.image).size, GROWN);
  await nothingLost(pair);
  assert.deepEqual((await a.control.verify('vm1', true, new AbortController().signal)).results[0], {
    ...(await a.control.verify('vm1', true, new AbortController().signal)).results[0],
    differing: 0,
  });

  // Both hosts restart, and the replica can be promoted.
  await Promise.all([a.kill('SIGKILL'), b.kill('SIGKILL')]);
  await Promise.all([b.hastd(), a.hastd()]);
  await until('a is primary', async () => {
    return (await a.control.status(['vm1'])).resources[0]?.role === 'primary';
  });
  assert.equal(await sizeOf(a), GROWN);
  await nothingLost(pair);
  await takeRole(a, 'init');
  await takeRole(b, 'primary');
  await qemuIo(b.nbdUri, `read -P 4 ${23 * MIB} 1M`, `read -P 5 ${8 * MIB} 4k`);
});

test('refused: smaller, beyond the disk, guests connected, a secondary', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await round(a);
  await fails(a, 65, /never made smaller/, 'resize', '-m', '1M', 'vm1');
  await fails(a, 65, /make the disk larger first/, 'resize', '-m', '1g', 'vm1');
  await fails(b, 2, /its role is secondary/, 'resize', 'vm1');
  truncateSync(a.image, GROWN);
  const guest = await Client.open({ path: a.nbdSocket }, 'vm1');
  t.after(() => guest.socket.destroy());
  await until('it is counted', async () => {
    return (await a.control.status(['vm1'])).resources[0]?.guests === 1;
  });
  await fails(a, 2, /1 NBD clients are connected.*--disconnect/, 'resize', 'vm1');
  assert.equal(await sizeOf(a), SIZE);
  await a.ask('resize', '--disconnect', 'vm1');
  assert.equal(await sizeOf(a), GROWN);
  const [resource] = (await a.control.status(['vm1'])).resources;
  assert.deepEqual([resource?.guests, resource?.role], [0, 'primary']);
  const again = await a.ctl('resize', 'vm1');
  assert.equal(again.status, 0, again.stderr);
  await nothingLost(pair);
});

test('killed in the middle of growing: the old size or the new one, no third', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h  timeout 3' });
  const { a } = pair;
  await round(a);
  const sizes = new Set<number>();
  for (let step = 1; step <= 8; step += 1) {
    const [before, after] = [(await sizeOf(a)) ?? 0, SIZE + step * MIB];
    truncateSync(a.image, after);
    await qemuIo(a.nbdUri, `write -P ${step} ${step % 8}M 64k`, 'flush');
    const { control } = a;
    const growing = control.resize('vm1', { sizeBytes: after, disconnect: true }).catch(() => null);
    await sleep(step * step * 4);
    await a.kill('SIGKILL');
    await growing;
    await a.hastd();
    await until('a is primary again', async () => {
      return (await control.status(['vm1'])).resources[0]?.role === 'primary';
    });
    const size = (await sizeOf(a)) ?? 0;
    assert.ok(size === before || size === after, `${size} is neither ${before} nor ${after}`);
    sizes.add(size - before);
    await until('b is there', async () => (await targetOf(a)).link === 'up');
    await round(a);
    assertReplicaHolds(pair, size);
  }
  t.diagnostic(`grown by: ${[...sizes].join(', ')}`);
});

/** The replica has the first `size` bytes of the primary's disk. */
function assertReplicaHolds({ a, b }: Pair, size: number): void {
  const [mine, theirs] = [a, b].map(({ image }) => readFileSync(image).subarray(0, size));
  assert.ok(mine && theirs?.length === size && mine.equals(theirs), `the first ${size} bytes`);
}

test('without a role, and to a part of the disk only', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await round(a);
  await takeRole(a, 'init');
  truncateSync(a.image, 64 * MIB);
  await a.ask('resize', '-m', String(GROWN - 1536), 'vm1');
  await takeRole(a, 'primary');
  assert.equal(await sizeOf(a), GROWN - 1536);
  await qemuIo(a.nbdUri, `write -P 9 ${23 * MIB} 1M`, 'flush');
  await round(a);
  assert.equal(statSync(b.image).size, GROWN - 1536, 'bytes beyond are nobody’s');
  await qemuIo(a.nbdUri, `read -P 9 ${23 * MIB} 1M`);
});
