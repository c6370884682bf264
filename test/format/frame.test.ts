// Frames: what is encoded is decoded, every damage is found, every limit holds before allocation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../src/base/assert.js';
import { CHUNK_BYTES, MASK_ALL } from '../../src/base/units.js';
import {
  FRAME_BLOCK_BYTES_MAX,
  FRAME_BYTES_MAX,
  FRAME_ENTRIES_MAX,
  type Frame,
  type FrameEntry,
} from '../../src/format/changeset.js';
import { decodeFrame, encodeFrame, frameBody, frameHead } from '../../src/format/frame.js';
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  RECORD_BYTES,
  sealFrame,
} from '../../src/format/frame-header.js';
import { type Compression, packer, packRaw, unpack } from '../../src/format/pack.js';
import {
  badBecause,
  content,
  flips,
  frames,
  isFormatError,
  plain,
  SMALL_SIZE_BYTES,
  seeded,
  smallFrame,
} from './material.js';

const COMPRESSIONS: readonly Compression[] = [{ codec: 'none' }, { codec: 'zstd', level: 3 }];
const BIG_DISK_BYTES = 2 ** 47;

test('a frame comes back as it was, raw and packed', (t) => {
  for (const compression of COMPRESSIONS) {
    const pack = packer(compression);
    fc.assert(
      fc.property(frames, ({ frame, sizeBytes }) => {
        const bytes = encodeFrame(frame, pack);
        const back = decodeFrame(bytes, 'here', unpack, sizeBytes);
        assert.equal(back.number, frame.number);
        assert.deepEqual(plain(back.entries), plain(frame.entries));
        assert.ok(Buffer.from(back.blocks).equals(frame.blocks));
      }),
      seeded(t),
    );
  }
});

test('the head alone is the same as the head of the whole', (t) => {
  const pack = packer({ codec: 'zstd', level: 1 });
  fc.assert(
    fc.property(frames, ({ frame, sizeBytes }) => {
      const bytes = encodeFrame(frame, pack);
      const { header, entries } = frameHead(bytes, 'here', unpack, sizeBytes);
      assert.deepEqual(plain(entries), plain(frame.entries));
      assert.equal(header.chunks, frame.entries.length);
      assert.equal(header.rawBytes - header.records * RECORD_BYTES, frame.blocks.length);
    }),
    seeded(t),
  );
});

test('blocks in pieces, also in shared memory, give the same body', () => {
  const { entries, blocks } = smallFrame();
  const shared = new Uint8Array(new SharedArrayBuffer(blocks.length));
  shared.set(blocks);
  const whole = frameBody(7, entries, blocks);
  const pieces = frameBody(7, entries, [shared.subarray(0, 4096), shared.subarray(4096)]);
  assert.deepEqual(pieces.facts, whole.facts);
  assert.ok(Buffer.from(pieces.raw).equals(whole.raw));
  const sealed = sealFrame(whole.facts, packRaw(whole.raw));
  assert.ok(Buffer.from(encodeFrame({ number: 7, entries, blocks }, packRaw)).equals(sealed));
});

test('zero chunks in a row with one digest become one record, others do not', () => {
  const { header } = frameHead(
    encodeFrame(smallFrame(), packRaw),
    'here',
    unpack,
    SMALL_SIZE_BYTES,
  );
  assert.deepEqual([header.records, header.chunks, header.firstChunk], [3, 5, 2]);
  const zeroChunk = (chunk: number, digest: number): FrameEntry => ({
    chunk,
    mask: MASK_ALL,
    zero: MASK_ALL,
    digest: new Uint8Array(16).fill(digest),
  });
  const recordsOf = (...entries: FrameEntry[]) =>
    frameBody(0, entries, new Uint8Array(0)).facts.records;
  assert.equal(recordsOf(zeroChunk(1, 1), zeroChunk(2, 1), zeroChunk(3, 1)), 1);
  assert.equal(recordsOf(zeroChunk(1, 1), zeroChunk(3, 1)), 2, 'a gap ends the run');
  assert.equal(recordsOf(zeroChunk(1, 1), zeroChunk(2, 2)), 2, 'so does another digest');
  const partial = { ...zeroChunk(2, 1), mask: 3, zero: 3 };
  assert.equal(recordsOf(zeroChunk(1, 1), partial), 2, 'and a chunk that is not whole');
});

test('16384 zero chunks are one record of 26 bytes', () => {
  const entries = Array.from({ length: FRAME_ENTRIES_MAX }, (_, chunk) => ({
    chunk,
    mask: MASK_ALL,
    zero: MASK_ALL,
    digest: new Uint8Array(16).fill(9),
  }));
  const bytes = encodeFrame({ number: 0, entries, blocks: new Uint8Array(0) }, packRaw);
  assert.equal(bytes.length, FRAME_HEADER_BYTES + RECORD_BYTES);
  const back = decodeFrame(bytes, 'here', unpack, FRAME_ENTRIES_MAX * CHUNK_BYTES);
  assert.deepEqual(plain(back.entries), plain(entries));
});

test('the largest frame is within FRAME_BYTES_MAX', () => {
  const entries = Array.from({ length: FRAME_ENTRIES_MAX }, (_, i) => ({
    chunk: 2 * i,
    mask: 3,
    zero: i < 256 ? 2 : 3,
    digest: content(16, 2 * i + 1),
  }));
  const frame = { number: 0, entries, blocks: content(FRAME_BLOCK_BYTES_MAX, 1) };
  for (const compression of COMPRESSIONS) {
    const bytes = encodeFrame(frame, packer(compression));
    assert.ok(bytes.length <= FRAME_BYTES_MAX, `${bytes.length}`);
    const back = decodeFrame(bytes, 'here', unpack, BIG_DISK_BYTES);
    assert.equal(back.entries.length, FRAME_ENTRIES_MAX);
    assert.ok(Buffer.from(back.blocks).equals(frame.blocks));
  }
});

test('every changed byte of a frame is found', () => {
  const short: Frame = { ...smallFrame(), entries: smallFrame().entries.slice(1, 4) };
  const small = { ...short, blocks: new Uint8Array(0) };
  for (const [frame, pack] of [
    [small, packRaw],
    [smallFrame(), packer({ codec: 'zstd' })],
  ] as const) {
    const whole = encodeFrame(frame, pack);
    decodeFrame(whole, 'here', unpack, SMALL_SIZE_BYTES);
    for (const { at, bytes } of flips(whole)) {
      const decode = () => decodeFrame(bytes, 'here', unpack, SMALL_SIZE_BYTES);
      assert.throws(decode, isFormatError, `byte ${at}`);
      const head = () => frameHead(bytes, 'here', unpack, SMALL_SIZE_BYTES);
      assert.throws(head, isFormatError, `byte ${at}, head only`);
    }
  }
});

test('a frame that is cut short or goes on is found', () => {
  const whole = encodeFrame(smallFrame(), packer({ codec: 'zstd' }));
  for (let length = 0; length < whole.length; length += 1) {
    const decode = () => decodeFrame(whole.subarray(0, length), 'here', unpack, SMALL_SIZE_BYTES);
    assert.throws(decode, isFormatError, `${length} bytes`);
  }
  const longer = new Uint8Array(whole.length + 1);
  longer.set(whole);
  assert.throws(
    () => decodeFrame(longer, 'disk b', unpack, SMALL_SIZE_BYTES),
    badBecause(/^disk b: not a whole frame: .* its header says/),
  );
});

interface Row {
  readonly chunk: number;
  readonly run?: number;
  readonly mask?: number;
  readonly zero?: number;
}

/** A frame with sound checks and a head that no encoder of ours would write. */
function forge(rows: readonly Row[], blocks = 0, chunks = rows.length): Uint8Array {
  const n = rows.length;
  const raw = new Uint8Array(n * RECORD_BYTES + blocks);
  const view = new DataView(raw.buffer);
  for (const [i, { chunk, run = 1, mask = MASK_ALL, zero = MASK_ALL }] of rows.entries()) {
    view.setUint32(4 * i, chunk);
    view.setUint16(4 * n + 2 * i, run);
    view.setUint16(6 * n + 2 * i, mask);
    view.setUint16(8 * n + 2 * i, zero);
  }
  const firstChunk = rows[0]?.chunk ?? 0;
  const facts = { number: 0, firstChunk, records: n, chunks, rawBytes: raw.length };
  return sealFrame(facts, packRaw(raw));
}

test('entries that contradict themselves, the header or the disk are refused', () => {
  const size = 4 * CHUNK_BYTES + 4608;
  const refuse = (why: RegExp, frame: Uint8Array, sizeBytes = size) =>
    assert.throws(() => decodeFrame(frame, 'here', unpack, sizeBytes), badBecause(why));
  decodeFrame(forge([{ chunk: 1 }, { chunk: 2, run: 2 }], 0, 3), 'here', unpack, size);
  refuse(/out of order/, forge([{ chunk: 2 }, { chunk: 1 }]));
  refuse(/out of order/, forge([{ chunk: 2 }, { chunk: 2 }]));
  refuse(/out of order/, forge([{ chunk: 1, run: 2 }, { chunk: 2 }], 0, 3));
  refuse(/chunk 5 is beyond/, forge([{ chunk: 5 }]));
  refuse(/chunk 3 is beyond/, forge([{ chunk: 3, run: 3 }], 0, 3));
  refuse(/blocks of 4 beyond/, forge([{ chunk: 4, mask: 7, zero: 7 }]));
  refuse(/blocks of 4 beyond/, forge([{ chunk: 3, run: 2 }], 0, 2));
  refuse(/has no blocks/, forge([{ chunk: 1, mask: 0, zero: 0 }]));
  refuse(/not in its mask/, forge([{ chunk: 1, mask: 2, zero: 3 }]));
  refuse(/run 0/, forge([{ chunk: 1, run: 0 }]));
  refuse(/run 2/, forge([{ chunk: 1, run: 2, mask: 3, zero: 3 }], 0, 2));
  refuse(/more chunks than/, forge([{ chunk: 0, run: 3 }], 0, 2));
  refuse(/fewer chunks than/, forge([{ chunk: 0, run: 2 }], 0, 3));
  refuse(/masks want 4096 .* has 0/, forge([{ chunk: 1, mask: 3, zero: 2 }]));
  refuse(/masks want 0 .* has 512/, forge([{ chunk: 1 }], 512));
  refuse(/masks want 4608 .* has 8192/, forge([{ chunk: 4, mask: 3, zero: 0 }], 8192));
  decodeFrame(forge([{ chunk: 4, mask: 3, zero: 0 }], 4608), 'here', unpack, size);
  refuse(/masks want 8192 .* has 4608/, forge([{ chunk: 4, mask: 3, zero: 0 }], 4608), 2 ** 40);
});

test('the first chunk of the header is that of the first record', () => {
  const { facts, raw } = frameBody(0, smallFrame().entries, smallFrame().blocks);
  const other = sealFrame({ ...facts, firstChunk: 1 }, packRaw(raw));
  const decode = () => decodeFrame(other, 'here', unpack, SMALL_SIZE_BYTES);
  assert.throws(decode, badBecause(/chunk 2 is out of order/));
});

test('header limits hold before anything is allocated', () => {
  const facts = { number: 0, firstChunk: 0, records: 1, chunks: 1, rawBytes: RECORD_BYTES };
  const header = (change: Partial<typeof facts>, codec: 0 | 1 = 1, stored = 20) =>
    sealFrame({ ...facts, ...change }, { codec, bytes: new Uint8Array(stored) });
  const refuse = (why: RegExp, frame: Uint8Array) =>
    assert.throws(() => decodeFrameHeader(frame, 'here'), badBecause(why));
  decodeFrameHeader(header({}), 'here');
  refuse(/cannot be 1 chunks/, header({ records: 2, rawBytes: 52 }));
  refuse(/0 records/, header({ records: 0 }));
  refuse(/16385 chunks/, header({ chunks: FRAME_ENTRIES_MAX + 1 }));
  refuse(/beyond the largest disk/, header({ firstChunk: 2 ** 32 - 1, chunks: 2 }));
  refuse(/too few for 1 records/, header({ rawBytes: RECORD_BYTES - 1 }));
  const most = RECORD_BYTES + FRAME_BLOCK_BYTES_MAX;
  decodeFrameHeader(header({ rawBytes: most }), 'here');
  refuse(/1049088 block bytes are above/, header({ rawBytes: most + 512 }));
  refuse(/4294966761 block bytes|block bytes are above/, header({ rawBytes: 2 ** 32 - 1 }));
  refuse(/not whole sectors/, header({ rawBytes: RECORD_BYTES + 4095 }));
  refuse(/raw body of another length/, header({}, 0));
  refuse(/save nothing/, header({}, 1, RECORD_BYTES));
  refuse(/save nothing/, header({}, 1, 0));
  refuse(/codec 2 is not known/, header({}, 2 as 0 | 1));
});

test('a body that packs another length than the header says is refused', () => {
  const { facts, raw } = frameBody(0, smallFrame().entries, smallFrame().blocks);
  const packed = packer({ codec: 'zstd' })(raw);
  assert.equal(packed.codec, 1);
  const lied = sealFrame({ ...facts, rawBytes: raw.length + 512 }, packed);
  const decode = () => decodeFrame(lied, 'here', unpack, SMALL_SIZE_BYTES);
  assert.throws(decode, badBecause(/does not unpack to/));
});

test('another version is said to be one', () => {
  const frame = encodeFrame(smallFrame(), packRaw);
  frame[3] = '2'.charCodeAt(0);
  assert.throws(
    () => decodeFrameHeader(frame, 'here'),
    (error: unknown) =>
      /frame of version 2; this program reads version 1 \(a later/.test(String(error)),
  );
});

test('our own wrong frames stop the program', () => {
  const good = smallFrame();
  const stop = (entries: readonly FrameEntry[], blocks: Uint8Array = new Uint8Array(0)) =>
    assert.throws(() => frameBody(0, entries, blocks), AssertionError);
  const entry = { chunk: 1, mask: 1, zero: 1, digest: new Uint8Array(16) };
  frameBody(0, [entry], new Uint8Array(0));
  stop([]);
  stop([entry, entry]);
  stop([{ ...entry, mask: 0, zero: 0 }]);
  stop([{ ...entry, mask: 1 << 16 }]);
  stop([{ ...entry, zero: 2 }]);
  stop([{ ...entry, zero: 0 }]);
  stop([{ ...entry, zero: 0 }], new Uint8Array(100));
  stop([{ ...entry, digest: new Uint8Array(32) }]);
  stop(good.entries, good.blocks.subarray(0, 4096));
});
