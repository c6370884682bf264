// TRIM (H13): what it punches, marks and asks, by piece; that frozen chunks stay as they are is in
// the contract too (volume-cases.ts).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { filled, makeRig, type Rig } from './rig.js';

const C = CHUNK_BYTES;

interface Trimmed extends Rig {
  readonly onMemory: MemoryDevice;
  /** Ranges that were punched, or were to be. */
  readonly punched: [number, number][];
  /** Where holes were searched. */
  readonly searched: number[];
}

function rigOf(sizeBytes: number): Trimmed {
  const onMemory = new MemoryDevice({ sizeBytes });
  const punched: [number, number][] = [];
  const searched: number[] = [];
  const { punchNow, nextData } = onMemory;
  onMemory.punchNow = (offset, length) => {
    punched.push([offset, length]);
    return punchNow.call(onMemory, offset, length);
  };
  onMemory.nextData = (from) => {
    searched.push(from);
    return nextData.call(onMemory, from);
  };
  return { ...makeRig(onMemory), onMemory, punched, searched };
}

test('one punch for all that is not frozen between two frozen chunks', async () => {
  const rig = rigOf(2 * MIB);
  const [disk] = rig.disks;
  rig.onMemory.writeNow(0, filled(MIB, 1));
  rig.onMemory.writeNow(MIB, filled(MIB, 1));
  for (const chunk of [0, 5, 6]) disk.write(chunk * C, filled(4096, 1));
  const frozen = await rig.volume.cut(0);
  assert.ok(frozen !== 'busy');
  await disk.trim(4096, 2 * MIB - 4096);
  assert.deepEqual(rig.punched, [
    [C, 4 * C],
    [7 * C, 9 * C],
    [MIB, MIB],
  ]);
  await frozen.end('drop');
});

test('no more than what is wholly inside is punched, at both ends', async () => {
  const rig = rigOf(2 * MIB + 512);
  rig.onMemory.writeNow(0, filled(2 * MIB + 512, 1));
  await rig.disks[0].trim(100, C);
  await rig.disks[0].trim(2 * MIB - 100, 612);
  assert.deepEqual(rig.punched, [
    [4096, C - 4096],
    [2 * MIB, 512],
  ]);
});

test('a hole is not marked, not punched, and searched once', async () => {
  const rig = rigOf(256 * MIB);
  const [disk] = rig.disks;
  await disk.trim(0, 256 * MIB);
  assert.deepEqual(rig.searched, [0]);
  assert.deepEqual(rig.punched, []);
  assert.equal(rig.volume.dirtyBytes(0), 0);

  rig.onMemory.writeNow(100 * MIB + 512, filled(1024, 1));
  await disk.trim(0, 256 * MIB);
  assert.deepEqual(rig.punched, [[100 * MIB, MIB]], 'the piece that has data');
  assert.deepEqual(rig.searched, [0, 0, 101 * MIB]);
  assert.equal(rig.volume.dirtyBytes(0), MIB);
  assert.equal(rig.onMemory.allocatedBlocks, 0);
});

test('where nothing can be punched nothing is marked, once that is known', async () => {
  const rig = rigOf(4 * MIB);
  const [disk] = rig.disks;
  for (let at = 0; at < 4 * MIB; at += MIB) rig.onMemory.writeNow(at, filled(MIB, 1));
  rig.onMemory.punches = false;
  await disk.trim(0, 4096);
  assert.equal(rig.volume.dirtyBytes(0), 4096);
  await disk.trim(0, 4096);
  assert.equal(rig.punched.length, 2, 'it may be the size of the piece that was refused');
  await disk.trim(0, 4 * MIB);
  await disk.trim(0, 4 * MIB);
  assert.equal(rig.punched.length, 3);
  assert.equal(rig.volume.dirtyBytes(0), MIB);
});
