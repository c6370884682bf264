// Bytes that hast-changeset(5) says are zero are reserved: who sets one means something that this
// program does not know, and is refused, checksum or not. Times that no calendar has are refused
// where they are read: shown in a status they would end it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf } from '../../src/base/digest.js';
import { TIME_MS_MAX } from '../../src/base/units.js';
import {
  decodeHeader,
  decodeTrailer,
  encodeHeader,
  encodeTrailer,
} from '../../src/format/changeset-file.js';
import {
  decodeTableHeader,
  decodeTablePage,
  encodeTableHeader,
  encodeTablePage,
} from '../../src/format/digest-table.js';
import { encodeDirty, openDirty } from '../../src/format/dirty-file.js';
import { decodeIntentHeader, encodeIntentHeader } from '../../src/format/intent-file.js';
import { allOf, badBecause, content, HEADER, MemoryHandle, SMALL_SIZE_BYTES } from './material.js';

const FACTS = { resource: HEADER.resource, sizeBytes: SMALL_SIZE_BYTES };
const TOTALS = { frames: 0, chunks: 0, blockBytes: 0, storedBytes: 0 };

/** `bytes` with one byte set and the check at `checkAt` put right. */
function with1(bytes: Uint8Array, at: number, checkAt: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = 1;
  changed.set(checkOf(changed.subarray(0, checkAt)), checkAt);
  return changed;
}

test('a reserved byte that is set is refused', async () => {
  const notZero = badBecause(/are not zero/);
  const header = encodeHeader(HEADER);
  const first = encodeHeader({ ...HEADER, from: null });
  for (const at of [11, 15, 128, 247]) {
    assert.throws(() => decodeHeader(with1(header, at, 248), 'here'), notZero, `byte ${at}`);
  }
  assert.throws(() => decodeHeader(with1(first, 48, 248), 'here'), notZero, 'no point before');
  const trailer = encodeTrailer({ ...TOTALS, indexDigest: new Uint8Array(32) }, 256);
  for (const at of [44, 80]) {
    assert.throws(() => decodeTrailer(with1(trailer, at, 88), 'here', 352), notZero, `byte ${at}`);
  }
  const table = { ...FACTS, absentIsZero: false };
  const [told, none] = [HEADER.to, null].map((point) => encodeTableHeader({ ...table, point }));
  assert.ok(told && none);
  for (const bytes of [with1(told, 36, 4088), with1(told, 72, 4088), with1(none, 40, 4088)]) {
    assert.throws(() => decodeTableHeader(bytes, 'here'), notZero);
  }
  const intent = encodeIntentHeader({ ...FACTS, extentBytes: 2 ** 21 });
  assert.throws(() => decodeIntentHeader(with1(intent, 36, 4088), 'here'), notZero);
  const [dirty] = [...encodeDirty({ ...FACTS, generation: 1 }, [])];
  assert.ok(dirty);
  await assert.rejects(openDirty(new MemoryHandle(with1(dirty, 40, 48))), notZero);
  assert.equal((await allOf((await openDirty(new MemoryHandle(dirty))).pages())).length, 0);
});

test('a table page with a reserved byte set is bad', () => {
  const page = encodeTablePage(3, content(4080, 2));
  assert.ok(decodeTablePage(3, page) instanceof Uint8Array);
  page[4095] = 1;
  page.fill(0, 0, 8);
  page[7] = 3;
  page.set(checkOf(page), 0);
  assert.equal(decodeTablePage(3, page), 'bad');
});

test('a time that no calendar has is refused', () => {
  const late = (timeMs: number) => encodeHeader({ ...HEADER, to: { ...HEADER.to, timeMs } });
  assert.equal(decodeHeader(late(TIME_MS_MAX), 'here').to.timeMs, TIME_MS_MAX);
  assert.throws(() => decodeHeader(late(TIME_MS_MAX + 1), 'here'), badBecause(/calendars/));
});
