// The file of a journal: looking whether it is ours, and writing a new one in its place.
import { isZero } from '../base/digest.js';
import { codeOf } from '../base/errors.js';
import type { FileHandle, Files } from '../base/files.js';
import {
  decodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalHeader,
  type JournalRow,
  putJournalRow,
} from '../format/archive-journal.js';
import { sameId } from '../lineage/lineage.js';

/** Rows that are read and written at once. */
export const BUFFER_ROWS = 1024;

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

/** Rows of a new file, written in pieces of a buffer. */
export class RowsOut {
  readonly #file: FileHandle;
  readonly #buffer = new Uint8Array(BUFFER_ROWS * JOURNAL_ROW_BYTES);
  #used = 0;
  #written = 0;

  constructor(file: FileHandle, header: Uint8Array) {
    this.#file = file;
    this.#buffer.set(header);
    this.#used = header.length;
  }

  get written(): number {
    return this.#written + this.#used;
  }

  async add(row: JournalRow): Promise<void> {
    if (this.#used + JOURNAL_ROW_BYTES > this.#buffer.length) await this.#flush();
    putJournalRow(this.#buffer, this.#used, row);
    this.#used += JOURNAL_ROW_BYTES;
  }

  /** All of it is durable. */
  async end(): Promise<void> {
    await this.#flush();
    await this.#file.sync();
  }

  async #flush(): Promise<void> {
    await this.#file.write(this.#buffer.slice(0, this.#used), this.#written);
    this.#written += this.#used;
    this.#used = 0;
  }
}
