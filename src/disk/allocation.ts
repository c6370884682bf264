// Zeroes and holes in a regular file or block device by fallocate(2). Guarantees: a range that was
// allocated reads as zeroes; what the file system or device does not know is refused with nothing
// done, and not asked for again; never BLKDISCARD (H13). Offsets and lengths are bytes.
import { BLOCK_BYTES } from '../base/units.js';
import { DiskError } from './device.js';
import type { DiskKind } from './probe.js';
import { ERRNO, errnoName, FALLOC, fallocate } from './syscalls.js';

const PUNCH = FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE;
const ZERO = FALLOC.ZERO_RANGE | FALLOC.KEEP_SIZE;

export class Allocation {
  readonly #fd: number;
  readonly #path: string;
  readonly #kind: DiskKind;
  /** fallocate modes that this file system or device was found not to have. */
  readonly #refused = new Set<number>();

  constructor(fd: number, path: string, kind: DiskKind) {
    this.#fd = fd;
    this.#path = path;
    this.#kind = kind;
  }

  /** False: not supported, or not for a piece of this size; nothing was done. Error DISK_FAILED. */
  punch(offset: number, length: number): boolean {
    return this.#allocate(PUNCH, offset, length);
  }

  /** Makes what of the range can be made zeroes without writing; `rest` gets what must be written,
   * in order. */
  zero(
    offset: number,
    length: number,
    mayPunch: boolean,
    rest: (offset: number, length: number) => void,
  ): void {
    // Devices know punching only, which guarantees zeroes (H13).
    const mode = mayPunch ? PUNCH : ZERO;
    if (this.#kind === 'file') {
      if (!this.#allocate(mode, offset, length)) rest(offset, length);
      return;
    }
    if (!mayPunch) {
      rest(offset, length);
      return;
    }
    // A block device takes whole logical blocks only: the edges are written.
    const end = offset + length;
    const from = Math.min(end, Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES);
    const to = Math.max(from, Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES);
    rest(offset, from - offset);
    if (!this.#allocate(mode, from, to - from)) rest(from, to - from);
    rest(to, end - to);
  }

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
      path: this.#path,
      offset,
      errno: errnoName(errno),
    });
  }
}
