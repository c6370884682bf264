// The file of a journal, as rows: added in memory, written in their order, read again. Guarantee:
// what `flush` has answered for is in the file with every row before it, whoever wrote those; a
// write that fails is made again with the next one, so that the file never has a hole, behind which
// nobody would read. Offsets are bytes.
import { dirname } from 'node:path';
import { isZero } from '../base/digest.js';
import { codeOf } from '../base/errors.js';
import type { FileHandle, Files } from '../base/files.js';
import { publish } from '../base/publish.js';
import {
  decodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalHeader,
  type JournalRow,
  putJournalRow,
  takeJournalRow,
} from '../format/archive-journal.js';
import { sameId } from '../lineage/lineage.js';

const BUFFER_ROWS = 1024;

export interface PlacedRow {
  readonly row: JournalRow;
  /** Where it ends in the file. */
  readonly end: number;
}

export class JournalFile {
  readonly path: string;
  readonly #files: Files;
  #handle: FileHandle;
  readonly #buffer = new Uint8Array(BUFFER_ROWS * JOURNAL_ROW_BYTES);
  #buffered = 0;
  /** Rows that left the buffer and are not in the file yet: on their way, or a write has failed. */
  #owed: Uint8Array = new Uint8Array(0);
  #writing: Promise<void> = Promise.resolve();
  /** Bytes of whole rows in the file. */
  #written = JOURNAL_HEADER_BYTES;
  /** ... and with all rows that were added. */
  #end = JOURNAL_HEADER_BYTES;

  /** Of a file with a header; it is owned from here on. */
  constructor(files: Files, path: string, handle: FileHandle) {
    this.#files = files;
    this.path = path;
    this.#handle = handle;
  }

  /** Where the next row will stand. */
  get end(): number {
    return this.#end;
  }

  /** Rows that the file has from before. What follows the last whole one was never synced; it goes,
   * or it would be read behind what is written next. */
  async *load(): AsyncGenerator<PlacedRow> {
    for await (const placed of this.#read(JOURNAL_HEADER_BYTES)) {
      yield placed;
      this.#written = placed.end;
      this.#end = placed.end;
    }
    await this.#handle.truncate(this.#end);
  }

  /** Whole rows from `from` on, all that were added. */
  async *rows(from: number): AsyncGenerator<PlacedRow> {
    await this.flush();
    yield* this.#read(from);
  }

  async add(row: JournalRow): Promise<void> {
    // Others may have filled it again meanwhile.
    while (this.#buffered === BUFFER_ROWS) await this.flush();
    putJournalRow(this.#buffer, this.#buffered * JOURNAL_ROW_BYTES, row);
    this.#buffered += 1;
    this.#end += JOURNAL_ROW_BYTES;
  }

  flush(): Promise<void> {
    const rows = this.#buffer.subarray(0, this.#buffered * JOURNAL_ROW_BYTES);
    this.#owed = Buffer.concat([this.#owed, rows]);
    this.#buffered = 0;
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#writeOwed());
    return this.#writing;
  }

  /** Everything is durable when it resolves. */
  async sync(): Promise<void> {
    await this.flush();
    await this.#handle.sync();
  }

  /** Another file in its place, of a header and rows. */
  async replace(bytes: Uint8Array): Promise<void> {
    await this.#writing.catch(() => undefined); // nobody needs what it writes
    await publish(this.#files, this.path, bytes);
    await this.#handle.close();
    this.#handle = await this.#files.open(this.path, 'write');
    this.#buffered = 0;
    this.#owed = new Uint8Array(0);
    this.#written = bytes.length;
    this.#end = bytes.length;
  }

  /** Another file in its place, of a header and any number of rows; this one is read meanwhile, and
   * nothing is added to it. */
  async rewrite(header: Uint8Array, rows: AsyncIterable<JournalRow>): Promise<void> {
    await this.flush();
    const path = `${this.path}.new`;
    const other = new JournalFile(this.#files, path, await this.#files.open(path, 'truncate'));
    try {
      await other.#handle.write(header, 0);
      for await (const row of rows) await other.add(row);
      await other.sync();
    } finally {
      await other.#handle.close();
    }
    await this.#files.rename(path, this.path);
    await this.#files.syncDirectory(dirname(this.path));
    await this.#handle.close();
    this.#handle = await this.#files.open(this.path, 'write');
    this.#written = other.#end;
    this.#end = other.#end;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#handle.close();
    }
  }

  async #writeOwed(): Promise<void> {
    const rows = this.#owed;
    if (rows.length === 0) return;
    this.#owed = new Uint8Array(0);
    try {
      await this.#handle.write(rows, this.#written);
      this.#written += rows.length;
    } catch (error) {
      this.#owed = Buffer.concat([rows, this.#owed]);
      throw error;
    }
  }

  /** The first that is not whole ends them. */
  async *#read(from: number): AsyncGenerator<PlacedRow> {
    const memory = new Uint8Array(BUFFER_ROWS * JOURNAL_ROW_BYTES);
    for (let at = from; ; at += memory.length) {
      const got = await this.#handle.read(memory, at);
      for (let i = 0; i + JOURNAL_ROW_BYTES <= got; i += JOURNAL_ROW_BYTES) {
        const row = takeJournalRow(memory, i);
        if (row === null) return;
        yield { row, end: at + i + JOURNAL_ROW_BYTES };
      }
      if (got < memory.length) return;
    }
  }
}

/** The journal at a path: none; one that cannot be used; or ours, open. Errors FORMAT_VERSION and
 * of the file system leave it as it is. */
export async function loaded(
  files: Files,
  path: string,
  wanted: JournalHeader,
): Promise<'none' | 'lost' | { readonly handle: FileHandle; readonly header: JournalHeader }> {
  if (!(await files.exists(path))) return 'none';
  const handle = await files.open(path, 'write');
  const bytes = new Uint8Array(JOURNAL_HEADER_BYTES);
  try {
    await handle.read(bytes, 0);
    const header = decodeJournalHeader(bytes, path);
    const isOurs =
      sameId(header.resource, wanted.resource) && sameId(header.archive, wanted.archive);
    if (isOurs) return { handle, header };
  } catch (error) {
    // Not whole: as one of another resource. Of a later version, or unreadable now: it stays.
    if (codeOf(error) !== 'FORMAT_BAD') throw error;
  }
  await handle.close();
  return isZero(bytes) ? 'none' : 'lost';
}
