// Records: what packs of an archive are made of, back to back; each is one frame of a round
// (frame.ts) or one node of an index (archive-node.ts), as it is or sealed. A record can be read
// alone, by a range of its pack, and says of itself what it is: an archive whose index is lost can
// be read from its packs. The objects of points and epochs (archive-objects.ts) are records, too.
// Sealing (H33): AES-256-GCM. Key = HKDF-SHA-256(data key, salt), nonce = record number. The
// salt is random and of one writer, made anew whenever a round begins, also the same one again (its
// id would be the key twice, RULES.md H33), so that no two records have both.
//
// What is authenticated beside the body is the whole header. Guarantee of an opened record: its
// header's check holds, and the body is whole (a check of its own inside) or, sealed, was made
// with this key. Lengths are bytes.
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { assert } from '../base/assert.js';
import { hex } from '../base/random.js';
import { DISK_BYTES_MAX, ID_BYTES, MIB, SECTOR_BYTES } from '../base/units.js';
import { FRAME_BYTES_MAX } from './changeset.js';
import {
  bad,
  copyOf,
  dataView,
  expect,
  expectCheck,
  expectMagic,
  expectZero,
  layout,
  putCheck,
  putMagic,
  putU64,
  takeU64,
} from './layout.js';

export const RECORD_HEADER_BYTES = 48;
const MAGIC = 'HRE0';
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const KEY_BYTES = 32;
const CIPHER = 'aes-256-gcm';
const KEYS_KEPT_MAX = 1024;
/** Roots of the largest disks are the longest. */
export const RECORD_BODY_BYTES_MAX = 4 * MIB;
export const RECORD_BYTES_MAX = RECORD_HEADER_BYTES + RECORD_BODY_BYTES_MAX + TAG_BYTES;
assert(FRAME_BYTES_MAX <= RECORD_BODY_BYTES_MAX, 'a record holds any frame');

//   off  size
const AT = layout(RECORD_HEADER_BYTES, {
  magic: 4, //        0   'HRE0'
  kind: 1, //         4   0 frame, 1 node, 2 point, 3 epoch
  sealed: 1, //       5   0, 1
  spare: 2, //        6   zero
  salt: 16, //        8   random, of who wrote it: one writer of packs, or this one object
  number: 4, //      24   of this record under its salt, from 0
  bodyBytes: 4, //   28   that follow
  disk: 8, //        32   of a frame: size of the disk that it is of; else zero
  check: 8, //       40   of bytes 0..39
});

export type RecordKind = 'frame' | 'node' | 'point' | 'epoch';
const KINDS: readonly RecordKind[] = ['frame', 'node', 'point', 'epoch'];

export interface RecordFacts {
  readonly kind: RecordKind;
  readonly salt: Uint8Array;
  readonly number: number;
  /** Of a frame: size of the disk, for its very last block may be short; else 0. */
  readonly sizeBytes: number;
}

/** Seals and opens records of one salt. */
export interface RecordKey {
  readonly key: Buffer;
}

/** `dataKey`: 32 bytes. */
export function recordKey(dataKey: Uint8Array, salt: Uint8Array): RecordKey {
  assert(dataKey.length === KEY_BYTES, 'a data key has 32 bytes');
  assert(salt.length === ID_BYTES, 'a salt has 16 bytes');
  return { key: Buffer.from(hkdfSync('sha256', dataKey, salt, 'hast archive record', KEY_BYTES)) };
}

/** Bytes of a record with a body of so many. */
export const recordBytes = (bodyBytes: number, sealed: boolean): number =>
  RECORD_HEADER_BYTES + bodyBytes + (sealed ? TAG_BYTES : 0);

/** One record, in an array of its own. `key` null: as it is. */
export function encodeRecord(
  facts: RecordFacts,
  body: Uint8Array,
  key: RecordKey | null,
): Uint8Array {
  const record = new Uint8Array(recordBytes(body.length, key !== null));
  putRecord(record, facts, body, key);
  return record;
}

/** As encodeRecord, into `record`, which is as long as the record (recordBytes). */
export function putRecord(
  record: Uint8Array,
  { kind, salt, number, sizeBytes }: RecordFacts,
  body: Uint8Array,
  key: RecordKey | null,
): void {
  assert(body.length <= RECORD_BODY_BYTES_MAX, 'a body is within limits');
  assert(record.length === recordBytes(body.length, key !== null), 'a record has its length');
  const view = dataView(record);
  record.fill(0, 0, RECORD_HEADER_BYTES);
  putMagic(record, MAGIC);
  record[AT.kind] = KINDS.indexOf(kind);
  record[AT.sealed] = key === null ? 0 : 1;
  record.set(salt, AT.salt);
  view.setUint32(AT.number, number);
  view.setUint32(AT.bodyBytes, record.length - RECORD_HEADER_BYTES);
  putU64(view, AT.disk, sizeBytes);
  putCheck(record.subarray(0, RECORD_HEADER_BYTES), AT.check);
  if (key === null) record.set(body, RECORD_HEADER_BYTES);
  else {
    const cipher = createCipheriv(CIPHER, key.key, nonceOf(number));
    cipher.setAAD(record.subarray(0, RECORD_HEADER_BYTES));
    record.set(cipher.update(body), RECORD_HEADER_BYTES);
    cipher.final();
    record.set(cipher.getAuthTag(), record.length - TAG_BYTES);
  }
}

export interface RecordHeader extends RecordFacts {
  readonly sealed: boolean;
  readonly bodyBytes: number;
}

/** The header at the start of `bytes`. Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodeRecordHeader(bytes: Uint8Array, place: string): RecordHeader {
  const where = { what: 'archive record', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length >= RECORD_HEADER_BYTES, where, 'header is cut short');
  const own = bytes.subarray(0, RECORD_HEADER_BYTES);
  expectCheck(own, AT.check, where);
  const view = dataView(own);
  const kind = KINDS[view.getUint8(AT.kind)];
  const sealed = view.getUint8(AT.sealed);
  const bodyBytes = view.getUint32(AT.bodyBytes);
  expect(kind !== undefined, where, 'kind is not known');
  expect(sealed <= 1, where, 'neither sealed nor open');
  expect(
    bodyBytes <= RECORD_BODY_BYTES_MAX + TAG_BYTES * sealed,
    where,
    `${bodyBytes} bytes of body`,
  );
  expect(bodyBytes >= TAG_BYTES * sealed, where, 'a sealed body has its tag');
  expectZero(own, AT.spare, AT.salt, where);
  const sizeBytes = takeU64(view, AT.disk, where);
  const isSized = sizeBytes > 0 && sizeBytes <= DISK_BYTES_MAX && sizeBytes % SECTOR_BYTES === 0;
  expect(kind === 'frame' ? isSized : sizeBytes === 0, where, `a disk of ${sizeBytes} bytes`);
  return {
    kind,
    sealed: sealed === 1,
    salt: copyOf(own, AT.salt, AT.salt + ID_BYTES),
    number: view.getUint32(AT.number),
    sizeBytes,
    bodyBytes,
  };
}

/** Where the data key comes from; null: there is none here. */
export type KeyOf = (salt: Uint8Array) => RecordKey | null;

/** Keys are made once, and of those the last ones kept. */
export function keysOf(dataKey: Uint8Array | null): KeyOf {
  if (dataKey === null) return () => null;
  const keys = new Map<string, RecordKey>();
  return (salt) => {
    const id = hex(salt);
    let key = keys.get(id);
    if (key === undefined) {
      key = recordKey(dataKey, salt);
      if (keys.size >= KEYS_KEPT_MAX) keys.clear();
      keys.set(id, key);
    }
    return key;
  };
}

/** One whole record. Its body may be a part of `bytes`. Errors FORMAT_BAD, FORMAT_VERSION. */
export function decodeRecord(
  bytes: Uint8Array,
  place: string,
  keyOf: KeyOf,
): { readonly header: RecordHeader; readonly body: Uint8Array } {
  const where = { what: 'archive record', place };
  const header = decodeRecordHeader(bytes, place);
  const wanted = RECORD_HEADER_BYTES + header.bodyBytes;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, its header says ${wanted}`);
  const stored = bytes.subarray(RECORD_HEADER_BYTES);
  if (!header.sealed) return { header, body: stored };
  const key = keyOf(header.salt);
  if (key === null) throw bad(where, 'it is sealed, and there is no key');
  const opener = createDecipheriv(CIPHER, key.key, nonceOf(header.number));
  opener.setAAD(bytes.subarray(0, RECORD_HEADER_BYTES));
  opener.setAuthTag(stored.subarray(stored.length - TAG_BYTES));
  const body = opener.update(stored.subarray(0, stored.length - TAG_BYTES));
  try {
    opener.final();
  } catch {
    throw bad(where, 'its seal is broken: it was changed, or made with another key');
  }
  return { header, body };
}

function nonceOf(number: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(number, NONCE_BYTES - 4);
  return nonce;
}
