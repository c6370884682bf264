// Packing: it pays or it is not done; unpacking gives what was asked for or nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compress } from 'zstd-napi';
import { AssertionError } from '../../src/base/assert.js';
import { packer, packRaw, unpack } from '../../src/format/pack.js';
import { content, flips, seeded } from './material.js';

const MIB = 1024 * 1024;

test('what was packed is unpacked, whole and its beginning', (t) => {
  const pack = packer({ codec: 'zstd', level: 3 });
  const property = fc.property(
    fc.integer({ min: 1, max: 300_000 }),
    fc.integer({ min: 0, max: 99 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (length, seed, share) => {
      const body = content(length, seed);
      const { codec, bytes } = pack(body);
      const want = Math.floor(length * share);
      const whole = unpack(bytes, codec, length);
      const part = unpack(bytes, codec, length, want);
      assert.ok(whole !== null && Buffer.from(whole).equals(body));
      assert.ok(part !== null && Buffer.from(part).equals(body.subarray(0, want)));
    },
  );
  fc.assert(property, seeded(t, 60));
});

test('zstd is used only if it saves a 32nd', () => {
  const pack = packer({ codec: 'zstd', level: 3 });
  const noise = content(MIB, 1);
  const saves = (share: number) => {
    const body = noise.slice();
    body.fill(0, 0, Math.floor(body.length * share));
    return pack(body).codec;
  };
  assert.equal(saves(0), 0);
  assert.equal(saves(0.02), 0);
  assert.equal(saves(0.05), 1);
});

test('none and hole leave the body as it is', () => {
  const body = new Uint8Array(MIB);
  for (const codec of ['none', 'hole'] as const) {
    const packed = packer({ codec })(body);
    assert.equal(packed.codec, 0);
    assert.equal(packed.bytes, body, 'not even a copy');
  }
});

test('levels: all of 1..19 work, others stop the program', () => {
  const body = content(200_000, 4);
  for (let level = 1; level <= 19; level += 1) {
    const { codec, bytes } = packer({ codec: 'zstd', level })(body);
    const back = unpack(bytes, codec, body.length);
    assert.ok(back !== null && Buffer.from(back).equals(body), `level ${level}`);
    const part = unpack(bytes, codec, body.length, 1000);
    assert.ok(part !== null && Buffer.from(part).equals(body.subarray(0, 1000)));
  }
  assert.throws(() => packer({ codec: 'zstd', level: 0 }), AssertionError);
  assert.throws(() => packer({ codec: 'zstd', level: 20 }), AssertionError);
});

test('stored bytes that hold another length give nothing', () => {
  const body = content(100_000, 2);
  const { codec, bytes } = packer({ codec: 'zstd' })(body);
  assert.equal(codec, 1);
  assert.equal(unpack(bytes, 1, body.length - 1), null);
  assert.equal(unpack(bytes, 1, body.length + 1), null);
  assert.equal(unpack(bytes, 1, 2 ** 31), null, 'a length out of reach is not allocated');
  assert.equal(unpack(body, 0, body.length - 1), null);
  assert.equal(unpack(body.subarray(1), 0, body.length), null);
  const two = Buffer.concat([compress(body), compress(body)]);
  assert.equal(unpack(two, 1, body.length), null, 'two zstd frames are not one');
  assert.equal(unpack(new Uint8Array(0), 1, 5), null);
  assert.equal(unpack(content(400, 1), 1, 500), null, 'noise');
});

test('a zstd bomb is not blown up', () => {
  const bomb = compress(new Uint8Array(256 * MIB), { contentSizeFlag: false });
  assert.equal(unpack(bomb, 1, 4096), null, 'it does not state its size');
  const honest = compress(new Uint8Array(256 * MIB));
  const before = process.memoryUsage().rss;
  assert.equal(unpack(honest, 1, 4096), null);
  assert.equal(unpack(honest, 1, 4096, 100), null);
  assert.ok(process.memoryUsage().rss - before < 64 * MIB);
});

test('cut or changed zstd data never throw and never give another length', () => {
  const body = content(20_000, 2);
  const { bytes } = packer({ codec: 'zstd' })(body);
  for (let length = 0; length < bytes.length; length += 1) {
    assert.equal(unpack(bytes.subarray(0, length), 1, body.length), null);
  }
  for (const flip of flips(bytes)) {
    const back = unpack(flip.bytes, 1, body.length);
    assert.ok(back === null || back.length === body.length);
    const part = unpack(flip.bytes, 1, body.length, 64);
    assert.ok(part === null || part.length === 64);
  }
  const again = unpack(bytes, 1, body.length);
  assert.ok(again !== null && Buffer.from(again).equals(body), 'the context is not spoilt');
});

test('a pack function can be used again and again: no result is overwritten by the next', () => {
  const pack = packer({ codec: 'zstd', level: 1 });
  const bodies = [2, 4, 6, 8].map((seed) => content(50_000 + seed, seed));
  const packed = bodies.map((body) => pack(body));
  for (const [i, { codec, bytes }] of packed.entries()) {
    const body = bodies[i] ?? new Uint8Array(0);
    const back = unpack(bytes, codec, body.length);
    assert.ok(back !== null && Buffer.from(back).equals(body));
  }
  assert.equal(packRaw(new Uint8Array(3)).codec, 0);
});
