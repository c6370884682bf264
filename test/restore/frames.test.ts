// Frames that are asked for: whole whoever else asks for them at the same time, of memory that is
// used again, however long they are passed from one to the next.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { recordsOf } from '../../src/archive/frame-ranges.js';
import { PointTrees } from '../../src/archive/tree.js';
import { present } from '../../src/base/assert.js';
import { equalBytes } from '../../src/base/digest.js';
import { LEAF_CHUNKS, type LeafEntry } from '../../src/format/archive-leaf.js';
import { type Batch, batchesOf, type Fetched, Frames } from '../../src/restore/frames.js';
import { layHere, type StoredFrame } from '../../src/restore/lay-frames.js';
import { makeArchive } from '../archive/directory-archive.js';
import { MemoryStore } from '../store/memory-store.js';

const MIB = 1024 * 1024;
const SIZE = 96 * MIB;
const SPAN_CHUNKS = 16;
/** Batches that are held at a time. */
const HELD = 4;

async function opened() {
  const { objects } = await makeArchive(9, { sizeBytes: SIZE, rounds: 3, blocks: 400 });
  const store = new MemoryStore(objects);
  const archive = present(await Archive.open(store, null), 'it was made');
  const point = present(await archive.last(), 'it has points');
  const trees = new PointTrees(archive, point.trees);
  const spans: LeafEntry[][] = [];
  for (let region = 0; region * LEAF_CHUNKS * 65_536 < SIZE; region += 1) {
    const leaf = await trees.leaf(region);
    for (let first = 0; first < LEAF_CHUNKS; first += SPAN_CHUNKS) {
      const at = (chunk: number): number => (chunk % LEAF_CHUNKS) - first;
      const own = leaf.filter(({ chunk }) => at(chunk) >= 0 && at(chunk) < SPAN_CHUNKS);
      spans.push(own);
    }
  }
  const frames = new Frames(store, layHere(archive.keyOf));
  return { objects, trees, spans, frames };
}

test('what is passed on from one to the next is in few rooms, and as it is stored', async () => {
  const { objects, trees, spans, frames } = await opened();
  const nameOf = trees.nameOf.bind(trees);
  const rooms = new Set<ArrayBufferLike>();
  const held: Batch[] = [];
  const letGo = async (batch: Batch): Promise<void> => {
    const later = new Map<Fetched, StoredFrame>();
    for (const one of batch.fetched) {
      const frame = await one.frame;
      const [, key = '', offset = ''] = /(packs\/.+) at (\d+)$/.exec(frame.place) ?? [];
      const pack = present(objects.get(key), 'its pack').bytes;
      const { stored } = frame;
      assert.ok(equalBytes(stored, pack.subarray(+offset, +offset + one.record.bytes)));
      rooms.add(stored.buffer);
      // Most are wanted again, as frames with blocks of the whole disk are.
      if (one.record.offset % 3 > 0) later.set(one, frame);
    }
    frames.letGo(batch, later);
  };
  for (const [at, span] of spans.entries()) {
    const [records = []] = batchesOf(recordsOf(span));
    const ahead = at % 2 === 0 ? frames.prefetch(records, nameOf) : null;
    held.push(ahead ?? (await frames.fetch(records, nameOf)));
    const oldest = held.length > HELD ? held.shift() : undefined;
    if (oldest !== undefined) await letGo(oldest);
  }
  for (const batch of held) await letGo(batch);
  // What was in memory that has been used again since is asked for again.
  for (const span of spans.slice(0, 20)) {
    await letGo(await frames.fetch(batchesOf(recordsOf(span))[0] ?? [], nameOf));
  }
  assert.ok(spans.length > 80 && rooms.size <= 3 * HELD, `${rooms.size} rooms`);
});

test('more than there is room for ahead is not asked for, until something is let go', async () => {
  const { trees, spans, frames } = await opened();
  const nameOf = trees.nameOf.bind(trees);
  const batches = spans.map((span) => batchesOf(recordsOf(span))[0] ?? []);
  const asked: Batch[] = [];
  let bytes = 0;
  for (const records of batches) {
    const batch = frames.prefetch(records, nameOf);
    if (batch === null) break;
    asked.push(batch);
    bytes += batch.bytes;
  }
  assert.ok(asked.length < batches.length && bytes <= 16 * MIB, `${bytes} bytes`);
  const next = batches[asked.length] ?? [];
  assert.equal(frames.prefetch(next, nameOf), null);
  // Its turn has come all the same.
  const own = await frames.fetch(next, nameOf);
  await Promise.all(own.fetched.map(({ frame }) => frame));
  frames.letGo(own, new Map());
  for (const batch of asked) {
    await Promise.all(batch.fetched.map(({ frame }) => frame));
    frames.letGo(batch, new Map());
  }
  assert.notEqual(frames.prefetch(next, nameOf), null);
});

test('nothing is nothing: it takes no room', async () => {
  const { trees, frames } = await opened();
  const nothing = present(frames.prefetch([], trees.nameOf.bind(trees)), 'there is room');
  assert.deepEqual([nothing.rooms.size, nothing.fetched.length, nothing.bytes], [0, 0, 0]);
});

test('batches are bounded, also of records that an index lets overlap', () => {
  const bytes = MIB;
  const overlapping = Array.from({ length: 100 }, (_, at) => ({ pack: 0, offset: at, bytes }));
  const batches = batchesOf(overlapping);
  assert.ok(batches.every((batch) => batch.length <= 8));
  assert.equal(batches.flat().length, overlapping.length);
});
