// The page cache of a file, from outside of who reads it: dropping it, and asking the kernel which
// pages are in it (mincore(2)). After a round that began with nothing cached, that is what was
// read, the kernel's reading ahead included.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { BLOCK_BYTES, CHUNK_BYTES } from '../src/base/units.js';
import { posixFadviseRandom } from '../src/disk/syscalls.js';
import { run } from './meters.js';

const PAGE_BYTES = 4096;
const PROT_READ = 1;
const MAP_SHARED = 1;

const libc = koffi.load('libc.so.6');
const mmap = libc.func('int64_t mmap(uintptr_t, size_t, int, int, int, int64_t)');
const munmap = libc.func('int munmap(uintptr_t, size_t)');
const mincore = libc.func('int mincore(uintptr_t, size_t, void *)');

/** Makes everything written to the files durable, so that write-back is not in the next figure. */
export const syncFiles = (paths: readonly string[]) => run('sync', ['--data', ...paths]);

/** Syncs the files and drops their pages; another process may have them open. */
export async function evict(paths: readonly string[]): Promise<void> {
  await syncFiles(paths);
  for (const path of paths) {
    const drop = ['oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'];
    await run('dd', ['if=/dev/null', `of=${path}`, ...drop]);
  }
}

/** Brings all of a file into the page cache in pages of their own; those that are in stay. */
export function bringIn(path: string): void {
  const fd = openSync(path, 'r');
  try {
    posixFadviseRandom(fd);
    const block = Buffer.alloc(BLOCK_BYTES);
    for (let at = 0; readSync(fd, block, 0, BLOCK_BYTES, at) > 0; at += BLOCK_BYTES);
  } finally {
    closeSync(fd);
  }
}

export interface Cached {
  readonly bytes: number;
  /** Of these, in chunks that are not in the set given. */
  readonly outsideBytes: number;
}

/** What of a file is in the page cache; nothing is read for it. */
export function cachedOf(path: string, chunks: ReadonlySet<number>): Cached {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const pages = Buffer.alloc(Math.ceil(size / PAGE_BYTES));
    const address = Number(mmap(0, size, PROT_READ, MAP_SHARED, fd, 0));
    if (address < 0) throw new Error(`mmap of ${path} failed`);
    const failed = mincore(address, size, pages) !== 0;
    munmap(address, size);
    if (failed) throw new Error(`mincore of ${path} failed`);
    let [cached, outside] = [0, 0];
    for (let page = 0; page < pages.length; page += 1) {
      if (((pages[page] ?? 0) & 1) === 0) continue;
      cached += 1;
      if (!chunks.has(Math.floor((page * PAGE_BYTES) / CHUNK_BYTES))) outside += 1;
    }
    return { bytes: cached * PAGE_BYTES, outsideBytes: outside * PAGE_BYTES };
  } finally {
    closeSync(fd);
  }
}
