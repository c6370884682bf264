// MemoryDevice: a Device in memory with switches: reads that are not cached, ranges that fail,
// a sync that fails, no punching. Sparse: a block that was never written takes no memory.
import { assert } from '../../src/base/assert.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { type Device, DiskError, type WriteReserved } from '../../src/disk/device.js';

export type MemoryOperation = 'read' | 'write' | 'zero' | 'punch' | 'sync';

export interface MemoryDeviceOptions {
  readonly sizeBytes: number;
  readonly path?: string;
}

interface Failing {
  readonly operation: MemoryOperation;
  readonly from: number;
  readonly to: number;
  readonly errno: string;
}

export class MemoryDevice implements Device {
  readonly path: string;
  readonly sizeBytes: number;
  /** False: readCached misses, as after the page cache was dropped. */
  cached = true;
  /** False: punchNow answers false, zeroNow writes. */
  punches = true;
  /** How often each operation was asked for. */
  readonly counts = {
    read: 0,
    readCached: 0,
    readAside: 0,
    readMedium: 0,
    prefetch: 0,
    write: 0,
    zero: 0,
    punch: 0,
    sync: 0,
  };
  readonly #blocks = new Map<number, Uint8Array>();
  #failing: Failing[] = [];
  #closed = false;

  constructor(options: MemoryDeviceOptions) {
    this.sizeBytes = options.sizeBytes;
    this.path = options.path ?? 'memory';
  }

  /** From now on `operation` fails where it meets bytes from..to-1 (all of the disk if absent). */
  fail(operation: MemoryOperation, errno = 'EIO', from = 0, to = Number.MAX_SAFE_INTEGER): void {
    this.#failing.push({ operation, errno, from, to });
  }

  /** Ends all failures of an operation. */
  heal(operation: MemoryOperation): void {
    this.#failing = this.#failing.filter((failing) => failing.operation !== operation);
  }

  /** Blocks that take space. */
  get allocatedBlocks(): number {
    return this.#blocks.size;
  }

  readCached(offset: number, into: Uint8Array): boolean {
    this.#check(offset, into.length);
    this.counts.readCached += 1;
    if (!this.cached || this.#failure('read', offset, into.length) !== null) return false;
    this.#copyOut(offset, into);
    return true;
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#readCounted('read', offset, into);
  }

  readAside(offset: number, into: Uint8Array): Promise<void> {
    return this.#readCounted('readAside', offset, into);
  }

  readMedium(offset: number, into: Uint8Array): Promise<void> {
    return this.#readCounted('readMedium', offset, into);
  }

  async #readCounted(
    name: 'read' | 'readAside' | 'readMedium',
    offset: number,
    into: Uint8Array,
  ): Promise<void> {
    this.#check(offset, into.length);
    this.counts[name] += 1;
    await Promise.resolve();
    this.#meet('read', offset, into.length);
    this.#copyOut(offset, into);
  }

  dropCached(offset: number, length: number): void {
    this.#check(offset, length);
  }

  writeNow(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.length);
    this.counts.write += 1;
    this.#meet('write', offset, bytes.length);
    this.#pieces(offset, bytes.length, (block, at, from, length) => {
      const content = this.#blocks.get(block) ?? new Uint8Array(BLOCK_BYTES);
      content.set(bytes.subarray(from, from + length), at);
      this.#blocks.set(block, content);
    });
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.writeNow(offset, bytes);
    await Promise.resolve();
  }

  reserved<T>(work: (write: WriteReserved) => Promise<T>): Promise<T> {
    return work((offset, bytes) => this.write(offset, bytes));
  }

  zeroNow(offset: number, length: number, mayPunch: boolean): void {
    this.#check(offset, length);
    assert(length <= 1024 * 1024, 'zeroes are written a MiB at a time (H13)');
    this.counts.zero += 1;
    this.#meet('zero', offset, length);
    this.#zero(offset, length, mayPunch && this.punches);
  }

  punchNow(offset: number, length: number): boolean {
    this.#check(offset, length);
    this.counts.punch += 1;
    if (!this.punches) return false;
    this.#meet('punch', offset, length);
    this.#zero(offset, length, true);
    return true;
  }

  nextData(from: number): number {
    assert(from >= 0 && from <= this.sizeBytes, 'a search begins on the disk');
    let next = this.sizeBytes;
    for (const block of this.#blocks.keys()) {
      const start = Math.max(from, block * BLOCK_BYTES);
      if ((block + 1) * BLOCK_BYTES > from) next = Math.min(next, start);
    }
    return next;
  }

  nextHole(from: number): number {
    assert(from >= 0 && from <= this.sizeBytes, 'a search begins on the disk');
    let block = Math.floor(from / BLOCK_BYTES);
    while (this.#blocks.has(block)) block += 1;
    return Math.min(this.sizeBytes, Math.max(from, block * BLOCK_BYTES));
  }

  prefetch(offset: number, length: number): void {
    this.#check(offset, length);
    this.counts.prefetch += 1;
  }

  async sync(): Promise<void> {
    this.#check(0, 0);
    this.counts.sync += 1;
    await Promise.resolve();
    this.#meet('sync', 0, this.sizeBytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(offset: number, length: number): void {
    assert(!this.#closed, 'a closed device is not used');
    assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset is a whole number');
    assert(length >= 0 && offset + length <= this.sizeBytes, 'the caller stays on the disk');
  }

  #failure(operation: MemoryOperation, offset: number, length: number): Failing | null {
    const meets = (f: Failing) => f.operation === operation && f.from < offset + length;
    return this.#failing.find((f) => meets(f) && f.to > offset) ?? null;
  }

  #meet(operation: MemoryOperation, offset: number, length: number): void {
    const failing = this.#failure(operation, offset, length);
    if (failing === null) return;
    const { errno } = failing;
    throw new DiskError({ code: 'DISK_FAILED', operation, path: this.path, offset, errno });
  }

  #copyOut(offset: number, into: Uint8Array): void {
    this.#pieces(offset, into.length, (block, at, from, length) => {
      const content = this.#blocks.get(block);
      if (content) into.set(content.subarray(at, at + length), from);
      else into.fill(0, from, from + length);
    });
  }

  #zero(offset: number, length: number, mayPunch: boolean): void {
    this.#pieces(offset, length, (block, at, _from, count) => {
      const whole = at === 0 && (count === BLOCK_BYTES || offset + length === this.sizeBytes);
      if (mayPunch && whole) this.#blocks.delete(block);
      else if (mayPunch) this.#blocks.get(block)?.fill(0, at, at + count);
      else {
        const content = this.#blocks.get(block) ?? new Uint8Array(BLOCK_BYTES);
        this.#blocks.set(block, content.fill(0, at, at + count));
      }
    });
  }

  /** Cuts a range at block borders: block, offset in it, offset in the range, length. */
  #pieces(
    offset: number,
    length: number,
    use: (block: number, at: number, from: number, length: number) => void,
  ): void {
    for (let from = 0; from < length; ) {
      const block = Math.floor((offset + from) / BLOCK_BYTES);
      const at = (offset + from) % BLOCK_BYTES;
      const piece = Math.min(BLOCK_BYTES - at, length - from);
      use(block, at, from, piece);
      from += piece;
    }
  }
}
