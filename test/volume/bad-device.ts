// A disk in memory with bad blocks: reads that meet one fail with EIO, and a write mends it, as
// disks do. Blocks are BLOCK_BYTES, offsets and lengths are bytes.
import { BLOCK_BYTES } from '../../src/base/units.js';
import { DiskError } from '../../src/disk/device.js';
import { MemoryDevice } from '../disk/memory-device.js';

/** A disk with blocks that cannot be read until they are written. */
export class BadDevice extends MemoryDevice {
  readonly bad = new Set<number>();

  override readCached(offset: number, into: Uint8Array): boolean {
    return !this.#meets(offset, into.length) && super.readCached(offset, into);
  }

  override async read(offset: number, into: Uint8Array): Promise<void> {
    if (this.#meets(offset, into.length)) throw this.#error(offset);
    await super.read(offset, into);
  }

  override async readAside(offset: number, into: Uint8Array): Promise<void> {
    if (this.#meets(offset, into.length)) throw this.#error(offset);
    await super.readAside(offset, into);
  }

  override writeNow(offset: number, bytes: Uint8Array): void {
    super.writeNow(offset, bytes);
    for (const block of this.#blocks(offset, bytes.length)) this.bad.delete(block);
  }

  #meets(offset: number, length: number): boolean {
    return this.#blocks(offset, length).some((block) => this.bad.has(block));
  }

  #blocks(offset: number, length: number): number[] {
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  }

  #error(offset: number): Error {
    const { path } = this;
    return new DiskError({ code: 'DISK_FAILED', operation: 'read', path, offset, errno: 'EIO' });
  }
}
