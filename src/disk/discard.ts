// Memory given back to the kernel: bitmaps of a disk are as long as the disk is large, and writes
// all over it would keep every page of them for good. What is discarded reads as zeroes from then
// on, and takes memory again where it is written (madvise(2), MADV_DONTNEED).
import koffi from 'koffi';
import { MIB } from '../base/units.js';
import { PAGE_BYTES } from './residency.js';
import { addressOf } from './syscalls.js';

const libcMadvise = koffi
  .load(null)
  .func('int madvise(uintptr_t address, size_t n, int advice)') as (
  address: number,
  length: number,
  advice: number,
) => number;
const MADV_DONTNEED = 4;
/** Less stays where it is: it may share its pages with somebody else's. */
const DISCARD_BYTES_MIN = MIB;

/** `memory` is zero altogether, or nobody wants what it has, and nobody writes to it meanwhile.
 * What of it does not fill a page is left as it is. Costs 2 us where nothing was written. */
export function discard(memory: SharedArrayBuffer): void {
  if (memory.byteLength < DISCARD_BYTES_MIN) return;
  const begin = addressOf(new Uint8Array(memory));
  const from = Math.ceil(begin / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor((begin + memory.byteLength) / PAGE_BYTES) * PAGE_BYTES;
  // Advice: where it is refused, nothing has changed.
  libcMadvise(from, end - from, MADV_DONTNEED);
}
