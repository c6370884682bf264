// Journal of an archive's sender, a file of its state directory (`TARGET.journal`): which packs it
// has put, or may have, that no point refers to yet, and which blocks stand where in them. It is
// what an interrupted round goes on from (D3), and what lets a prune remove what a crash left
// without asking the store for a list. Rows of 56 bytes after a header of 64, appended; each has a
// check, and what follows the first row that is not whole was never synced.
//
//   row: kind 1 | ...                                                        | check 8 at 48
//   1 piece   1 lane 1 | 2 mask 2 | 4 zero 2 | 6 spare 2 | 8 chunk 4 | 12 pack 4 | 16 offset 4
//             | 20 record bytes 4 | 24 digest 16 | 40 spare 8    pack 0xffffffff: all zeroes
//   2 pack    1 spare 3 | 4 pack 4 | 8 bytes 4 | 12 spare 4 | 16 name 32     before its PUT
//   3 put     1 spare 3 | 4 pack 4 | 8 spare 40                              the pack is durable
//   4 run     1 spare 47      the chunks of both lanes ascend anew; lane 0: sent, 1: taken over
//   5 garbage as 2, at 12 the hour (since 1970 UTC) before which it is not removed, 4: no point
//             needs it
//   6 attempt 1 spare 15 | 16 round 16 | 32 spare 16          before its point is put
// Spare bytes are zero; a row with others is not whole.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf, equalBytes, isZero } from '../base/digest.js';
import { type ChunkIndex, DIGEST_BYTES, ID_BYTES } from '../base/units.js';
import { PACK_BYTES_MAX, type Piece } from './archive-leaf.js';
import { PACK_NAME_BYTES, type PackName } from './archive-node.js';
import { RECORD_BYTES_MAX, RECORD_HEADER_BYTES } from './archive-record.js';
import {
  copyOf,
  dataView,
  expect,
  expectCheck,
  expectMagic,
  layout,
  putCheck,
  putMagic,
} from './layout.js';

export const JOURNAL_HEADER_BYTES = 64;
export const JOURNAL_ROW_BYTES = 56;
const CHECK_AT = JOURNAL_ROW_BYTES - CHECK_BYTES;
const MAGIC = 'HASTJNL0';
const NOWHERE = 0xffff_ffff;

export type Lane = 0 | 1;

export type JournalRow =
  | {
      readonly kind: 'piece';
      readonly lane: Lane;
      readonly chunk: ChunkIndex;
      readonly digest: Uint8Array;
      readonly piece: Piece;
    }
  | ({ readonly kind: 'pack'; readonly number: number } & PackName)
  | ({ readonly kind: 'garbage' } & GarbagePack)
  | { readonly kind: 'put'; readonly number: number }
  /** Its point was put, or may have been. */
  | { readonly kind: 'attempt'; readonly round: Uint8Array }
  | { readonly kind: 'run' };

/** A pack that no point needs. Packs of points that a prune has removed may have the numbers of
 * others: they are told apart by their names. */
export interface GarbagePack extends PackName {
  readonly number: number;
  /** Hours since 1970 UTC; before, its class is paid for anyway. 0: at any time. */
  readonly keepUntilHour: number;
}

const KINDS: Readonly<Record<JournalRow['kind'], number>> = {
  piece: 1,
  pack: 2,
  put: 3,
  run: 4,
  garbage: 5,
  attempt: 6,
};

//   off  size
const HEADER = layout(JOURNAL_HEADER_BYTES, {
  magic: 8, //      0   'HASTJNL0'
  resource: 16, //  8
  from: 16, //     24   id of the point that its pieces go on from; zero: none
  archive: 16, //  40   id of the archive that its packs are in; zero: none yet
  check: 8, //     56
});

/** What a journal is about. `from` null: the first copy. */
export interface JournalHeader {
  readonly resource: Uint8Array;
  readonly from: Uint8Array | null;
  /** Id of the archive that its packs are in; null: there is none yet. */
  readonly archive: Uint8Array | null;
}

export function encodeJournalHeader({ resource, from, archive }: JournalHeader): Uint8Array {
  const bytes = new Uint8Array(JOURNAL_HEADER_BYTES);
  putMagic(bytes, MAGIC);
  bytes.set(resource, HEADER.resource);
  if (from !== null) bytes.set(from, HEADER.from);
  if (archive !== null) bytes.set(archive, HEADER.archive);
  putCheck(bytes, HEADER.check);
  return bytes;
}

/** Errors FORMAT_BAD, FORMAT_VERSION. */
export function decodeJournalHeader(bytes: Uint8Array, place: string): JournalHeader {
  const where = { what: 'journal of an archive', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length >= JOURNAL_HEADER_BYTES, where, 'cut short');
  const own = bytes.subarray(0, JOURNAL_HEADER_BYTES);
  expectCheck(own, HEADER.check, where);
  const from = copyOf(own, HEADER.from, HEADER.from + ID_BYTES);
  const archive = copyOf(own, HEADER.archive, HEADER.archive + ID_BYTES);
  return {
    resource: copyOf(own, HEADER.resource, HEADER.resource + ID_BYTES),
    from: isZero(from) ? null : from,
    archive: isZero(archive) ? null : archive,
  };
}

/** Writes a row at `at`. */
export function putJournalRow(bytes: Uint8Array, at: number, row: JournalRow): void {
  const own = bytes.subarray(at, at + JOURNAL_ROW_BYTES);
  own.fill(0);
  const view = dataView(own);
  own[0] = KINDS[row.kind];
  if (row.kind === 'piece') {
    const { mask, zero, place } = row.piece;
    assert(row.digest.length === DIGEST_BYTES, 'a digest has 16 bytes');
    own[1] = row.lane;
    view.setUint16(2, mask);
    view.setUint16(4, zero);
    view.setUint32(8, row.chunk);
    view.setUint32(12, place?.pack ?? NOWHERE);
    view.setUint32(16, place?.offset ?? 0);
    view.setUint32(20, place?.bytes ?? 0);
    own.set(row.digest, 24);
  } else if (row.kind === 'pack' || row.kind === 'garbage') {
    view.setUint32(4, row.number);
    view.setUint32(8, row.bytes);
    if (row.kind === 'garbage') view.setUint32(12, row.keepUntilHour);
    own.set(row.name, 16);
  } else if (row.kind === 'put') view.setUint32(4, row.number);
  else if (row.kind === 'attempt') own.set(row.round, 16);
  own.set(checkOf(own.subarray(0, CHECK_AT)), CHECK_AT);
}

/** The row at `at`; null: it is not whole. */
export function takeJournalRow(bytes: Uint8Array, at: number): JournalRow | null {
  const own = bytes.subarray(at, at + JOURNAL_ROW_BYTES);
  if (own.length < JOURNAL_ROW_BYTES) return null;
  if (!equalBytes(checkOf(own.subarray(0, CHECK_AT)), own.subarray(CHECK_AT))) return null;
  const view = dataView(own);
  const isSpare = (from: number, to: number): boolean => isZero(own.subarray(from, to));
  switch (own[0]) {
    case KINDS.piece:
      return isSpare(6, 8) && isSpare(40, CHECK_AT) ? takePiece(own, view) : null;
    case KINDS.pack:
    case KINDS.garbage: {
      const stored = view.getUint32(8);
      if (stored === 0 || stored > PACK_BYTES_MAX) return null;
      if (!isSpare(1, 4)) return null;
      const name = copyOf(own, 16, 16 + PACK_NAME_BYTES);
      const pack = { number: view.getUint32(4), name, bytes: stored };
      if (own[0] === KINDS.pack) return isSpare(12, 16) ? { kind: 'pack', ...pack } : null;
      return { kind: 'garbage', ...pack, keepUntilHour: view.getUint32(12) };
    }
    case KINDS.put:
      if (!isSpare(1, 4) || !isSpare(8, CHECK_AT)) return null;
      return { kind: 'put', number: view.getUint32(4) };
    case KINDS.attempt:
      if (!isSpare(1, 16) || !isSpare(16 + ID_BYTES, CHECK_AT)) return null;
      return { kind: 'attempt', round: copyOf(own, 16, 16 + ID_BYTES) };
    case KINDS.run:
      return isSpare(1, CHECK_AT) ? { kind: 'run' } : null;
    default:
      return null;
  }
}

function takePiece(own: Uint8Array, view: DataView): JournalRow | null {
  const [mask, zero, pack] = [view.getUint16(2), view.getUint16(4), view.getUint32(12)];
  const isNowhere = pack === NOWHERE;
  if (mask === 0 || (zero & ~mask) !== 0 || isNowhere !== (mask === zero)) return null;
  const [lane, offset, bytes] = [own[1], view.getUint32(16), view.getUint32(20)];
  const isRecord = bytes > RECORD_HEADER_BYTES && bytes <= RECORD_BYTES_MAX;
  if (lane !== 0 && lane !== 1) return null;
  if (isNowhere ? offset + bytes > 0 : !isRecord || offset + bytes > PACK_BYTES_MAX) return null;
  return {
    kind: 'piece',
    lane,
    chunk: view.getUint32(8),
    digest: copyOf(own, 24, 24 + DIGEST_BYTES),
    piece: { mask, zero, place: isNowhere ? null : { pack, offset, bytes } },
  };
}
