// Chunks byte by byte, and how a read is cut into parts: covered once, in order, small holes sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '../../src/base/random.js';
import { BufferPool, HEAD_BYTES } from '../../src/nbd/buffers.js';
import { Replies, type ReplySocket } from '../../src/nbd/replies.js';
import { HOLE_BYTES_MIN, readParts } from '../../src/nbd/structured.js';
import { splitChunks, statusOf } from './chunks.js';

class Sink implements ReplySocket {
  readonly destroyed = false;
  readonly writableLength = 0;
  readonly bytes: Buffer[] = [];
  write(bytes: Uint8Array): boolean {
    this.bytes.push(Buffer.from(bytes));
    return true;
  }
}

const COOKIE = { cookieHigh: 0xc0ffee01, cookieLow: 0xfedc };
const HEAD = (flags: string, type: string, bytes: string): string =>
  `668e33ef${flags}${type}c0ffee010000fedc${bytes}`;

function sent(use: (replies: Replies, pool: BufferPool) => void): Buffer {
  const sink = new Sink();
  const pool = new BufferPool(0);
  const replies = new Replies(sink, pool, () => {});
  use(replies, pool);
  replies.flush();
  return Buffer.concat(sink.bytes);
}

test('every chunk as proto.md draws it', () => {
  const hex = (use: (replies: Replies) => void): string => sent(use).toString('hex');
  assert.equal(
    hex((replies) => replies.noneChunk(COOKIE)),
    HEAD('0001', '0000', '00000000'),
  );
  assert.equal(
    hex((replies) => replies.holeChunk(COOKIE, 2 ** 40 + 512, 65_536, false)),
    `${HEAD('0000', '0002', '0000000c')}000001000000020000010000`,
  );
  assert.equal(
    hex((replies) => replies.errorChunk(COOKIE, 28, null, true)),
    `${HEAD('0001', '8001', '00000006')}0000001c0000`,
  );
  assert.equal(
    hex((replies) => replies.errorChunk(COOKIE, 5, 2 ** 33 + 1, false)),
    `${HEAD('0000', '8002', '0000000e')}0000000500000000000200000001`,
  );
  const runs = [
    { length: 4096, flags: 3 },
    { length: 0xffff_f000, flags: 0 },
  ];
  assert.equal(
    hex((replies) => replies.statusChunk(COOKIE, 7, runs, true)),
    `${HEAD('0001', '0005', '00000014')}000000070000100000000003fffff00000000000`,
  );
});

test('data, small and large, with its offset before it', () => {
  for (const length of [1, 512, 16 * 1024, 16 * 1024 + 1, 300_000]) {
    const bytes = sent((replies, pool) => {
      replies.noneChunk(COOKIE);
      const buffer = pool.take(length).fill(0xab, HEAD_BYTES, HEAD_BYTES + length);
      replies.dataChunk(COOKIE, buffer, 2 ** 35 + 7, length, length % 2 === 0);
      replies.plain(COOKIE, 0);
    });
    assert.equal(bytes.length, 20 + 28 + length + 16);
    const [none, data] = splitChunks(bytes.subarray(0, bytes.length - 16));
    assert.equal(none?.flags, 1);
    assert.equal(data?.type, 1);
    assert.equal(data.flags, length % 2 === 0 ? 1 : 0);
    assert.equal(data.payload.readBigUInt64BE(0), 2n ** 35n + 7n);
    assert.ok(data.payload.subarray(8).every((byte) => byte === 0xab));
    assert.equal(data.payload.length, 8 + length);
  }
});

test('a status of many runs, after others, is whole', () => {
  const runs = Array.from({ length: 512 }, (_, index) => ({ length: 4096, flags: index % 2 }));
  const bytes = sent((replies) => {
    for (let id = 1; id <= 100; id += 1) replies.statusChunk(COOKIE, id, runs, id === 100);
  });
  const chunks = splitChunks(bytes);
  assert.deepEqual(
    statusOf(chunks).map(({ context, runs: all }) => [context, all.length]),
    Array.from({ length: 100 }, (_, index) => [index + 1, 512]),
  );
  assert.equal(chunks.filter(({ flags }) => flags === 1).length, 1);
});

const K = 1024;
const hole = (length: number) => ({ length, flags: 3 });
const data = (length: number) => ({ length, flags: 0 });
const shape = (...args: Parameters<typeof readParts>): string =>
  readParts(...args)
    .map((part) => `${part.hole ? 'h' : 'd'}${part.offset / K}+${part.length / K}`)
    .join(' ');

test('parts of a read', () => {
  assert.equal(shape(0, 128 * K, [data(128 * K)]), 'd0+128');
  assert.equal(shape(64 * K, 128 * K, [hole(128 * K)]), 'h64+128');
  assert.equal(
    shape(0, 192 * K, [hole(64 * K), data(64 * K), hole(64 * K)]),
    'h0+64 d64+64 h128+64',
  );
  assert.equal(
    shape(0, 192 * K, [data(64 * K), hole(4 * K), data(124 * K)]),
    'd0+192',
    'a short one',
  );
  assert.equal(shape(0, 192 * K, [hole(64 * K)]), 'h0+64 d64+128', 'what is not told is data');
  assert.equal(shape(0, 192 * K, []), 'd0+192');
  assert.equal(shape(0, 64 * K, [hole(2 ** 30)]), 'h0+64', 'a run may reach further');
  assert.equal(shape(0, 64 * K, [{ length: 64 * K, flags: 1 }]), 'd0+64', 'HOLE is not ZERO');
  assert.equal(shape(0, HOLE_BYTES_MIN, [hole(HOLE_BYTES_MIN)]), 'h0+32');
});

test('parts cover the read once and in order, whatever the runs', (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  const run = fc.record({ length: fc.integer({ min: 1, max: 100_000 }), flags: fc.nat(3) });
  fc.assert(
    fc.property(fc.nat(2 ** 40), fc.integer({ min: 1, max: 500_000 }), fc.array(run), (...args) => {
      const [offset, length, runs] = args;
      let at = offset;
      for (const part of readParts(offset, length, runs)) {
        assert.equal(part.offset, at);
        assert.ok(part.length > 0);
        assert.ok(!part.hole || part.length >= HOLE_BYTES_MIN);
        at += part.length;
      }
      assert.equal(at, offset + length);
    }),
    { seed, numRuns: 300 },
  );
});
