// Archives: the small objects, and records as they are and sealed. Checks are put right after a
// change, so that what is behind them is reached. What is accepted is encoded again to the same
// bytes: there is one way to write each. Layouts: hast-archive(5).
import assert from 'node:assert/strict';
import { CHECK_BYTES, checkOf, equalBytes } from '../../../src/base/digest.js';
import type { Random } from '../../../src/base/random.js';
import { MIB } from '../../../src/base/units.js';
import {
  type ArchiveIdentity,
  dataKeyOf,
  decodeIdentity,
  encodeIdentity,
  IDENTITY_BYTES,
  SealError,
} from '../../../src/format/archive-identity.js';
import {
  decodeEpoch,
  decodeHead,
  decodePoint,
  encodeEpoch,
  encodeHead,
  encodePoint,
  pinKey,
  placeOf,
  pointKey,
} from '../../../src/format/archive-objects.js';
import { decodePin, encodePin, nameKey } from '../../../src/format/archive-pin.js';
import {
  decodeRecord,
  decodeRecordHeader,
  encodeRecord,
  RECORD_BODY_BYTES_MAX,
  RECORD_HEADER_BYTES,
} from '../../../src/format/archive-record.js';
import { isKey } from '../../../src/store/store.js';
import { archiveFiles, KEY, RECORD_KEY } from '../../format/golden-archives.js';
import { decided, oneBitOff, plain, pure, type Target, type Verdict } from '../target.js';

export const PLACE = 'fuzz of archive';
const FILES = archiveFiles();
export const INPUT_BYTES_MAX = 20_000;

/** The check at the end of the bytes, or at `at`, put right. */
export function mendAt(bytes: Uint8Array, at = bytes.length - CHECK_BYTES): Uint8Array {
  if (at >= 0 && at + CHECK_BYTES <= bytes.length) bytes.set(checkOf(bytes.subarray(0, at)), at);
  return bytes;
}

/** Accepted, it is encoded to the same bytes, and no bit of it may differ. */
export function once<T>(
  input: Uint8Array,
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
  check: (value: T) => void = () => {},
): Promise<Verdict> {
  return decided(
    PLACE,
    () => decode(input),
    (value) => {
      assert.ok(equalBytes(encode(value), input), 'one encoding');
      assert.throws(() => decode(oneBitOff(input)), /fuzz of archive/);
      check(value);
    },
  );
}

const identity: Target = {
  name: 'archive-identity',
  kind: 'bytes',
  inputBytesMax: 2 * IDENTITY_BYTES,
  onceBytesMax: 65_536,
  totalBytesMax: MIB,
  seeds: () => [
    FILES['archive-identity-open-v0.bin'],
    FILES['archive-identity-key-v0.bin'],
    FILES['archive-identity-passphrase-v0.bin'],
  ],
  mend: (bytes) => mendAt(bytes, IDENTITY_BYTES - CHECK_BYTES),
  open: pure((input) =>
    once(input, (bytes) => decodeIdentity(bytes, PLACE), encodeIdentity, opensOrNot),
  ),
};

/** Any wrapped key is opened or refused by name; scrypt is not run for every input. */
function opensOrNot(found: ArchiveIdentity): void {
  assert.ok(found.name.length <= 64);
  for (const secret of [KEY, null]) {
    try {
      const dataKey = dataKeyOf(found, secret, PLACE);
      assert.ok(dataKey === null || dataKey.length === 32);
    } catch (error) {
      assert.ok(error instanceof SealError && error.message.includes(PLACE), String(error));
    }
  }
}

/** Points, epochs, heads and pins, told by their magic. */
const objects: Target = {
  name: 'archive-objects',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: MIB,
  totalBytesMax: 8 * MIB,
  words: ['HASTPNT0', 'HASTEPO0', 'HASTHED0', 'HASTPIN0'],
  seeds: () => [
    FILES['archive-point-v0.bin'],
    FILES['archive-point-first-v0.bin'],
    FILES['archive-epoch-v0.bin'],
    FILES['archive-epoch-first-v0.bin'],
    FILES['archive-head-v0.bin'],
    FILES['archive-pin-v0.bin'],
  ],
  mend: (bytes) => mendAt(bytes),
  open: pure(async (input) => {
    const magic = String.fromCharCode(...input.subarray(4, 7));
    if (magic === 'EPO') return once(input, (bytes) => decodeEpoch(bytes, PLACE), encodeEpoch);
    if (magic === 'PIN') {
      return once(
        input,
        (bytes) => decodePin(bytes, PLACE),
        encodePin,
        ({ name }) => assert.ok(isKey(nameKey(name)), 'the store takes it'),
      );
    }
    if (magic === 'HED') {
      const head = decodeHead(input);
      if (head === null) return 'refused';
      assert.ok(equalBytes(encodeHead(head), input), 'one encoding');
      assert.equal(decodeHead(oneBitOff(input)), null);
      assert.deepEqual(placeOf(pointKey(head)), head);
      return 'accepted';
    }
    return once(
      input,
      (bytes) => decodePoint(bytes, PLACE),
      encodePoint,
      ({ place, trees, nextPack }) => {
        assert.ok(isKey(pointKey(place)) && isKey(pinKey(place)));
        for (const tree of trees) assert.ok(tree.place.pack < nextPack, 'its pack was begun');
      },
    );
  }),
};

/** The header's check put right, and its length where the magic stands. */
export function mendRecord(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length < RECORD_HEADER_BYTES) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (random.below(16) > 0) bytes.set(Buffer.from('HRE0'));
  if (random.below(4) > 0) view.setUint32(28, bytes.length - RECORD_HEADER_BYTES);
  bytes.set(checkOf(bytes.subarray(0, 40)), 40);
  return bytes;
}

const record: Target = {
  name: 'archive-record',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: RECORD_BODY_BYTES_MAX,
  totalBytesMax: 2 * RECORD_BODY_BYTES_MAX,
  seeds: () => [FILES['archive-record-open-v0.bin'], FILES['archive-record-sealed-v0.bin']],
  mend: mendRecord,
  open: pure((input) =>
    decided(
      PLACE,
      () => decodeRecord(input, PLACE, () => RECORD_KEY),
      ({ header, body }) => {
        assert.equal(plain(decodeRecordHeader(input, PLACE)), plain(header));
        const key = header.sealed ? RECORD_KEY : null;
        assert.ok(equalBytes(encodeRecord(header, body, key), input), 'one encoding');
        const end = header.sealed ? input.length : RECORD_HEADER_BYTES;
        const off = oneBitOff(input, 0, end);
        assert.throws(() => decodeRecord(off, PLACE, () => RECORD_KEY), /fuzz of archive/);
        if (header.sealed) assert.throws(() => decodeRecord(input, PLACE, () => null), /no key/);
      },
    ),
  ),
};

export const ARCHIVE_TARGETS: readonly Target[] = [identity, objects, record];
