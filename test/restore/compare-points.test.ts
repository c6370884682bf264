// What differs between two points, against the images themselves; and what is read for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import type { SharedTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { sourceOf } from '../../src/restore/archive-source.js';
import { comparePoints, type Difference } from '../../src/restore/compare-points.js';
import { makeArchive } from '../archive/directory-archive.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const MIB = 1024 * 1024;

/** Ranges of chunks that differ; behind the end of an image are zeroes. */
function expected(one: Uint8Array, other: Uint8Array): Difference[] {
  const end = Math.max(one.length, other.length);
  const ranges: { offset: number; length: number }[] = [];
  const padded = (image: Uint8Array, at: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    bytes.set(image.subarray(at, at + length));
    return bytes;
  };
  for (let at = 0; at < end; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, end - at);
    if (equalBytes(padded(one, at, length), padded(other, at, length))) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === at) last.length += length;
    else ranges.push({ offset: at, length });
  }
  return ranges;
}

async function compared(
  objects: MemoryObjects,
  sequence: number,
  other: number,
  otherObjects = objects,
) {
  const shared: SharedTrees | null = objects === otherObjects ? new Map() : null;
  const open = async (of: MemoryObjects, number: number) => {
    const store = new MemoryStore(of);
    const archive = await Archive.open(store, null);
    const point = await archive?.point({ epoch: 1, sequence: number });
    assert.ok(archive && point);
    return { store, trees: point.trees.length, source: sourceOf(archive, point, shared) };
  };
  const [one, two] = [await open(objects, sequence), await open(otherObjects, other)];
  const before = one.store.counts.get + two.store.counts.get;
  const ranges: Difference[] = [];
  const isOne = objects === otherObjects;
  const counts = await comparePoints(one.source, two.source, isOne, (range) => {
    ranges.push({ ...range });
  });
  const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual(counts, { bytes, ranges: ranges.length });
  return { ranges, trees: one.trees, gets: one.store.counts.get + two.store.counts.get - before };
}

test('any two points: the ranges that their images differ in', async () => {
  const shape = { sizeBytes: 40 * MIB + 512, rounds: 4, blocks: 12 };
  const { objects, images } = await makeArchive(3, shape);
  for (const [i, one] of images.entries()) {
    for (const [j, other] of images.entries()) {
      const { ranges } = await compared(objects, i + 1, j + 1);
      assert.deepEqual(ranges, expected(one, other), `points ${i + 1} and ${j + 1}`);
    }
  }
});

test('what is the same node in both is not read', async () => {
  const shape = { sizeBytes: 100 * MIB, rounds: 2, blocks: 1 };
  const { objects } = await makeArchive(4, shape);
  const same = await compared(objects, 2, 2);
  assert.deepEqual([same.ranges.length, same.gets], [0, same.trees], 'only the roots');
  const near = await compared(objects, 1, 2);
  assert.equal(near.ranges.length, 1);
  // A root, a page and a leaf of each of the two trees, and a page of packs: no other regions.
  assert.ok(near.gets <= 8, `${near.gets} requests`);
});

test('points of two archives are compared by their digests alone', async () => {
  const shape = { sizeBytes: 20 * MIB, rounds: 2, blocks: 5 };
  const [one, other] = [await makeArchive(5, shape), await makeArchive(5, shape)];
  assert.deepEqual((await compared(one.objects, 2, 2, other.objects)).ranges, []);
  const [first, second] = [one.images[0], other.images[1]];
  assert.ok(first && second);
  const { ranges } = await compared(one.objects, 1, 2, other.objects);
  assert.deepEqual(ranges, expected(first, second));
});

test('a disk that has grown differs where the new part is not zero', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(6), objects, null, 2 * MIB);
  sender.disk.fill(1);
  await sender.round();
  const before = sender.disk;
  sender.disk = new Uint8Array(4 * MIB);
  sender.disk.set(before);
  sender.disk.fill(2, 3 * MIB, 3 * MIB + 4096);
  for (let chunk = 32; chunk < 64; chunk += 1) sender.dirty.set(chunk, 0xffff);
  await sender.round();
  const wanted = [{ offset: 3 * MIB, length: CHUNK_BYTES }];
  assert.deepEqual((await compared(objects, 1, 2)).ranges, wanted);
  assert.deepEqual((await compared(objects, 2, 1)).ranges, wanted);
});
