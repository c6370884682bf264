// Reads of a pack through blocks: few requests, the same bytes at any place, and what stands before
// the cut of a pack that has been cut short.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PackBlocks } from '../../src/archive/pack-blocks.js';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { packKey } from '../../src/format/archive-objects.js';
import { StoreError } from '../../src/store/store.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const BLOCK_BYTES = 4096;
const random = seededRandom(1);
const name = random.bytes(32);
const body = random.bytes(5 * BLOCK_BYTES + 100);
const pack = { name, bytes: body.length };

function blocksOf(bytes: Uint8Array) {
  const objects: MemoryObjects = new Map();
  const store = new MemoryStore(objects);
  const ready = store.put(packKey(name), bytes, 'replace');
  return { store, ready, blocks: new PackBlocks(store, 8, BLOCK_BYTES) };
}

test('any range, by as many requests as there are blocks', async () => {
  const { store, ready, blocks } = blocksOf(body);
  await ready;
  for (let times = 0; times < 300; times += 1) {
    const offset = random.below(body.length);
    const length = Math.min(1 + random.below(3 * BLOCK_BYTES), body.length - offset);
    const bytes = await blocks.read(pack, offset, length);
    assert.ok(equalBytes(bytes, body.subarray(offset, offset + length)), `${offset}+${length}`);
  }
  assert.equal(store.counts.get, 6);
});

test('a range beyond the pack is short, and asks for nothing', async () => {
  const { store, ready, blocks } = blocksOf(body);
  await ready;
  await assert.rejects(blocks.read(pack, body.length - 10, 11), short);
  assert.equal(store.counts.get, 0);
});

test('of a pack that was cut short, what stands before the cut is read', async () => {
  const cut = 2 * BLOCK_BYTES + 1000;
  const { ready, blocks } = blocksOf(body.subarray(0, cut));
  await ready;
  for (const [offset, length] of [
    [2 * BLOCK_BYTES + 10, 990],
    [BLOCK_BYTES, BLOCK_BYTES + 1000],
    [0, 10],
  ] as const) {
    const bytes = await blocks.read(pack, offset, length);
    assert.ok(equalBytes(bytes, body.subarray(offset, offset + length)), `${offset}+${length}`);
  }
  await assert.rejects(blocks.read(pack, cut - 10, 11), short);
  await assert.rejects(blocks.read(pack, 4 * BLOCK_BYTES, 10), short);
});

function short(error: unknown): boolean {
  assert.ok(error instanceof StoreError);
  assert.equal(error.fault.code, 'STORE_SHORT');
  return true;
}
