// FileDevice: a Device on a regular file or block device, over a descriptor that the threads of
// the process share; each thread makes its own. Guarantees: nothing outside 0..sizeBytes is
// touched, though the file may be longer (H14); a short read or write is completed or an error;
// what a file that was made shorter lacks is data, so that it is read, and that names it;
// how many operations are on the thread pool is limited (device-pool.ts), the others wait in
// order; close waits for them. Offsets and lengths are bytes.
import { close, fstatSync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { assert } from '../base/assert.js';
import { MIB } from '../base/units.js';
import { Allocation } from './allocation.js';
import { CacheReader } from './cache-reader.js';
import { type Device, DiskError, type WriteReserved } from './device.js';
import { DevicePool, type PoolShare } from './device-pool.js';
import { FileSync } from './file-sync.js';
import { MediumReader } from './medium.js';
import { type DiskKind, diskFailure } from './probe.js';
import { dropOthers, dropPages, type Residency, residency } from './residency.js';
import { newSyncMemory } from './sync-ledger.js';
import {
  posixFadviseDontNeed,
  posixFadviseRandom,
  posixFadviseWillNeed,
  seekData,
  seekHole,
} from './syscalls.js';
import { readWhole, writeWhole, writeWholeNow } from './whole.js';

export interface FileDeviceOptions {
  /** True for the one Device that closes the descriptor; the others only let go of it. */
  readonly ownsFd: boolean;
  /** What all files of this thread on the same device have together; default: 4 of its own. */
  readonly poolShare?: PoolShare | undefined;
  /** False: reads bring in what was asked for and nothing beside it. Default true. */
  readonly readAhead?: boolean;
  /** True: quick fdatasyncs are called in this thread (sync-pace.ts). Default false. */
  readonly syncsInThread?: boolean;
  /** Of the disk, where several threads write it. */
  readonly syncMemory?: SharedArrayBuffer;
}

/**
 * `fd` is open for what will be asked of it, with O_EXCL if `kind` is 'block' (lock.ts): punching
 * a device that somebody else has claimed is EBUSY. `path` is for messages. Opens nothing, cannot
 * fail; the Device's own errors are DISK_FAILED and DISK_SHORT_READ.
 */
export function openFileDevice(
  fd: number,
  path: string,
  kind: DiskKind,
  sizeBytes: number,
  options: FileDeviceOptions,
): Device {
  return new FileDevice(fd, path, kind, sizeBytes, options);
}

const POOL_OPERATIONS_MAX = 4;
const ZERO_BYTES_MAX = MIB;
// Written where zeroes cannot be allocated; small, so that it stays in the CPU's cache.
const ZEROES = new Uint8Array(64 * 1024);
/** Linux brings in at most the device's read-ahead or its largest request for one advice. */
const PREFETCH_PIECE_BYTES = 128 * 1024;
/** More is not begun at once: the queue of a slow disk would be full and the caller wait. */
const PREFETCH_BYTES_MAX = 8 * MIB;

const closeOnPool = promisify(close);

class FileDevice implements Device {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #fd: number;
  /** A description of its own, without read-ahead, and for fdatasync: the kernel tells a failed
   * write-back once to each open file, and no other thread may hear it in our place (H18). */
  readonly #ownFd: number;
  readonly #readFd: number;
  readonly #kind: DiskKind;
  readonly #ownsFd: boolean;
  readonly #pool: DevicePool;
  readonly #allocation: Allocation;
  readonly #medium: MediumReader;
  readonly #sync: FileSync;
  readonly #cache: CacheReader;
  #closed: Promise<void> | null = null;

  constructor(
    fd: number,
    path: string,
    kind: DiskKind,
    sizeBytes: number,
    options: FileDeviceOptions,
  ) {
    this.#fd = fd;
    this.#ownFd = openSync(`/proc/self/fd/${fd}`, 'r');
    posixFadviseRandom(this.#ownFd);
    this.#readFd = options.readAhead === false ? this.#ownFd : fd;
    this.path = path;
    this.#kind = kind;
    this.sizeBytes = sizeBytes;
    this.#ownsFd = options.ownsFd;
    this.#cache = new CacheReader(fd, kind);
    this.#pool = new DevicePool(POOL_OPERATIONS_MAX, options.poolShare ?? null);
    this.#allocation = new Allocation(fd, path, kind);
    this.#medium = new MediumReader(fd);
    this.#sync = new FileSync(
      this.#ownFd,
      options.syncMemory ?? newSyncMemory(),
      options.syncsInThread === true,
    );
  }

  readCached(offset: number, into: Uint8Array): boolean {
    this.#check(offset, into.length);
    return this.#fromCache(this.#readFd, offset, into);
  }

  /** Error DISK_SHORT_READ where the file has become shorter than the disk. */
  read(offset: number, into: Uint8Array): Promise<void> {
    this.#check(offset, into.length);
    const waits = this.#pool.full;
    return this.#onPool('read', offset, async () => {
      // Whoever looked and found nothing began to bring it in: after a wait it is mostly there.
      if (waits && this.#fromCache(this.#readFd, offset, into)) return;
      await this.#fill(this.#readFd, offset, into);
    });
  }

  // What a guest brings in or writes while we read stays if it is dirty, and else goes with ours.
  readAside(offset: number, into: Uint8Array): Promise<void> {
    this.#check(offset, into.length);
    return this.#onPool('read', offset, async () => {
      // Asked first: preadv2 that finds nothing has begun to bring it in (Linux 5.10 and later).
      const before = residency(this.#ownFd, offset, into.length);
      const hot = before?.isIn.every((isIn) => isIn) ?? false;
      if (hot && this.#fromCache(this.#ownFd, offset, into)) return;
      await this.#leavingAsBefore(before, () => this.#fill(this.#ownFd, offset, into));
    });
  }

  readMedium(offset: number, into: Uint8Array): Promise<void> {
    this.#check(offset, into.length);
    return this.#onPool('read', offset, async () => {
      const got = await this.#medium.read(offset, into);
      if (got === into.length) return;
      if (got !== 'refused') throw this.#shortRead(offset, into.length, got);
      const before = residency(this.#ownFd, offset, into.length);
      dropPages(this.#ownFd, offset, into.length);
      await this.#leavingAsBefore(before, () => this.#fill(this.#ownFd, offset, into));
    });
  }

  writeNow(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.length);
    this.#sync.wrote(bytes.length);
    try {
      writeWholeNow(this.#fd, bytes, offset);
    } catch (cause) {
      throw diskFailure(this.path, 'write', offset, cause);
    }
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#check(offset, bytes.length);
    return this.#onPool('write', offset, () => writeWhole(this.#fd, bytes, offset));
  }

  reserved<T>(work: (write: WriteReserved) => Promise<T>): Promise<T> {
    this.#check(0, 0);
    return this.#pool.run(() =>
      work(async (offset, bytes) => {
        this.#check(offset, bytes.length);
        try {
          await writeWhole(this.#fd, bytes, offset);
        } catch (cause) {
          throw diskFailure(this.path, 'write', offset, cause);
        }
      }),
    );
  }

  dropCached(offset: number, length: number): void {
    this.#check(offset, length);
    // A length of 0 would mean all that follows (posix_fadvise(2)).
    if (length > 0) posixFadviseDontNeed(this.#fd, offset, length);
  }

  zeroNow(offset: number, length: number, mayPunch: boolean): void {
    this.#check(offset, length);
    assert(length <= ZERO_BYTES_MAX, 'zeroes are written a MiB at a time (H13)');
    this.#allocation.zero(offset, length, mayPunch, (at, bytes) => this.#writeZeroes(at, bytes));
  }

  // The caller passes whole blocks; the last, short one may be EINVAL on a device of 4 KiB sectors.
  punchNow(offset: number, length: number): boolean {
    this.#check(offset, length);
    return this.#allocation.punch(offset, length);
  }

  nextData(from: number): number {
    assert(from >= 0 && from <= this.sizeBytes, 'a search begins on the disk');
    // The kernel has no SEEK_DATA for block devices: all of it may be data.
    if (this.#kind === 'block' || from === this.sizeBytes) return from;
    try {
      // Null is told of the last hole and of what lies behind the end of the file alike.
      const data = seekData(this.#fd, from) ?? Math.max(from, fstatSync(this.#fd).size);
      return Math.min(data, this.sizeBytes);
    } catch (cause) {
      throw diskFailure(this.path, 'lseek', from, cause);
    }
  }

  nextHole(from: number): number {
    assert(from >= 0 && from <= this.sizeBytes, 'a search begins on the disk');
    if (this.#kind === 'block' || from === this.sizeBytes) return this.sizeBytes;
    try {
      return Math.min(seekHole(this.#fd, from) ?? this.sizeBytes, this.sizeBytes);
    } catch (cause) {
      throw diskFailure(this.path, 'lseek', from, cause);
    }
  }

  prefetch(offset: number, length: number): void {
    this.#check(offset, length);
    const end = offset + Math.min(length, PREFETCH_BYTES_MAX);
    for (let at = offset; at < end; at += PREFETCH_PIECE_BYTES) {
      posixFadviseWillNeed(this.#fd, at, Math.min(PREFETCH_PIECE_BYTES, end - at));
    }
  }

  // A failure is reported by Linux once; that it stays one is the volume's to remember (H18).
  sync(): Promise<void> {
    this.#check(0, 0);
    return this.#onPool('fdatasync', 0, () => this.#sync.run(this.#pool.alone));
  }

  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    // A number that is closed under a running pread may be another file by then.
    await this.#pool.ended();
    try {
      await this.#medium.close();
      await closeOnPool(this.#ownFd);
      if (!this.#ownsFd) return;
      await closeOnPool(this.#fd);
    } catch (cause) {
      throw diskFailure(this.path, 'close', 0, cause);
    }
  }

  #check(offset: number, length: number): void {
    assert(this.#closed === null, 'a closed device is not used');
    assert(offset >= 0 && Number.isSafeInteger(offset), 'an offset is a whole number');
    assert(length >= 0 && offset + length <= this.sizeBytes, 'the caller stays on the disk');
  }

  /** Runs `work` when one of this device's units is free; names its failure. */
  async #onPool(operation: string, offset: number, work: () => Promise<void>): Promise<void> {
    try {
      await this.#pool.run(work);
    } catch (cause) {
      throw diskFailure(this.path, operation, offset, cause);
    }
  }

  #fromCache(fd: number, offset: number, into: Uint8Array): boolean {
    try {
      return this.#cache.read(fd, offset, into);
    } catch (cause) {
      throw diskFailure(this.path, 'read', offset, cause);
    }
  }

  async #fill(fd: number, offset: number, into: Uint8Array): Promise<void> {
    const got = await readWhole(fd, into, offset);
    if (got < into.length) throw this.#shortRead(offset, into.length, got);
  }

  /** Drops the pages that `work` brings in; all stays where nobody can tell what was in. */
  async #leavingAsBefore(before: Residency | null, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } finally {
      if (before !== null) dropOthers(this.#ownFd, before);
    }
  }

  #shortRead(offset: number, wanted: number, got: number): Error {
    return new DiskError({ code: 'DISK_SHORT_READ', path: this.path, offset, wanted, got });
  }

  #writeZeroes(offset: number, length: number): void {
    for (let done = 0; done < length; done += ZEROES.length) {
      this.writeNow(offset + done, ZEROES.subarray(0, Math.min(ZEROES.length, length - done)));
    }
  }
}
