// Spans against a plain model: every block of every mask, one at a time, on a small disk.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BLOCK_BYTES, bitCount, CHUNK_BYTES, MASK_ALL } from '../../src/base/units.js';
import type { Frame } from '../../src/format/changeset.js';
import { blockSpans, maskBytes } from '../../src/format/frame-spans.js';
import { content, frames, SMALL_SIZE_BYTES, seeded, smallFrame } from './material.js';

interface ModelBlock {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Blocks one by one, zeroes written out. */
function model(frame: Pick<Frame, 'entries' | 'blocks'>, sizeBytes: number): ModelBlock[] {
  const out: ModelBlock[] = [];
  let from = 0;
  for (const { chunk, mask, zero } of frame.entries) {
    for (let block = 0; block < 16; block += 1) {
      if ((mask & (1 << block)) === 0) continue;
      const offset = chunk * CHUNK_BYTES + block * BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES, sizeBytes - offset);
      const isZero = (zero & (1 << block)) !== 0;
      const bytes = isZero ? new Uint8Array(length) : frame.blocks.slice(from, from + length);
      if (!isZero) from += length;
      out.push({ offset, bytes });
    }
  }
  assert.equal(from, frame.blocks.length, 'the model uses all blocks');
  return out;
}

test('spans are the blocks of the masks, in order, merged as far as can be', (t) => {
  fc.assert(
    fc.property(frames, ({ frame, sizeBytes }) => {
      const spans = [...blockSpans(frame, sizeBytes)];
      const expected = model(frame, sizeBytes);
      const pieces = spans.flatMap(({ offset, length, bytes }) => {
        assert.ok(bytes === null || bytes.length === length);
        const out: ModelBlock[] = [];
        for (let at = 0; at < length; at += BLOCK_BYTES) {
          const end = Math.min(length, at + BLOCK_BYTES);
          const piece = bytes ? bytes.slice(at, end) : new Uint8Array(end - at);
          out.push({ offset: offset + at, bytes: piece });
        }
        return out;
      });
      assert.deepEqual(pieces, expected);
      for (const [i, span] of spans.entries()) {
        const next = spans[i + 1];
        if (next === undefined) continue;
        const touch = span.offset + span.length === next.offset;
        assert.ok(span.offset + span.length <= next.offset, 'spans ascend');
        const alike = (span.bytes === null) === (next.bytes === null);
        assert.ok(!(touch && alike), 'neighbours of one kind are merged');
      }
    }),
    seeded(t, 200),
  );
});

test('zero chunks in a row are one span, the short last block is short', () => {
  const spans = [...blockSpans(smallFrame(), SMALL_SIZE_BYTES)];
  const seen = spans.map(({ offset, length, bytes }) => [offset, length, bytes?.length ?? null]);
  assert.deepEqual(seen, [
    [2 * CHUNK_BYTES, 4096, 4096],
    [2 * CHUNK_BYTES + 8192, 4096, null],
    [4 * CHUNK_BYTES, 3 * CHUNK_BYTES, null],
    [9 * CHUNK_BYTES, 4608, 4608],
  ]);
});

test('data runs across chunks', () => {
  const digest = new Uint8Array(16);
  const entries = [
    { chunk: 0, mask: 0x8000, zero: 0, digest },
    { chunk: 1, mask: MASK_ALL, zero: 0, digest },
    { chunk: 2, mask: 1, zero: 0, digest },
  ];
  const blocks = content(18 * BLOCK_BYTES, 1);
  const spans = [...blockSpans({ entries, blocks }, 3 * CHUNK_BYTES)];
  assert.equal(spans.length, 1);
  assert.equal(spans[0]?.offset, 15 * BLOCK_BYTES);
  assert.ok(Buffer.from(spans[0]?.bytes ?? []).equals(blocks));
});

test('mask bytes count the last block by what exists of it', () => {
  assert.equal(maskBytes(0, MASK_ALL, CHUNK_BYTES), CHUNK_BYTES);
  assert.equal(maskBytes(0, MASK_ALL, CHUNK_BYTES - 512), CHUNK_BYTES - 512);
  assert.equal(maskBytes(0, 0x7fff, CHUNK_BYTES - 512), CHUNK_BYTES - 4096);
  assert.equal(maskBytes(1, 1, CHUNK_BYTES + 512), 512);
  assert.equal(maskBytes(1, 3, CHUNK_BYTES + 8192), 8192);
  assert.equal(maskBytes(0, 0, 512), 0);
  for (let mask = 0; mask <= MASK_ALL; mask += 37) {
    assert.equal(bitCount(mask), mask.toString(2).replaceAll('0', '').length);
  }
});
