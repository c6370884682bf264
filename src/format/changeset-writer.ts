// Writing a changeset file: header, frames as they come, at the end index and trailer.
// Guarantee: until `finish` has written the trailer the file cannot be taken for a whole one; the
// totals are those of what was appended. Nothing is synced here: the caller does that, and renames.
// Memory: index entries up to `indexBytesMax`; those of later frames are read back from the file.
import { assert } from '../base/assert.js';
import type { FileHandle } from '../base/files.js';
import { MIB } from '../base/units.js';
import type { ChangesetHeader, ChangesetTotals, Consistency, FrameEntry } from './changeset.js';
import { CHANGESET_HEADER_BYTES, encodeHeader, encodeTrailer } from './changeset-file.js';
import { encodeIndex, indexAccumulator } from './changeset-index.js';
import { scanFrames } from './changeset-reader.js';
import { frameHead } from './frame.js';
import { decodeFrameHeader, frameBytes } from './frame-header.js';
import { bad } from './layout.js';
import { unpack } from './pack.js';

/** Index entries held in memory: 64 MiB are those of 146 GiB of changed chunks. */
export const INDEX_MEMORY_BYTES_MAX = 64 * MIB;

export class ChangesetWriter {
  readonly header: ChangesetHeader;
  readonly #handle: FileHandle;
  readonly #indexBytesMax: number;
  readonly #index = indexAccumulator();
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;
  /** First frame whose entries were not kept. */
  #spilled: { readonly number: number; readonly offset: number } | null = null;
  #at = CHANGESET_HEADER_BYTES;
  #state: 'open' | 'finished' = 'open';

  private constructor(handle: FileHandle, header: ChangesetHeader, indexBytesMax: number) {
    this.#handle = handle;
    this.header = header;
    this.#indexBytesMax = indexBytesMax;
  }

  /** Writes the header into an empty file. The handle stays the caller's. */
  static async create(
    handle: FileHandle,
    header: ChangesetHeader,
    indexBytesMax = INDEX_MEMORY_BYTES_MAX,
  ): Promise<ChangesetWriter> {
    const writer = new ChangesetWriter(handle, header, indexBytesMax);
    await handle.write(encodeHeader(header), 0);
    return writer;
  }

  /** Bytes of header and frames appended so far. */
  get endOffset(): number {
    return this.#at;
  }

  /** Frames appended so far: the number the next one must have. */
  get frames(): number {
    return this.#index.frames;
  }

  /**
   * Appends an encoded frame of `entries` and resolves to its offset once written. Calls may
   * overlap; their order is that of the file. After a rejected one the file is of no use.
   */
  async append(frame: Uint8Array, entries: readonly FrameEntry[]): Promise<number> {
    assert(this.#state === 'open', 'nothing is appended to a finished changeset');
    const header = decodeFrameHeader(frame, this.#handle.path);
    assert(frame.length === frameBytes(header), 'a whole frame is appended');
    const offset = this.#at;
    this.#keep(this.#index.add(header, entries), header.number, offset);
    this.#at += frame.length;
    await this.#handle.write(frame, offset);
    return offset;
  }

  /** Writes index and trailer, after every append has resolved. Not synced. `consistency`: what is
   * known of the point at its end; the header then says it. */
  async finish(consistency: Consistency = this.header.consistency): Promise<ChangesetTotals> {
    assert(this.#state === 'open', 'a changeset is finished once');
    this.#state = 'finished';
    if (consistency !== this.header.consistency) {
      await this.#handle.write(encodeHeader({ ...this.header, consistency }), 0);
    }
    const indexOffset = this.#at;
    const totals = this.#index.totals();
    for (const piece of this.#kept) await this.#put(piece);
    if (this.#spilled) await this.#putSpilled(this.#spilled, indexOffset, totals.frames);
    await this.#put(encodeTrailer(totals, indexOffset));
    return totals;
  }

  #keep(entries: Uint8Array, number: number, offset: number): void {
    if (this.#spilled) return;
    if (this.#keptBytes + entries.length > this.#indexBytesMax) {
      this.#spilled = { number, offset };
      return;
    }
    this.#kept.push(entries);
    this.#keptBytes += entries.length;
  }

  async #putSpilled(
    from: { readonly number: number; readonly offset: number },
    end: number,
    frames: number,
  ): Promise<void> {
    const place = this.#handle.path;
    let number = from.number;
    for await (const frame of scanFrames(this.#handle, from.offset, end, number)) {
      const { entries } = frameHead(frame.bytes, place, unpack, this.header.sizeBytes);
      await this.#put(encodeIndex(number, entries));
      number += 1;
    }
    if (number !== frames) throw bad({ what: 'frame', place }, `frame ${number} is lost`);
  }

  async #put(bytes: Uint8Array): Promise<void> {
    const offset = this.#at;
    this.#at += bytes.length;
    await this.#handle.write(bytes, offset);
  }
}
