// Frozen bytes (STYLE 10): files of version 0 are read for ever, and what has no packing in it is
// written to the byte. HAST_WRITE_GOLDEN=1 writes them anew, which only a version not yet released
// may do. test/golden stands beside this folder in the source tree.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import {
  decodeTableHeader,
  decodeTablePage,
  encodeTableHeader,
  encodeTablePage,
  type TableHeader,
} from '../../src/format/digest-table.js';
import {
  type DirtyHeader,
  encodeDirty,
  type MapPage,
  openDirty,
} from '../../src/format/dirty-file.js';
import { decodeFrame, encodeFrame } from '../../src/format/frame.js';
import { decodeIntentHeader, encodeIntentHeader } from '../../src/format/intent-file.js';
import { packer, packRaw, unpack } from '../../src/format/pack.js';
import {
  allOf,
  content,
  HEADER,
  MemoryHandle,
  plain,
  SMALL_SIZE_BYTES,
  smallFrame,
} from './material.js';

const folder = new URL('../../../test/golden/', import.meta.url);
const golden = (name: string): Uint8Array => readFileSync(new URL(name, folder));

const TABLE: TableHeader = {
  resource: HEADER.resource,
  sizeBytes: SMALL_SIZE_BYTES,
  absentIsZero: false,
  point: HEADER.to,
};
const INTENT = { resource: HEADER.resource, sizeBytes: SMALL_SIZE_BYTES, extentBytes: 2 ** 21 };
const DIRTY: DirtyHeader = {
  resource: HEADER.resource,
  sizeBytes: 1_000_000 * 4096,
  generation: 5,
};
const PAGES: readonly MapPage[] = [
  { page: 1, bits: 'ones' },
  { page: 30, bits: Uint8Array.from({ length: 4096 }, (_, at) => (at % 512 === 0 ? 0x81 : 0)) },
];

/** One raw frame of zero chunks and a short block, one packed; the writer's whole file. */
async function changeset(): Promise<Uint8Array> {
  const handle = new MemoryHandle();
  const writer = await ChangesetWriter.create(handle, HEADER);
  const zeroes = { ...smallFrame(0), entries: smallFrame().entries.slice(1, 4) };
  const raw = { ...zeroes, blocks: new Uint8Array(0) };
  await writer.append(encodeFrame(raw, packRaw), raw.entries);
  const packed = smallFrame(1);
  await writer.append(encodeFrame(packed, packer({ codec: 'zstd' })), packed.entries);
  await writer.finish();
  return handle.bytes;
}

const table = () => Buffer.concat([encodeTableHeader(TABLE), encodeTablePage(0, content(4080, 2))]);
const dirty = () => Buffer.concat([...encodeDirty(DIRTY, PAGES)]);

before(async () => {
  if (process.env['HAST_WRITE_GOLDEN'] !== '1') return;
  const write = (name: string, bytes: Uint8Array) => writeFileSync(new URL(name, folder), bytes);
  write('changeset-v0.bin', await changeset());
  write('frame-raw-v0.bin', encodeFrame(smallFrame(), packRaw));
  write('digest-table-v0.bin', table());
  write('dirty-v0.bin', dirty());
  write('intent-header-v0.bin', encodeIntentHeader(INTENT));
});

test('reads a version 0 changeset', async () => {
  const reader = await openChangeset(new MemoryHandle(golden('changeset-v0.bin')));
  assert.deepEqual(reader.header, HEADER);
  const { frames, chunks, blockBytes } = reader.totals;
  assert.deepEqual([frames, chunks, blockBytes], [2, 8, smallFrame().blocks.length]);
  const [raw, packed] = await allOf(reader.frames());
  assert.ok(raw && packed);
  assert.deepEqual([raw.header.codec, packed.header.codec], [0, 1]);
  const zeroes = decodeFrame(raw.bytes, 'golden', unpack, SMALL_SIZE_BYTES);
  assert.deepEqual(plain(zeroes.entries), plain(smallFrame().entries.slice(1, 4)));
  const frame = decodeFrame(packed.bytes, 'golden', unpack, SMALL_SIZE_BYTES);
  assert.deepEqual(plain(frame.entries), plain(smallFrame().entries));
  assert.ok(equalBytes(frame.blocks, smallFrame().blocks));
  const index = await allOf(reader.index());
  assert.deepEqual(plain(index), [...plain(zeroes.entries), ...plain(frame.entries)]);
});

test('reads and writes a version 0 frame', () => {
  const bytes = golden('frame-raw-v0.bin');
  const frame = decodeFrame(bytes, 'golden', unpack, SMALL_SIZE_BYTES);
  assert.deepEqual(plain(frame.entries), plain(smallFrame().entries));
  assert.ok(equalBytes(frame.blocks, smallFrame().blocks));
  assert.ok(equalBytes(encodeFrame(smallFrame(), packRaw), bytes));
});

test('reads and writes a version 0 digest table', () => {
  const bytes = golden('digest-table-v0.bin');
  assert.deepEqual(decodeTableHeader(bytes.subarray(0, 4096), 'golden'), TABLE);
  const digests = decodeTablePage(0, bytes.subarray(4096));
  assert.ok(digests instanceof Uint8Array);
  assert.ok(equalBytes(digests, content(4080, 2)));
  assert.ok(equalBytes(table(), bytes));
});

test('reads and writes a version 0 dirty map', async () => {
  const bytes = golden('dirty-v0.bin');
  const { header, pages } = await openDirty(new MemoryHandle(bytes));
  assert.deepEqual(header, DIRTY);
  assert.deepEqual(await allOf(pages()), PAGES);
  assert.ok(equalBytes(dirty(), bytes));
});

test('reads and writes a version 0 intent map header', () => {
  const bytes = golden('intent-header-v0.bin');
  assert.deepEqual(decodeIntentHeader(bytes, 'golden'), INTENT);
  assert.ok(equalBytes(encodeIntentHeader(INTENT), bytes));
});
