// Digest table and intent map: pages come back, what is not a page says so, headers are checked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../src/base/assert.js';
import { digestOf } from '../../src/base/digest.js';
import { CHUNK_BYTES, DISK_BYTES_MAX } from '../../src/base/units.js';
import {
  absentDigests,
  decodeTableHeader,
  decodeTablePage,
  encodeTableHeader,
  encodeTablePage,
  isKnownDigest,
  TABLE_ENTRIES_PER_PAGE,
  type TableHeader,
  tablePageOf,
  tablePageOffset,
  tablePages,
  unknownDigests,
  zeroDigests,
} from '../../src/format/digest-table.js';
import {
  decodeIntentHeader,
  encodeIntentHeader,
  extentCount,
  type IntentHeader,
  intentPageOffset,
  intentPages,
} from '../../src/format/intent-file.js';
import { putCheck } from '../../src/format/layout.js';
import { badBecause, content, flips, isFormatError, seeded } from './material.js';

const MIB = 1024 * 1024;
const TABLE: TableHeader = {
  resource: new Uint8Array(16).fill(1),
  sizeBytes: 300 * CHUNK_BYTES - 512,
  absentIsZero: true,
  point: { id: new Uint8Array(16).fill(2), number: 3, timeMs: 4 },
};
const INTENT: IntentHeader = {
  resource: new Uint8Array(16).fill(1),
  sizeBytes: 10 * 1024 * MIB + 512,
  extentBytes: 2 * MIB,
};

test('table headers come back, with and without a point', () => {
  for (const absentIsZero of [true, false]) {
    for (const point of [TABLE.point, null]) {
      const header = { ...TABLE, absentIsZero, point };
      const buffer = Buffer.from(encodeTableHeader(header));
      assert.equal(buffer.length, 4096);
      const back = decodeTableHeader(buffer, 'here');
      buffer.fill(0xee);
      assert.deepEqual(back, header);
    }
  }
});

test('every changed byte of a header page is found', () => {
  const pages = [encodeTableHeader(TABLE), encodeIntentHeader(INTENT)];
  const decoders = [decodeTableHeader, decodeIntentHeader];
  for (const [i, page] of pages.entries()) {
    const decode = decoders[i];
    assert.ok(decode);
    for (const { at, bytes } of flips(page)) {
      assert.throws(() => decode(bytes, 'here'), isFormatError, `byte ${at}`);
    }
    for (const length of [0, 7, 8, 512, 4095]) {
      assert.throws(() => decode(page.subarray(0, length), 'here'), isFormatError);
    }
  }
});

test('a table page comes back in its own place only', (t) => {
  const property = fc.property(fc.nat(2 ** 24), fc.nat(500), (page, seed) => {
    const digests = content(4080, seed);
    const bytes = encodeTablePage(page, digests);
    const back = decodeTablePage(page, bytes);
    assert.ok(back instanceof Uint8Array);
    assert.ok(Buffer.from(back).equals(digests));
    assert.equal(decodeTablePage(page + 1, bytes), 'bad', 'a page that was written elsewhere');
    assert.equal(decodeTablePage(page, bytes.subarray(1)), 'bad');
  });
  fc.assert(property, seeded(t));
});

test('every changed byte of a table page makes it bad; a page read from a Buffer too', () => {
  const whole = Buffer.from(encodeTablePage(7, content(4080, 5)));
  for (const { at, bytes } of flips(whole)) {
    assert.equal(decodeTablePage(7, bytes), 'bad', `byte ${at}`);
  }
  const before = Buffer.from(whole).toString('hex');
  assert.ok(decodeTablePage(7, whole) instanceof Uint8Array);
  assert.equal(whole.toString('hex'), before, 'checking a page leaves it as it is');
});

test('a page torn at any sector is bad, a hole is absent', () => {
  const old = encodeTablePage(0, content(4080, 1));
  const young = encodeTablePage(0, content(4080, 3));
  for (let at = 512; at < 4096; at += 512) {
    const torn = Uint8Array.from(old);
    torn.set(young.subarray(0, at));
    assert.equal(decodeTablePage(0, torn), 'bad', `torn at ${at}`);
    torn.fill(0, at);
    assert.equal(decodeTablePage(0, torn), 'bad', `zeroes from ${at}`);
  }
  assert.equal(decodeTablePage(0, new Uint8Array(4096)), 'absent');
  const unknown = decodeTablePage(0, encodeTablePage(0, unknownDigests()));
  assert.ok(unknown instanceof Uint8Array, 'a page of unknown digests is not a hole');
  assert.ok(!isKnownDigest(unknown.subarray(0, 16)));
});

test('every chunk has one place', () => {
  assert.equal(TABLE_ENTRIES_PER_PAGE, 255);
  assert.deepEqual(tablePageOf(0), { page: 0, at: 0 });
  assert.deepEqual(tablePageOf(254), { page: 0, at: 254 * 16 });
  assert.deepEqual(tablePageOf(255), { page: 1, at: 0 });
  assert.deepEqual(tablePageOf(2 ** 32 - 1), { page: 16_843_009, at: 0 });
  assert.equal(tablePageOffset(0), 4096);
  assert.equal(tablePageOffset(2), 12_288);
  assert.equal(tablePages(255 * CHUNK_BYTES), 1);
  assert.equal(tablePages(255 * CHUNK_BYTES + 512), 2);
  assert.equal(tablePages(DISK_BYTES_MAX), 16_843_010);
});

test('an absent page is what the header says: zero chunks, the short last one too (H14)', () => {
  const whole = digestOf(new Uint8Array(CHUNK_BYTES));
  const short = digestOf(new Uint8Array(CHUNK_BYTES - 512));
  const last = absentDigests(1, TABLE);
  const at = (chunk: number) => last.subarray(chunk * 16, chunk * 16 + 16);
  assert.deepEqual(Buffer.from(at(0)), Buffer.from(whole));
  assert.deepEqual(Buffer.from(at(43)), Buffer.from(whole));
  assert.deepEqual(Buffer.from(at(44)), Buffer.from(short));
  assert.ok(!isKnownDigest(at(45)), 'there is no chunk');
  const unknown = absentDigests(0, { ...TABLE, absentIsZero: false });
  assert.ok(unknown.every((byte) => byte === 0));
  last.fill(9);
  assert.deepEqual(Buffer.from(absentDigests(0, TABLE).subarray(0, 16)), Buffer.from(whole));
});

test('digests of zeroes: whole chunks, the short last one, none behind the end', () => {
  const sizeBytes = 40_000 * CHUNK_BYTES + 512;
  for (const [first, count] of [
    [0, 1],
    [5, 16_384],
    [5, 16_385],
    [39_999, 1],
    [39_999, 2],
    [39_999, 4],
    [40_000, 1],
    [50_000, 2],
    [7, 0],
  ] as const) {
    const digests = zeroDigests(first, count, sizeBytes);
    assert.equal(digests.length, count * 16);
    for (let at = 0; at < count; at += 1) {
      const length = Math.max(0, Math.min(CHUNK_BYTES, sizeBytes - (first + at) * CHUNK_BYTES));
      const wanted = length === 0 ? new Uint8Array(16) : digestOf(new Uint8Array(length));
      const own = Buffer.from(digests.subarray(at * 16, at * 16 + 16));
      if (!own.equals(wanted)) assert.deepEqual(own, wanted, `chunk ${first + at}`);
    }
  }
});

test('table headers of impossible disks and unknown flags are refused', () => {
  const changed = (at: number, value: number) => {
    const bytes = encodeTableHeader(TABLE);
    bytes[at] = value;
    putCheck(bytes, 4088);
    return () => decodeTableHeader(bytes, 'vm1.digests');
  };
  assert.throws(changed(31, 1), badBecause(/^vm1\.digests: .*disk size/));
  assert.throws(changed(25, 2), badBecause(/disk size/));
  assert.throws(changed(35, 4), badBecause(/flags 4 are not known/));
  assert.throws(() => encodeTablePage(0, new Uint8Array(16)), AssertionError);
});

test('intent headers come back and give the size of the file', () => {
  assert.deepEqual(decodeIntentHeader(Buffer.from(encodeIntentHeader(INTENT)), 'here'), INTENT);
  assert.equal(extentCount(INTENT), 5121);
  assert.equal(intentPages(INTENT), 1);
  assert.equal(intentPages({ sizeBytes: 2 ** 36, extentBytes: 2 * MIB }), 1);
  assert.equal(intentPages({ sizeBytes: 2 ** 36 + 512, extentBytes: 2 * MIB }), 2);
  assert.equal(intentPageOffset(0), 4096);
});

test('intent headers of impossible disks or extents are refused', () => {
  for (const extentBytes of [0, 4096, 3 * MIB, 2 ** 32]) {
    assert.throws(() => encodeIntentHeader({ ...INTENT, extentBytes }), AssertionError);
  }
  assert.throws(() => encodeIntentHeader({ ...INTENT, sizeBytes: 100 }), AssertionError);
  const bytes = encodeIntentHeader(INTENT);
  bytes[33] = 0x30;
  putCheck(bytes, 4088);
  assert.throws(() => decodeIntentHeader(bytes, 'here'), badBecause(/extent size 3145728/));
  bytes[7] = '2'.charCodeAt(0);
  const versioned = (error: unknown) => /intent map header of version 2/.test(String(error));
  assert.throws(() => decodeIntentHeader(bytes, 'here'), versioned);
});
