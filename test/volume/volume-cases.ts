// The cases of the volume contract, one behaviour each. Values of bytes tell who wrote them.
import assert from 'node:assert/strict';
import { CHUNK_BYTES, chunkCount, chunkLength, MIB } from '../../src/base/units.js';
import * as M from '../../src/volume/memory.js';
import type { FrozenSet } from '../../src/volume/volume.js';
import { filled, type Rig } from './rig.js';

/** Not a multiple of 4096 nor of 65536 (H14). */
export const ODD_BYTES = 10 * MIB + 512;
const CHUNKS = chunkCount(ODD_BYTES);
const LAST = CHUNKS - 1;

export interface RigOptions {
  readonly spillBytes?: number;
}

export const CASES: readonly (readonly [string, (rig: Rig) => Promise<void>, RigOptions?])[] = [
  ['D2: a cut holds what was answered, nothing that comes later', freezes],
  ['W2: zeroes and holes preserve as writes do', zeroesPreserve],
  ['H13: TRIM leaves frozen chunks as they are, and marks', trimLeavesFrozen],
  ['H13: zeroing goes in sections of a MiB, a turn each', zeroesInTurns],
  ['a released chunk is written without preserve', released],
  [
    'H17, W4: a full spill fails the round, never the write',
    spillFull,
    { spillBytes: CHUNK_BYTES },
  ],
  ['a merged set is dirty again, a dropped one is not', mergeAndDrop],
  ['H9: a checkpoint moves marks to every target, freezing nothing', checkpoints],
  ['H14: the last chunk and block are short', lastChunk],
  ['dirtyBytes counts live, pending and frozen blocks', counts],
  ['H16, D6: two targets that froze the same content each keep a record', recordEach],
  ['H16: two targets that froze different content each get theirs', ownRecords],
  ['H4: a cut that cannot close the gate opens it again', busyCut],
];

export async function cut(rig: Rig, target = 0): Promise<FrozenSet> {
  const frozen = await rig.volume.cut(target);
  assert.notEqual(frozen, 'busy');
  return frozen as FrozenSet;
}

/** A frozen chunk's bytes, or null when the round has failed. */
export async function frozenBytes(frozen: FrozenSet, chunk: number, size = ODD_BYTES) {
  const into = filled(CHUNK_BYTES, 0xee);
  const result = await frozen.read(chunk, into);
  return result === 'read' ? into.subarray(0, chunkLength(chunk, size)) : null;
}

async function expectFrozen(frozen: FrozenSet, chunk: number, value: number): Promise<void> {
  const bytes = await frozenBytes(frozen, chunk);
  assert.ok(
    bytes?.every((byte) => byte === value),
    `chunk ${chunk} is all ${value}`,
  );
}

export const chunksOf = (frozen: FrozenSet): number[] => {
  const chunks: number[] = [];
  for (let at = frozen.map.nextChunk(0); at >= 0; at = frozen.map.nextChunk(at + 1))
    chunks.push(at);
  return chunks;
};

async function freezes(rig: Rig) {
  const [one, two] = rig.disks;
  await one.write(0, filled(3 * CHUNK_BYTES, 1));
  await two.write(5 * CHUNK_BYTES, filled(CHUNK_BYTES, 5));
  const frozen = await cut(rig);
  assert.deepEqual(chunksOf(frozen), [0, 1, 2, 5]);
  await Promise.all([
    two.write(CHUNK_BYTES - 4096, filled(8192, 2)),
    one.write(CHUNK_BYTES, filled(4096, 3)),
    one.write(8 * CHUNK_BYTES, filled(4096, 4)),
  ]);
  for (const chunk of [0, 1, 2]) await expectFrozen(frozen, chunk, 1);
  await expectFrozen(frozen, 5, 5);
  assert.equal(rig.control[M.PRESERVED], 2, 'chunks 0 and 1, and no other');
  await frozen.end('drop');
  const next = await cut(rig);
  assert.deepEqual(chunksOf(next), [0, 1, 8]);
  assert.equal(next.map.chunkMask(0), 0x8000);
  assert.equal(next.map.chunkMask(1), 1);
  await next.end('drop');
}

async function zeroesPreserve(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(4 * CHUNK_BYTES, 7));
  const frozen = await cut(rig);
  await disk.zero(100, 2 * CHUNK_BYTES, true, false);
  await disk.zero(3 * CHUNK_BYTES, 512, false, false);
  for (const chunk of [0, 1, 2, 3]) await expectFrozen(frozen, chunk, 7);
  const now = filled(CHUNK_BYTES, 1);
  await disk.read(CHUNK_BYTES, now);
  assert.ok(now.every((byte) => byte === 0));
  await frozen.end('drop');
}

async function trimLeavesFrozen(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(4 * CHUNK_BYTES, 7));
  await (await cut(rig)).end('drop');
  await disk.write(CHUNK_BYTES, filled(4096, 8));
  const frozen = await cut(rig);
  await disk.trim(10, 3 * CHUNK_BYTES);
  const now = filled(4 * CHUNK_BYTES, 1);
  await disk.read(0, now);
  const isKept = (from: number, to: number) => now.subarray(from, to).every((byte) => byte === 7);
  assert.ok(isKept(CHUNK_BYTES + 4096, 2 * CHUNK_BYTES), 'frozen');
  assert.ok(isKept(0, 4096), 'not wholly inside');
  assert.equal(rig.control[M.PRESERVED], 0);
  await frozen.end('drop');
  const next = await cut(rig);
  assert.deepEqual(chunksOf(next), [0, 1, 2], 'every touched block is marked');
  assert.equal(next.map.chunkMask(0), 0xfffe);
  await next.end('drop');
}

async function zeroesInTurns(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(ODD_BYTES, 9));
  const before = rig.turns();
  await disk.zero(512, 5 * MIB, true, false);
  assert.ok(rig.turns() - before >= 5, 'at most a MiB a turn');
  const now = filled(6 * MIB, 1);
  await disk.read(0, now);
  assert.ok(now.subarray(512, 512 + 5 * MIB).every((byte) => byte === 0));
  assert.ok(now[511] === 9 && now[512 + 5 * MIB] === 9);
}

async function released(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(2 * CHUNK_BYTES, 1));
  const frozen = await cut(rig);
  await expectFrozen(frozen, 0, 1);
  frozen.release(0);
  await disk.write(0, filled(2 * CHUNK_BYTES, 2));
  assert.equal(rig.control[M.PRESERVED], 1);
  await expectFrozen(frozen, 1, 1);
  await frozen.end('merge');
  const again = await cut(rig);
  await disk.write(0, filled(CHUNK_BYTES, 3));
  await expectFrozen(again, 0, 2);
  await again.end('drop');
}

async function spillFull(rig: Rig) {
  const [disk, other] = rig.disks;
  await disk.write(0, filled(3 * CHUNK_BYTES, 1));
  const frozen = await cut(rig);
  await other.write(0, filled(4096, 2));
  assert.equal(frozen.failed, false);
  await expectFrozen(frozen, 0, 1);
  await disk.write(CHUNK_BYTES, filled(2 * CHUNK_BYTES, 2));
  assert.equal(frozen.failed, true);
  for (const chunk of [0, 1, 2]) assert.equal(await frozenBytes(frozen, chunk), null);
  const now = filled(4096, 0);
  await disk.read(2 * CHUNK_BYTES, now);
  assert.ok(
    now.every((byte) => byte === 2),
    "the guest's write went on",
  );
  assert.ok(rig.troubles.length > 0 && rig.troubles.every((what) => what === 'preserve'));
  await frozen.end('merge');
  const next = await cut(rig);
  assert.equal(next.failed, false);
  assert.deepEqual(chunksOf(next), [0, 1, 2]);
  await expectFrozen(next, 2, 2);
  await next.end('drop');
}

async function mergeAndDrop(rig: Rig) {
  const [disk] = rig.disks;
  const { volume } = rig;
  await disk.write(0, filled(CHUNK_BYTES, 1));
  const failed = await cut(rig);
  await disk.write(4 * CHUNK_BYTES, filled(4096, 1));
  await failed.end('merge');
  assert.deepEqual(volume.pending(0).count(), { blocks: 16, chunks: 1 });
  const again = await cut(rig);
  assert.deepEqual(chunksOf(again), [0, 4]);
  await again.end('drop');
  assert.equal(volume.pending(0).count().blocks, 0);
  assert.equal(volume.dirtyBytes(0), 0);
  assert.equal(volume.pending(1).count().blocks, 17, 'the other target still lacks all of it');
}

async function checkpoints(rig: Rig) {
  const [disk] = rig.disks;
  const { volume } = rig;
  await disk.write(0, filled(4096, 1));
  assert.notEqual(await volume.checkpoint(), 'busy');
  assert.equal(volume.core.liveMap().count().blocks, 0);
  for (const target of [0, 1]) assert.equal(volume.pending(target).count().blocks, 1);
  await disk.write(CHUNK_BYTES, filled(4096, 2));
  assert.equal(rig.control[M.PRESERVED], 0);
  const frozen = await cut(rig);
  assert.deepEqual(chunksOf(frozen), [0, 1]);
  await disk.write(2 * CHUNK_BYTES, filled(4096, 3));
  assert.notEqual(await volume.checkpoint(), 'busy');
  assert.deepEqual(chunksOf(frozen), [0, 1], 'a checkpoint adds nothing to a frozen set');
  await frozen.end('drop');
  assert.deepEqual(volume.pending(0).count(), { blocks: 1, chunks: 1 });
}

async function lastChunk(rig: Rig) {
  const [disk] = rig.disks;
  const { volume } = rig;
  await disk.write(ODD_BYTES - 512, filled(512, 1));
  const frozen = await cut(rig);
  assert.equal(volume.dirtyBytes(0), 4096);
  assert.deepEqual(chunksOf(frozen), [LAST]);
  assert.equal(frozen.map.chunkMask(LAST), 1);
  await disk.write(ODD_BYTES - 512, filled(512, 2));
  const bytes = await frozenBytes(frozen, LAST);
  assert.deepEqual(bytes, filled(512, 1));
  await frozen.end('drop');
  await disk.trim(ODD_BYTES - 4096, 4096);
  await disk.zero(ODD_BYTES - 512, 512, true, false);
  const next = await cut(rig);
  assert.deepEqual(chunksOf(next), [LAST]);
  await disk.write(ODD_BYTES - 512, filled(512, 3));
  assert.deepEqual(await frozenBytes(next, LAST), filled(512, 0));
  await next.end('drop');
}

async function counts(rig: Rig) {
  const [disk] = rig.disks;
  const { volume } = rig;
  assert.equal(volume.dirtyBytes(0), 0);
  await disk.write(100, filled(4096, 1));
  assert.equal(volume.dirtyBytes(0), 8192, 'two blocks are touched');
  const frozen = await cut(rig);
  assert.equal(volume.dirtyBytes(0), 8192);
  await disk.write(3 * CHUNK_BYTES, filled(4096, 1));
  assert.equal(volume.dirtyBytes(0), 3 * 4096);
  assert.equal(volume.dirtyBytes(1), 3 * 4096);
  assert.equal(volume.isDirty(0, 48, 48), true);
  assert.equal(volume.isDirty(0, 2, 47), false);
  await frozen.end('drop');
  assert.equal(volume.dirtyBytes(0), 4096);
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) volume.pending(0).markPage(0);
  assert.equal(volume.dirtyBytes(0), ODD_BYTES, 'never more than the disk');
}

/** The spill of one target is emptied at its next cut, however long the other's round lasts. */
async function recordEach(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(CHUNK_BYTES, 1));
  const [one, two] = [await cut(rig, 0), await cut(rig, 1)];
  await disk.write(0, filled(CHUNK_BYTES, 2));
  assert.equal(rig.control[M.PRESERVED], 1, 'read once');
  assert.deepEqual(
    [rig.volume.spillBytes(0), rig.volume.spillBytes(1)],
    [CHUNK_BYTES, CHUNK_BYTES],
  );
  await expectFrozen(one, 0, 1);
  await one.end('drop');
  const again = await cut(rig, 0);
  assert.equal(rig.volume.spillBytes(0), 0, 'empty again');
  await expectFrozen(two, 0, 1);
  await Promise.all([again.end('drop'), two.end('drop')]);
}

async function ownRecords(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(CHUNK_BYTES, 1));
  const one = await cut(rig, 0);
  await disk.write(0, filled(CHUNK_BYTES, 2));
  const two = await cut(rig, 1);
  await disk.write(0, filled(CHUNK_BYTES, 3));
  await expectFrozen(one, 0, 1);
  await expectFrozen(two, 0, 2);
  await one.end('merge');
  assert.deepEqual([...two.map.setPages()], [0]);
  assert.equal(rig.volume.pending(1).count().blocks, 0, 'a merge is of its own target (H16)');
  await two.end('drop');
}

async function busyCut(rig: Rig) {
  const [disk] = rig.disks;
  await disk.write(0, filled(4096, 1));
  Atomics.store(rig.control, M.OPEN_FIRST + 3, 1);
  const cutting = rig.volume.cut(0);
  while (Atomics.load(rig.control, M.GATE) === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const held = disk.write(4096, filled(4096, 2));
  assert.notEqual(held, 'done', 'the gate is closed');
  assert.equal(await cutting, 'busy');
  await held;
  assert.equal(disk.write(8192, filled(4096, 3)), 'done');
  assert.ok(rig.volume.holds.maxMicros >= 900_000, 'the hold is in the histogram');
  Atomics.store(rig.control, M.OPEN_FIRST + 3, 0);
  const frozen = await cut(rig);
  assert.equal(frozen.map.chunkMask(0), 0b111);
  await frozen.end('drop');
}
