// Blocks that break at the worst moment, here or at the replica: nothing that was not sent is taken
// for sent, and what is lost is named (H20, H21, H27).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { type Device, DiskError } from '../../src/disk/device.js';
import { newCounts } from '../../src/round/parts.js';
import { BadBlocks } from './bad-blocks.js';
import { same } from './checks.js';
import { large, ready, started } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);

test(
  'R4: a block breaks between the passes and the round: what was sent is not zeroed',
  LIMIT,
  async () => {
    const bad = new BadBlocks();
    const pair = new Pair(large, 6, { primaryDevice: bad.knob });
    const { disk } = await (async () => {
      await started(pair);
      return pair.primaryNode;
    })();
    await disk.write(2 * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 77));
    await pair.primaryNode.primary.dirty.checkpoint();
    await pair.meet();
    const image = pair.primaryNode.bytes().slice();
    await disk.write(2 * CHUNK_BYTES + 3 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, 9));
    image.fill(9, 2 * CHUNK_BYTES + 3 * BLOCK_BYTES, 2 * CHUNK_BYTES + 4 * BLOCK_BYTES);
    bad.blocks.add(2 * 16 + 7);
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    const entry = pair.replicaNode.replica.record.chain.at(-1);
    const flagged = counts.damagedChunks === 1 && entry?.consistency === 'damaged';
    const dirty = pair.primaryNode.primary.volume.isDirty(0, 2 * 16 + 7, 2 * 16 + 7);
    if (flagged && dirty) return;
    same(pair.replicaNode.bytes(), image, `flagged ${flagged}, dirty ${dirty}`);
  },
);

test('R10: chunks lost at an older point are still named after a crash (H27)', LIMIT, async () => {
  let fails = false;
  const replicaDevice = (device: Device): Device =>
    new Proxy(device, {
      get(real, name) {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (name === 'write' && fails) {
            const facts = { operation: 'write', path: '/disk', offset: 0, errno: 'EIO' } as const;
            return Promise.reject(new DiskError({ code: 'DISK_FAILED', ...facts }));
          }
          return value.apply(real, args) as unknown;
        };
      },
    });
  const pair = await ready(10, { replicaDevice }, large);
  pair.receiverWorld.flip(DISK, 5 * CHUNK_BYTES + 9000);
  await pair.primaryNode.disk.write(5 * CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, 3));
  fails = true;
  await pair.round();
  await assert.rejects(pair.replicaNode.replica.idle());
  fails = false;
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  await pair.startReplica();
  const { chain } = pair.replicaNode.replica.record;
  assert.equal(chain.length, 2);
  assert.deepEqual(chain[0]?.lost, [5]);
});

test(
  'R15: a target made anew, a bad block here: its neighbours are not taken for sent',
  LIMIT,
  async () => {
    const bad = new BadBlocks();
    const pair = await ready(13, { primaryDevice: bad.knob }, large);
    await pair.primaryNode.disk.write(
      0,
      Buffer.alloc(large.sizeBytes > MIB ? MIB : CHUNK_BYTES, 66),
    );
    await pair.wholeRound();
    // The replica's host is lost; an empty one takes its place.
    pair.link?.cut();
    pair.receiverWorld = new Pair(large, 99).receiverWorld;
    await pair.startReplica();
    pair.connect();
    bad.blocks.add(5 * 16 + 2);
    const image = pair.primaryNode.bytes().slice();
    assert.equal(await pair.meet(), 'fill');
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    image.fill(0, (5 * 16 + 2) * BLOCK_BYTES, (5 * 16 + 3) * BLOCK_BYTES);
    same(pair.replicaNode.bytes(), image, `all but the bad block; damaged ${counts.damagedChunks}`);
  },
);
