// The page cache of a file from outside of who reads it: what is in (mincore(2), which reads
// nothing), bringing single pages in, dropping all. Offsets are bytes, pages 4 KiB.
import assert from 'node:assert/strict';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, statfsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { PAGE_BYTES, residency } from '../../src/disk/residency.js';
import { posixFadviseDontNeed, posixFadviseRandom } from '../../src/disk/syscalls.js';

const TMPFS = 0x0102_1994;
/** A file is made cold again so often, so long apart. */
const TURNS_MAX = 300;
const TURN_MS = 100;

/** False after skipping: the folder's file system has no page cache to look at. */
export function needPageCache(t: TestContext, folder: string): boolean {
  const reason = statfsSync(folder).type === TMPFS ? 'the temporary folder is a tmpfs' : null;
  if (reason !== null) t.skip(reason);
  else if (PAGE_BYTES !== 4096) t.skip('pages of this machine are not of 4 KiB');
  else return true;
  return false;
}

export interface CachePages {
  /** Numbers of the pages that are in, of `pages` pages from page `first`. */
  in(first: number, pages: number): number[];
  /** Brings pages in, each alone. */
  warm(...pages: number[]): void;
  /** Writes back and drops all of the file. */
  cold(): void;
}

export function cachePages(t: TestContext, path: string): CachePages {
  const fd = openSync(path, 'r+');
  t.after(() => closeSync(fd));
  posixFadviseRandom(fd); // one page is one page
  const one = new Uint8Array(1);
  return {
    in: (first, pages) => {
      const found = residency(fd, first * 4096, pages * 4096);
      assert.ok(found, 'mincore can be asked');
      return [...found.isIn.keys()].filter((i) => found.isIn[i]).map((i) => i + first);
    },
    warm: (...pages) => {
      for (const page of pages) readSync(fd, one, 0, 1, page * 4096);
    },
    cold: () => {
      const { size } = fstatSync(fd);
      const pages = Math.ceil(size / 4096);
      // Advice is taken or not: a page that the kernel holds for a moment stays.
      for (let turn = 0; turn < TURNS_MAX; turn += 1) {
        fsyncSync(fd); // only clean pages go
        assert.equal(posixFadviseDontNeed(fd, 0, size), 0);
        const left = residency(fd, 0, pages * 4096);
        assert.ok(left, 'mincore can be asked');
        if (left.isIn.every((isIn) => !isIn)) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TURN_MS);
      }
      assert.fail('the kernel keeps pages of the file');
    },
  };
}
