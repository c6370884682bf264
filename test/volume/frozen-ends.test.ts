// What a frozen set costs when it is given up and when it ends: nothing is kept for a round that
// has failed (H17), a large set is freed in turns, and a repair closes the gate only when its write
// has a place on the pool (H4, H20).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { deferred } from '../../src/base/sync.js';
import { BLOCK_BYTES, CHUNK_BYTES, GIB, MIB } from '../../src/base/units.js';
import type { WriteReserved } from '../../src/disk/device.js';
import * as M from '../../src/volume/memory.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { filled, makeRig } from './rig.js';

async function cutOf(rig: ReturnType<typeof makeRig>) {
  const frozen = await rig.volume.cut(0);
  assert.ok(frozen !== 'busy');
  return frozen;
}

test('H17: a round that has failed keeps nothing more, and is told of once', async () => {
  const device = new MemoryDevice({ sizeBytes: 4 * MIB });
  const rig = makeRig(device, { spillBytes: CHUNK_BYTES });
  const [disk] = rig.disks;
  for (let chunk = 0; chunk < 64; chunk += 1) disk.write(chunk * CHUNK_BYTES, filled(512, 1));
  const frozen = await cutOf(rig);
  disk.write(0, filled(512, 2));
  disk.write(CHUNK_BYTES, filled(512, 2));
  assert.ok(frozen.failed);
  const { readCached } = device.counts;
  for (let chunk = 2; chunk < 64; chunk += 1) disk.write(chunk * CHUNK_BYTES, filled(512, 2));
  assert.equal(device.counts.readCached, readCached, 'old content is not read for it');
  assert.deepEqual(rig.troubles, ['preserve']);
  const into = filled(CHUNK_BYTES, 0xee);
  assert.equal(await frozen.read(5, into), 'failed', 'and none of it is sent');
  await frozen.end('merge');
  const next = await cutOf(rig);
  assert.equal(next.map.count().chunks, 64, 'all of it is dirty');
  await next.end('drop');
});

test('a whole disk that was frozen is freed in many turns', async () => {
  const rig = makeRig(new MemoryDevice({ sizeBytes: 2 * GIB }));
  rig.volume.pending(0).markAll();
  const frozen = await cutOf(rig);
  const turns = rig.turns();
  await frozen.end('drop');
  assert.ok(rig.turns() - turns >= 4, `${rig.turns() - turns} turns for 32768 chunks`);
  assert.equal(rig.volume.dirtyBytes(0), 0);
});

test('H20: guests do not wait while a repair waits for a place on the pool', async () => {
  const place = deferred<void>();
  const device = new MemoryDevice({ sizeBytes: MIB });
  const rig = makeRig(device);
  const writes: number[] = [];
  device.reserved = async <T>(work: (write: WriteReserved) => Promise<T>): Promise<T> => {
    await place.promise;
    return work(async (offset, bytes) => void writes.push(offset, bytes.length));
  };
  const { swaps } = rig.volume;
  rig.disks[0].write(3 * BLOCK_BYTES, filled(BLOCK_BYTES, 9));
  const writing = rig.volume.writeBack(0, 0, 0b1101_1110, filled(CHUNK_BYTES, 1), swaps);
  await turn();
  assert.equal(rig.control[M.GATE], 0, 'open: its write has no place yet');
  assert.equal(rig.disks[0].write(8 * BLOCK_BYTES, filled(BLOCK_BYTES, 2)), 'done');
  place.resolve();
  assert.equal(await writing, 5);
  assert.deepEqual(writes, [
    ...[BLOCK_BYTES, 2 * BLOCK_BYTES], // blocks 1 and 2; 3 is dirty, 5 is not wanted
    ...[4 * BLOCK_BYTES, BLOCK_BYTES],
    ...[6 * BLOCK_BYTES, 2 * BLOCK_BYTES],
  ]);
});
