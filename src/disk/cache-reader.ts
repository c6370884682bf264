// What the page cache has of a file or block device, read in the calling thread without waiting for
// the medium: with preadv2(RWF_NOWAIT), as memory where the file system is nothing else, or not at
// all where nobody can tell. Errors are those of Node. Offsets and lengths are bytes.
import { statfsSync } from 'node:fs';
import type { DiskKind } from './probe.js';
import { preadCached } from './syscalls.js';
import { readWholeNow } from './whole.js';

/** f_type of a file system that is memory only (statfs(2)); it has no RWF_NOWAIT and no need. */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

export class CacheReader {
  readonly #fd: number;
  readonly #kind: DiskKind;
  #way: 'ask' | 'memory' | 'never' = 'ask';

  /** `fd`: of the file that is read, to ask what it lies on. */
  constructor(fd: number, kind: DiskKind) {
    this.#fd = fd;
    this.#kind = kind;
  }

  /** Fills `into` through `fd`; false: not all of it is there, or it cannot be told. */
  read(fd: number, offset: number, into: Uint8Array): boolean {
    if (this.#way === 'never') return false;
    // At the end of the file false: the read that follows meets it and names it.
    if (this.#way === 'memory') return readWholeNow(fd, into, offset) === into.length;
    const got = preadCached(fd, into, offset);
    if (got !== 'unsupported') return got === into.length;
    // NFS and FUSE cannot tell either, but there a plain read would wait for the medium.
    const { type } = statfsSync(`/proc/self/fd/${this.#fd}`);
    this.#way = this.#kind === 'file' && MEMORY_FILE_SYSTEMS.has(type) ? 'memory' : 'never';
    return this.read(fd, offset, into);
  }
}
