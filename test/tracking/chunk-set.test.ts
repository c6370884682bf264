// ChunkSet against a plain Set, and its edges: the last, short chunk; nothing allocated until used.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHUNK_BYTES, TIB } from '../../src/base/units.js';
import { ChunkSet } from '../../src/tracking/chunk-set.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_122);

test('agrees with a plain set, in order, from anywhere', (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const operation = fc.record({ adds: fc.boolean(), chunk: fc.nat(199) });
  const property = fc.property(fc.array(operation, { maxLength: 80 }), fc.nat(220), (all, from) => {
    const set = new ChunkSet(200 * CHUNK_BYTES - 512);
    const model = new Set<number>();
    for (const { adds, chunk } of all) {
      if (adds) {
        set.add(chunk);
        model.add(chunk);
      } else {
        set.delete(chunk);
        model.delete(chunk);
      }
      assert.equal(set.has(chunk), model.has(chunk));
      assert.equal(set.count, model.size);
    }
    const wanted = [...model].filter((chunk) => chunk >= from).sort((a, b) => a - b);
    assert.deepEqual([...set.from(from)], wanted);
  });
  fc.assert(property, { seed: SEED, numRuns: 300 });
});

test('an empty one of a large disk has nothing and costs nothing', () => {
  const before = process.memoryUsage().arrayBuffers;
  const sets = Array.from({ length: 16 }, () => new ChunkSet(16 * TIB));
  for (const set of sets) {
    assert.equal(set.has(12_345_678), false);
    set.delete(12_345_678);
    assert.deepEqual([[...set.from(0)], set.count], [[], 0]);
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 32 * 1024 * 1024, 'a set is 32 MiB');
});

test('members may leave and join while it is walked', () => {
  const set = new ChunkSet(64 * CHUNK_BYTES);
  for (const chunk of [1, 7, 8, 40, 63]) set.add(chunk);
  const seen: number[] = [];
  for (const chunk of set.from(0)) {
    seen.push(chunk);
    if (chunk === 7) {
      set.delete(8);
      set.add(41);
    }
  }
  assert.deepEqual(seen, [1, 7, 40, 41, 63]);
  assert.equal(set.count, 5);
});

test('a chunk joins and leaves once', () => {
  const set = new ChunkSet(CHUNK_BYTES + 512);
  set.add(1);
  set.add(1);
  assert.deepEqual([set.count, [...set.from(1)]], [1, [1]]);
  set.delete(1);
  set.delete(1);
  set.delete(0);
  assert.deepEqual([set.count, [...set.from(0)]], [0, []]);
});
