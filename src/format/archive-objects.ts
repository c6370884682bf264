// The small objects of an archive, and their keys (hast-archive(5)):
//   archive                       what it is: resource, sealing. Made once.
//   head                          a hint: where the newest point was when it was written. Replaced.
//   epochs/EEEEEEEE               one reign of a primary; numbered by the archive. Made once.
//   points/EEEEEEEE/SSSSSSSS      a point of that epoch: the one commit point (H35). Made once.
//                                 Behind the last one, where another epoch has begun: that epoch.
//   names/NAME, pins/EEEEEEEE/SSSSSSSS   a point that stays (archive-pin.ts). Made once, removed.
//   packs/HH/HASH                 records; HASH is BLAKE3 of the pack, HH its first two digits.
// Numbers in keys are 8 hexadecimal digits from 00000001, without gaps. An epoch begins by taking
// the next place of the one before with its own record, so that a primary of that one, which does
// not know yet, cannot make another point (RULES.md H35 has side branches there: this leaves none).
// Guarantee of what is decoded: its check holds, and its numbers are within limits.
// Times are wall milliseconds; lengths are bytes. The file is longer than 300 lines because these
// objects and their keys are one page of hast-archive(5).
import { assert } from '../base/assert.js';
import { CHECK_BYTES } from '../base/digest.js';
import { hex } from '../base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, DISK_BYTES_MAX, ID_BYTES, SECTOR_BYTES } from '../base/units.js';
import type { Epoch, PointRef } from '../lineage/lineage.js';
import { PACK_BYTES_MAX, type RecordPlace } from './archive-leaf.js';
import { PACK_NAME_BYTES, type PackName } from './archive-node.js';
import { RECORD_BYTES_MAX, RECORD_HEADER_BYTES } from './archive-record.js';
import type { Consistency } from './changeset.js';
import { putPoint, takePoint } from './changeset-file.js';
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
  takeText,
  takeTime,
  takeU64,
  textBytes,
  type Where,
} from './layout.js';

export const ARCHIVE_KEY = 'archive';
export const HEAD_KEY = 'head';
const numbered = (number: number): string => number.toString(16).padStart(8, '0');
export const epochKey = (epoch: number): string => `epochs/${numbered(epoch)}`;
export const pointKey = ({ epoch, sequence }: PointPlace): string =>
  `points/${numbered(epoch)}/${numbered(sequence)}`;
export const pinKey = ({ epoch, sequence }: PointPlace): string =>
  `pins/${numbered(epoch)}/${numbered(sequence)}`;
export const POINTS_PREFIX = 'points/';
export const pointsOf = (epoch: number): string => `${POINTS_PREFIX}${numbered(epoch)}/`;
/** Of the key of a point; null: it is none. */
export function placeOf(key: string): PointPlace | null {
  const [, epoch, sequence] = /^points\/([0-9a-f]{8})\/([0-9a-f]{8})$/.exec(key) ?? [];
  if (epoch === undefined || sequence === undefined) return null;
  return { epoch: Number.parseInt(epoch, 16), sequence: Number.parseInt(sequence, 16) };
}
export const packKey = (name: Uint8Array): string => {
  const text = hex(name);
  return `packs/${text.slice(0, 2)}/${text}`;
};

/** Where a point stands among those of its archive. */
export interface PointPlace {
  /** Number of its epoch in the archive, from 1. */
  readonly epoch: number;
  /** From 1. */
  readonly sequence: number;
}

/** The root of an index, and the pack that has it. */
export interface TreeRef {
  readonly pack: PackName;
  readonly place: RecordPlace;
  readonly check: Uint8Array;
  /** Leaves that it has, about: what merging it costs. */
  readonly leaves: number;
}

export interface ArchivePoint {
  readonly to: PointRef;
  /** The point before, in the same epoch or the parent's. */
  readonly from: PointRef | null;
  readonly place: PointPlace;
  readonly sizeBytes: number;
  readonly consistency: Consistency;
  /** Chunks with content that could not be read and is older (H21). */
  readonly damagedChunks: number;
  /** Bytes of all packs of this round, its part of the index included. */
  readonly storedBytes: number;
  /** Raw bytes of the blocks of this round. */
  readonly blockBytes: number;
  /** Number of the next pack of this lineage. */
  readonly nextPack: number;
  /** Newest first: of this round and of those since the last one, which has everything before. */
  readonly trees: readonly TreeRef[];
  /** Points of this archive that are kept beside this one, newest first: readers need no list. */
  readonly kept: readonly KeptPoint[];
  /** Points that are not kept any more and perhaps still there: a prune removes them. */
  readonly going: readonly KeptPoint[];
}

export interface KeptPoint {
  readonly place: PointPlace;
  readonly number: number;
  readonly timeMs: number;
}

export interface ArchiveEpoch {
  readonly epoch: Epoch;
  /** Its number in the archive, from 1. */
  readonly place: number;
  /** Where it goes on from; null: the first of the archive. */
  readonly from: PointPlace | null;
}

/** Trees that a reader lays over each other, at most. */
export const TREES_MAX = 64;
/** Points that a point names, kept and going, at most. */
export const KEPT_POINTS_MAX = 4096;
/** As many as a day may make, in which none of them may be removed: every 30 s one. */
export const GOING_POINTS_MAX = 3072;
export const POINT_BYTES_MAX = 256 * 1024;
const POINT_HEADER_BYTES = 144;
const TREE_BYTES = PACK_NAME_BYTES + 20 + CHECK_BYTES;
const KEPT_BYTES = 24;
const NODE_NAME_BYTES_MAX = 255;
const CONSISTENCIES: readonly Consistency[] = ['crash', 'quiesced', 'damaged'];

//   off  size
const POINT = layout(POINT_HEADER_BYTES, {
  magic: 8, //          0   'HASTPNT0'
  to: 32, //            8   point: id 16, number 8, time 8
  from: 32, //         40   point
  hasFrom: 1, //       72   0: `from` is zero; 1
  consistency: 1, //   73   0 crash, 1 quiesced, 2 damaged
  trees: 2, //         74   1..64
  epoch: 4, //         76
  sequence: 4, //      80
  damagedChunks: 4, // 84
  sizeBytes: 8, //     88
  storedBytes: 8, //   96
  blockBytes: 8, //   104
  nextPack: 4, //     112
  block: 4, //        116   4096
  chunk: 4, //        120   65536
  kept: 4, //         124   points that are kept beside, 0..4096
  going: 4, //        128   points that are going, 0..3072
  spare: 12, //       132   zero
});
const POINT_MAGIC = 'HASTPNT0';

/** Then trees: pack name 32, pack bytes 4, pack 4, offset 4, bytes 4, leaves 4, check 8; then
 * points kept, then points going: epoch 4, sequence 4, number 8, time 8; then a check. */
export function encodePoint(point: ArchivePoint): Uint8Array {
  const { trees, place, sizeBytes } = point;
  const { kept, going } = point;
  const named = [...kept, ...going];
  assert(trees.length >= 1 && trees.length <= TREES_MAX, 'a point has a tree');
  assert(kept.length <= KEPT_POINTS_MAX, 'no more points are kept than may be');
  assert(going.length <= GOING_POINTS_MAX, 'no more points are going than may be');
  const rows = POINT_HEADER_BYTES + trees.length * TREE_BYTES;
  const bytes = new Uint8Array(rows + named.length * KEPT_BYTES + CHECK_BYTES);
  const view = dataView(bytes);
  putMagic(bytes, POINT_MAGIC);
  putPoint(bytes, POINT.to, point.to);
  if (point.from !== null) putPoint(bytes, POINT.from, point.from);
  bytes[POINT.hasFrom] = point.from === null ? 0 : 1;
  bytes[POINT.consistency] = CONSISTENCIES.indexOf(point.consistency);
  view.setUint16(POINT.trees, trees.length);
  view.setUint32(POINT.epoch, place.epoch);
  view.setUint32(POINT.sequence, place.sequence);
  view.setUint32(POINT.damagedChunks, point.damagedChunks);
  putU64(view, POINT.sizeBytes, sizeBytes);
  putU64(view, POINT.storedBytes, point.storedBytes);
  putU64(view, POINT.blockBytes, point.blockBytes);
  view.setUint32(POINT.nextPack, point.nextPack);
  view.setUint32(POINT.block, BLOCK_BYTES);
  view.setUint32(POINT.chunk, CHUNK_BYTES);
  trees.forEach(({ pack, place: at, check, leaves }, i) => {
    const row = POINT_HEADER_BYTES + i * TREE_BYTES;
    bytes.set(pack.name, row);
    view.setUint32(row + 32, pack.bytes);
    view.setUint32(row + 36, at.pack);
    view.setUint32(row + 40, at.offset);
    view.setUint32(row + 44, at.bytes);
    view.setUint32(row + 48, leaves);
    bytes.set(check, row + 52);
  });
  view.setUint32(POINT.kept, kept.length);
  view.setUint32(POINT.going, going.length);
  named.forEach(({ place: where, number, timeMs }, i) => {
    const row = rows + i * KEPT_BYTES;
    view.setUint32(row, where.epoch);
    view.setUint32(row + 4, where.sequence);
    putU64(view, row + 8, number);
    putU64(view, row + 16, timeMs);
  });
  putCheck(bytes, bytes.length - CHECK_BYTES);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodePoint(bytes: Uint8Array, place: string): ArchivePoint {
  const where = { what: 'point of an archive', place };
  expectMagic(bytes, POINT_MAGIC, where);
  expect(bytes.length >= POINT_HEADER_BYTES + CHECK_BYTES, where, 'cut short');
  const view = dataView(bytes);
  const count = view.getUint16(POINT.trees);
  expect(count >= 1 && count <= TREES_MAX, where, `${count} trees`);
  const kept = view.getUint32(POINT.kept);
  const going = view.getUint32(POINT.going);
  expect(kept <= KEPT_POINTS_MAX, where, `${kept} points are kept`);
  expect(going <= GOING_POINTS_MAX, where, `${going} points are going`);
  const rows = POINT_HEADER_BYTES + count * TREE_BYTES;
  const wanted = rows + (kept + going) * KEPT_BYTES + CHECK_BYTES;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, it tells of ${wanted}`);
  expectCheck(bytes, bytes.length - CHECK_BYTES, where);
  const hasFrom = view.getUint8(POINT.hasFrom);
  const consistency = CONSISTENCIES[view.getUint8(POINT.consistency)];
  const sizeBytes = takeU64(view, POINT.sizeBytes, where);
  const nextPack = view.getUint32(POINT.nextPack);
  expect(hasFrom <= 1, where, 'neither with nor without a point before');
  if (hasFrom === 0) expectZero(bytes, POINT.from, POINT.hasFrom, where);
  expect(consistency !== undefined, where, 'consistency is not known');
  expect(isDiskSize(sizeBytes), where, `disk size ${sizeBytes}`);
  const grains = [view.getUint32(POINT.block), view.getUint32(POINT.chunk)];
  expect(grains[0] === BLOCK_BYTES && grains[1] === CHUNK_BYTES, where, `grains ${grains}`);
  expectZero(bytes, POINT.spare, POINT_HEADER_BYTES, where);
  const epoch = view.getUint32(POINT.epoch);
  const sequence = view.getUint32(POINT.sequence);
  expect(epoch > 0 && sequence > 0, where, `point ${sequence} of epoch ${epoch}`);
  return {
    to: takePoint(bytes, POINT.to, where),
    from: hasFrom === 1 ? takePoint(bytes, POINT.from, where) : null,
    place: { epoch, sequence },
    sizeBytes,
    consistency,
    damagedChunks: view.getUint32(POINT.damagedChunks),
    storedBytes: takeU64(view, POINT.storedBytes, where),
    blockBytes: takeU64(view, POINT.blockBytes, where),
    nextPack,
    trees: Array.from({ length: count }, (_, i) => takeTree(bytes, i, nextPack, where)),
    kept: Array.from({ length: kept }, (_, i) => takeKept(bytes, rows + i * KEPT_BYTES, where)),
    going: Array.from({ length: going }, (_, i) =>
      takeKept(bytes, rows + (kept + i) * KEPT_BYTES, where),
    ),
  };
}

function takeKept(bytes: Uint8Array, at: number, where: Where): KeptPoint {
  const view = dataView(bytes);
  const place = { epoch: view.getUint32(at), sequence: view.getUint32(at + 4) };
  expect(place.epoch > 0 && place.sequence > 0, where, 'a kept point that stands nowhere');
  return {
    place,
    number: takeU64(view, at + 8, where),
    timeMs: takeTime(view, at + 16, where),
  };
}

function takeTree(bytes: Uint8Array, i: number, nextPack: number, where: Where): TreeRef {
  const view = dataView(bytes);
  const row = POINT_HEADER_BYTES + i * TREE_BYTES;
  const packBytes = view.getUint32(row + 32);
  const [pack, offset, length] = [36, 40, 44].map((at) => view.getUint32(row + at));
  if (pack === undefined || offset === undefined || length === undefined) {
    throw new RangeError('a row has its numbers');
  }
  expect(packBytes > 0 && packBytes <= PACK_BYTES_MAX, where, `a pack of ${packBytes} bytes`);
  expect(pack < nextPack, where, `pack ${pack} of ${nextPack}`);
  const isRecord = length > RECORD_HEADER_BYTES && length <= RECORD_BYTES_MAX;
  expect(isRecord, where, `a record of ${length} bytes`);
  expect(offset + length <= packBytes, where, `a record at ${offset} of a pack`);
  return {
    pack: { name: copyOf(bytes, row, row + PACK_NAME_BYTES), bytes: packBytes },
    place: { pack, offset, bytes: length },
    check: copyOf(bytes, row + 52, row + 52 + CHECK_BYTES),
    leaves: view.getUint32(row + 48),
  };
}

const EPOCH_HEADER_BYTES = 80;
const EPOCH_MAGIC = 'HASTEPO0';

//   off  size
const EPOCH = layout(EPOCH_HEADER_BYTES, {
  magic: 8, //         0   'HASTEPO0'
  id: 16, //           8
  number: 8, //       24
  parent: 16, //      32   id of the point that it went on from; zero: none
  fromEpoch: 4, //    48   where the archive has that point; 0: it begins here
  fromSequence: 4, // 52
  hasParent: 1, //    56
  node: 1, //         57   bytes of the name, which follows
  spare: 2, //        58   zero
  place: 4, //        60   its number in the archive, from 1
  spareToo: 16, //    64   zero
});

export function encodeEpoch({ epoch, place, from }: ArchiveEpoch): Uint8Array {
  const node = textBytes(epoch.node, NODE_NAME_BYTES_MAX);
  const bytes = new Uint8Array(EPOCH_HEADER_BYTES + node.length + CHECK_BYTES);
  const view = dataView(bytes);
  putMagic(bytes, EPOCH_MAGIC);
  bytes.set(epoch.id, EPOCH.id);
  putU64(view, EPOCH.number, epoch.number);
  if (epoch.parent !== null) bytes.set(epoch.parent, EPOCH.parent);
  bytes[EPOCH.hasParent] = epoch.parent === null ? 0 : 1;
  view.setUint32(EPOCH.place, place);
  view.setUint32(EPOCH.fromEpoch, from?.epoch ?? 0);
  view.setUint32(EPOCH.fromSequence, from?.sequence ?? 0);
  bytes[EPOCH.node] = node.length;
  bytes.set(node, EPOCH_HEADER_BYTES);
  putCheck(bytes, bytes.length - CHECK_BYTES);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodeEpoch(bytes: Uint8Array, name: string): ArchiveEpoch {
  const where = { what: 'epoch of an archive', place: name };
  expectMagic(bytes, EPOCH_MAGIC, where);
  expect(bytes.length >= EPOCH_HEADER_BYTES + CHECK_BYTES, where, 'cut short');
  const view = dataView(bytes);
  const length = view.getUint8(EPOCH.node);
  const wanted = EPOCH_HEADER_BYTES + length + CHECK_BYTES;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, it tells of ${wanted}`);
  expectCheck(bytes, bytes.length - CHECK_BYTES, where);
  const hasParent = view.getUint8(EPOCH.hasParent);
  const [fromEpoch, sequence] = [
    view.getUint32(EPOCH.fromEpoch),
    view.getUint32(EPOCH.fromSequence),
  ];
  expect(hasParent <= 1, where, 'neither with nor without a parent');
  if (hasParent === 0) expectZero(bytes, EPOCH.parent, EPOCH.fromEpoch, where);
  expect((fromEpoch === 0) === (sequence === 0), where, 'half a place');
  expectZero(bytes, EPOCH.spare, EPOCH.place, where);
  expectZero(bytes, EPOCH.spareToo, EPOCH_HEADER_BYTES, where);
  const place = view.getUint32(EPOCH.place);
  expect(place > fromEpoch, where, `number ${place}, from ${fromEpoch}`);
  const parent = copyOf(bytes, EPOCH.parent, EPOCH.parent + ID_BYTES);
  return {
    epoch: {
      id: copyOf(bytes, EPOCH.id, EPOCH.id + ID_BYTES),
      number: takeU64(view, EPOCH.number, where),
      parent: hasParent === 1 ? parent : null,
      node: takeText(bytes, EPOCH_HEADER_BYTES, bytes.length - CHECK_BYTES, where),
    },
    place,
    from: fromEpoch === 0 ? null : { epoch: fromEpoch, sequence },
  };
}

const HEAD_BYTES = 24;
const HEAD_MAGIC = 'HASTHED0';

//   0 magic 8 | 8 epoch 4 | 12 sequence 4 | 16 check 8
export function encodeHead({ epoch, sequence }: PointPlace): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES);
  putMagic(bytes, HEAD_MAGIC);
  dataView(bytes).setUint32(8, epoch);
  dataView(bytes).setUint32(12, sequence);
  putCheck(bytes, HEAD_BYTES - CHECK_BYTES);
  return bytes;
}

/** Null: it says nothing that can be used, and readers begin at the beginning. */
export function decodeHead(bytes: Uint8Array): PointPlace | null {
  const where = { what: 'head of an archive', place: HEAD_KEY };
  try {
    expectMagic(bytes, HEAD_MAGIC, where);
    expect(bytes.length === HEAD_BYTES, where, 'another length');
    expectCheck(bytes, HEAD_BYTES - CHECK_BYTES, where);
  } catch {
    return null;
  }
  const view = dataView(bytes);
  const place = { epoch: view.getUint32(8), sequence: view.getUint32(12) };
  return place.epoch > 0 && place.sequence > 0 ? place : null;
}

const isDiskSize = (bytes: number): boolean =>
  bytes > 0 && bytes <= DISK_BYTES_MAX && bytes % SECTOR_BYTES === 0;
