// Blocks that the disk cannot read: got back from a target and written back (H20), and what a round
// reads of a frozen chunk that has one (H21). The disk is BadDevice, the target is a
// function.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { isMediumError } from '../../src/volume/repair.js';
import type { FrozenSet } from '../../src/volume/volume.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { BadDevice } from './bad-device.js';
import { filled, makeRig, type Rig } from './rig.js';

const SIZE_BYTES = MIB + 512;
const LAST = Math.floor(SIZE_BYTES / CHUNK_BYTES);

interface Broken extends Rig {
  readonly onDisk: BadDevice;
  /** What the disk held before a block broke, and a target still has. */
  readonly content: Uint8Array;
  /** Chunks and masks that a target was asked for. */
  readonly asked: [number, number][];
}

/** `answer`: what is done while the target is asked; it may refuse with null. */
async function broken(
  bad: readonly number[],
  answer: (rig: Broken, bytes: Uint8Array) => Promise<Uint8Array | null> = async (_, it) => it,
): Promise<Broken> {
  const onDisk = new BadDevice({ sizeBytes: SIZE_BYTES });
  const content = seededRandom(5).bytes(SIZE_BYTES);
  const asked: [number, number][] = [];
  // As daemon/repair.ts: looks, asks, writes back, answers.
  const repair = async (chunk: number, mask: number): Promise<Uint8Array | null> => {
    asked.push([chunk, mask]);
    const { swaps } = rig.volume;
    const bytes = content.slice(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    const given = await answer(rig, bytes);
    if (given === null) return null;
    await rig.volume.writeBack(0, chunk, mask, given, swaps).catch(() => undefined);
    return given;
  };
  const rig: Broken = { ...makeRig(onDisk, { repair }), onDisk, content, asked };
  onDisk.writeNow(0, content);
  for (const block of bad) onDisk.bad.add(block);
  return rig;
}

const isEio = (error: unknown): boolean => codeOf(error) === 'DISK_FAILED';

async function readBack({ disks }: Rig, offset: number, length: number): Promise<Uint8Array> {
  const into = filled(length, 0xee);
  await disks[0].read(offset, into);
  return into;
}

async function cut(rig: Rig): Promise<FrozenSet> {
  const frozen = await rig.volume.cut(0);
  assert.ok(frozen !== 'busy');
  return frozen;
}

describe('H20: a block that cannot be read', () => {
  test('is had from a target, written back, and read from the disk from then on', async () => {
    const rig = await broken([5]);
    const [from, length] = [4 * BLOCK_BYTES + 100, 3 * BLOCK_BYTES];
    const wanted = rig.content.slice(from, from + length);
    assert.deepEqual(await readBack(rig, from, length), wanted);
    assert.deepEqual(rig.asked, [[0, 1 << 5]], 'the blocks that cannot be read, and no other');
    assert.equal(rig.volume.repairedBlocks, 1);
    assert.deepEqual(await readBack(rig, from, length), wanted);
    assert.equal(rig.asked.length, 1);
    assert.equal(rig.volume.dirtyBytes(0), 0, 'it marks nothing');
  });

  test('a read over a chunk border asks for each chunk', async () => {
    const rig = await broken([14, 15, 16, 33]);
    const [from, length] = [13 * BLOCK_BYTES, 2 * CHUNK_BYTES];
    assert.deepEqual(await readBack(rig, from, length), rig.content.slice(from, from + length));
    assert.deepEqual(rig.asked, [
      [0, 0xc000],
      [1, 1],
      [2, 2],
    ]);
    assert.equal(rig.onDisk.bad.size, 0);
  });

  test('the short last block (H14)', async () => {
    const rig = await broken([MIB / BLOCK_BYTES]);
    assert.deepEqual(await readBack(rig, MIB, 512), rig.content.slice(MIB));
    assert.deepEqual(rig.asked, [[LAST, 1]]);
    assert.equal(rig.onDisk.bad.size, 0);
  });

  test('parts of a block: all of it is written back', async () => {
    const rig = await broken([2]);
    const from = 2 * BLOCK_BYTES + 1000;
    assert.deepEqual(await readBack(rig, from, 10), rig.content.slice(from, from + 10));
    const whole = rig.content.slice(2 * BLOCK_BYTES, 3 * BLOCK_BYTES);
    assert.deepEqual(await readBack(rig, 2 * BLOCK_BYTES, BLOCK_BYTES), whole);
    assert.equal(rig.asked.length, 1);
  });

  test('no target can give it: the guest has its error', async () => {
    const rig = await broken([5], async () => null);
    await assert.rejects(readBack(rig, 0, CHUNK_BYTES), isEio);
    assert.equal(rig.volume.repairedBlocks, 0);
    assert.ok(rig.onDisk.bad.has(5), 'nothing was written');
  });

  test('another error than of the medium asks nobody', async () => {
    const rig = await broken([]);
    rig.onDisk.cached = false;
    rig.onDisk.fail('read', 'ENXIO');
    await assert.rejects(readBack(rig, 0, BLOCK_BYTES), isEio);
    assert.deepEqual(rig.asked, []);
    assert.equal(isMediumError(new Error('EIO')), false);
  });

  test('a block that a guest writes meanwhile keeps what was written', async () => {
    const rig = await broken([5, 6], async (it, answer) => {
      await it.disks[1].write(5 * BLOCK_BYTES, filled(BLOCK_BYTES, 9));
      return answer;
    });
    await readBack(rig, 5 * BLOCK_BYTES, 2 * BLOCK_BYTES);
    const now = await readBack(rig, 5 * BLOCK_BYTES, 2 * BLOCK_BYTES);
    assert.deepEqual(now.subarray(0, BLOCK_BYTES), filled(BLOCK_BYTES, 9));
    assert.equal(rig.volume.repairedBlocks, 1, 'its neighbour was written back');
  });

  for (const how of ['drop', 'merge', null] as const) {
    const title = { drop: 'and committed', merge: 'in a round that failed', none: 'and cut' };
    test(`the same, ${title[how ?? 'none']} before the target answers`, async () => {
      const rig = await broken([5], async (it, answer) => {
        await it.disks[1].write(5 * BLOCK_BYTES, filled(BLOCK_BYTES, 9));
        const frozen = await cut(it);
        if (how !== null) await frozen.end(how);
        return answer;
      });
      await readBack(rig, 5 * BLOCK_BYTES, BLOCK_BYTES);
      const now = await readBack(rig, 5 * BLOCK_BYTES, BLOCK_BYTES);
      assert.deepEqual(now, filled(BLOCK_BYTES, 9), 'H20: older content was written back');
    });
  }

  test('is written back over a chunk that another target has frozen: it is the same', async () => {
    const rig = await broken([5]);
    await rig.disks[0].write(0, rig.content.slice(0, BLOCK_BYTES));
    const frozen = await cut(rig);
    const wanted = rig.content.slice(0, CHUNK_BYTES);
    assert.deepEqual(await readBack(rig, 0, CHUNK_BYTES), wanted);
    const into = filled(CHUNK_BYTES, 0);
    assert.equal(await frozen.read(0, into), 'read');
    assert.deepEqual(into, wanted);
    await frozen.end('drop');
  });

  test('a medium that takes it no more: the guest has its data all the same', async () => {
    const rig = await broken([5]);
    rig.onDisk.fail('write');
    const wanted = rig.content.slice(0, CHUNK_BYTES);
    assert.deepEqual(await readBack(rig, 0, CHUNK_BYTES), wanted);
    assert.equal(rig.volume.repairedBlocks, 0);
    assert.ok(rig.onDisk.bad.has(5));
  });
});

describe('H21: a frozen chunk with a block that cannot be read', () => {
  /** Chunk 0 frozen, block 3 broken since. */
  const frozenWith = async (): Promise<{ rig: Broken; frozen: FrozenSet }> => {
    const rig = await broken([], async () => null);
    await rig.disks[0].write(0, rig.content.slice(0, CHUNK_BYTES));
    const frozen = await cut(rig);
    rig.onDisk.bad.add(3);
    return { rig, frozen };
  };

  test('the other blocks are read, and it is named', async () => {
    const { rig, frozen } = await frozenWith();
    const into = filled(CHUNK_BYTES, 0);
    assert.deepEqual(await frozen.read(0, into), { unreadable: 1 << 3 });
    const bad = [3 * BLOCK_BYTES, 4 * BLOCK_BYTES] as const;
    assert.deepEqual(into.subarray(0, bad[0]), rig.content.slice(0, bad[0]));
    assert.deepEqual(into.subarray(bad[1]), rig.content.slice(bad[1], CHUNK_BYTES));
    assert.equal(frozen.failed, false);
    await frozen.end('merge');
  });

  test('overwritten by a guest: nothing of it can be had, and never what is new', async () => {
    const { rig, frozen } = await frozenWith();
    await rig.disks[1].write(3 * BLOCK_BYTES, filled(BLOCK_BYTES, 9));
    assert.equal(rig.onDisk.bad.size, 0, 'the write has mended it');
    const into = filled(CHUNK_BYTES, 0xee);
    assert.deepEqual(await frozen.read(0, into), { unreadable: 0xffff });
    assert.ok(!into.includes(9));
    assert.equal(frozen.failed, false);
    assert.deepEqual(rig.troubles, []);
    await frozen.end('merge');
  });

  test('overwritten between two blocks of the reader: nothing of it is believed', async () => {
    const { rig, frozen } = await frozenWith();
    const real = rig.onDisk.read.bind(rig.onDisk);
    let reads = 0;
    rig.onDisk.read = async (offset, into) => {
      reads += 1;
      if (reads === 10) await rig.disks[1].write(0, filled(CHUNK_BYTES, 9));
      await real(offset, into);
    };
    rig.onDisk.cached = false;
    assert.deepEqual(await frozen.read(0, filled(CHUNK_BYTES, 0)), { unreadable: 0xffff });
    await frozen.end('merge');
  });

  test('preserved before it broke: all of it is in the spill', async () => {
    const rig = await broken([], async () => null);
    await rig.disks[0].write(0, rig.content.slice(0, CHUNK_BYTES));
    const frozen = await cut(rig);
    await rig.disks[1].write(0, filled(BLOCK_BYTES, 9));
    rig.onDisk.bad.add(3);
    const into = filled(CHUNK_BYTES, 0);
    assert.equal(await frozen.read(0, into), 'read');
    assert.deepEqual(into, rig.content.slice(0, CHUNK_BYTES));
    await frozen.end('drop');
  });

  test('the short last chunk', async () => {
    const rig = await broken([], async () => null);
    await rig.disks[0].write(MIB, rig.content.slice(MIB));
    const frozen = await cut(rig);
    rig.onDisk.bad.add(MIB / BLOCK_BYTES);
    assert.deepEqual(await frozen.read(LAST, filled(CHUNK_BYTES, 0)), { unreadable: 1 });
    await rig.disks[1].write(MIB, filled(512, 9));
    assert.deepEqual(await frozen.read(LAST, filled(CHUNK_BYTES, 0)), { unreadable: 1 });
    await frozen.end('merge');
  });

  test('a disk that is gone is an error, not an unreadable block', async () => {
    const { rig, frozen } = await frozenWith();
    rig.onDisk.bad.clear();
    rig.onDisk.cached = false;
    rig.onDisk.fail('read', 'ENXIO');
    await assert.rejects(frozen.read(0, filled(CHUNK_BYTES, 0)), isEio);
    await frozen.end('merge');
  });

  test('D6: only the target whose spill is full fails', async () => {
    const onDisk = new MemoryDevice({ sizeBytes: SIZE_BYTES });
    const rig = makeRig(onDisk, { targets: 2, spillBytes: CHUNK_BYTES });
    const [disk] = rig.disks;
    await disk.write(0, filled(2 * CHUNK_BYTES, 1));
    const one = await cut(rig);
    await disk.write(0, filled(BLOCK_BYTES, 2));
    const two = await rig.volume.cut(1);
    assert.ok(two !== 'busy');
    await disk.write(CHUNK_BYTES, filled(BLOCK_BYTES, 3));
    assert.deepEqual([one.failed, two.failed], [true, false]);
    assert.deepEqual(rig.troubles, ['preserve']);
    const into = filled(CHUNK_BYTES, 0);
    assert.equal(await one.read(0, into), 'failed');
    assert.equal(await two.read(1, into), 'read');
    assert.deepEqual(into, filled(CHUNK_BYTES, 1));
    await Promise.all([one.end('merge'), two.end('drop')]);
  });
});
