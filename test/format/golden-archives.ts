// The values behind the frozen files of archives (hast-archive(5)), and what the encoders make of
// them. Version 0: these files go when version 1 is frozen. Numbers have bytes that differ, so that
// their order and place show; keys, salts and nonces come from a seed. Sizes are bytes.
import { seededRandom } from '../../src/base/random.js';
import { MASK_ALL } from '../../src/base/units.js';
import {
  type ArchiveIdentity,
  encodeIdentity,
  type Secret,
  wrapNewKey,
} from '../../src/format/archive-identity.js';
import {
  encodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalHeader,
  type JournalRow,
  putJournalRow,
} from '../../src/format/archive-journal.js';
import { encodeLeaf, type Leaf } from '../../src/format/archive-leaf.js';
import { encodeLooks, type LooksFile } from '../../src/format/archive-looks.js';
import {
  encodeNode,
  encodePackPage,
  encodePage,
  encodeRoot,
  type NodeRef,
  type PackRow,
  type Page,
  type Root,
} from '../../src/format/archive-node.js';
import {
  type ArchiveEpoch,
  type ArchivePoint,
  encodeEpoch,
  encodeHead,
  encodePoint,
  type PointPlace,
} from '../../src/format/archive-objects.js';
import { encodePin, type Pin } from '../../src/format/archive-pin.js';
import { encodeRecord, type RecordFacts, recordKey } from '../../src/format/archive-record.js';
import { encodeFrame } from '../../src/format/frame.js';
import { packRaw } from '../../src/format/pack.js';
import { FIRST, ROUND, rising, zstd } from './golden-files.js';
import { content, SMALL_SIZE_BYTES, smallFrame } from './material.js';

/** Bytes without a period. */
const some = (length: number, seed: number): Uint8Array => content(length, 2 * seed + 1);

export const KEY: Secret = { kind: 'key', bytes: some(32, 7) };
export const PASSPHRASE: Secret = { kind: 'passphrase', text: 'correct horse battery staple' };

const identityOf = (secret: Secret | null, name: string) => {
  const resource = rising(0x10);
  const own = secret === null ? null : wrapNewKey(secret, resource, seededRandom(20_261_122));
  const identity: ArchiveIdentity = {
    id: rising(0xa0),
    resource,
    name,
    createdMs: 1_795_000_000_123,
    wrapped: own?.wrapped ?? null,
  };
  return { identity, dataKey: own?.dataKey ?? null };
};
export const OPEN = identityOf(null, 'vm1');
export const SEALED = identityOf(KEY, 'vm-with-a-key');
export const BY_PASSPHRASE = identityOf(PASSPHRASE, 'büro');

export const HEAD: PointPlace = { epoch: 0x0102_0304, sequence: 0x0506_0708 };
const ref = (pack: number, seed: number): NodeRef => ({
  place: { pack, offset: 0x0001_0203 + seed, bytes: 0x0405 },
  check: some(8, seed),
});
const named = (seed: number, bytes: number) => ({ name: some(32, seed), bytes });

export const POINT: ArchivePoint = {
  to: ROUND.to,
  from: ROUND.from,
  place: HEAD,
  sizeBytes: SMALL_SIZE_BYTES,
  consistency: 'quiesced',
  damagedChunks: 0x0a0b,
  storedBytes: 0x0c0d_0e0f,
  blockBytes: 0x1011_1213,
  nextPack: 0x0102_0304,
  trees: [
    { ...ref(0x0102_0303, 1), pack: named(2, 0x0200_0000), leaves: 3 },
    { ...ref(0x0001_0203, 4), pack: named(5, 0x0123_4567), leaves: 0x0708 },
  ],
  kept: [
    { place: { epoch: 0x0102_0304, sequence: 9 }, number: 41, timeMs: 1_794_996_400_001 },
    { place: { epoch: 2, sequence: 0x0a0b_0c0d }, number: 7, timeMs: 1_790_000_000_002 },
  ],
  going: [{ place: { epoch: 1, sequence: 8 }, number: 6, timeMs: 1_780_000_000_003 }],
};
/** Of an archive that had none. */
export const FIRST_POINT: ArchivePoint = {
  ...POINT,
  from: null,
  place: { epoch: 1, sequence: 1 },
  consistency: 'damaged',
  trees: POINT.trees.slice(0, 1),
  kept: [],
  going: [],
};
export const EPOCH: ArchiveEpoch = {
  epoch: { id: rising(0x70), number: 0x0102_0304_0506, parent: rising(0x50), node: 'b.example' },
  place: 0x0102_0305,
  from: HEAD,
};
export const FIRST_EPOCH: ArchiveEpoch = {
  epoch: { id: rising(0x60), number: 1, parent: null, node: 'ä' },
  place: 1,
  from: null,
};
export const PIN: Pin = {
  name: 'before-upgrade_2.1',
  point: { place: HEAD, number: 0x0102_0304_0506, timeMs: 1_795_000_000_123 },
};

/** Pieces: data with zeroes, zeroes alone, two of one chunk. */
export const LEAF_REGION = 5;
export const LEAF: Leaf = [
  {
    chunk: 5 * 256,
    digest: some(16, 1),
    pieces: [{ mask: 0xf00f, zero: 0x8001, place: { ...ref(0x0102_0303, 1).place } }],
  },
  {
    chunk: 5 * 256 + 17,
    digest: some(16, 2),
    pieces: [{ mask: MASK_ALL, zero: MASK_ALL, place: null }],
  },
  {
    chunk: 5 * 256 + 255,
    digest: some(16, 3),
    pieces: [
      { mask: 0x0003, zero: 0, place: ref(0x0001_0203, 4).place },
      { mask: 0xfffc, zero: 0x0ff0, place: { pack: 0, offset: 0, bytes: 49 } },
    ],
  },
];
export const PAGE: Page = new Map([
  [0, ref(0x0102_0303, 6)],
  [255, ref(1, 7)],
]);
export const PACK_PAGE: ReadonlyMap<number, PackRow> = new Map([
  [0, { ...named(8, 0x0200_0000), liveParts: 0x0001_0203, parts: 0x0405_0607 }],
  [1023, { ...named(9, 1), liveParts: 1, parts: 1 }],
]);
export const ROOT: Root = {
  packs: 0x0102_0304,
  ownParts: 0x0506,
  pages: new Map([
    [0, ref(1, 10)],
    [65_535, ref(2, 11)],
  ]),
  packPages: new Map([
    [1, { ref: ref(3, 12), pack: named(13, 0x0123_4567) }],
    [0x4080, { ref: ref(0x0102_0303, 14), pack: null }],
  ]),
};

/** A record of a frame, as it is, and one of a node, sealed. */
export const FRAME_RECORD: RecordFacts = {
  kind: 'frame',
  salt: rising(0x80),
  number: 0x0102_0304,
  sizeBytes: SMALL_SIZE_BYTES,
};
export const NODE_RECORD: RecordFacts = {
  kind: 'node',
  salt: rising(0x90),
  number: 0x0506_0708,
  sizeBytes: 0,
};
export const frameBody = (): Uint8Array => encodeFrame(smallFrame(0x0102_0304), packRaw);
export const nodeBody = (): Uint8Array => encodeNode(encodeLeaf(LEAF), packRaw).body;
export const RECORD_KEY = recordKey(some(32, 21), NODE_RECORD.salt);

export const JOURNAL: JournalHeader = {
  resource: rising(0x10),
  from: FIRST.to.id,
  archive: rising(0xa0),
};
export const ROWS: readonly JournalRow[] = [
  {
    kind: 'garbage',
    number: 0x0102_0304,
    ...named(15, 0x0123_4567),
    keepUntilHour: 0x0001_0203,
  },
  { kind: 'run' },
  {
    kind: 'piece',
    lane: 0,
    chunk: 0x0102_0304,
    digest: some(16, 16),
    piece: { mask: 0xf00f, zero: 0x8001, place: ref(0x0102_0305, 17).place },
  },
  {
    kind: 'piece',
    lane: 1,
    chunk: 5,
    digest: some(16, 18),
    piece: { mask: 0x0ff0, zero: 0x0ff0, place: null },
  },
  { kind: 'pack', number: 0x0102_0305, ...named(19, 0x0200_0000) },
  { kind: 'put', number: 0x0102_0305 },
];

function journalFile(): Uint8Array {
  const bytes = new Uint8Array(JOURNAL_HEADER_BYTES + ROWS.length * JOURNAL_ROW_BYTES);
  bytes.set(encodeJournalHeader(JOURNAL));
  ROWS.forEach((row, i) => {
    putJournalRow(bytes, JOURNAL_HEADER_BYTES + i * JOURNAL_ROW_BYTES, row);
  });
  return bytes;
}

/** Ascending. */
const lookedAt = (first: number): Uint8Array => Uint8Array.from([first, ...some(31, first)]);
export const LOOKS: LooksFile = {
  archive: rising(0xa0),
  pass: { begunMs: 1_795_000_000_123, spentBytes: 0x0102_0304_0506, ended: true, badTables: 3 },
  rows: [
    { name: lookedAt(0x40), bytes: 0x0102_0304, lookedMs: 0, fault: null },
    { name: lookedAt(0x41), bytes: 0x0102_0305, lookedMs: 1_795_000_000_124, fault: 'missing' },
    { name: lookedAt(0x42), bytes: 0x0102_0306, lookedMs: 1_795_000_000_125, fault: 'length' },
    { name: lookedAt(0x43), bytes: 0x0102_0307, lookedMs: 1_795_000_000_126, fault: 'content' },
  ],
};

/** What today's encoders make, by name of the file. The one with zstd may differ by its version. */
export function archiveFiles() {
  return {
    'archive-epoch-first-v0.bin': encodeEpoch(FIRST_EPOCH),
    'archive-epoch-v0.bin': encodeEpoch(EPOCH),
    'archive-head-v0.bin': encodeHead(HEAD),
    'archive-identity-key-v0.bin': encodeIdentity(SEALED.identity),
    'archive-identity-open-v0.bin': encodeIdentity(OPEN.identity),
    'archive-identity-passphrase-v0.bin': encodeIdentity(BY_PASSPHRASE.identity),
    'archive-journal-v0.bin': journalFile(),
    'archive-leaf-v0.bin': encodeLeaf(LEAF),
    'archive-looks-v0.bin': encodeLooks(LOOKS),
    'archive-node-raw-v0.bin': encodeNode(encodeLeaf(LEAF), packRaw).body,
    'archive-node-zstd-v0.bin': encodeNode(new Uint8Array(4096).fill(0x55), zstd).body,
    'archive-pack-page-v0.bin': encodePackPage(PACK_PAGE),
    'archive-page-v0.bin': encodePage(PAGE),
    'archive-pin-v0.bin': encodePin(PIN),
    'archive-point-first-v0.bin': encodePoint(FIRST_POINT),
    'archive-point-v0.bin': encodePoint(POINT),
    'archive-record-open-v0.bin': encodeRecord(FRAME_RECORD, frameBody(), null),
    'archive-record-sealed-v0.bin': encodeRecord(NODE_RECORD, nodeBody(), RECORD_KEY),
    'archive-root-v0.bin': encodeRoot(ROOT),
  } as const;
}
