// Where what a guest writes over a restore point is kept: a sparse file with the blocks at their
// places and a map of those that it has. A temporary one has no name and is gone with the process;
// one with a name is of one point of one resource, and goes on where it was left: `sync` makes
// durable what was written before it, blocks first and then the map that says so, so that after a
// crash a block is as it was at the last sync, or newer. Offsets and lengths are bytes.
//
//   0     header, one page: magic 'HOV0' 4, spare 4, resource 16, point 16, disk size 8, check 8
//   4096  blocks of the disk, each at 4096 + its offset
//   then  the map: a bit for each block, the lowest of a byte first
import { randomUUID } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { codeOf, errorClass } from '../base/errors.js';
import { Mutex } from '../base/sync.js';
import { BLOCK_BYTES, blockCount } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { openFileDevice } from '../disk/file-device.js';
import { flockExclusive } from '../disk/syscalls.js';
import {
  copyOf,
  dataView,
  expectCheck,
  expectMagic,
  layout,
  putCheck,
  putMagic,
  putU64,
  takeU64,
} from '../format/layout.js';
import { sameId } from '../lineage/lineage.js';
import { BlockBits, MAP_PAGE_BYTES } from './block-bits.js';

export type OverlayFault =
  | { code: 'OVERLAY_OTHER'; path: string; why: string }
  | { code: 'OVERLAY_IN_USE'; path: string }
  | { code: 'OVERLAY_UNUSABLE'; path: string; errno: string };

export const OverlayError = errorClass<OverlayFault>('OverlayError', {
  OVERLAY_OTHER: (f) => `${f.path}: is not the changes of this point: ${f.why}; name another file`,
  OVERLAY_IN_USE: (f) => `${f.path}: another hastctl serves with it; end that first`,
  OVERLAY_UNUSABLE: (f) => `${f.path}: changes cannot be kept there: ${f.errno}`,
});

/** What changes are of. */
export interface OverlayOf {
  readonly resource: Uint8Array;
  readonly point: Uint8Array;
  readonly sizeBytes: number;
}

const PAGE_BYTES = 4096;
const MAGIC = 'HOV0';
const AT = layout(56, { magic: 4, spare: 4, resource: 16, point: 16, size: 8, check: 8 });
const FILE_MODE = 0o600;

/** A new file without a name in `folder`, for reading and writing. Error OVERLAY_UNUSABLE. */
export function namelessFile(folder: string): number {
  const path = join(folder, `.hast-${randomUUID()}`);
  return usable(folder, () => {
    const fd = openSync(path, 'wx+', FILE_MODE);
    try {
      unlinkSync(path);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return fd;
  });
}

export class OverlayFile {
  readonly bits = new BlockBits();
  readonly #device: Device;
  readonly #mapAt: number;
  readonly #named: boolean;
  readonly #one = new Mutex();
  /** Linux tells of a failed write-back once: from then on nothing is durable (H18). */
  #failure: { readonly error: unknown } | null = null;

  private constructor(fd: number, path: string, sizeBytes: number, named: boolean) {
    const { mapAt, totalBytes } = placesOf(sizeBytes);
    this.#mapAt = mapAt;
    this.#named = named;
    this.#device = openFileDevice(fd, path, 'file', totalBytes, { ownsFd: true });
  }

  /** Gone when it is closed. Error OVERLAY_UNUSABLE. */
  static temporary(folder: string, sizeBytes: number): OverlayFile {
    const fd = namelessFile(folder);
    sized(fd, folder, sizeBytes);
    return new OverlayFile(fd, folder, sizeBytes, false);
  }

  /** Made where there is none; what is no file is left alone. Errors OVERLAY_OTHER,
   * OVERLAY_IN_USE, OVERLAY_UNUSABLE; DISK_FAILED also where something that was written before
   * could not be kept: it is gone then, and the next time opens what is left. */
  static async named(path: string, of: OverlayOf): Promise<OverlayFile> {
    const { fd, size } = lockedFile(path);
    const { totalBytes } = placesOf(of.sizeBytes);
    const file = new OverlayFile(fd, path, of.sizeBytes, true);
    try {
      // What a failed flush gave up looks written until its pages go (H18).
      await file.#device.sync();
      file.#device.dropCached(0, Math.min(size, totalBytes));
      if (size === 0) await file.#begin(path, of);
      else if (size >= PAGE_BYTES && size <= totalBytes) await file.#check(path, of);
      else throw other(path, `it has ${size} bytes`);
      sized(fd, path, of.sizeBytes);
      await file.#load(totalBytes);
      return file;
    } catch (error) {
      await file.#device.close();
      throw error;
    }
  }

  /** Fills `into`; null: it was in the page cache. */
  read(offset: number, into: Uint8Array): Promise<void> | null {
    const at = PAGE_BYTES + offset;
    return this.#device.readCached(at, into) ? null : this.#device.read(at, into);
  }

  writeNow(offset: number, bytes: Uint8Array): void {
    this.#device.writeNow(PAGE_BYTES + offset, bytes);
  }

  /** At most 1 MiB. */
  zeroNow(offset: number, length: number, mayPunch: boolean): void {
    this.#device.zeroNow(PAGE_BYTES + offset, length, mayPunch);
  }

  /** False: not supported here, nothing was done. */
  punchNow(offset: number, length: number): boolean {
    return this.#device.punchNow(PAGE_BYTES + offset, length);
  }

  /** First offset >= `from` that may be data, or that is a hole: where the file can tell. */
  next(what: 'data' | 'hole', from: number): number {
    const at = PAGE_BYTES + from;
    const found = what === 'data' ? this.#device.nextData(at) : this.#device.nextHole(at);
    return found - PAGE_BYTES;
  }

  /** See above; nothing, where all is gone in the end. */
  async sync(): Promise<void> {
    if (!this.#named) return;
    await this.#one.run(async () => {
      if (this.#failure !== null) throw this.#failure.error;
      const pages = this.bits.takeChanged();
      try {
        await this.#device.sync();
        if (pages.size === 0) return;
        for (const [number, page] of pages) {
          await this.#device.write(this.#mapAt + number * MAP_PAGE_BYTES, page);
        }
        await this.#device.sync();
      } catch (error) {
        this.#failure = { error };
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    try {
      await this.sync();
    } finally {
      await this.#device.close();
    }
  }

  async #begin(path: string, { resource, point, sizeBytes }: OverlayOf): Promise<void> {
    const page = new Uint8Array(PAGE_BYTES);
    putMagic(page, MAGIC);
    page.set(resource, AT.resource);
    page.set(point, AT.point);
    putU64(dataView(page), AT.size, sizeBytes);
    putCheck(page, AT.check);
    await this.#device.write(0, page);
    await this.#device.sync();
    usable(path, () => {
      const folder = openSync(dirname(path), 'r');
      try {
        fsyncSync(folder);
      } finally {
        closeSync(folder);
      }
    });
  }

  async #check(path: string, of: OverlayOf): Promise<void> {
    const page = new Uint8Array(PAGE_BYTES);
    await this.#device.read(0, page);
    const where = { what: 'file of changes', place: path };
    try {
      expectMagic(page, MAGIC, where);
      expectCheck(page, AT.check, where);
    } catch (error) {
      if (codeOf(error) !== 'FORMAT_BAD') throw error;
      throw other(path, 'it is something else, or damaged');
    }
    if (takeU64(dataView(page), AT.size, where) !== of.sizeBytes) {
      throw other(path, 'it is of a disk of another size');
    }
    if (!sameId(copyOf(page, AT.resource, AT.point), of.resource)) {
      throw other(path, 'it is of another resource');
    }
    if (!sameId(copyOf(page, AT.point, AT.size), of.point)) {
      throw other(path, 'it is of another point');
    }
  }

  async #load(totalBytes: number): Promise<void> {
    const page = new Uint8Array(MAP_PAGE_BYTES);
    for (let at = this.#mapAt; at < totalBytes; at += MAP_PAGE_BYTES) {
      const data = this.#device.nextData(at);
      const number = Math.floor((data - this.#mapAt) / MAP_PAGE_BYTES);
      at = this.#mapAt + number * MAP_PAGE_BYTES;
      if (at >= totalBytes) return;
      await this.#device.read(at, page);
      this.bits.load(number, page);
    }
  }
}

function placesOf(sizeBytes: number): { readonly mapAt: number; readonly totalBytes: number } {
  const blocks = blockCount(sizeBytes);
  const mapAt = PAGE_BYTES + blocks * BLOCK_BYTES;
  return { mapAt, totalBytes: mapAt + Math.ceil(blocks / 8 / MAP_PAGE_BYTES) * MAP_PAGE_BYTES };
}

function openedOrMade(path: string): number {
  try {
    return openSync(path, 'wx+', FILE_MODE);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return openSync(path, 'r+');
  }
}

/** Ours alone, with the size that it has since then: a device has none, and is not empty. */
function lockedFile(path: string): { readonly fd: number; readonly size: number } {
  const fd = usable(path, () => openedOrMade(path));
  try {
    if (!usable(path, () => flockExclusive(fd))) {
      throw new OverlayError({ code: 'OVERLAY_IN_USE', path });
    }
    const stats = usable(path, () => fstatSync(fd));
    if (!stats.isFile()) throw other(path, 'it is no regular file');
    return { fd, size: stats.size };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const sized = (fd: number, path: string, sizeBytes: number): void =>
  usable(path, () => ftruncateSync(fd, placesOf(sizeBytes).totalBytes));

const other = (path: string, why: string) => new OverlayError({ code: 'OVERLAY_OTHER', path, why });

function usable<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const errno = codeOf(cause) ?? 'unknown';
    throw new OverlayError({ code: 'OVERLAY_UNUSABLE', path, errno }, { cause });
  }
}
