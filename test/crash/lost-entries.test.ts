// What the replica's own table has lost (a bad page, a bad header) is read from its disk at open,
// but only from a disk that is what it was (H27, H28), and no more than a start can wait for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { silentLog } from '../../src/base/log.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { TABLE_PAGE_BYTES } from '../../src/format/digest-table.js';
import { type Mended, mendLost } from '../../src/receive/doubter.js';
import { DigestTable } from '../../src/tracking/digest-table.js';
import { CrashWorld } from '../world/memory-files.js';
import { BadBlocks } from './bad-blocks.js';
import { historyTrue, replicaAtPoint } from './checks.js';
import { another, large, ready } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, type Knobs, STATE } from './nodes.js';
import type { Pair } from './pair.js';

const LIMIT = limited(30_000);
const TABLE = `${STATE}/disk.digests`;
const CHANGED = 5;

/** At point 2, which changed chunk 5; the replica is closed. */
async function closed(seed: number, knobs: Knobs = {}): Promise<Pair> {
  const pair = await ready(seed, knobs, large);
  await pair.primaryNode.disk.write(CHANGED * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 9));
  await pair.wholeRound();
  await closeReplica(pair);
  return pair;
}

async function closeReplica(pair: Pair): Promise<void> {
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
}

async function goOn(pair: Pair): Promise<void> {
  pair.connect();
  assert.equal(await pair.contact(), 'ready');
  await another(pair);
  await historyTrue(pair, pair.replicaNode);
}

const tearPage = (pair: Pair): void => pair.receiverWorld.flip(TABLE, TABLE_PAGE_BYTES + 40);

test('a bad page, and the disk was written: the disk is doubted, not believed', LIMIT, async () => {
  const pair = await closed(1);
  pair.receiverWorld.flip(DISK, CHANGED * CHUNK_BYTES + 100);
  tearPage(pair);
  await pair.startReplica();
  const { replica } = pair.replicaNode;
  assert.equal(replica.record.suspect, 'content');
  await replica.compared();
  assert.ok(replica.doubts?.has(CHANGED), 'what stands there is not certified');
  assert.match(replica.record.suspect, /content/);
  pair.connect();
  await pair.contact();
  await pair.wholeRound();
  replicaAtPoint(pair, pair.replicaNode);
});

test('a bad page of an untouched disk is read again', LIMIT, async () => {
  const pair = await closed(2);
  tearPage(pair);
  await pair.startReplica();
  replicaAtPoint(pair, pair.replicaNode);
  await goOn(pair);
});

for (const [what, lose] of [
  ['absent', (pair: Pair) => pair.receiverWorld.remove(TABLE)],
  ['bad in its header', async (pair: Pair) => pair.receiverWorld.flip(TABLE, 40)],
] as const) {
  test(`a table ${what}: made again, and no good chunk counts as lost`, LIMIT, async () => {
    const pair = await closed(3);
    await lose(pair);
    await pair.startReplica();
    assert.equal(pair.replicaNode.replica.record.suspect, null);
    replicaAtPoint(pair, pair.replicaNode);
    await goOn(pair);
  });

  test(`a table ${what}, and the disk was written: nothing of it is believed`, LIMIT, async () => {
    const pair = await closed(4);
    await lose(pair);
    pair.receiverWorld.flip(DISK, CHANGED * CHUNK_BYTES + 100);
    await pair.startReplica();
    const { replica } = pair.replicaNode;
    assert.equal(replica.table.point, null);
    await replica.compared();
    assert.equal(replica.doubts?.count, large.sizeBytes / CHUNK_BYTES);
  });
}

test('it dies anywhere while the table is made again', LIMIT, async () => {
  const whole = await closed(5);
  await whole.receiverWorld.remove(TABLE);
  const lost = whole.receiverWorld;
  let reached = true;
  for (let at = 0; reached; at += 1) {
    for (const loss of ['all', 'none', 'seeded'] as const) {
      whole.receiverWorld = lost.afterCrash('none', seededRandom(1));
      whole.receiverWorld.crashAt(at);
      const start = whole.startReplica().catch(() => undefined);
      await Promise.race([start, whole.receiverWorld.stopped]);
      reached = whole.receiverWorld.stoppedAt !== null;
      whole.receiverWorld = whole.receiverWorld.afterCrash(loss, seededRandom(at));
      await whole.startReplica();
      assert.equal(whole.replicaNode.replica.record.suspect, null);
      replicaAtPoint(whole, whole.replicaNode);
    }
  }
});

test('a sector that cannot be read does not keep the role from being taken', LIMIT, async () => {
  const bad = new BadBlocks();
  const pair = await closed(6, { replicaDevice: bad.knob });
  await pair.receiverWorld.remove(TABLE);
  bad.blocks.add(CHANGED * 16 + 3);
  await pair.startReplica();
  const { table, record } = pair.replicaNode.replica;
  assert.deepEqual(table.point, record.point);
  for (let chunk = 0; chunk < large.sizeBytes / CHUNK_BYTES; chunk += 1) {
    assert.equal(table.get(chunk) === null, chunk === CHANGED, `chunk ${chunk}`);
  }
});

test('a table too large to be made again is left as it is, named or not', LIMIT, async () => {
  const world = new CrashWorld();
  world.plant('/state/.made', 0);
  const sizeBytes = 65 * 1024 ** 3;
  const resource = new Uint8Array(16).fill(7);
  const point = { id: new Uint8Array(16).fill(1), number: 1, timeMs: 1 };
  const facts = { resource, sizeBytes };
  const table = await DigestTable.create(world, '/state/disk.digests', facts, false);
  const read = (): never => assert.fail('nothing is read');
  const replica = {
    record: { point, suspect: null, fingerprint: {} },
    parts: { log: silentLog, resourceFile: { state: { sizeBytes } } },
    table,
    device: { read, nextData: read } as unknown as Device,
    renewTable: read,
  } as unknown as Mended;
  await mendLost(replica, false);
  assert.equal(table.point, null);
  await table.finishChange(point);
  await mendLost(replica, false);
  assert.deepEqual(table.point, point);
  assert.equal(table.get(0), null);
});
