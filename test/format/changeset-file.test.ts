// Header and trailer: round trips, every changed byte, every contradiction.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../src/base/assert.js';
import { DISK_BYTES_MAX, TIME_MS_MAX } from '../../src/base/units.js';
import type { ChangesetHeader, ChangesetTotals } from '../../src/format/changeset.js';
import {
  CHANGESET_HEADER_BYTES,
  CHANGESET_TRAILER_BYTES,
  decodeHeader,
  decodeTrailer,
  encodeHeader,
  encodeTrailer,
} from '../../src/format/changeset-file.js';
import {
  decodeIndex,
  encodeIndex,
  INDEX_ENTRY_BYTES,
  indexAccumulator,
} from '../../src/format/changeset-index.js';
import { encodeFrame } from '../../src/format/frame.js';
import { decodeFrameHeader } from '../../src/format/frame-header.js';
import { putCheck } from '../../src/format/layout.js';
import { packRaw } from '../../src/format/pack.js';
import { badBecause, flips, HEADER, isFormatError, plain, seeded, smallFrame } from './material.js';

const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
const PLAIN = { noNullPrototype: true };
const time = fc.integer({ min: 0, max: TIME_MS_MAX });
const point = fc.record({ id, number: fc.maxSafeNat(), timeMs: time }, PLAIN);
const headers: fc.Arbitrary<ChangesetHeader> = fc.record(
  {
    kind: fc.constantFrom('round' as const, 'undo' as const),
    resource: id,
    round: id,
    from: fc.option(point),
    to: point,
    sizeBytes: fc.integer({ min: 1, max: DISK_BYTES_MAX / 512 }).map((sectors) => sectors * 512),
    consistency: fc.constantFrom('crash' as const, 'quiesced' as const, 'damaged' as const),
  },
  PLAIN,
);

const TOTALS: ChangesetTotals = {
  frames: 2,
  chunks: 3,
  blockBytes: 12_288,
  storedBytes: 700,
  indexDigest: new Uint8Array(32).fill(7),
};
const INDEX_OFFSET = CHANGESET_HEADER_BYTES + TOTALS.storedBytes;
const FILE_BYTES = INDEX_OFFSET + 3 * INDEX_ENTRY_BYTES + CHANGESET_TRAILER_BYTES;

test('a header comes back as it was', (t) => {
  fc.assert(
    fc.property(headers, (header) => {
      const bytes = encodeHeader(header);
      assert.equal(bytes.length, 256);
      assert.deepEqual(decodeHeader(bytes, 'here'), header);
    }),
    seeded(t),
  );
});

test('what was decoded does not change with the buffer it came from', () => {
  const buffer = Buffer.from(encodeHeader(HEADER));
  const back = decodeHeader(buffer, 'here');
  buffer.fill(0xee);
  assert.deepEqual(back, HEADER);
  const trailer = Buffer.from(encodeTrailer(TOTALS, INDEX_OFFSET));
  const { totals } = decodeTrailer(trailer, 'here', FILE_BYTES);
  trailer.fill(0xee);
  assert.deepEqual(totals, TOTALS);
  const index = Buffer.from(encodeIndex(3, smallFrame().entries));
  const entries = [...decodeIndex(index)];
  index.fill(0xee);
  assert.deepEqual(plain(entries), plain(smallFrame().entries));
});

test('every changed byte of header and trailer is found, and every cut', () => {
  const header = encodeHeader(HEADER);
  const trailer = encodeTrailer(TOTALS, INDEX_OFFSET);
  for (const { at, bytes } of flips(header)) {
    assert.throws(() => decodeHeader(bytes, 'here'), isFormatError, `header byte ${at}`);
  }
  for (const { at, bytes } of flips(trailer)) {
    const decode = () => decodeTrailer(bytes, 'here', FILE_BYTES);
    assert.throws(decode, isFormatError, `trailer byte ${at}`);
  }
  for (let cut = 0; cut < header.length; cut += 1) {
    assert.throws(() => decodeHeader(header.subarray(0, cut), 'here'), isFormatError);
  }
  for (let cut = 0; cut < trailer.length; cut += 1) {
    const decode = () => decodeTrailer(trailer.subarray(0, cut), 'here', FILE_BYTES);
    assert.throws(decode, isFormatError);
  }
});

test('values that no writer of ours writes are refused by name', () => {
  const changed = (at: number, ...values: number[]) => {
    const bytes = encodeHeader(HEADER);
    bytes.set(values, at);
    putCheck(bytes, 248);
    return () => decodeHeader(bytes, 'x.stage');
  };
  assert.throws(changed(8, 2), badBecause(/^x\.stage: not a whole changeset header: kind/));
  assert.throws(changed(9, 3), badBecause(/consistency/));
  assert.throws(changed(10, 2), badBecause(/point before/));
  assert.throws(changed(118, 1, 1), badBecause(/disk size/));
  assert.throws(changed(112, 0, 2), badBecause(/disk size/));
  assert.throws(changed(112, 0xff), badBecause(/above 2\^53/));
  assert.throws(changed(122, 0x20), badBecause(/blocks and chunks of 8192/));
  assert.throws(changed(126, 2), badBecause(/and 131584 bytes|and 512 bytes|chunks of/));
  assert.throws(changed(64, 0xff), badBecause(/above 2\^53/));
});

test('another version is said to be one', () => {
  const header = encodeHeader(HEADER);
  header[7] = '3'.charCodeAt(0);
  const code = (error: unknown) => /changeset header of version 3/.test(String(error));
  assert.throws(() => decodeHeader(header, 'here'), code);
});

test('a trailer must fit the file it stands in', () => {
  const trailer = encodeTrailer(TOTALS, INDEX_OFFSET);
  const back = decodeTrailer(trailer, 'here', FILE_BYTES);
  assert.deepEqual(back, { totals: TOTALS, indexOffset: INDEX_OFFSET });
  for (const size of [FILE_BYTES - 1, FILE_BYTES + 1, 0]) {
    const why = badBecause(new RegExp(`the file has ${size} bytes, it tells of ${FILE_BYTES}`));
    assert.throws(() => decodeTrailer(trailer, 'here', size), why);
  }
  trailer[39] = 1;
  putCheck(trailer, 88);
  const why = badBecause(/index does not follow/);
  assert.throws(() => decodeTrailer(trailer, 'here', FILE_BYTES), why);
});

test('our own wrong values stop the program', () => {
  const stop = (change: Partial<ChangesetHeader>) =>
    assert.throws(() => encodeHeader({ ...HEADER, ...change }), AssertionError);
  stop({ round: new Uint8Array(8) });
  stop({ sizeBytes: 1000 });
  stop({ sizeBytes: 0 });
  stop({ to: { ...HEADER.to, timeMs: -1 } });
  stop({ to: { ...HEADER.to, number: 0.5 } });
  assert.throws(() => encodeTrailer(TOTALS, INDEX_OFFSET + 1), AssertionError);
});

test('index entries come back; the accumulator counts what it saw', () => {
  const frame = smallFrame();
  const index = indexAccumulator();
  const encoded = encodeFrame(frame, packRaw);
  const bytes = index.add(decodeFrameHeader(encoded, 'here'), frame.entries);
  const entries = [...decodeIndex(bytes)];
  assert.deepEqual(plain(entries), plain(frame.entries));
  assert.ok(entries.every((entry) => entry.frame === 0));
  const second = encodeFrame({ ...frame, number: 1 }, packRaw);
  index.add(decodeFrameHeader(second, 'here'), frame.entries);
  const totals = index.totals();
  assert.deepEqual(
    [totals.frames, totals.chunks, totals.blockBytes, totals.storedBytes],
    [2, 10, 2 * 8704, 2 * encoded.length],
  );
  assert.equal(totals.indexDigest.length, 32);
});

test('the index digest tells order, masks, digests and frames apart', () => {
  const base = smallFrame();
  const [first, ...rest] = base.entries;
  assert.ok(first);
  const digestOfIndex = (entries: typeof base.entries) => {
    const index = indexAccumulator();
    const header = decodeFrameHeader(encodeFrame(base, packRaw), 'here');
    index.add({ ...header, chunks: entries.length }, entries);
    return Buffer.from(index.totals().indexDigest).toString('hex');
  };
  const seen = new Set([
    digestOfIndex(base.entries),
    digestOfIndex(rest),
    digestOfIndex([...rest, first]),
    digestOfIndex([{ ...first, mask: 1 }, ...rest]),
    digestOfIndex([{ ...first, zero: 0 }, ...rest]),
    digestOfIndex([{ ...first, chunk: 3 }, ...rest]),
    digestOfIndex([{ ...first, digest: new Uint8Array(16) }, ...rest]),
  ]);
  assert.equal(seen.size, 7);
});

test('a frame out of turn stops the program', () => {
  const frame = smallFrame(1);
  const header = decodeFrameHeader(encodeFrame(frame, packRaw), 'here');
  assert.throws(() => indexAccumulator().add(header, frame.entries), AssertionError);
  const index = indexAccumulator();
  index.add({ ...header, number: 0 }, frame.entries);
  assert.throws(() => index.add({ ...header, number: 0 }, frame.entries), AssertionError);
  assert.throws(() => index.addEntries(2, frame.entries, 0), AssertionError);
  assert.throws(() => index.add({ ...header, chunks: 1 }, frame.entries), AssertionError);
});

test('totals may be asked for again and again, and more frames follow (H28)', () => {
  const encoded = encodeFrame(smallFrame(), packRaw);
  const header = decodeFrameHeader(encoded, 'here');
  const { entries } = smallFrame();
  const index = indexAccumulator();
  const empty = index.totals();
  index.add(header, entries);
  const one = index.totals();
  assert.deepEqual(index.totals(), one, 'a question changes nothing');
  assert.equal(index.frames, 1);
  index.add({ ...header, number: 1 }, entries);
  const two = index.totals();
  assert.notDeepEqual(two.indexDigest, one.indexDigest);
  assert.deepEqual([empty.frames, one.frames, two.frames], [0, 1, 2]);
  const asked = indexAccumulator();
  for (const number of [0, 1]) asked.add({ ...header, number }, entries);
  assert.deepEqual(two, asked.totals(), 'the same as without the questions');
  const [first = 0] = one.indexDigest;
  one.indexDigest[0] = first ^ 1;
  assert.deepEqual(index.totals(), two, 'what was given out is a copy');
});

test('a frame that is packed at the other side gives the same index', () => {
  const encoded = encodeFrame(smallFrame(), packRaw);
  const header = decodeFrameHeader(encoded, 'here');
  const { entries } = smallFrame();
  const [here, there] = [indexAccumulator(), indexAccumulator()];
  assert.deepEqual(there.addEntries(0, entries, 8704), here.add(header, entries));
  assert.deepEqual(there.totals(), { ...here.totals(), storedBytes: 0 });
});
