// A raw disk kept as one file of a crash world, behind the Device that src/disk gives: writes are
// un-synced until `sync`, every change is a step at which the world may stop, so that the local
// disk and the replica's disk take part in a crash. Offsets and lengths are bytes.
// Failures injected into the world (world.failNext with the disk's path) come out as DiskError.
import { assert } from '../../src/base/assert.js';
import { FilesError } from '../../src/base/files.js';
import type { Random } from '../../src/base/random.js';
import { MIB, SECTOR_BYTES } from '../../src/base/units.js';
import { type Device, DiskError, type WriteReserved } from '../../src/disk/device.js';
import type { CrashWorld } from './memory-files.js';
import type { WorldFile } from './world-file.js';

/** Whether `readCached` finds the bytes: always, never, or as a coin thrown by this seed says. */
export type Cached = 'always' | 'never' | Random;

export interface WorldDeviceOptions {
  /** Default 'always'. */
  readonly cached?: Cached;
  /** False: `punchNow` answers that holes are not supported. Default true. */
  readonly punch?: boolean;
  /** Of the replicated part; default: all of the file. */
  readonly sizeBytes?: number;
}

/**
 * Opens the disk at `path`; make it first with `world.plant(path, sizeBytes)`.
 * Errors: DISK_MISSING. WorldStopped in a stopped world.
 */
export function openWorldDevice(
  world: CrashWorld,
  path: string,
  options: WorldDeviceOptions = {},
): Device {
  const sizeBytes = world.sizeNow(path);
  if (sizeBytes === null) throw new DiskError({ code: 'DISK_MISSING', path });
  assert(sizeBytes > 0 && sizeBytes % SECTOR_BYTES === 0, 'a disk has whole sectors');
  const part = options.sizeBytes ?? sizeBytes;
  assert(part <= sizeBytes, 'the disk has room for what is replicated');
  return new WorldDevice(world.openNow(path, 'write'), part, options);
}

class WorldDevice implements Device {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: WorldFile;
  readonly #cached: Cached;
  readonly #punch: boolean;

  constructor(file: WorldFile, sizeBytes: number, options: WorldDeviceOptions) {
    this.path = file.path;
    this.sizeBytes = sizeBytes;
    this.#file = file;
    this.#cached = options.cached ?? 'always';
    this.#punch = options.punch ?? true;
  }

  readCached(offset: number, into: Uint8Array): boolean {
    this.#inside(offset, into.length);
    const hit = typeof this.#cached === 'string' ? this.#cached : this.#cached.below(2) === 0;
    if (hit === 'never' || hit === false) return false;
    this.#now('read', offset, () => this.#file.readNow(into, offset));
    return true;
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    this.#inside(offset, into.length);
    return this.#later('read', offset, async () => void (await this.#file.read(into, offset)));
  }

  readAside(offset: number, into: Uint8Array): Promise<void> {
    return this.read(offset, into);
  }

  readMedium(offset: number, into: Uint8Array): Promise<void> {
    this.#inside(offset, into.length);
    return this.#later(
      'read',
      offset,
      async () => void (await this.#file.readMedium(into, offset)),
    );
  }

  writeNow(offset: number, bytes: Uint8Array): void {
    this.#inside(offset, bytes.length);
    this.#now('write', offset, () => this.#file.writeNow(bytes, offset));
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#inside(offset, bytes.length);
    return this.#later('write', offset, () => this.#file.write(bytes, offset));
  }

  reserved<T>(work: (write: WriteReserved) => Promise<T>): Promise<T> {
    return work((offset, bytes) => this.write(offset, bytes));
  }

  zeroNow(offset: number, length: number, mayPunch: boolean): void {
    this.#inside(offset, length);
    assert(length <= MIB, 'a section zeroes at most 1 MiB (H13)');
    if (mayPunch) this.#now('zero', offset, () => this.#file.zeroNow(offset, length));
    else this.#now('zero', offset, () => this.#file.writeNow(new Uint8Array(length), offset));
  }

  punchNow(offset: number, length: number): boolean {
    this.#inside(offset, length);
    if (!this.#punch) return false;
    this.#now('punch', offset, () => this.#file.zeroNow(offset, length));
    return true;
  }

  nextData(from: number): number {
    this.#inside(from, 0);
    return this.#now('seek', from, () => this.#file.nextDataNow(from));
  }

  nextHole(from: number): number {
    this.#inside(from, 0);
    return this.#now('seek', from, () => this.#file.nextHoleNow(from));
  }

  /** The world's cache has what it has. */
  prefetch(offset: number, length: number): void {
    this.#inside(offset, length);
  }

  /** The grain is coarse: the whole disk. */
  dropCached(offset: number, length: number): void {
    this.#inside(offset, length);
    this.#now('drop', offset, () => this.#file.dropCachedNow());
  }

  sync(): Promise<void> {
    return this.#later('sync', 0, () => this.#file.sync());
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** Nothing beyond the size is ever touched (H14). */
  #inside(offset: number, length: number): void {
    assert(offset >= 0 && length >= 0, 'a range has no negative numbers');
    assert(offset + length <= this.sizeBytes, 'a range lies inside the disk');
  }

  #now<T>(operation: string, offset: number, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#asDiskError(operation, offset, error);
    }
  }

  async #later<T>(operation: string, offset: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#asDiskError(operation, offset, error);
    }
  }

  #asDiskError(operation: string, offset: number, cause: unknown): unknown {
    if (!(cause instanceof FilesError) || cause.fault.code !== 'FILE_FAILED') return cause;
    const { errno } = cause.fault;
    return new DiskError(
      { code: 'DISK_FAILED', operation, path: this.path, offset, errno },
      { cause },
    );
  }
}
