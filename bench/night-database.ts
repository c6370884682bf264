// Databases of the night's machine, as their files change on disk. Imitated, from the outside:
//  - a PostgreSQL relation: pages of 8 KiB with a log position, line pointers, rows packed from the
//    end; updates rewrite some bytes of pages chosen with skew. Its write-ahead log: segments of
//    16 MiB that are recycled, that is overwritten in place;
//  - an SQLite file: pages of 4 KiB, rows in order of their key and an index in order of a random
// key; a transaction puts old pages into a journal beside it, syncs, writes, removes the journal.
import { closeSync, fstatSync, fsyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { MIB } from '../src/base/units.js';
import type { NightContent } from './night-content.js';

const PG_PAGE_BYTES = 8192;
const TEMPLATES = 512;
const SEGMENT_BYTES = 16 * MIB;
const TABLE_PAGE_BYTES = 4096;
const ROW_BYTES = 176;
const ROWS_PER_PAGE = 22;
const INDEX_ENTRY_BYTES = 20;
const ENTRIES_PER_PAGE = 160;

/** Runs `work` on an open file. */
function withFile(path: string, flags: string, work: (fd: number) => void): void {
  const fd = openSync(path, flags);
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}

/** A new relation of `bytes`, full by nine tenths. */
export function fillRelation(path: string, bytes: number, content: NightContent): void {
  const { random } = content;
  const templates = Array.from({ length: TEMPLATES }, () => relationPage(content));
  withFile(path, 'wx', (fd) => {
    for (let page = 0; page * PG_PAGE_BYTES < bytes; page += 1) {
      const bytesOfPage = Buffer.from(templates[page % TEMPLATES] ?? []);
      bytesOfPage.writeBigUInt64LE(BigInt(page) * 7919n, 0);
      for (let change = 0; change < 40; change += 1) {
        content.noise(8).copy(bytesOfPage, 700 + random.below(PG_PAGE_BYTES - 708));
      }
      writeSync(fd, bytesOfPage, 0, PG_PAGE_BYTES, page * PG_PAGE_BYTES);
    }
  });
}

function relationPage(content: NightContent): Buffer {
  const page = Buffer.alloc(PG_PAGE_BYTES);
  for (let row = 0, end = PG_PAGE_BYTES; end > PG_PAGE_BYTES / 10 + 200; row += 1) {
    const length = 96 + content.random.below(60);
    end -= length;
    page.writeUInt32LE(row, end);
    content.noise(5).copy(page, end + 8);
    content.text(length - 24).copy(page, end + 16);
    content.noise(8).copy(page, end + length - 8);
    page.writeUInt32LE((length << 17) | 0x8000, 24 + 4 * row);
  }
  return page;
}

/** `updates` of pages in place, low pages more often; an fsync every hundred. */
export function updateRelation(path: string, updates: number, content: NightContent): void {
  const { random } = content;
  withFile(path, 'r+', (fd) => {
    const page = Buffer.alloc(PG_PAGE_BYTES);
    const pages = fstatSync(fd).size / PG_PAGE_BYTES;
    for (let update = 0; update < updates; update += 1) {
      const at = Math.floor(pages * (random.below(2 ** 30) / 2 ** 30) ** 2) * PG_PAGE_BYTES;
      readSync(fd, page, 0, PG_PAGE_BYTES, at);
      page.writeBigUInt64LE(10n ** 9n + BigInt(update), 0);
      page.writeUInt16LE(random.below(65536), 8);
      for (let row = 0; row <= random.below(4); row += 1) {
        const into = 700 + random.below(PG_PAGE_BYTES - 860);
        content.text(100).copy(page, into);
        content.noise(8).copy(page, into + 100);
      }
      writeSync(fd, page, 0, PG_PAGE_BYTES, at);
      if (update % 100 === 99) fsyncSync(fd);
    }
  });
}

/** A segment of the write-ahead log, made or overwritten in place. */
export function writeSegment(path: string, exists: boolean, content: NightContent): void {
  withFile(path, exists ? 'r+' : 'wx', (fd) => {
    for (let at = 0; at < SEGMENT_BYTES; at += PG_PAGE_BYTES) {
      const page = Buffer.alloc(PG_PAGE_BYTES);
      page.writeUInt32BE(0x0dd10500, 0);
      content.noise(6).copy(page, 8);
      content.text(4000).copy(page, 16);
      content.noise(800).copy(page, 4016);
      writeSync(fd, page, 0, PG_PAGE_BYTES, at);
    }
  });
}

export interface TableChange {
  readonly updates: number;
  readonly inserts: number;
  readonly deletes: number;
}

/** A table of `rows` rows and its index, one after the other in the file. */
export function fillTable(path: string, rows: number, content: NightContent): void {
  withFile(path, 'wx', (fd) => {
    const pages = Math.ceil(rows / ROWS_PER_PAGE);
    for (let page = 0; page < pages; page += 1) {
      const bytes = Buffer.alloc(TABLE_PAGE_BYTES);
      for (let row = 0; row < ROWS_PER_PAGE; row += 1) {
        tableRow(page * ROWS_PER_PAGE + row, content).copy(bytes, 64 + row * ROW_BYTES);
      }
      writeSync(fd, bytes, 0, TABLE_PAGE_BYTES, page * TABLE_PAGE_BYTES);
    }
    for (let page = 0; page < Math.ceil(rows / ENTRIES_PER_PAGE); page += 1) {
      const bytes = content.noise(ENTRIES_PER_PAGE * INDEX_ENTRY_BYTES);
      const at = (pages + page) * TABLE_PAGE_BYTES;
      writeSync(
        fd,
        Buffer.concat([bytes, Buffer.alloc(TABLE_PAGE_BYTES - bytes.length)]),
        0,
        TABLE_PAGE_BYTES,
        at,
      );
    }
  });
}

function tableRow(key: number, content: NightContent): Buffer {
  const row = Buffer.alloc(ROW_BYTES);
  row.writeUInt32BE(key, 0);
  row.write(content.noise(6).toString('hex'), 8, 'latin1');
  content.text(150).copy(row, 22);
  return row;
}

/** One transaction on a table that fillTable made with `rows` rows. */
export function changeTable(
  path: string,
  rows: number,
  change: TableChange,
  content: NightContent,
): void {
  const { random } = content;
  const dataPages = Math.ceil(rows / ROWS_PER_PAGE);
  const indexPages = Math.ceil(rows / ENTRIES_PER_PAGE);
  const dirty = new Map<number, Buffer>();
  withFile(path, 'r+', (fd) => {
    const page = (index: number): Buffer => {
      const bytes = dirty.get(index) ?? readPage(fd, index);
      dirty.set(index, bytes);
      return bytes;
    };
    const someRow = (): { readonly bytes: Buffer; readonly at: number } => ({
      bytes: page(random.below(dataPages)),
      at: 64 + random.below(ROWS_PER_PAGE) * ROW_BYTES,
    });
    /** An entry in or out of a page of the index: those after it move. */
    const moveIndex = (by: number): void => {
      const bytes = page(dataPages + random.below(indexPages));
      const at = random.below(ENTRIES_PER_PAGE - 1) * INDEX_ENTRY_BYTES;
      const [from, to] = by > 0 ? [at, at + INDEX_ENTRY_BYTES] : [at + INDEX_ENTRY_BYTES, at];
      bytes.copyWithin(to, from, TABLE_PAGE_BYTES - INDEX_ENTRY_BYTES);
      if (by > 0) content.noise(INDEX_ENTRY_BYTES).copy(bytes, at);
    };
    for (let one = 0; one < change.updates; one += 1) {
      const { bytes, at } = someRow();
      content.text(150).copy(bytes, at + 22);
    }
    for (let one = 0; one < change.inserts; one += 1) {
      const last = dataPages + indexPages + Math.floor(one / ROWS_PER_PAGE);
      tableRow(rows + one, content).copy(page(last), 64 + (one % ROWS_PER_PAGE) * ROW_BYTES);
      moveIndex(1);
    }
    for (let one = 0; one < change.deletes; one += 1) {
      const { bytes, at } = someRow();
      bytes.writeUInt32BE(0, at);
      moveIndex(-1);
    }
    commit(fd, `${path}-journal`, dirty);
  });
}

/** Old pages into the journal, durable; new pages in place, durable; the journal away. */
function commit(fd: number, journal: string, dirty: ReadonlyMap<number, Buffer>): void {
  const pages = [...dirty].sort(([a], [b]) => a - b);
  withFile(journal, 'wx', (journalFd) => {
    for (const [index] of pages) writeSync(journalFd, readPage(fd, index));
    fsyncSync(journalFd);
  });
  for (const [index, bytes] of pages) {
    writeSync(fd, bytes, 0, TABLE_PAGE_BYTES, index * TABLE_PAGE_BYTES);
  }
  fsyncSync(fd);
  rmSync(journal);
}

/** A page; zeroes behind the end. */
function readPage(fd: number, index: number): Buffer {
  const bytes = Buffer.alloc(TABLE_PAGE_BYTES);
  readSync(fd, bytes, 0, TABLE_PAGE_BYTES, index * TABLE_PAGE_BYTES);
  return bytes;
}
