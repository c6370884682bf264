// What was looked at of the packs of an archive, and when: `TARGET.verified` of the state
// directory, and the memory of `hastctl verify --budget`. A header of 64 bytes, a row of 48 for
// each pack that kept points need, ascending by name, and a check of the rows. It is a cache: what
// is lost with it is read again.
//
//   row: 0  32 name | 32  8 when its content was looked at last, 0: never | 40  4 bytes of the pack
//        | 44  1 what was found: 0 nothing wrong, 1 it is not there, 2 another length, 3 other
//        content than its name says | 45  3 spare
// Spare bytes are zero. Guarantee of what is decoded: names ascend, lengths are those of packs,
// times can be shown. Times are wall milliseconds, lengths bytes.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf, equalBytes } from '../base/digest.js';
import { ID_BYTES } from '../base/units.js';
import { PACK_BYTES_MAX } from './archive-leaf.js';
import { PACK_NAME_BYTES } from './archive-node.js';
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

export const LOOKS_MAGIC = 'HASTVFY0';
const HEADER_BYTES = 64;
const ROW_BYTES = 48;
/** 32 TiB of packs; of more, those that were looked at longest ago are forgotten. */
export const LOOKS_MAX = 2 ** 20;
export const LOOKS_BYTES_MAX = HEADER_BYTES + LOOKS_MAX * ROW_BYTES + CHECK_BYTES;

//   off  size
const HEADER = layout(HEADER_BYTES, {
  magic: 8, //       0   'HASTVFY0'
  archive: 16, //    8   id of the archive
  begun: 8, //      24   when the last pass began; 0: there was none
  spent: 8, //      32   bytes of packs that it has read
  ended: 1, //      40   1: it is over
  spare: 3, //      41
  count: 4, //      44   rows
  tables: 4, //     48   tables of packs that it could not read
  spare2: 4, //     52
  check: 8, //      56   of bytes 0..55
});

const AT = layout(ROW_BYTES, { name: 32, looked: 8, bytes: 4, fault: 1, spare: 3 });

export type PackFault = 'missing' | 'length' | 'content';
const FAULTS: readonly (PackFault | null)[] = [null, 'missing', 'length', 'content'];

export interface PackLook {
  readonly name: Uint8Array;
  readonly bytes: number;
  /** 0: never. */
  readonly lookedMs: number;
  readonly fault: PackFault | null;
}

/** The last pass over the packs, of which a restart goes on. */
export interface LookPass {
  /** 0: there was none. */
  readonly begunMs: number;
  readonly spentBytes: number;
  readonly ended: boolean;
  /** Tables of packs that could not be read. */
  readonly badTables: number;
}

export interface LooksFile {
  readonly archive: Uint8Array;
  readonly pass: LookPass;
  /** Ascending by name. */
  readonly rows: readonly PackLook[];
}

export function encodeLooks({ archive, pass, rows }: LooksFile): Uint8Array {
  assert(rows.length <= LOOKS_MAX, 'rows are within limits');
  const end = HEADER_BYTES + rows.length * ROW_BYTES;
  const bytes = new Uint8Array(end + CHECK_BYTES);
  const head = bytes.subarray(0, HEADER_BYTES);
  const view = dataView(head);
  putMagic(head, LOOKS_MAGIC);
  head.set(archive, HEADER.archive);
  putU64(view, HEADER.begun, pass.begunMs);
  putU64(view, HEADER.spent, pass.spentBytes);
  head[HEADER.ended] = pass.ended ? 1 : 0;
  view.setUint32(HEADER.count, rows.length);
  view.setUint32(HEADER.tables, pass.badTables);
  putCheck(head, HEADER.check);
  rows.forEach(({ name, bytes: stored, lookedMs, fault }, i) => {
    const from = HEADER_BYTES + i * ROW_BYTES;
    const row = bytes.subarray(from, from + ROW_BYTES);
    const fields = dataView(row);
    row.set(name, AT.name);
    putU64(fields, AT.looked, lookedMs);
    fields.setUint32(AT.bytes, stored);
    row[AT.fault] = FAULTS.indexOf(fault);
  });
  bytes.set(checkOf(bytes.subarray(HEADER_BYTES, end)), end);
  return bytes;
}

/** Errors FORMAT_BAD, FORMAT_VERSION. */
export function decodeLooks(bytes: Uint8Array, place: string): LooksFile {
  const where = { what: 'memory of what was verified', place };
  expectMagic(bytes, LOOKS_MAGIC, where);
  expect(bytes.length >= HEADER_BYTES, where, 'cut short');
  const head = bytes.subarray(0, HEADER_BYTES);
  expectCheck(head, HEADER.check, where);
  const view = dataView(head);
  const ended = view.getUint8(HEADER.ended);
  const count = view.getUint32(HEADER.count);
  expect(ended <= 1, where, 'neither ended nor not');
  expectZero(head, HEADER.spare, HEADER.count, where);
  expectZero(head, HEADER.spare2, HEADER.check, where);
  expect(count <= LOOKS_MAX, where, `${count} packs`);
  const end = HEADER_BYTES + count * ROW_BYTES;
  const wanted = end + CHECK_BYTES;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, its count says ${wanted}`);
  const isWhole = equalBytes(checkOf(bytes.subarray(HEADER_BYTES, end)), bytes.subarray(end));
  expect(isWhole, where, 'checksum of its rows differs');
  const rows: PackLook[] = [];
  let before: Uint8Array | null = null;
  for (let at = HEADER_BYTES; at < end; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES);
    const fields = dataView(row);
    const name = copyOf(row, AT.name, AT.name + PACK_NAME_BYTES);
    const stored = fields.getUint32(AT.bytes);
    const fault = FAULTS[fields.getUint8(AT.fault)];
    expect(before === null || Buffer.compare(before, name) < 0, where, 'names are out of order');
    expect(stored > 0 && stored <= PACK_BYTES_MAX, where, `a pack of ${stored} bytes`);
    expect(fault !== undefined, where, 'what was found is not known');
    expectZero(row, AT.spare, ROW_BYTES, where);
    rows.push({ name, bytes: stored, lookedMs: takeTime(fields, AT.looked, where), fault });
    before = name;
  }
  const pass = {
    begunMs: takeTime(view, HEADER.begun, where),
    spentBytes: takeU64(view, HEADER.spent, where),
    ended: ended === 1,
    badTables: view.getUint32(HEADER.tables),
  };
  return { archive: copyOf(head, HEADER.archive, HEADER.archive + ID_BYTES), pass, rows };
}
