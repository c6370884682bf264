// Writer and reader of changeset files together, and the reader on files that are not whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../src/base/assert.js';
import { equalBytes } from '../../src/base/digest.js';
import type { Frame } from '../../src/format/changeset.js';
import { CHANGESET_HEADER_BYTES } from '../../src/format/changeset-file.js';
import { indexAccumulator } from '../../src/format/changeset-index.js';
import { openChangeset, readHeader, scanFrames } from '../../src/format/changeset-reader.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import { decodeFrame, encodeFrame } from '../../src/format/frame.js';
import { decodeFrameHeader } from '../../src/format/frame-header.js';
import { packer, packRaw, unpack } from '../../src/format/pack.js';
import {
  allOf,
  badBecause,
  flips,
  frames as frameShapes,
  HEADER,
  isFormatError,
  MemoryHandle,
  plain,
  SMALL_SIZE_BYTES,
  seeded,
  smallFrame,
} from './material.js';

const SIZE_BYTES = 2 ** 48;
const zstd = packer({ codec: 'zstd' });

async function written(frames: readonly Frame[], sizeBytes: number, indexBytesMax?: number) {
  const handle = new MemoryHandle();
  const header = { ...HEADER, sizeBytes };
  const writer = await ChangesetWriter.create(handle, header, indexBytesMax);
  const offsets: number[] = [];
  for (const frame of frames) {
    offsets.push(await writer.append(encodeFrame(frame, zstd), frame.entries));
  }
  const endOffset = writer.endOffset;
  const totals = await writer.finish();
  return { handle, offsets, totals, endOffset, header };
}

const three = () => [0, 1, 2].map(smallFrame);

test('what was written is read: header, frames, offsets, index, totals', async () => {
  const { handle, offsets, totals, header } = await written(three(), SMALL_SIZE_BYTES);
  const reader = await openChangeset(handle);
  assert.deepEqual(reader.header, header);
  assert.deepEqual(reader.totals, totals);
  assert.deepEqual(await reader.frameOffsets(), offsets);
  let number = 0;
  for await (const { header: found, offset, bytes } of reader.frames()) {
    assert.equal(found.number, number);
    assert.equal(offset, offsets[number]);
    const frame = decodeFrame(bytes, 'here', unpack, SMALL_SIZE_BYTES);
    assert.deepEqual(plain(frame.entries), plain(smallFrame().entries));
    assert.ok(equalBytes(frame.blocks, smallFrame().blocks));
    const again = await reader.frameAt(offset);
    assert.ok(equalBytes(again.bytes, bytes));
    number += 1;
  }
  assert.equal(number, 3);
  const index = await allOf(reader.index());
  const expected = three().flatMap((frame) => plain(frame.entries));
  assert.deepEqual(plain(index), expected);
  assert.deepEqual(
    index.map((entry) => entry.frame),
    [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2],
  );
});

test('any frames, any limit of index memory: the same file', async (t) => {
  const several = fc.array(frameShapes, { minLength: 0, maxLength: 6 });
  const property = fc.asyncProperty(several, fc.nat(400), async (shapes, limit) => {
    const frames = shapes
      .map(({ frame }, number) => ({ ...frame, number }))
      .filter(({ entries, blocks }) => {
        // On a disk of another size only frames without a short block are legal.
        const blocksOf = entries.map(({ mask, zero }) => bits(mask & ~zero));
        return blocks.length === 4096 * blocksOf.reduce((sum, count) => sum + count, 0);
      })
      .map((frame, number) => ({ ...frame, number }));
    const whole = await written(frames, SIZE_BYTES);
    const spilled = await written(frames, SIZE_BYTES, limit);
    assert.ok(equalBytes(whole.handle.bytes, spilled.handle.bytes));
    const reader = await openChangeset(spilled.handle);
    const index = await allOf(reader.index());
    const expected = frames.flatMap((frame) => plain(frame.entries));
    assert.deepEqual(plain(index), expected);
  });
  await fc.assert(property, seeded(t, 60));
});

const bits = (mask: number): number => mask.toString(2).replaceAll('0', '').length;

test('receiver and sender compute one index digest', async () => {
  const { totals } = await written(three(), SMALL_SIZE_BYTES);
  const index = indexAccumulator();
  for (const frame of three()) {
    const bytes = encodeFrame(frame, packRaw);
    const { entries } = decodeFrame(bytes, 'here', unpack, SMALL_SIZE_BYTES);
    index.add(decodeFrameHeader(bytes, 'here'), entries);
  }
  assert.deepEqual(index.totals().indexDigest, totals.indexDigest, 'however it was packed');
});

test('a changeset without frames is one', async () => {
  const { handle } = await written([], SMALL_SIZE_BYTES);
  const reader = await openChangeset(handle);
  assert.equal(reader.totals.frames, 0);
  assert.deepEqual(await allOf(reader.frames()), []);
  assert.deepEqual(await allOf(reader.index()), []);
});

test('overlapping appends stand in the order of the calls', async () => {
  const handle = new MemoryHandle();
  const slow = Object.create(handle) as MemoryHandle;
  let turns = 9;
  slow.write = async (bytes, offset) => {
    for (let turn = turns; turn > 0; turn -= 1) await Promise.resolve();
    turns -= 3;
    handle.writeNow(bytes, offset);
  };
  const writer = await ChangesetWriter.create(slow, { ...HEADER, sizeBytes: SMALL_SIZE_BYTES });
  await Promise.all(
    three().map((frame) => writer.append(encodeFrame(frame, packRaw), frame.entries)),
  );
  assert.equal(writer.frames, 3);
  await writer.finish();
  const reader = await openChangeset(handle);
  const found = await allOf(reader.frames());
  assert.deepEqual(
    found.map((frame) => frame.header.number),
    [0, 1, 2],
  );
});

test('until it is finished a file is not whole, at any length', async () => {
  const { handle } = await written(three(), SMALL_SIZE_BYTES, 200);
  for (let length = 0; length < handle.bytes.length; length += 7) {
    const cut = new MemoryHandle(handle.bytes.slice(0, length));
    await assert.rejects(openChangeset(cut), isFormatError, `${length} bytes`);
  }
  const longer = new MemoryHandle(Uint8Array.from([...handle.bytes, 0]));
  await assert.rejects(openChangeset(longer), isFormatError);
});

test('every changed byte of a file is found by opening it or by reading its frames', async () => {
  const frame = smallFrame();
  const { handle } = await written([frame], SMALL_SIZE_BYTES);
  const readAll = async (bytes: Uint8Array) => {
    const reader = await openChangeset(new MemoryHandle(bytes));
    for await (const stored of reader.frames()) {
      decodeFrame(stored.bytes, 'here', unpack, SMALL_SIZE_BYTES);
    }
  };
  await readAll(handle.bytes);
  for (const { at, bytes } of flips(handle.bytes)) {
    await assert.rejects(readAll(bytes), isFormatError, `byte ${at}`);
  }
});

test('a lost index entry is named', async () => {
  const { handle, endOffset } = await written(three(), SMALL_SIZE_BYTES);
  handle.bytes[endOffset + 5] = 0x55;
  await assert.rejects(openChangeset(handle), badBecause(/changeset index: its digest differs/));
});

test('frames in another order than their numbers are found', async () => {
  const { handle, offsets, endOffset } = await written(three(), SMALL_SIZE_BYTES);
  const [first = 0, second = 0, third = 0] = offsets;
  const a = handle.bytes.slice(first, second);
  assert.equal(third - second, a.length, 'frames of one length');
  handle.bytes.copyWithin(first, second, third);
  handle.bytes.set(a, second);
  const reader = await openChangeset(handle);
  await assert.rejects(allOf(reader.frames()), badBecause(/frame 1 stands at 0/));
  await assert.rejects(reader.frameOffsets(), badBecause(/frame 1 stands at 0/));
  await assert.rejects(reader.frameAt(endOffset), isFormatError, 'no frame in the index');
});

test('a staged file is read up to the first frame that is not whole', async () => {
  const { handle, offsets, endOffset } = await written(three(), SMALL_SIZE_BYTES);
  const from = CHANGESET_HEADER_BYTES;
  const numbers = async (bytes: Uint8Array, to: number) => {
    const found = await allOf(scanFrames(new MemoryHandle(bytes), from, to));
    return found.map((frame) => frame.header.number);
  };
  const staged = handle.bytes.slice(0, endOffset);
  assert.deepEqual(await numbers(staged, endOffset), [0, 1, 2]);
  assert.deepEqual(await numbers(staged, offsets[2] ?? 0), [0, 1], 'the watermark ends it');
  assert.deepEqual(await numbers(staged.slice(0, endOffset - 1), endOffset), [0, 1], 'torn');
  assert.deepEqual(await numbers(staged.slice(0, (offsets[1] ?? 0) + 9), endOffset), [0]);
  assert.deepEqual(await numbers(handle.bytes, handle.bytes.length), [0, 1, 2], 'index follows');
  const zeroed = staged.slice();
  zeroed.fill(0, offsets[1], offsets[2]);
  assert.deepEqual(await numbers(zeroed, endOffset), [0], 'a hole');
  assert.deepEqual(await numbers(new Uint8Array(0), 0), []);
  const middle = offsets[1] ?? 0;
  const rest = await allOf(scanFrames(handle, middle, endOffset, 1));
  assert.equal(rest.length, 2);
  assert.deepEqual((await readHeader(new MemoryHandle(staged))).to, HEADER.to);
});

test('a failing disk is not taken for the end of a staged file', async () => {
  const { handle, endOffset } = await written(three(), SMALL_SIZE_BYTES);
  const broken = Object.create(handle) as MemoryHandle;
  broken.read = async () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
  await assert.rejects(allOf(scanFrames(broken, 256, endOffset)), /EIO/);
});

test('a frame that rots before finish reads it back fails the changeset', async () => {
  const handle = new MemoryHandle();
  const header = { ...HEADER, sizeBytes: SMALL_SIZE_BYTES };
  const writer = await ChangesetWriter.create(handle, header, 0);
  for (const frame of three()) await writer.append(encodeFrame(frame, zstd), frame.entries);
  const last = handle.bytes.length - 1;
  handle.bytes[last] = (handle.bytes[last] ?? 0) ^ 1;
  await assert.rejects(writer.finish(), badBecause(/checksum of the body differs/));
  await assert.rejects(openChangeset(handle), isFormatError);
});

test('misuse stops the program', async () => {
  const header = { ...HEADER, sizeBytes: SMALL_SIZE_BYTES };
  const writer = await ChangesetWriter.create(new MemoryHandle(), header);
  const frame = encodeFrame(smallFrame(), packRaw);
  await assert.rejects(writer.append(frame.subarray(0, 60), smallFrame().entries), AssertionError);
  await writer.finish();
  await assert.rejects(writer.finish(), AssertionError);
  await assert.rejects(writer.append(frame, smallFrame().entries), AssertionError);
});
