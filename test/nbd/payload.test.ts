// The payload cutter against what it promises: covers once, in order, on block boundaries of the
// disk but for the request's ends (H4), however the bytes trickle in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '../../src/base/random.js';
import { PayloadCutter } from '../../src/nbd/payload.js';

interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Feeds `payload` for `offset`; `chunks` are the sizes in which it arrives, over and over. */
function cut(cutter: PayloadCutter, offset: number, payload: Buffer, chunks: number[]): Piece[] {
  const pieces: Piece[] = [];
  // One buffer that every arrival overwrites, as the receive buffer of a connection.
  const receive = Buffer.alloc(Math.max(...chunks));
  cutter.begin(offset, payload.length);
  for (let at = 0, turn = 0; at < payload.length; turn += 1) {
    const bytes = Math.min(chunks[turn % chunks.length] ?? 1, payload.length - at);
    receive.fill(0xee);
    payload.copy(receive, 0, at, at + bytes);
    for (let taken = 0; taken < bytes; ) {
      taken += cutter.take(receive, taken, bytes);
      const { piece, pieceOffset } = cutter;
      if (piece !== null) pieces.push({ offset: pieceOffset, bytes: Buffer.from(piece) });
    }
    at += bytes;
  }
  return pieces;
}

const offsetsOf = (pieces: Piece[]): number[][] => pieces.map((p) => [p.offset, p.bytes.length]);

test('an aligned payload that arrives whole is one piece', () => {
  const payload = Buffer.alloc(65_536, 7);
  assert.deepEqual(offsetsOf(cut(new PayloadCutter(), 8192, payload, [65_536])), [[8192, 65_536]]);
});

test('a block of which half has arrived waits for its other half', () => {
  const pieces = cut(new PayloadCutter(), 4096, Buffer.alloc(12_288), [6000, 7000]);
  assert.deepEqual(offsetsOf(pieces), [
    [4096, 4096],
    [8192, 4096],
    [12_288, 4096],
  ]);
});

test('an unaligned request keeps its own two ends', () => {
  const pieces = cut(new PayloadCutter(), 1000, Buffer.alloc(10_000), [5000]);
  assert.deepEqual(offsetsOf(pieces), [
    [1000, 3096],
    [4096, 4096],
    [8192, 2808],
  ]);
});

test('after a skip the next payload begins clean', () => {
  const cutter = new PayloadCutter();
  cutter.begin(0, 10_000);
  const arrived = Buffer.alloc(10_000, 1);
  assert.equal(cutter.take(arrived, 0, 100), 100);
  assert.equal(cutter.piece, null);
  assert.equal(cutter.skip(50_000), 9900);
  assert.equal(cutter.remaining, 0);
  const payload = Buffer.alloc(4096, 2);
  assert.deepEqual(cut(cutter, 4096, payload, [4096]), [{ offset: 4096, bytes: payload }]);
});

test('any payload, cut in any way', (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  const cutter = new PayloadCutter();
  fc.assert(
    fc.property(
      fc.nat(20_000),
      fc.integer({ min: 1, max: 50_000 }),
      fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 6 }),
      (offset, length, chunks) => {
        const payload = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + 7) & 0xff));
        const pieces = cut(cutter, offset, payload, chunks);
        assert.deepEqual(Buffer.concat(pieces.map((p) => p.bytes)), payload);
        let next = offset;
        for (const piece of pieces) {
          assert.equal(piece.offset, next);
          if (next !== offset) assert.equal(next % 4096, 0, 'pieces meet on block boundaries');
          next += piece.bytes.length;
        }
        assert.equal(next, offset + length);
      },
    ),
    { seed, numRuns: 300 },
  );
});

test('what is received at once ends where a block does', () => {
  const MAX = 64 * 1024;
  const cutter = new PayloadCutter();
  const into = Buffer.alloc(MAX);
  // No payload yet: a header, then the blocks of an aligned write.
  assert.equal(cutter.window(0, MAX), 28 + 15 * 4096);
  assert.equal(cutter.window(20, MAX), 8 + 15 * 4096);
  for (const [offset, length] of [
    [0, 2 ** 20],
    [512, 2 ** 20],
    [4095, 70_000],
    [8192, 100],
  ] as const) {
    cutter.begin(offset, length);
    for (let at = offset; cutter.remaining > 0; ) {
      const bytes = cutter.window(0, MAX);
      assert.ok(bytes > MAX - 4096 && bytes <= MAX);
      const payload = Math.min(bytes, cutter.remaining);
      if (cutter.remaining >= MAX) assert.equal((at + bytes) % 4096, 0);
      else assert.equal((bytes - payload - 28) % 4096, 0, 'blocks of the next one');
      for (let taken = 0; taken < payload; ) taken += cutter.take(into, taken, payload);
      at += payload;
    }
  }
  // Little room, and a payload that all but fills it.
  cutter.begin(0, MAX - 10);
  assert.equal(cutter.window(0, MAX), MAX);
});
