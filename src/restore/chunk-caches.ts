// Chunks that were read and verified, kept for the next who wants them: in memory, and on demand in
// a file. Both are as large as they were made and never grow. Guarantee: what is handed out is what
// was put; of the file that is checked with every read, and what is wrong there is no longer there.
// A file that cannot be written (a full disk) keeps no more; nobody fails for it.
import { checkOf, equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { CHUNK_BYTES, type ChunkIndex, chunkCount } from '../base/units.js';
import { closeFd } from '../disk/syscalls.js';
import { readWhole, writeWhole } from '../disk/whole.js';
import { ChunkSlots, WAYS } from './chunk-slots.js';

const CHECK_BYTES = 8;
/** Chunks that wait to be written; those beyond are not kept. */
const WRITES_MAX = 64;

export class MemoryChunks {
  readonly #slots: ChunkSlots;
  readonly #bytes: Uint8Array;

  constructor(bytes: number) {
    this.#slots = new ChunkSlots(bytes / CHUNK_BYTES);
    this.#bytes = new Uint8Array(this.#slots.count * CHUNK_BYTES);
  }

  has(chunk: ChunkIndex): boolean {
    return this.#slots.has(chunk);
  }

  /** CHUNK_BYTES, of which those of the chunk are good, until something is put; null: not here. */
  get(chunk: ChunkIndex): Uint8Array | null {
    const slot = this.#slots.find(chunk);
    return slot < 0 ? null : this.#bytes.subarray(slot * CHUNK_BYTES, (slot + 1) * CHUNK_BYTES);
  }

  put(chunk: ChunkIndex, bytes: Uint8Array): void {
    const slot = this.#slots.take(chunk);
    if (slot >= 0) this.#bytes.set(bytes, slot * CHUNK_BYTES);
  }
}

/** Of the bytes of a cache, what a disk of `sizeBytes` can fill: each slot takes memory. */
export const usefulBytes = (bytes: number, sizeBytes: number): number =>
  Math.min(bytes, (chunkCount(sizeBytes) + WAYS) * CHUNK_BYTES);

export class FileChunks {
  readonly #fd: number;
  readonly #log: Log;
  readonly #slots: ChunkSlots;
  readonly #checks: Uint8Array;
  /** Being written: not to be read yet, nor to be written by another. */
  readonly #busy = new Set<number>();
  readonly #running = new Set<Promise<unknown>>();
  #failed = false;

  /** `fd`: an empty file of nobody else's, from here on ours; `bytes`: how long it may become. */
  constructor(fd: number, bytes: number, log: Log) {
    this.#fd = fd;
    this.#log = log;
    this.#slots = new ChunkSlots(bytes / CHUNK_BYTES);
    this.#checks = new Uint8Array(this.#slots.count * CHECK_BYTES);
  }

  has(chunk: ChunkIndex): boolean {
    return this.#slots.has(chunk);
  }

  /** Fills `into`, as long as the chunk; false: it is not here. */
  async get(chunk: ChunkIndex, into: Uint8Array): Promise<boolean> {
    const slot = this.#slots.find(chunk);
    if (slot < 0 || this.#busy.has(slot)) return false;
    // Another chunk may take the slot meanwhile, and has a check of its own there.
    const check = this.#checkOf(slot).slice();
    const reading = readWhole(this.#fd, into, slot * CHUNK_BYTES).catch(() => 0);
    const got = await this.#counted(reading);
    if (got === into.length && equalBytes(checkOf(into), check)) return true;
    if (!this.#busy.has(slot) && this.#slots.find(chunk) === slot) this.#slots.drop(chunk);
    return false;
  }

  /** Copies `bytes`, if they are kept at all. */
  put(chunk: ChunkIndex, bytes: Uint8Array): void {
    if (this.#failed || this.#busy.size >= WRITES_MAX || this.#slots.has(chunk)) return;
    const slot = this.#slots.take(chunk);
    if (slot < 0) return;
    if (this.#busy.has(slot)) {
      this.#slots.drop(chunk); // what is being written there is lost to us, too
      return;
    }
    this.#busy.add(slot);
    this.#checkOf(slot).set(checkOf(bytes));
    const writing = writeWhole(this.#fd, new Uint8Array(bytes), slot * CHUNK_BYTES).then(
      () => this.#busy.delete(slot),
      (error: unknown) => {
        this.#busy.delete(slot);
        this.#slots.drop(chunk);
        this.#fail(error);
      },
    );
    void this.#counted(writing);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#failed = true;
    await Promise.all(this.#running);
    closeFd(this.#fd);
  }

  #checkOf(slot: number): Uint8Array {
    return this.#checks.subarray(slot * CHECK_BYTES, (slot + 1) * CHECK_BYTES);
  }

  #fail(error: unknown): void {
    if (!this.#failed) {
      this.#log.warn('the cache on disk takes no more', { error: describeError(error) });
    }
    this.#failed = true;
  }

  async #counted<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}
