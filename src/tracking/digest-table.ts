// Digest table of one target (or of a replica's own disk): what every chunk was as of one point.
// Order of a change (ladder step 7): header point := none, fdatasync; entries, fdatasync; header
// point := to, fdatasync. While the header has no point, no entry says anything about a dirty
// chunk (H7). A page that is bad, by its bytes or because its medium fails, is unknown, and unknown
// is never equal: that costs digests or bytes, and at a replica it may name a chunk of the point
// before as lost (H27), but no entry is ever wrong. The page is written whole with its next entry.
// One owner a process; memory: one page.
import { assert } from '../base/assert.js';
import { isZero } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import type { FileHandle, Files } from '../base/files.js';
import { CHUNK_BYTES, type ChunkIndex, chunkCount, DIGEST_BYTES } from '../base/units.js';
import {
  absentDigests,
  decodeTablePage,
  encodeTableHeader,
  encodeTablePage,
  isKnownDigest,
  TABLE_PAGE_BYTES,
  type TableHeader,
  tablePageOf,
  tablePageOffset,
  tablePages,
  unknownDigests,
} from '../format/digest-table.js';
import { isUnreadable } from '../format/unreadable.js';
import type { PointRef } from '../lineage/lineage.js';
import { isOf, readTableHeader, type TableFacts, type TableWatch } from './table-watch.js';

/** Places told of, and pages looked at together. */
const TOLD_MAX = 64;
const FILL_PAGES = 256;

interface Page {
  readonly index: number;
  readonly digests: Uint8Array;
  changed: boolean;
}

export class DigestTable {
  readonly #handle: FileHandle;
  #header: TableHeader;
  #page: Page | null = null;
  readonly #watch: TableWatch | null;
  /** That the table names no point is durable: only then may an entry change (H7). */
  #noneIsDurable = false;
  /** Every page stands in the file: a hole is one that was lost. */
  #complete: boolean;
  readonly #told = new Set<number>();

  private constructor(handle: FileHandle, header: TableHeader, watch: TableWatch | null) {
    this.#handle = handle;
    this.#header = header;
    this.#watch = watch;
    this.#complete = header.point !== null;
  }

  /** Opens the table, or makes an empty one without a point when it is absent, bad in its header,
   * of another resource, or true for a point that `watch` does not know; in that one an absent page
   * is unknown. One of a smaller disk grows (H14); one of a larger disk is of a growth that was
   * rolled back, and serves. */
  static async open(
    files: Files,
    path: string,
    facts: TableFacts,
    watch: TableWatch | null = null,
  ): Promise<DigestTable> {
    const old = (await files.exists(path)) ? await files.open(path, 'write') : null;
    if (old !== null) {
      const header = await readTableHeader(old, watch);
      if (header !== null && isOf(header, facts, path, watch)) {
        const table = new DigestTable(old, header, watch);
        await table.growTo(facts.sizeBytes);
        return table;
      }
      await old.close();
    } else if (watch !== null && watch.points.length > 0) watch.bad(path, 'missing');
    return DigestTable.create(files, path, facts, false, watch);
  }

  /** An empty table without a point; `absentIsZero` says what its holes mean. */
  static async create(
    files: Files,
    path: string,
    facts: TableFacts,
    absentIsZero: boolean,
    watch: TableWatch | null = null,
  ): Promise<DigestTable> {
    const handle = await files.open(path, 'truncate');
    const header: TableHeader = { ...facts, absentIsZero, point: null };
    const table = new DigestTable(handle, header, watch);
    await handle.write(encodeTableHeader(header), 0);
    await handle.sync();
    table.#noneIsDurable = true;
    await files.syncDirectory(path.slice(0, path.lastIndexOf('/')));
    return table;
  }

  /** The point the entries are true for; null: for none. */
  get point(): PointRef | null {
    return this.#header.point;
  }

  /** The digest of a chunk, a view valid until the next call; null: unknown. */
  get(chunk: ChunkIndex): Uint8Array | null {
    const { page, at } = tablePageOf(chunk);
    const digest = this.#load(page).digests.subarray(at, at + DIGEST_BYTES);
    return isKnownDigest(digest) ? digest : null;
  }

  /** Digests of chunks first..first+count-1, 16 zero bytes where unknown. */
  range(first: ChunkIndex, count: number): Uint8Array {
    const out = new Uint8Array(count * DIGEST_BYTES);
    for (let done = 0; done < out.length; ) {
      const { page, at } = tablePageOf(first + done / DIGEST_BYTES);
      const part = this.#load(page).digests.subarray(at, at + out.length - done);
      out.set(part, done);
      done += part.length;
    }
    return out;
  }

  /** Runs of chunks whose digest is unknown, ascending: what a torn page has lost. */
  *unknownRuns(
    sizeBytes: number,
  ): Generator<{ readonly first: ChunkIndex; readonly count: number }> {
    const chunks = chunkCount(sizeBytes);
    let first = -1;
    for (let chunk = 0; chunk <= chunks; chunk += 1) {
      const unknown = chunk < chunks && this.get(chunk) === null;
      if (unknown && first < 0) first = chunk;
      if (unknown || first < 0) continue;
      yield { first, count: chunk - first };
      first = -1;
    }
  }

  /** H14: entries of the old last chunk, if it was short, and of all that is new are unknown.
   * Entries are durable before the header says the size. No-op when the table is as large already.
   */
  async growTo(sizeBytes: number): Promise<void> {
    const before = this.#header;
    if (before.sizeBytes >= sizeBytes) return;
    const firstNew = Math.floor(before.sizeBytes / CHUNK_BYTES);
    const { page: firstPage, at } = tablePageOf(firstNew);
    const digests = this.#load(firstPage).digests;
    digests.fill(0, at);
    this.#page = null;
    await this.#handle.write(encodeTablePage(firstPage, digests), tablePageOffset(firstPage));
    if (before.absentIsZero || this.#complete) {
      // In such a table a hole would mean zeroes, or a loss.
      for (let page = firstPage + 1; page < tablePages(sizeBytes); page += 1) {
        await this.#handle.write(encodeTablePage(page, unknownDigests()), tablePageOffset(page));
      }
    }
    await this.#handle.sync();
    this.#header = { ...before, sizeBytes };
    await this.#handle.write(encodeTableHeader(this.#header), 0);
    await this.#handle.sync();
  }

  /** Step one of a change: the table is true for no point, durably. */
  async beginChange(): Promise<void> {
    if (this.#noneIsDurable) return;
    this.#header = { ...this.#header, point: null };
    await this.#handle.write(encodeTableHeader(this.#header), 0);
    await this.#handle.sync();
    this.#noneIsDurable = true;
  }

  /** Sets an entry, only between beginChange and finishChange. Ascending chunks are cheap. */
  set(chunk: ChunkIndex, digest: Uint8Array): void {
    assert(this.#noneIsDurable, 'entries change while the table names no point');
    const { page, at } = tablePageOf(chunk);
    const loaded = this.#load(page);
    loaded.digests.set(digest, at);
    loaded.changed = true;
  }

  /** Sets the entries of chunks from `first` on, as `set` does: 16 bytes each. */
  setRun(first: ChunkIndex, digests: Uint8Array): void {
    assert(this.#noneIsDurable, 'entries change while the table names no point');
    for (let done = 0; done < digests.length; ) {
      const { page, at } = tablePageOf(first + done / DIGEST_BYTES);
      const loaded = this.#load(page);
      const part = digests.subarray(done, done + loaded.digests.length - at);
      loaded.digests.set(part, at);
      loaded.changed = true;
      done += part.length;
    }
  }

  /** Steps two and three: entries durable, then the point, durably. A table with a point has all
   * its pages: what reads as a hole there is a page that was lost, and must not mean zeroes. */
  async finishChange(point: PointRef): Promise<void> {
    if (!this.#complete) await this.#fillHoles();
    await this.syncEntries();
    this.#noneIsDurable = false;
    this.#header = { ...this.#header, absentIsZero: false, point };
    await this.#handle.write(encodeTableHeader(this.#header), 0);
    await this.#handle.sync();
  }

  async syncEntries(): Promise<void> {
    this.#store();
    await this.#handle.sync();
  }

  close(): Promise<void> {
    if (this.#header.point === null) this.#store();
    return this.#handle.close();
  }

  #load(index: number): Page {
    if (this.#page?.index === index) return this.#page;
    this.#store();
    const digests = this.#read(index);
    const known =
      digests === 'absent'
        ? absentDigests(index, this.#header)
        : digests === 'bad'
          ? unknownDigests()
          : digests;
    this.#page = { index, digests: known, changed: false };
    return this.#page;
  }

  #read(index: number): Uint8Array | 'absent' | 'bad' {
    const bytes = new Uint8Array(TABLE_PAGE_BYTES);
    try {
      const got = this.#handle.readNow(bytes, tablePageOffset(index));
      const found = got === 0 ? 'absent' : decodeTablePage(index, bytes.subarray(0, got));
      if (found === 'bad') this.#tell(index, 'a page is not whole');
      if (found === 'absent' && this.#complete) this.#tell(index, 'a page is missing');
      return found;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#tell(index, describeError(error));
      return 'bad';
    }
  }

  #tell(index: number, why: string): void {
    if (this.#told.has(index) || this.#told.size >= TOLD_MAX) return;
    this.#told.add(index);
    this.#watch?.bad(`${this.#handle.path} at ${tablePageOffset(index)}`, why);
  }

  /** Writes what every absent page stands for. */
  async #fillHoles(): Promise<void> {
    this.#store();
    this.#page = null;
    const pages = tablePages(this.#header.sizeBytes);
    const piece = new Uint8Array(FILL_PAGES * TABLE_PAGE_BYTES);
    for (let first = 0; first < pages; first += FILL_PAGES) {
      const count = Math.min(FILL_PAGES, pages - first);
      piece.fill(0);
      // One by one where a page of them cannot be read: that one is bad, and no hole.
      const got = await this.#handle
        .read(piece.subarray(0, count * TABLE_PAGE_BYTES), tablePageOffset(first))
        .catch(orUnreadable);
      for (let index = first; index < first + count; index += 1) {
        const at = (index - first) * TABLE_PAGE_BYTES;
        const isHole =
          got === null
            ? this.#read(index) === 'absent'
            : isZero(piece.subarray(at, at + TABLE_PAGE_BYTES));
        if (!isHole) continue;
        const page = encodeTablePage(index, absentDigests(index, this.#header));
        await this.#handle.write(page, tablePageOffset(index));
      }
    }
    this.#complete = true;
  }

  #store(): void {
    if (!this.#page?.changed) return;
    const { index, digests } = this.#page;
    this.#handle.writeNow(encodeTablePage(index, digests), tablePageOffset(index));
    this.#page.changed = false;
  }
}

const orUnreadable = (error: unknown): null => {
  if (isUnreadable(error)) return null;
  throw error;
};
