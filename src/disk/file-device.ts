// FileDevice: a Device on a regular file or block device, over a descriptor that the threads of
// the process share; each thread makes its own. Guarantees: nothing outside 0..sizeBytes is
// touched, though the file may be longer (H14); a short read or write is completed or an error;
// at most `poolOperationsMax` operations of one FileDevice are on the thread pool (H19), the
// others wait in order; close waits for them. Offsets and lengths are bytes.
import { close, fdatasync, openSync, read, readSync, statfsSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { assert } from '../base/assert.js';
import { Semaphore } from '../base/sync.js';
import { BLOCK_BYTES, MIB } from '../base/units.js';
import { type Device, DiskError } from './device.js';
import { type DiskKind, diskFailure } from './probe.js';
import {
  ERRNO,
  errnoName,
  FALLOC,
  fallocate,
  posixFadviseDontNeed,
  posixFadviseRandom,
  preadCached,
  seekData,
} from './syscalls.js';

export interface FileDeviceOptions {
  /** True for the one Device that closes the descriptor; the others only let go of it. */
  readonly ownsFd: boolean;
  /** Default 4. Threads that share a device share the cap of H19: give each its part. */
  readonly poolOperationsMax?: number;
  /** False: reads bring in what was asked for and nothing beside it. Default true. */
  readonly readAhead?: boolean;
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
/** f_type of a file system that is memory only (statfs(2)); it has no RWF_NOWAIT and no need. */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

// libuv's pool: one for the process, so its size bounds all devices together (H19).
const readOnPool = promisify(read);
const writeOnPool = promisify(write);
const fdatasyncOnPool = promisify(fdatasync);
const closeOnPool = promisify(close);

class FileDevice implements Device {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #fd: number;
  /** A description of its own for fdatasync: the kernel tells a failed write-back once to each
   * open file, and no other thread may hear it in our place (H18). */
  readonly #ownFd: number;
  readonly #readFd: number;
  readonly #kind: DiskKind;
  readonly #ownsFd: boolean;
  readonly #poolOperationsMax: number;
  readonly #pool: Semaphore;
  /** How the page cache is read: with preadv2, as memory, or not at all where it cannot be told. */
  #cache: 'ask' | 'memory' | 'never' = 'ask';
  /** fallocate modes that this file system or device was found not to have. */
  readonly #refused = new Set<number>();
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
    if (options.readAhead === false) posixFadviseRandom(this.#ownFd);
    this.#readFd = options.readAhead === false ? this.#ownFd : fd;
    this.path = path;
    this.#kind = kind;
    this.sizeBytes = sizeBytes;
    this.#ownsFd = options.ownsFd;
    this.#poolOperationsMax = options.poolOperationsMax ?? POOL_OPERATIONS_MAX;
    this.#pool = new Semaphore(this.#poolOperationsMax);
  }

  readCached(offset: number, into: Uint8Array): boolean {
    this.#check(offset, into.length);
    if (this.#cache === 'never') return false;
    if (this.#cache === 'memory') return this.#readNow(offset, into);
    const got = preadCached(this.#readFd, into, offset);
    if (got !== 'unsupported') return got === into.length;
    // NFS and FUSE cannot tell either, but there a plain read would wait for the medium.
    const { type } = statfsSync(`/proc/self/fd/${this.#fd}`);
    this.#cache = this.#kind === 'file' && MEMORY_FILE_SYSTEMS.has(type) ? 'memory' : 'never';
    return this.readCached(offset, into);
  }

  /** Error DISK_SHORT_READ where the file has become shorter than the disk. */
  read(offset: number, into: Uint8Array): Promise<void> {
    this.#check(offset, into.length);
    return this.#onPool('read', offset, async () => {
      for (let done = 0; done < into.length; ) {
        const left = into.length - done;
        const { bytesRead } = await readOnPool(this.#readFd, into, done, left, offset + done);
        if (bytesRead === 0) throw this.#shortRead(offset, into.length, done);
        done += bytesRead;
      }
    });
  }

  writeNow(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.length);
    try {
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        done += progress(writeSync(this.#fd, bytes, done, left, offset + done));
      }
    } catch (cause) {
      throw diskFailure(this.path, 'write', offset, cause);
    }
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#check(offset, bytes.length);
    return this.#onPool('write', offset, async () => {
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        const written = await writeOnPool(this.#fd, bytes, done, left, offset + done);
        done += progress(written.bytesWritten);
      }
    });
  }

  dropCached(offset: number, length: number): void {
    this.#check(offset, length);
    posixFadviseDontNeed(this.#fd, offset, length);
  }

  zeroNow(offset: number, length: number, mayPunch: boolean): void {
    this.#check(offset, length);
    assert(length <= ZERO_BYTES_MAX, 'zeroes are written a MiB at a time (H13)');
    const mode = this.#zeroMode(mayPunch);
    if (mode === null || this.#kind === 'file') {
      const done = mode !== null && this.#allocate(mode, offset, length);
      if (!done) this.#writeZeroes(offset, length);
      return;
    }
    // A block device takes whole logical blocks only: the edges are written.
    const end = offset + length;
    const from = Math.min(end, Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES);
    const to = Math.max(from, Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES);
    this.#writeZeroes(offset, from - offset);
    if (!this.#allocate(mode, from, to - from)) this.#writeZeroes(from, to - from);
    this.#writeZeroes(to, end - to);
  }

  // The caller passes whole blocks; the last, short one may be EINVAL on a device of 4 KiB sectors.
  punchNow(offset: number, length: number): boolean {
    this.#check(offset, length);
    return this.#allocate(PUNCH, offset, length);
  }

  nextData(from: number): number {
    assert(from >= 0 && from <= this.sizeBytes, 'a search begins on the disk');
    // The kernel has no SEEK_DATA for block devices: all of it may be data.
    if (this.#kind === 'block' || from === this.sizeBytes) return from;
    try {
      return Math.min(seekData(this.#fd, from) ?? this.sizeBytes, this.sizeBytes);
    } catch (cause) {
      throw diskFailure(this.path, 'lseek', from, cause);
    }
  }

  // A failure is reported by Linux once; that it stays one is the volume's to remember (H18).
  sync(): Promise<void> {
    this.#check(0, 0);
    return this.#onPool('fdatasync', 0, () => fdatasyncOnPool(this.#ownFd));
  }

  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    // All units at once are free only when every operation asked for before is over: a number
    // that is closed under a running pread may be another file by then.
    await this.#pool.take(this.#poolOperationsMax);
    try {
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
    await this.#pool.take();
    try {
      await work();
    } catch (cause) {
      throw diskFailure(this.path, operation, offset, cause);
    } finally {
      this.#pool.give();
    }
  }

  #readNow(offset: number, into: Uint8Array): boolean {
    try {
      for (let done = 0; done < into.length; ) {
        const got = readSync(this.#readFd, into, done, into.length - done, offset + done);
        if (got === 0) return false; // the read that follows meets the end and names it
        done += got;
      }
      return true;
    } catch (cause) {
      throw diskFailure(this.path, 'read', offset, cause);
    }
  }

  #shortRead(offset: number, wanted: number, got: number): Error {
    return new DiskError({ code: 'DISK_SHORT_READ', path: this.path, offset, wanted, got });
  }

  /** Null: by writing. Devices know punching only, which guarantees zeroes (H13). */
  #zeroMode(mayPunch: boolean): number | null {
    if (mayPunch) return PUNCH;
    return this.#kind === 'file' ? FALLOC.ZERO_RANGE | FALLOC.KEEP_SIZE : null;
  }

  /** False: not supported, nothing was done. */
  #allocate(mode: number, offset: number, length: number): boolean {
    if (length === 0) return true;
    if (this.#refused.has(mode)) return false;
    const errno = fallocate(this.#fd, mode, offset, length);
    if (errno === 0) return true;
    if (errno === ERRNO.EOPNOTSUPP || errno === ERRNO.ENOSYS) {
      this.#refused.add(mode);
      return false;
    }
    // A device whose logical block is larger than the piece at hand.
    if (errno === ERRNO.EINVAL && this.#kind === 'block') return false;
    throw new DiskError({
      code: 'DISK_FAILED',
      operation: 'fallocate',
      path: this.path,
      offset,
      errno: errnoName(errno),
    });
  }

  #writeZeroes(offset: number, length: number): void {
    for (let done = 0; done < length; done += ZEROES.length) {
      this.writeNow(offset + done, ZEROES.subarray(0, Math.min(ZEROES.length, length - done)));
    }
  }
}

const PUNCH = FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE;

/** A write that writes nothing would loop for ever. */
function progress(bytes: number): number {
  assert(bytes > 0, 'write(2) of some bytes writes some or fails');
  return bytes;
}
