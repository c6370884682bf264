// Frozen bytes of archives (STYLE 10), version 0: each file is read as what was put in, and what
// has no packing in it is written to the byte. Layouts: hast-archive(5).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf, equalBytes } from '../../src/base/digest.js';
import { dataKeyOf, decodeIdentity, type Secret } from '../../src/format/archive-identity.js';
import {
  decodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  takeJournalRow,
} from '../../src/format/archive-journal.js';
import { decodeLeaf } from '../../src/format/archive-leaf.js';
import { decodeLooks } from '../../src/format/archive-looks.js';
import {
  decodeNode,
  decodePackPage,
  decodePage,
  decodeRoot,
} from '../../src/format/archive-node.js';
import { decodeEpoch, decodeHead, decodePoint } from '../../src/format/archive-objects.js';
import { decodePin } from '../../src/format/archive-pin.js';
import { decodeRecord } from '../../src/format/archive-record.js';
import { unpack } from '../../src/format/pack.js';
import { frozen } from './frozen.js';
import {
  archiveFiles,
  BY_PASSPHRASE,
  EPOCH,
  FIRST_EPOCH,
  FIRST_POINT,
  FRAME_RECORD,
  frameBody,
  HEAD,
  JOURNAL,
  KEY,
  LEAF,
  LEAF_REGION,
  LOOKS,
  NODE_RECORD,
  nodeBody,
  OPEN,
  PACK_PAGE,
  PAGE,
  PASSPHRASE,
  PIN,
  POINT,
  RECORD_KEY,
  ROOT,
  ROWS,
  SEALED,
} from './golden-archives.js';

const made = archiveFiles();
type Name = keyof typeof made;
const golden = (name: Name): Uint8Array => frozen(name, made[name]);

/** Read, it is `value`; written, it is the file. */
function both<T>(name: Name, decode: (bytes: Uint8Array) => T, value: T): void {
  const bytes = golden(name);
  assert.deepEqual(decode(bytes), value);
  assert.ok(equalBytes(made[name], bytes), name);
}

test('reads and writes version 0 identities, and opens their keys', () => {
  const identity = (bytes: Uint8Array) => decodeIdentity(bytes, 'golden');
  both('archive-identity-open-v0.bin', identity, OPEN.identity);
  both('archive-identity-key-v0.bin', identity, SEALED.identity);
  both('archive-identity-passphrase-v0.bin', identity, BY_PASSPHRASE.identity);
  const opened = (name: Name, secret: Secret | null) =>
    dataKeyOf(identity(golden(name)), secret, 'golden');
  assert.equal(opened('archive-identity-open-v0.bin', null), null);
  assert.deepEqual(opened('archive-identity-key-v0.bin', KEY), SEALED.dataKey);
  assert.deepEqual(opened('archive-identity-passphrase-v0.bin', PASSPHRASE), BY_PASSPHRASE.dataKey);
});

test('reads and writes version 0 points, epochs, a head and a pin', () => {
  both('archive-point-v0.bin', (bytes) => decodePoint(bytes, 'golden'), POINT);
  both('archive-point-first-v0.bin', (bytes) => decodePoint(bytes, 'golden'), FIRST_POINT);
  both('archive-epoch-v0.bin', (bytes) => decodeEpoch(bytes, 'golden'), EPOCH);
  both('archive-epoch-first-v0.bin', (bytes) => decodeEpoch(bytes, 'golden'), FIRST_EPOCH);
  both('archive-head-v0.bin', decodeHead, HEAD);
  both('archive-pin-v0.bin', (bytes) => decodePin(bytes, 'golden'), PIN);
});

test('reads and writes version 0 records, as they are and sealed', () => {
  for (const [name, facts, body, key] of [
    ['archive-record-open-v0.bin', FRAME_RECORD, frameBody(), null],
    ['archive-record-sealed-v0.bin', NODE_RECORD, nodeBody(), RECORD_KEY],
  ] as const) {
    const bytes = golden(name);
    const found = decodeRecord(bytes, 'golden', () => key);
    const { kind, salt, number, sizeBytes, sealed } = found.header;
    assert.deepEqual({ kind, salt, number, sizeBytes }, facts);
    assert.equal(sealed, key !== null);
    assert.ok(equalBytes(found.body, body), name);
    assert.equal(
      Buffer.from(bytes).includes(Buffer.from(body)),
      key === null,
      'sealed, it shows nothing',
    );
    assert.ok(equalBytes(made[name], bytes), name);
  }
});

test('reads and writes the version 0 leaf, page, root and pack page of an index', () => {
  const { packs } = ROOT;
  const leaf = (bytes: Uint8Array) => decodeLeaf(bytes, LEAF_REGION, packs, 'golden');
  both('archive-leaf-v0.bin', leaf, [...LEAF]);
  both('archive-page-v0.bin', (bytes) => decodePage(bytes, packs, 'golden'), PAGE);
  both('archive-pack-page-v0.bin', (bytes) => decodePackPage(bytes, 'golden'), PACK_PAGE);
  both('archive-root-v0.bin', (bytes) => decodeRoot(bytes, 'golden'), ROOT);
});

test('reads version 0 nodes, raw and zstd, and writes a raw one', () => {
  const raw = (bytes: Uint8Array) => decodeNode(bytes, checkOf(bytes), unpack, 'golden');
  const leaf = raw(golden('archive-node-raw-v0.bin'));
  assert.ok(equalBytes(leaf, golden('archive-leaf-v0.bin')));
  assert.ok(equalBytes(made['archive-node-raw-v0.bin'], golden('archive-node-raw-v0.bin')));
  const packed = golden('archive-node-zstd-v0.bin');
  assert.ok(packed.length < 100 && equalBytes(raw(packed), new Uint8Array(4096).fill(0x55)));
});

test('reads and writes a version 0 journal', () => {
  const read = (bytes: Uint8Array) => {
    const rows = ROWS.map((_, i) =>
      takeJournalRow(bytes, JOURNAL_HEADER_BYTES + i * JOURNAL_ROW_BYTES),
    );
    return { header: decodeJournalHeader(bytes, 'golden'), rows };
  };
  both('archive-journal-v0.bin', read, { header: JOURNAL, rows: [...ROWS] });
});

test('reads and writes a version 0 memory of what was verified', () => {
  both('archive-looks-v0.bin', (bytes) => decodeLooks(bytes, 'golden'), LOOKS);
});
