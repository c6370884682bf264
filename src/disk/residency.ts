// Which pages of a file or block device are in the page cache, by mincore(2) on a mapping made for
// the question; nothing is read and no page is touched. preadv2(RWF_NOWAIT) cannot say it: it stops
// at the first page that is missing, and has then begun to bring it in, with read-ahead.
// Offsets and lengths are bytes; pages are those of the machine (4 KiB, or up to 64 KiB on arm64).
import koffi from 'koffi';
import { assert } from '../base/assert.js';
import { addressOf, posixFadviseDontNeed } from './syscalls.js';

const libc = koffi.load(null);
const libcMmap = libc.func('int64 mmap(uintptr_t, size_t, int, int, int, int64)') as Call6;
const libcMunmap = libc.func('int munmap(uintptr_t, size_t)') as (a: number, b: number) => number;
const libcMincore = libc.func('int mincore(uintptr_t, size_t, uintptr_t)') as Call3;
const libcPageSize = libc.func('int getpagesize()') as () => number;

type Call3 = (a: number, b: number, c: number) => number;
type Call6 = (a: number, b: number, c: number, d: number, e: number, f: number) => number;

const PROT_READ = 1;
const MAP_SHARED = 1;
/** At most this much is looked at together: 16 MiB of 4 KiB pages. */
const PAGES_MAX = 4096;

export const PAGE_BYTES = libcPageSize();
assert(PAGE_BYTES >= 4096 && (PAGE_BYTES & (PAGE_BYTES - 1)) === 0, 'pages have a usual size');

/** The pages of a range; `isIn[i]` is of the page at `firstPage + i`. */
export interface Residency {
  readonly firstPage: number;
  readonly isIn: readonly boolean[];
}

/**
 * Null where it cannot be told: a file system without mmap, or a range of more than 4096 pages. A
 * process that may not write the file is told that all is in (mincore(2), NOTES).
 */
export function residency(fd: number, offset: number, length: number): Residency | null {
  const firstPage = Math.floor(offset / PAGE_BYTES);
  const pages = Math.ceil((offset + length) / PAGE_BYTES) - firstPage;
  if (pages === 0) return { firstPage, isIn: [] };
  if (pages > PAGES_MAX) return null;
  const bytes = pages * PAGE_BYTES;
  const address = libcMmap(0, bytes, PROT_READ, MAP_SHARED, fd, firstPage * PAGE_BYTES);
  if (address < 0) return null;
  const failed = libcMincore(address, bytes, vectorAddress) !== 0;
  libcMunmap(address, bytes);
  if (failed) return null;
  return { firstPage, isIn: Array.from(vector.subarray(0, pages), (byte) => (byte & 1) === 1) };
}

/** Drops all pages that the range touches, as far as they are clean. */
export function dropPages(fd: number, offset: number, length: number): void {
  const from = Math.floor(offset / PAGE_BYTES) * PAGE_BYTES;
  const to = Math.ceil((offset + length) / PAGE_BYTES) * PAGE_BYTES;
  if (to > from) posixFadviseDontNeed(fd, from, to - from); // a length of 0 would mean all
}

/** Drops the pages that were not in when `before` was taken; dirty ones stay, as always. */
export function dropOthers(fd: number, before: Residency): void {
  const { firstPage, isIn } = before;
  for (let from = 0; from < isIn.length; ) {
    let to = from;
    while (to < isIn.length && isIn[to] === false) to += 1;
    if (to > from) {
      posixFadviseDontNeed(fd, (firstPage + from) * PAGE_BYTES, (to - from) * PAGE_BYTES);
    }
    from = to + 1;
  }
}

const vector = new Uint8Array(new ArrayBuffer(PAGES_MAX));
const vectorAddress = addressOf(vector);
