// What fails at the primary: an fdatasync of its disk, its spill, the files it publishes, and marks
// that are written while they are settled. No bit is dropped of what the replica may lack (H8, H12,
// H18).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { updateTarget } from '../../src/round/contact.js';
import { newCounts } from '../../src/round/parts.js';
import { droppedIsDurable, same, senderTableTrue } from './checks.js';
import { coded, ready, shape } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';

const LIMIT = limited(20_000);

test(
  'an fdatasync that fails at the primary: no bit is dropped, no round runs (H18)',
  LIMIT,
  async () => {
    const pair = await ready(15);
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.senderWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
    await assert.rejects(pair.round(), coded('ROUND_HARDEN_FAILED'));
    assert.ok(pair.primaryNode.primary.volume.dirtyBytes(0) > 0);
    await assert.rejects(pair.primaryNode.disk.flush(), coded('DISK_SUSPECT'));
    await assert.rejects(pair.round(), coded('ROUND_SUSPECT'));
    await pair.primaryNode.primary.closeClean();
    await pair.startPrimary();
    assert.equal(pair.primaryNode.primary.belief, 'all', 'everything is in doubt');
    pair.senderWorld.evict(DISK);
    pair.connect();
    await pair.contact();
    await pair.settle();
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'what the medium has');
  },
);

test(
  "a guest's fdatasync fails between the cut and the commit: the round is none (H18)",
  LIMIT,
  async () => {
    const pair = await ready(17);
    const before = pair.replicaNode.replica.point;
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.during = async (call) => {
      if (call !== 'begin') return;
      pair.during = null;
      // The round's own is over by then: it has nothing to say of this one.
      for (let turns = 0; turns < 20; turns += 1) await turn();
      pair.senderWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
      await assert.rejects(pair.primaryNode.disk.flush());
    };
    await assert.rejects(pair.round(), coded('ROUND_HARDEN_FAILED'));
    assert.deepEqual(pair.replicaNode.replica.point, before);
    assert.ok(pair.primaryNode.primary.volume.dirtyBytes(0) > 0);
  },
);

test(
  'a spill that cannot keep: the guest goes on, the round fails, the next one does it',
  LIMIT,
  async () => {
    const pair = await ready(16, {}, { ...shape, spillBytes: 0 });
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.during = async (call) => {
      if (call === 'begin')
        await pair.guest.putBack(pair.primaryNode.disk, new Uint8Array(shape.sizeBytes), 8);
    };
    await assert.rejects(pair.round(), coded('ROUND_SPILL_FULL'));
    pair.during = null;
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the next round');
  },
);

test('a clean stop whose publishing fails leaves no clean mark (H8)', LIMIT, async () => {
  const pair = await ready(9);
  await pair.guest.some(pair.primaryNode.disk, 3);
  pair.senderWorld.failNext({ operation: 'sync', path: `${STATE}/b.dirty.new` }, 'EIO');
  await pair.primaryNode.primary.closeClean();
  assert.equal(pair.primaryNode.resourceFile.state.clean, null);
  await pair.startPrimary();
  assert.equal(pair.primaryNode.primary.belief, 'extents');
  pair.connect();
  await pair.contact();
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'nothing was forgotten');
});

test(
  'steps 7 to 9 that fail at the sender keep the bits; the next contact mends it',
  LIMIT,
  async () => {
    const places = [`${STATE}/b.digests`, `${STATE}/resource.json.new`, `${STATE}/b.dirty.new`];
    for (const path of places) {
      const pair = await ready(10);
      await pair.guest.some(pair.primaryNode.disk, 3);
      const { link } = pair;
      assert.ok(link);
      const commit = link.commit.bind(link);
      link.commit = async (question) => {
        const answer = await commit(question);
        pair.senderWorld.failNext({ operation: 'sync', path }, 'EIO');
        return answer;
      };
      await assert.rejects(pair.round(), coded('FILE_FAILED'));
      link.commit = commit;
      assert.ok(pair.primaryNode.primary.volume.dirtyBytes(0) > 0, `${path}: the bits are kept`);
      assert.equal(await pair.contact(), 'ready', path);
      senderTableTrue(pair, pair.primaryNode);
      await pair.guest.putBack(pair.primaryNode.disk, pair.cuts[0]?.image ?? new Uint8Array(0), 8);
      const { point } = await pair.wholeRound();
      same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), path);
      droppedIsDurable(pair.primaryNode, pair.cutOf(point).image);
    }
  },
);

test('settle drops a mark only if nobody wrote the chunk meanwhile (H12)', LIMIT, async () => {
  const pair = await ready(11);
  pair.link?.cut();
  const next = pair.fork('sender', 'all', 12, 'live');
  await next.startPrimary();
  const { primary, disk, parts } = next.primaryNode;
  assert.equal(primary.belief, 'all');
  const chunks = Math.ceil(shape.sizeBytes / CHUNK_BYTES);
  assert.equal(primary.volume.pending(0).count().chunks, chunks);
  // A guest writes chunk 1 after it was read and before the marks are dropped.
  const sync = parts.volume.sync.bind(parts.volume);
  let synced = 0;
  Object.defineProperty(parts.volume, 'sync', {
    value: async () => {
      synced += 1;
      await disk.write(CHUNK_BYTES, Buffer.alloc(512, 3));
      await sync();
    },
  });
  const counts = newCounts('settle');
  assert.equal(await next.settle(counts), chunks - 1, 'all but the one that was written');
  assert.equal(synced, 1, 'the disk was synced after the read');
  assert.notEqual(primary.volume.pending(0).chunkMask(1), 0);
  next.connect();
  assert.equal(await next.contact(), 'ready');
  await next.wholeRound();
  same(next.replicaNode.bytes(), next.primaryNode.bytes(), 'the round after');
});

test(
  'settle drops nothing when marks may have moved, nor while a round is proposed',
  LIMIT,
  async () => {
    const pair = await ready(13);
    const next = pair.fork('sender', 'all', 14, 'killed');
    await next.startPrimary();
    const { primary, parts } = next.primaryNode;
    const pending = (): number => primary.volume.pending(0).count().chunks;
    const before = pending();
    const settling = next.settle();
    await primary.dirty.checkpoint();
    assert.equal(await settling, 0, 'a checkpoint came between');
    const point = { id: next.random.bytes(16), number: 99, timeMs: 1 };
    await updateTarget(parts, (record) => ({ ...record, proposed: { point, from: record.point } }));
    assert.equal(await next.settle(), 0, 'the target may be at another point');
    assert.equal(pending(), before);
    await updateTarget(parts, (record) => ({ ...record, proposed: null }));
    assert.equal(await next.settle(), before, 'nothing else keeps it');
  },
);
