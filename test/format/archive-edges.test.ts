// Edges of the layouts of archives: bytes that would be accepted though nobody writes them, lengths
// that nothing has, texts that are none, and other versions, each refused as what it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf, equalBytes } from '../../src/base/digest.js';
import { decodeIdentity, encodeIdentity } from '../../src/format/archive-identity.js';
import {
  decodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  takeJournalRow,
} from '../../src/format/archive-journal.js';
import { decodeLooks } from '../../src/format/archive-looks.js';
import { decodePage, decodeRoot, encodePage, encodeRoot } from '../../src/format/archive-node.js';
import {
  decodeEpoch,
  decodeHead,
  decodePoint,
  encodeHead,
} from '../../src/format/archive-objects.js';
import { decodePin } from '../../src/format/archive-pin.js';
import { decodeRecord, RECORD_BYTES_MAX } from '../../src/format/archive-record.js';
import { FormatError } from '../../src/format/changeset.js';
import { archiveFiles, OPEN, PAGE, ROOT, ROWS } from './golden-archives.js';
import { badBecause } from './material.js';

const FILES = archiveFiles();

/** `bytes` with `value` at `at` and the check at `checkAt`, 8 bytes, put right. */
function with8(bytes: Uint8Array, at: number, value: number, checkAt: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = value;
  changed.set(checkOf(changed.subarray(0, checkAt)), checkAt);
  return changed;
}

test('a record longer than any is refused before it is asked for', () => {
  const place = { pack: 1, offset: 0, bytes: RECORD_BYTES_MAX + 1 };
  const ref = { place, check: new Uint8Array(8) };
  const page = encodePage(new Map([[0, ref]]));
  assert.throws(() => decodePage(page, 2, 'here'), badBecause(/a record of \d+ bytes/));
  const point = Uint8Array.from(FILES['archive-point-v0.bin']);
  new DataView(point.buffer).setUint32(144 + 44, RECORD_BYTES_MAX + 1);
  point.set(checkOf(point.subarray(0, -8)), point.length - 8);
  assert.throws(() => decodePoint(point, 'here'), badBecause(/a record of \d+ bytes/));
  assert.equal(decodePage(encodePage(PAGE), ROOT.packs, 'here').size, 2);
});

test('a table page in the pack of the root names no pack', () => {
  const root = encodeRoot(ROOT);
  const changed = Uint8Array.from(root);
  changed[changed.length - 5] = 1; // the last byte of the name that is left open
  assert.throws(() => decodeRoot(changed, 'here'), badBecause(/a name and no bytes/));
});

test('a name is UTF-8, and is cut between characters', () => {
  const long = { ...OPEN.identity, name: `${'ä'.repeat(31)}x€` }; // 66 bytes
  const { name } = decodeIdentity(encodeIdentity(long), 'here');
  assert.equal(name, `${'ä'.repeat(31)}x`);
  const broken = with8(FILES['archive-identity-open-v0.bin'], 116, 0xff, 248);
  assert.throws(() => decodeIdentity(broken, 'here'), badBecause(/are no text/));
  const epoch = FILES['archive-epoch-v0.bin'];
  const node = with8(epoch, 80, 0xff, epoch.length - 8);
  assert.throws(() => decodeEpoch(node, 'here'), badBecause(/are no text/));
});

test('a head that names no point is no hint', () => {
  assert.equal(decodeHead(encodeHead({ epoch: 1, sequence: 0 })), null);
  assert.equal(decodeHead(encodeHead({ epoch: 0, sequence: 1 })), null);
});

test('a row of a journal has one way to be written', () => {
  const file = FILES['archive-journal-v0.bin'];
  const rowOf = (i: number) =>
    file.slice(
      JOURNAL_HEADER_BYTES + i * JOURNAL_ROW_BYTES,
      JOURNAL_HEADER_BYTES + (i + 1) * JOURNAL_ROW_BYTES,
    );
  let refused = 0;
  for (const [i, row] of ROWS.entries()) {
    const bytes = rowOf(i);
    assert.deepEqual(takeJournalRow(bytes, 0), row);
    const spare = {
      garbage: [1],
      pack: [1, 15],
      put: [2, 8, 47],
      run: [1, 47],
      piece: [7, 40],
    };
    for (const at of spare[row.kind]) {
      assert.equal(takeJournalRow(with8(bytes, at, 1, 48), 0), null, `${row.kind} byte ${at}`);
      refused += 1;
    }
  }
  assert.equal(refused, 12);
  const [, , data, zeroes] = ROWS.map((_, i) => rowOf(i));
  assert.ok(data !== undefined && zeroes !== undefined);
  assert.equal(takeJournalRow(with8(data, 1, 2, 48), 0), null, 'a third lane');
  assert.equal(takeJournalRow(with8(data, 20, 0xff, 48), 0), null, 'a record longer than any');
  assert.equal(takeJournalRow(with8(data, 16, 0xff, 48), 0), null, 'behind the end of any pack');
  assert.equal(takeJournalRow(with8(zeroes, 19, 1, 48), 0), null, 'zeroes that stand somewhere');
});

test('another version is refused as one', () => {
  const none = () => null;
  for (const [name, digitAt, decode] of [
    ['archive-identity-open-v0.bin', 7, (bytes) => decodeIdentity(bytes, 'here')],
    ['archive-point-v0.bin', 7, (bytes) => decodePoint(bytes, 'here')],
    ['archive-epoch-v0.bin', 7, (bytes) => decodeEpoch(bytes, 'here')],
    ['archive-pin-v0.bin', 7, (bytes) => decodePin(bytes, 'here')],
    ['archive-record-open-v0.bin', 3, (bytes) => decodeRecord(bytes, 'here', none)],
    ['archive-journal-v0.bin', 7, (bytes) => decodeJournalHeader(bytes, 'here')],
    ['archive-looks-v0.bin', 7, (bytes) => decodeLooks(bytes, 'here')],
  ] as const satisfies readonly (readonly [
    keyof typeof FILES,
    number,
    (bytes: Uint8Array) => unknown,
  ])[]) {
    const bytes = Uint8Array.from(FILES[name]);
    assert.equal(bytes[digitAt], '0'.charCodeAt(0), name);
    bytes[digitAt] = '1'.charCodeAt(0);
    assert.throws(
      () => decode(bytes),
      (error) => error instanceof FormatError && error.fault.code === 'FORMAT_VERSION',
      name,
    );
  }
  const head = Uint8Array.from(FILES['archive-head-v0.bin']);
  head[7] = '1'.charCodeAt(0);
  assert.equal(decodeHead(head), null, 'a hint of a later release is none');
  assert.ok(!equalBytes(head, FILES['archive-head-v0.bin']));
});
