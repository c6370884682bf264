// Sparse content against a plain array: reads, writes, zeroes, truncation, copies that share pages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '../../src/base/random.js';
import { GIB } from '../../src/base/units.js';
import { PAGE_BYTES, SPACE_BYTES, Sparse } from './sparse.js';

const SEED = Number(process.env['HAST_SEED'] ?? 1);
const MODEL_BYTES = 5 * PAGE_BYTES;

/** The same random change to the content and to the model; returns the model's new size. */
function change(content: Sparse, model: Uint8Array, size: number, random: Random): number {
  const offset = random.below(MODEL_BYTES);
  const length = random.below(Math.min(2 * PAGE_BYTES, MODEL_BYTES - offset) + 1);
  switch (random.below(4)) {
    case 0: {
      content.truncate(offset);
      model.fill(0, offset);
      return offset;
    }
    case 1: {
      const inside = Math.max(0, Math.min(length, size - offset));
      content.zero(offset, inside);
      model.fill(0, offset, offset + inside);
      return size;
    }
    default: {
      const bytes = random.bytes(length);
      content.write(bytes, offset);
      model.set(bytes, offset);
      return Math.max(size, offset + length);
    }
  }
}

test('reads what an array would, and a copy is not touched by later changes', (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  for (let run = 0; run < 20; run += 1) {
    const random = seededRandom(SEED + run);
    const model = new Uint8Array(MODEL_BYTES);
    let content = new Sparse();
    let size = 0;
    let older: { content: Sparse; bytes: Uint8Array } | null = null;
    for (let step = 0; step < 40; step += 1) {
      size = change(content, model, size, random);
      assert.equal(content.size, size);
      assert.ok(Buffer.from(content.bytes()).equals(model.subarray(0, size)), `step ${step}`);
      if (older) assert.ok(Buffer.from(older.content.bytes()).equals(older.bytes), 'the copy');
      if (random.below(8) > 0) continue;
      // Either of the two goes on: neither may see the other's changes.
      const copy = content.copy();
      older = { content: random.below(2) === 0 ? copy : content, bytes: model.slice(0, size) };
      content = older.content === copy ? content : copy;
    }
  }
});

test('a short read at the end, nothing beyond', () => {
  const content = new Sparse();
  content.write(new Uint8Array([1, 2, 3]), 10);
  const into = new Uint8Array(8).fill(9);
  assert.equal(content.read(into, 9), 4);
  assert.deepEqual([...into], [0, 1, 2, 3, 9, 9, 9, 9]);
  assert.equal(content.read(into, 13), 0);
  assert.equal(content.read(into, 1000), 0);
});

test('a nominal gigabyte costs what is written, and data is found in it', () => {
  const content = new Sparse();
  content.truncate(GIB);
  assert.equal(content.allocatedBytes, 0);
  assert.equal(content.nextData(0), GIB, 'only a hole');
  content.write(new Uint8Array([7]), 700_000_000);
  assert.equal(content.allocatedBytes, SPACE_BYTES);
  const page = Math.floor(700_000_000 / PAGE_BYTES) * PAGE_BYTES;
  assert.equal(content.nextData(0), page);
  assert.equal(content.nextData(page + 5), page + 5, 'inside the page it is where one asks');
  assert.equal(content.nextData(page + PAGE_BYTES), GIB);
});

test('space: two writes to one block count once, whole zeroed pages are given back', () => {
  const content = new Sparse();
  content.write(new Uint8Array(100), 0);
  content.write(new Uint8Array(100), 4000);
  assert.equal(content.allocatedBytes, 2 * SPACE_BYTES);
  content.write(new Uint8Array(16 * SPACE_BYTES), 2 * SPACE_BYTES);
  assert.equal(content.allocatedBytes, 18 * SPACE_BYTES);
  content.zero(2 * SPACE_BYTES, 16 * SPACE_BYTES);
  assert.equal(content.allocatedBytes, 2 * SPACE_BYTES);
  content.truncate(0);
  assert.equal(content.allocatedBytes, 0);
});
