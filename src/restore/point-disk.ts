// A restore point as a read-only Disk, which the NBD server serves like any other. Guarantees:
// every chunk was verified before a byte of it is handed out (Q1); one that cannot be had is an
// error with its place (POINT_UNREADABLE, which a guest sees as EIO), and is tried again when it is
// asked for again; chunks are asked for once, however many wait for them. Memory: MEMORY_BYTES of
// content, the bits of CONTENTS_KEPT_MAX regions, and what the reader has under way.
import { assert } from '../base/assert.js';
import { describeError, errorClass } from '../base/errors.js';
import { type Deferred, deferred } from '../base/sync.js';
import { CHUNK_BYTES, type ChunkIndex, chunkCount, chunkLength, MIB } from '../base/units.js';
import type { Disk, Sooner, SoonerRuns } from '../disk/disk.js';
import { BASE_ALLOCATION } from '../nbd/meta-context.js';
import { type FileChunks, MemoryChunks } from './chunk-caches.js';
import { PointContents } from './point-contents.js';
import type { ChunkTaker, PointReader } from './point-reader.js';
import { REGION_CHUNKS } from './point-reader.js';
import { ReadAhead, WINDOW_MAX } from './read-ahead.js';

export type PointFault = { code: 'POINT_UNREADABLE'; chunk: number; offset: number; why: string };

export const PointError = errorClass<PointFault>('PointError', {
  POINT_UNREADABLE: (f) => `chunk ${f.chunk}, at byte ${f.offset} of the disk: ${f.why}`,
});

export interface PointDiskParts {
  readonly reader: PointReader;
  /** Kept on disk beside memory; null: nothing is. Closed with the disk. */
  readonly file: FileChunks | null;
  /** Default MEMORY_BYTES. */
  readonly memoryBytes?: number;
}

const MEMORY_BYTES = 24 * MIB;
/** Chunks that are read ahead at the same time; who waits for one is not counted. */
const AHEAD_CHUNKS_MAX = 2 * WINDOW_MAX;

const NOBODY_WRITES = 'what writes to a read-only disk is refused before';

/** A chunk on its way, and what is to be done with it when it is here. */
interface Pending {
  readonly done: Deferred<void>;
  readonly uses: ((bytes: Uint8Array) => void)[];
}

export class PointDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly = true;
  readonly contexts = [BASE_ALLOCATION];
  readonly #reader: PointReader;
  readonly #memory: MemoryChunks;
  readonly #file: FileChunks | null;
  readonly #contents: PointContents;
  readonly #pending = new Map<ChunkIndex, Pending>();
  readonly #loads = new Set<Promise<void>>();
  readonly #ahead: ReadAhead;
  #aheadChunks = 0;
  #closed = false;

  constructor({ reader, file, memoryBytes = MEMORY_BYTES }: PointDiskParts) {
    this.sizeBytes = reader.sizeBytes;
    this.#reader = reader;
    this.#memory = new MemoryChunks(memoryBytes);
    this.#file = file;
    // What is read ahead must not drive out what was read ahead.
    this.#ahead = new ReadAhead(Math.floor(memoryBytes / CHUNK_BYTES / 4));
    this.#contents = new PointContents(reader);
  }

  /** Looks up the beginning of the disk: an index that cannot be read is an error now. */
  async open(): Promise<void> {
    await this.#contents.of(0);
  }

  read(offset: number, into: Uint8Array): Sooner {
    assert(offset + into.length <= this.sizeBytes, 'the caller stays on the disk');
    if (into.length === 0) return 'done';
    const parts = partsOf(offset, into);
    const absent = parts.filter((part) => !this.#copyNow(part));
    const reading = absent.length === 0 ? 'done' : this.#readLater(absent);
    this.#readAhead(parts);
    return reading;
  }

  prefetch(offset: number, length: number): void {
    const first = Math.floor(offset / CHUNK_BYTES);
    this.#fetchAhead(first, Math.ceil((offset + length) / CHUNK_BYTES) - first);
  }

  status(context: string, offset: number, length: number, runsMax: number): SoonerRuns {
    return this.#contents.status(context, offset, length, runsMax);
  }

  write(): Sooner {
    assert(false, NOBODY_WRITES);
  }

  async zero(): Promise<'done' | 'slow'> {
    assert(false, NOBODY_WRITES);
  }

  async trim(): Promise<void> {
    assert(false, NOBODY_WRITES);
  }

  async flush(): Promise<void> {}

  /** Waits for what is under way; can be called twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all(this.#loads);
    await this.#file?.close();
  }

  #copyNow({ chunk, from, into }: Part): boolean {
    if (this.#contents.isZero(chunk)) into.fill(0);
    else {
      const bytes = this.#memory.get(chunk);
      if (bytes === null) return false;
      into.set(bytes.subarray(from, from + into.length));
    }
    return true;
  }

  /** `into` is ours until all parts have settled, whatever fails. What failed for who had asked
   * before us is asked for once more: that may have been long ago. */
  async #readLater(parts: readonly Part[], isAgain = false): Promise<void> {
    const waits = parts.map(({ chunk, from, into }) => {
      const pending = this.#pendingOf(chunk);
      pending.uses.push((bytes) => into.set(bytes.subarray(from, from + into.length)));
      return pending;
    });
    this.#load(waits.filter(({ fresh }) => fresh).map(({ chunk }) => chunk));
    const ends = await Promise.allSettled(waits.map(({ done }) => done.promise));
    const failed = ends.flatMap((end, at) => (end.status === 'rejected' ? [{ end, at }] : []));
    const [first] = failed;
    if (first === undefined) return;
    const isOwn = failed.some(({ at }) => waits[at]?.fresh === true);
    if (isOwn || isAgain) throw first.end.reason;
    await this.#readLater(
      parts.filter((_part, at) => failed.some((one) => one.at === at)),
      true,
    );
  }

  #pendingOf(chunk: ChunkIndex): Pending & { readonly chunk: ChunkIndex; readonly fresh: boolean } {
    const found = this.#pending.get(chunk);
    if (found !== undefined) return { ...found, chunk, fresh: false };
    const pending: Pending = { done: deferred(), uses: [] };
    pending.done.promise.catch(() => undefined); // of what is read ahead nobody is told
    this.#pending.set(chunk, pending);
    return { ...pending, chunk, fresh: true };
  }

  /** Chunks that have just become pending, ascending. */
  #load(chunks: readonly ChunkIndex[]): void {
    const regions = new Map<number, ChunkIndex[]>();
    for (const chunk of chunks) {
      const region = Math.floor(chunk / REGION_CHUNKS);
      const own = regions.get(region) ?? [];
      own.push(chunk);
      regions.set(region, own);
    }
    for (const [region, own] of regions) {
      const loading = this.#loadRegion(region, own).catch((error: unknown) => {
        for (const chunk of own) this.#settle(chunk, null, error);
      });
      this.#loads.add(loading);
      void loading.then(() => this.#loads.delete(loading));
    }
  }

  async #loadRegion(region: number, chunks: readonly ChunkIndex[]): Promise<void> {
    await this.#contents.of(region);
    const isHere = await Promise.all(
      chunks.map(async (chunk) => {
        if (!this.#contents.isZero(chunk)) return this.#fromFile(chunk);
        this.#settle(chunk, this.#room(chunk), null);
        return true;
      }),
    );
    const left = chunks.filter((_chunk, at) => isHere[at] !== true);
    if (left.length > 0) await this.#reader.read(left, this.#taker);
  }

  async #fromFile(chunk: ChunkIndex): Promise<boolean> {
    if (this.#file?.has(chunk) !== true) return false;
    const bytes = this.#room(chunk);
    if (!(await this.#file.get(chunk, bytes))) return false;
    this.#memory.put(chunk, bytes);
    this.#settle(chunk, bytes, null);
    return true;
  }

  readonly #taker: ChunkTaker = {
    put: (chunk, bytes) => {
      this.#memory.put(chunk, bytes);
      this.#file?.put(chunk, bytes);
      this.#settle(chunk, bytes, null);
    },
    fail: (chunk, error) => this.#settle(chunk, null, error),
    wants: (chunk) =>
      !this.#pending.has(chunk) && !this.#memory.has(chunk) && this.#file?.has(chunk) !== true,
  };

  /** Hands a chunk to all who wait for it; null: it cannot be had. */
  #settle(chunk: ChunkIndex, bytes: Uint8Array | null, cause: unknown): void {
    const pending = this.#pending.get(chunk);
    if (pending === undefined) return; // nobody asked for it
    this.#pending.delete(chunk);
    if (bytes !== null) {
      for (const use of pending.uses) use(bytes);
      pending.done.resolve();
      return;
    }
    const facts = { chunk, offset: chunk * CHUNK_BYTES, why: describeError(cause) };
    pending.done.reject(new PointError({ code: 'POINT_UNREADABLE', ...facts }, { cause }));
  }

  #readAhead(parts: readonly Part[]): void {
    const [first, last] = [parts[0], parts.at(-1)];
    if (first === undefined || last === undefined) return;
    const ahead = this.#ahead.after(first.chunk, last.chunk);
    if (ahead !== null) this.#fetchAhead(ahead.first, ahead.count);
  }

  #fetchAhead(first: ChunkIndex, count: number): void {
    const end = Math.min(first + count, chunkCount(this.sizeBytes));
    const fresh: ChunkIndex[] = [];
    for (let chunk = first; chunk < end; chunk += 1) {
      if (this.#aheadChunks >= AHEAD_CHUNKS_MAX) break;
      if (this.#contents.isZero(chunk) || this.#memory.has(chunk)) continue;
      const pending = this.#pendingOf(chunk);
      if (!pending.fresh) continue;
      fresh.push(chunk);
      this.#aheadChunks += 1;
      const ended = (): void => {
        this.#aheadChunks -= 1;
      };
      pending.done.promise.then(ended, ended);
    }
    this.#load(fresh);
  }

  #room(chunk: ChunkIndex): Uint8Array {
    return new Uint8Array(chunkLength(chunk, this.sizeBytes));
  }
}

/** A range within one chunk. */
interface Part {
  readonly chunk: ChunkIndex;
  readonly from: number;
  readonly into: Uint8Array;
}

function partsOf(offset: number, into: Uint8Array): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < into.length; ) {
    const chunk = Math.floor((offset + at) / CHUNK_BYTES);
    const from = offset + at - chunk * CHUNK_BYTES;
    const length = Math.min(into.length - at, CHUNK_BYTES - from);
    parts.push({ chunk, from, into: into.subarray(at, at + length) });
    at += length;
  }
  return parts;
}
