// Blocks that say what they are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlockIdentity, identify, makeBlock } from './block.js';

const identity: BlockIdentity = { seed: 7, client: 3, block: 2 ** 40, version: 2 ** 35 };

test('a block is recognised, of every legal length, also inside a larger buffer', () => {
  for (const length of [512, 1024, 4096]) {
    const bytes = makeBlock(identity, length);
    assert.deepEqual(identify(bytes), { kind: 'version', identity });
    const inside = new Uint8Array(length + 24);
    inside.set(bytes, 24);
    assert.deepEqual(identify(inside.subarray(24)), { kind: 'version', identity });
  }
  assert.throws(() => makeBlock(identity, 100), /whole sectors/);
});

test('the same identity gives the same bytes, any other field others in every sector', () => {
  const bytes = makeBlock(identity);
  assert.deepEqual(makeBlock(identity), bytes);
  for (const field of ['seed', 'client', 'block', 'version'] as const) {
    const other = makeBlock({ ...identity, [field]: identity[field] + 1 });
    for (let at = 0; at < 4096; at += 512) {
      const sector = Buffer.from(bytes.subarray(at, at + 512));
      assert.ok(!sector.equals(other.subarray(at, at + 512)), `${field}, sector at ${at}`);
    }
  }
});

test('zero, torn and alien are told apart', () => {
  assert.equal(identify(new Uint8Array(4096)).kind, 'zero');
  assert.equal(identify(new Uint8Array(4096).fill(1)).kind, 'alien');
  const other = makeBlock({ ...identity, version: 9 });
  for (let at = 0; at < 4096; at += 512) {
    const bytes = makeBlock(identity);
    bytes.set(other.subarray(at, at + 512), at);
    assert.equal(identify(bytes).kind, 'torn', `sector at ${at}`);
  }
  const flipped = makeBlock(identity);
  flipped[4095] = (flipped[4095] ?? 0) ^ 1;
  assert.equal(identify(flipped).kind, 'torn');
});
