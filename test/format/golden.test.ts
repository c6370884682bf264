// Frozen bytes of changesets, maps and tables (STYLE 10): what version 1 has written is read for
// ever, and what has no packing in it is written to the byte. Layouts: hast-changeset(5).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import type { ChangesetHeader } from '../../src/format/changeset.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { decodeTableHeader, decodeTablePage } from '../../src/format/digest-table.js';
import { openDirty } from '../../src/format/dirty-file.js';
import { decodeFrame } from '../../src/format/frame.js';
import { decodeFrameHeader } from '../../src/format/frame-header.js';
import { decodeIntentHeader, intentPageOffset, uniteCopies } from '../../src/format/intent-file.js';
import { unpack } from '../../src/format/pack.js';
import { frozen } from './frozen.js';
import {
  DIRTY,
  FIRST,
  INTENT,
  intentBits,
  madeFiles,
  PAGES,
  POINT_TABLE,
  ROUND,
  TABLE,
  UNDO,
  zeroFrame,
} from './golden-files.js';
import { allOf, content, MemoryHandle, plain, SMALL_SIZE_BYTES, smallFrame } from './material.js';

const made = await madeFiles();
type Name = keyof typeof made;
const golden = (name: Name): Uint8Array => frozen(name, made[name]);

/** Header, totals, both frames and the index are what was put in. */
async function isChangeset(name: Name, header: ChangesetHeader, codecs: number[]): Promise<void> {
  const reader = await openChangeset(new MemoryHandle(golden(name)));
  assert.deepEqual(reader.header, header);
  const { frames, chunks, blockBytes } = reader.totals;
  assert.deepEqual([frames, chunks, blockBytes], [2, 8, smallFrame().blocks.length]);
  const [first, second] = await allOf(reader.frames());
  assert.ok(first && second);
  assert.deepEqual([first.header.codec, second.header.codec], codecs);
  assert.deepEqual([first.offset, await reader.frameOffsets()], [256, [256, second.offset]]);
  const zeroes = decodeFrame(first.bytes, 'golden', unpack, SMALL_SIZE_BYTES);
  assert.deepEqual(plain(zeroes.entries), plain(zeroFrame().entries));
  const frame = decodeFrame(second.bytes, 'golden', unpack, SMALL_SIZE_BYTES);
  assert.deepEqual(plain(frame.entries), plain(smallFrame().entries));
  assert.ok(equalBytes(frame.blocks, smallFrame().blocks));
  const index = await allOf(reader.index());
  assert.deepEqual(plain(index), [...plain(zeroes.entries), ...plain(frame.entries)]);
  const numbers = index.map((entry) => entry.frame);
  assert.deepEqual(numbers, [0, 0, 0, 1, 1, 1, 1, 1]);
}

test('reads a version 1 changeset', () => isChangeset('changeset-v1.bin', ROUND, [0, 1]));

test('reads and writes a version 1 undo', async () => {
  await isChangeset('changeset-undo-v1.bin', UNDO, [0, 0]);
  assert.ok(equalBytes(made['changeset-undo-v1.bin'], golden('changeset-undo-v1.bin')));
});

test('reads and writes a version 1 changeset of a first round', async () => {
  await isChangeset('changeset-first-v1.bin', FIRST, [0, 0]);
  assert.ok(equalBytes(made['changeset-first-v1.bin'], golden('changeset-first-v1.bin')));
});

test('reads version 1 frames, raw and zstd, and writes a raw one', () => {
  for (const [name, codec] of [
    ['frame-raw-v1.bin', 0],
    ['frame-zstd-v1.bin', 1],
  ] as const) {
    const bytes = golden(name);
    assert.equal(decodeFrameHeader(bytes, 'golden').codec, codec);
    const frame = decodeFrame(bytes, 'golden', unpack, SMALL_SIZE_BYTES);
    assert.equal(frame.number, 0x0102_0304);
    assert.deepEqual(plain(frame.entries), plain(smallFrame().entries));
    assert.ok(equalBytes(frame.blocks, smallFrame().blocks), name);
  }
  assert.ok(equalBytes(made['frame-raw-v1.bin'], golden('frame-raw-v1.bin')));
});

test('reads and writes a version 1 digest table, with a hole', () => {
  const bytes = golden('digest-table-v1.bin');
  assert.equal(bytes.length, 4 * 4096);
  const page = (at: number) => bytes.subarray(4096 * (1 + at), 4096 * (2 + at));
  assert.deepEqual(decodeTableHeader(bytes.subarray(0, 4096), 'golden'), TABLE);
  for (const [at, seed] of [
    [0, 1],
    [2, 3],
  ] as const) {
    const digests = decodeTablePage(at, page(at));
    assert.ok(digests instanceof Uint8Array && equalBytes(digests, content(4080, seed)));
  }
  assert.equal(decodeTablePage(1, page(1)), 'absent');
  assert.equal(decodeTablePage(1, page(0)), 'bad', 'a page has its place in its check');
  assert.ok(equalBytes(made['digest-table-v1.bin'], bytes));
});

test('reads and writes a version 1 digest table of a point', () => {
  const bytes = golden('digest-table-point-v1.bin');
  assert.deepEqual(decodeTableHeader(bytes.subarray(0, 4096), 'golden'), POINT_TABLE);
  assert.ok(equalBytes(made['digest-table-point-v1.bin'], bytes));
});

test('reads and writes a version 1 dirty map', async () => {
  const bytes = golden('dirty-v1.bin');
  const { header, pages } = await openDirty(new MemoryHandle(bytes));
  assert.deepEqual(header, DIRTY);
  assert.deepEqual(await allOf(pages()), PAGES);
  assert.ok(equalBytes(made['dirty-v1.bin'], bytes));
});

test('reads and writes a version 1 intent map, pages and their twins', () => {
  const bytes = golden('intent-v1.bin');
  assert.deepEqual(decodeIntentHeader(bytes.subarray(0, 4096), 'golden'), INTENT);
  assert.equal(bytes.length, 5 * 4096);
  for (const page of [0, 1]) {
    const at = intentPageOffset(page);
    const copies = bytes.subarray(at, at + 2 * 4096);
    const wanted = new Uint8Array(intentBits(), page * 4096, 4096);
    for (const copy of [copies.subarray(0, 4096), copies.subarray(4096), uniteCopies(copies)]) {
      assert.ok(equalBytes(copy, wanted), `page ${page}`);
    }
  }
  assert.ok(equalBytes(made['intent-v1.bin'], bytes));
});
