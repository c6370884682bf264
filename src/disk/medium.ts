// Reading what the medium holds, past the page cache (H28): O_DIRECT on an open file of its own.
// Guarantees: nothing is brought into the page cache and nothing is evicted; dirty pages of the
// range are written first by the kernel, so what is read is never older than what was written.
// Where O_DIRECT is refused (tmpfs, some FUSE) that is found once, and said. Offsets are bytes.
//
// ext4 with data=journal and btrfs with compression accept O_DIRECT and read through the cache.
import { close, constants, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { codeOf } from '../base/errors.js';
import { alignedMemory } from './syscalls.js';

const openOnPool = promisify(open);
const readOnPool = promisify(read);
const closeOnPool = promisify(close);

/** Offsets, lengths and memory of O_DIRECT are multiples of the logical block, 512 or 4096. */
const ALIGN_BYTES = 4096;
const BOUNCE_BYTES = 128 * 1024;

export class MediumReader {
  readonly #fd: number;
  #direct: Promise<number> | null = null;
  #refused = false;
  /** Memory to read into; as many as ever were used at once. */
  readonly #spare: Uint8Array[] = [];

  /** Opens nothing yet; `fd` is open while this is used. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Bytes read: `into.length`, or fewer where the file ends. 'refused': no O_DIRECT here, nothing
   * was read. Errors are those of Node, with an errno in `code`.
   */
  async read(offset: number, into: Uint8Array): Promise<number | 'refused'> {
    if (this.#refused) return 'refused';
    const bounce = this.#spare.pop() ?? alignedMemory(BOUNCE_BYTES, ALIGN_BYTES);
    try {
      this.#direct ??= this.#open();
      return await readAligned(await this.#direct, offset, into, bounce);
    } catch (cause) {
      // Refused when opened, or at the first read: in user space, or sectors above 4 KiB.
      if (!REFUSALS.has(codeOf(cause) ?? '')) throw cause;
      this.#refused = true;
      return 'refused';
    } finally {
      this.#spare.push(bounce);
    }
  }

  /** One open for all; one that fails is forgotten: descriptors may be short for a moment only. */
  async #open(): Promise<number> {
    try {
      return await openOnPool(`/proc/self/fd/${this.#fd}`, constants.O_RDONLY | constants.O_DIRECT);
    } catch (cause) {
      this.#direct = null;
      throw cause;
    }
  }

  /** No read is under way. */
  async close(): Promise<void> {
    const fd = await this.#direct?.catch(() => null); // it was never open
    if (typeof fd === 'number') await closeOnPool(fd);
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['EINVAL', 'EOPNOTSUPP', 'ENOTSUP']);

/** One read after the other, each aligned again: a short one ends anywhere. */
async function readAligned(
  fd: number,
  offset: number,
  into: Uint8Array,
  bounce: Uint8Array,
): Promise<number> {
  for (let done = 0; done < into.length; ) {
    const skip = (offset + done) % ALIGN_BYTES;
    const wanted = Math.ceil((skip + into.length - done) / ALIGN_BYTES) * ALIGN_BYTES;
    const length = Math.min(wanted, bounce.length);
    const { bytesRead } = await readOnPool(fd, bounce, 0, length, offset + done - skip);
    const useful = Math.min(bytesRead - skip, into.length - done);
    if (useful <= 0) return done;
    into.set(bounce.subarray(skip, skip + useful), done);
    done += useful;
  }
  return into.length;
}
