// Where the disks of disk-errors.test.ts and disk-hangs.test.ts are bad, and how time and lines of
// a log are counted there. Places and lengths are bytes.
import { systemClock } from '../../src/base/clock.js';

export const KIB = 1024;
export const BLOCK = 4 * KIB;
export const CHUNK = 64 * KIB;
/** A block of chunk 1, and a sector in it. */
export const BAD = CHUNK + 5 * BLOCK;
export const SECTOR = { offset: BAD + 512, length: 512 };

export const nowMs = (): number => systemClock.monotonicMs();
export const count = (text: string, part: string): number => text.split(part).length - 1;
