// Header and trailer of a changeset file. File = header | frames back to back | index | trailer;
// it is immutable once the trailer stands, and a file without a trailer is staged, not whole.
// Guarantee of what is decoded: its check holds, its numbers agree with each other. All lengths
// are bytes; times are milliseconds since 1970 UTC.
import { assert } from '../base/assert.js';
import { CHECK_BYTES } from '../base/digest.js';
import { BLOCK_BYTES, CHUNK_BYTES, DISK_BYTES_MAX, ID_BYTES, SECTOR_BYTES } from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';
import type { ChangesetHeader, ChangesetTotals, Consistency } from './changeset.js';
import { INDEX_ENTRY_BYTES } from './changeset-index.js';
import type { Where } from './layout.js';
import {
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
  takeTime,
  takeU64,
} from './layout.js';

export const CHANGESET_HEADER_BYTES = 256;
export const CHANGESET_TRAILER_BYTES = 96;
const HEADER_MAGIC = 'HASTCHG1';
const TRAILER_MAGIC = 'HASTEND1';
const INDEX_DIGEST_BYTES = 32;

//   off  size
const HEADER = layout(CHANGESET_HEADER_BYTES, {
  magic: 8, //         0   'HASTCHG1'
  kind: 1, //          8   0 round, 1 undo
  consistency: 1, //   9   0 crash, 1 quiesced, 2 damaged
  hasFrom: 1, //      10   0: no point before, `from` is zero; 1
  spare: 5, //        11   zero
  resource: 16, //    16
  round: 16, //       32
  from: 32, //        48   point: id 16, number 8, time 8
  to: 32, //          80   point
  sizeBytes: 8, //   112   disk after the changeset, a multiple of 512
  blockBytes: 4, //  120   4096
  chunkBytes: 4, //  124   65536
  spareToo: 120, //  128   zero
  check: 8, //       248   of bytes 0..247
});

//   off  size
const TRAILER = layout(CHANGESET_TRAILER_BYTES, {
  magic: 8, //        0   'HASTEND1'
  indexOffset: 8, //  8   = header + stored bytes
  chunks: 8, //      16   index entries
  blockBytes: 8, //  24   raw, zero blocks not counted
  storedBytes: 8, // 32   of all frames, their headers included
  frames: 4, //      40
  spare: 4, //       44   zero
  indexDigest: 32, //48   BLAKE3 of the index
  spareToo: 8, //    80   zero
  check: 8, //       88   of bytes 0..87
});

const KINDS = ['round', 'undo'] as const;
const CONSISTENCIES: readonly Consistency[] = ['crash', 'quiesced', 'damaged'];
const ABSENT: PointRef = { id: new Uint8Array(ID_BYTES), number: 0, timeMs: 0 };

export function encodeHeader(header: ChangesetHeader): Uint8Array {
  const { resource, round, from, to, sizeBytes } = header;
  assert(resource.length === ID_BYTES && round.length === ID_BYTES, 'an id has 16 bytes');
  assert(isDiskSize(sizeBytes), 'a disk size is a multiple of 512 within 256 TiB');
  const bytes = new Uint8Array(CHANGESET_HEADER_BYTES);
  const view = dataView(bytes);
  putMagic(bytes, HEADER_MAGIC);
  bytes[HEADER.kind] = KINDS.indexOf(header.kind);
  bytes[HEADER.consistency] = CONSISTENCIES.indexOf(header.consistency);
  bytes[HEADER.hasFrom] = from === null ? 0 : 1;
  bytes.set(resource, HEADER.resource);
  bytes.set(round, HEADER.round);
  putPoint(bytes, HEADER.from, from ?? ABSENT);
  putPoint(bytes, HEADER.to, to);
  putU64(view, HEADER.sizeBytes, sizeBytes);
  view.setUint32(HEADER.blockBytes, BLOCK_BYTES);
  view.setUint32(HEADER.chunkBytes, CHUNK_BYTES);
  putCheck(bytes, HEADER.check);
  return bytes;
}

/** `bytes`: at least the header. Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodeHeader(bytes: Uint8Array, place: string): ChangesetHeader {
  const where = { what: 'changeset header', place };
  expectMagic(bytes, HEADER_MAGIC, where);
  expect(bytes.length >= CHANGESET_HEADER_BYTES, where, 'cut short');
  expectCheck(bytes, HEADER.check, where);
  const view = dataView(bytes);
  const kind = KINDS[view.getUint8(HEADER.kind)];
  const consistency = CONSISTENCIES[view.getUint8(HEADER.consistency)];
  const hasFrom = view.getUint8(HEADER.hasFrom);
  const sizeBytes = takeU64(view, HEADER.sizeBytes, where);
  expect(kind !== undefined, where, 'kind is not known');
  expect(consistency !== undefined, where, 'consistency is not known');
  expect(hasFrom <= 1, where, 'neither with nor without a point before');
  expectZero(bytes, HEADER.spare, HEADER.resource, where);
  expectZero(bytes, HEADER.spareToo, HEADER.check, where);
  if (hasFrom === 0) expectZero(bytes, HEADER.from, HEADER.to, where);
  expect(isDiskSize(sizeBytes), where, `disk size ${sizeBytes}`);
  const grains = [view.getUint32(HEADER.blockBytes), view.getUint32(HEADER.chunkBytes)];
  expect(
    grains[0] === BLOCK_BYTES && grains[1] === CHUNK_BYTES,
    where,
    `blocks and chunks of ${grains.join(' and ')} bytes`,
  );
  return {
    kind,
    resource: copyOf(bytes, HEADER.resource, HEADER.resource + ID_BYTES),
    round: copyOf(bytes, HEADER.round, HEADER.round + ID_BYTES),
    from: hasFrom === 1 ? takePoint(bytes, HEADER.from, where) : null,
    to: takePoint(bytes, HEADER.to, where),
    sizeBytes,
    consistency,
  };
}

/** `indexOffset`: where in the file the index begins. */
export function encodeTrailer(totals: ChangesetTotals, indexOffset: number): Uint8Array {
  assert(indexOffset === CHANGESET_HEADER_BYTES + totals.storedBytes, 'frames stand back to back');
  assert(totals.indexDigest.length === INDEX_DIGEST_BYTES, 'the index digest has 32 bytes');
  const bytes = new Uint8Array(CHANGESET_TRAILER_BYTES);
  const view = dataView(bytes);
  putMagic(bytes, TRAILER_MAGIC);
  putU64(view, TRAILER.indexOffset, indexOffset);
  putU64(view, TRAILER.chunks, totals.chunks);
  putU64(view, TRAILER.blockBytes, totals.blockBytes);
  putU64(view, TRAILER.storedBytes, totals.storedBytes);
  view.setUint32(TRAILER.frames, totals.frames);
  bytes.set(totals.indexDigest, TRAILER.indexDigest);
  putCheck(bytes, TRAILER.check);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION; also when a file of `fileBytes` is not this. */
export function decodeTrailer(
  bytes: Uint8Array,
  place: string,
  fileBytes: number,
): { readonly totals: ChangesetTotals; readonly indexOffset: number } {
  const where = { what: 'changeset trailer', place };
  expectMagic(bytes, TRAILER_MAGIC, where);
  expect(bytes.length === CHANGESET_TRAILER_BYTES, where, 'cut short');
  expectCheck(bytes, TRAILER.check, where);
  const view = dataView(bytes);
  expectZero(bytes, TRAILER.spare, TRAILER.indexDigest, where);
  expectZero(bytes, TRAILER.spareToo, TRAILER.check, where);
  const at = TRAILER.indexDigest;
  const totals: ChangesetTotals = {
    frames: view.getUint32(TRAILER.frames),
    chunks: takeU64(view, TRAILER.chunks, where),
    blockBytes: takeU64(view, TRAILER.blockBytes, where),
    storedBytes: takeU64(view, TRAILER.storedBytes, where),
    indexDigest: copyOf(bytes, at, at + INDEX_DIGEST_BYTES),
  };
  const indexOffset = takeU64(view, TRAILER.indexOffset, where);
  expect(
    indexOffset === CHANGESET_HEADER_BYTES + totals.storedBytes,
    where,
    'index does not follow the frames',
  );
  const wanted = indexOffset + totals.chunks * INDEX_ENTRY_BYTES + CHANGESET_TRAILER_BYTES;
  expect(wanted === fileBytes, where, `the file has ${fileBytes} bytes, it tells of ${wanted}`);
  return { totals, indexOffset };
}

const isDiskSize = (bytes: number): boolean =>
  bytes > 0 && bytes <= DISK_BYTES_MAX && bytes % SECTOR_BYTES === 0;

/** Point: id 16, number 8, time 8. */
export function putPoint(bytes: Uint8Array, at: number, point: PointRef): void {
  assert(point.id.length === ID_BYTES, 'an id has 16 bytes');
  bytes.set(point.id, at);
  putU64(dataView(bytes), at + ID_BYTES, point.number);
  putU64(dataView(bytes), at + ID_BYTES + CHECK_BYTES, point.timeMs);
}

export function takePoint(bytes: Uint8Array, at: number, where: Where): PointRef {
  const view = dataView(bytes);
  return {
    id: copyOf(bytes, at, at + ID_BYTES),
    number: takeU64(view, at + ID_BYTES, where),
    timeMs: takeTime(view, at + ID_BYTES + CHECK_BYTES, where),
  };
}
