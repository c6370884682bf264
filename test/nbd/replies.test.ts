// Reply buffers and batches: who owns what, one write per batch, nothing kept beyond the limit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferPool, HEAD_BYTES } from '../../src/nbd/buffers.js';
import { COPIED_BYTES_MAX, Replies, type ReplySocket } from '../../src/nbd/replies.js';

/** A socket that keeps what it is given until told that the kernel took it. */
class SlowSocket implements ReplySocket {
  destroyed = false;
  writableLength = 0;
  readonly writes: Buffer[] = [];
  readonly #waiting: { bytes: number; written: () => void }[] = [];

  write(bytes: Uint8Array, written: () => void): boolean {
    this.writes.push(Buffer.from(bytes));
    this.writableLength += bytes.length;
    this.#waiting.push({ bytes: bytes.length, written });
    return false;
  }

  take(): void {
    const next = this.#waiting.shift();
    assert.ok(next);
    this.writableLength -= next.bytes;
    next.written();
  }
}

function parts(): {
  socket: SlowSocket;
  pool: BufferPool;
  replies: Replies;
  written: () => number;
} {
  const socket = new SlowSocket();
  const pool = new BufferPool(4 * 1024 * 1024);
  let count = 0;
  const replies = new Replies(socket, pool, () => {
    count += 1;
  });
  return { socket, pool, replies, written: () => count };
}

function filled(pool: BufferPool, length: number, byte: number): Buffer {
  const buffer = pool.take(length);
  buffer.fill(byte, HEAD_BYTES, HEAD_BYTES + length);
  return buffer;
}

test('replies gather and leave in one write, in order', () => {
  const { socket, pool, replies } = parts();
  replies.plain({ cookieHigh: 1, cookieLow: 2 }, 0);
  replies.data({ cookieHigh: 3, cookieLow: 4 }, filled(pool, 512, 0xaa), 512);
  replies.plain({ cookieHigh: 5, cookieLow: 6 }, 28);
  assert.equal(socket.writes.length, 0);
  assert.equal(replies.unsentBytes, 16 + 16 + 512 + 16);
  replies.flush();
  replies.flush();
  assert.equal(socket.writes.length, 1);
  const hex = socket.writes[0]?.toString('hex');
  const expected = [
    '67446698000000000000000100000002',
    '67446698000000000000000300000004',
    'aa'.repeat(512),
    '674466980000001c0000000500000006',
  ].join('');
  assert.equal(hex, expected);
});

test('large data leaves by itself, behind what came before it', () => {
  const { socket, pool, replies } = parts();
  const length = COPIED_BYTES_MAX + 1;
  replies.plain({ cookieHigh: 0, cookieLow: 1 }, 0);
  replies.data({ cookieHigh: 0, cookieLow: 2 }, filled(pool, length, 0xbb), length);
  replies.plain({ cookieHigh: 0, cookieLow: 3 }, 0);
  replies.flush();
  assert.deepEqual(
    socket.writes.map((one) => one.length),
    [16, 16 + length, 16],
  );
  assert.deepEqual(
    socket.writes.map((one) => one.readUInt32BE(12)),
    [1, 2, 3],
  );
});

test('a full batch is sent before it overflows', () => {
  const { socket, replies } = parts();
  for (let i = 0; i < 40_000; i += 1) replies.plain({ cookieHigh: 0, cookieLow: i }, 0);
  replies.flush();
  assert.equal(Buffer.concat(socket.writes).length, 40_000 * 16);
  assert.ok(socket.writes.length >= 2);
});

test('no buffer is used again before the socket is done with it', () => {
  const { socket, pool, replies, written } = parts();
  const buffer = filled(pool, 65_536, 1);
  replies.data({ cookieHigh: 0, cookieLow: 1 }, buffer, 65_536);
  assert.notEqual(pool.take(65_536), buffer);
  socket.take();
  assert.equal(written(), 1);
  assert.equal(pool.take(65_536), buffer);
});

test('without a socket replies vanish and buffers come home', () => {
  const { socket, pool, replies } = parts();
  socket.destroyed = true;
  replies.data({ cookieHigh: 0, cookieLow: 1 }, filled(pool, 65_536, 1), 65_536);
  replies.plain({ cookieHigh: 0, cookieLow: 2 }, 0);
  replies.flush();
  assert.equal(socket.writes.length, 0);
  assert.equal(pool.retainedBytes, 65_536 + 256 * 1024 + 2 * HEAD_BYTES);
});

test('the pool gives buffers back out, and keeps no more than its limit', () => {
  const pool = new BufferPool(100_000);
  const one = pool.take(5000);
  assert.equal(one.length, 8192 + HEAD_BYTES);
  pool.give(one);
  assert.equal(pool.take(8192), one);
  for (const length of [0, 1, 4096, 4097, 65_536, 2 ** 21, 2 ** 21 + 1, 2 ** 25]) {
    const buffer = pool.take(length);
    assert.ok(buffer.length >= length + HEAD_BYTES);
    pool.give(buffer);
    assert.ok(pool.retainedBytes <= 100_000, `${pool.retainedBytes} retained`);
  }
});
