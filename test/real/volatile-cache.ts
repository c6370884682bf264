// The volatile cache of a disk: what is written is kept in memory until a flush, and when the power
// fails, any part of it may have reached the disk, in any order and torn at 512 bytes. Guarantee:
// what was flushed, or written with FUA, is in the image; of what came later each sector holds what
// it held, or one of the contents written to it since. Offsets and lengths are bytes, whole
// sectors.
import assert from 'node:assert/strict';
import { readSync, writeSync } from 'node:fs';
import type { Random } from '../../src/base/random.js';
import { MIB, SECTOR_BYTES } from '../../src/base/units.js';

/** A real cache is of some size too: beyond that, all is written. */
const UNFLUSHED_SECTORS_MAX = (64 * MIB) / SECTOR_BYTES;
/** Contents of one sector that may survive; of more, the older ones. */
const VERSIONS_MAX = 8;
/** Of a thousand sectors, how many survive a cut: one of these, by seed. */
const SHARES = [0, 20, 200, 500, 500, 800, 980, 1000];

export interface CutReport {
  /** Sectors that were not flushed, and those of them that changed in the image. */
  readonly unflushed: number;
  readonly survived: number;
}

export class VolatileCache {
  readonly #fd: number;
  /** What each sector was given since the last flush, oldest first. */
  readonly #unflushed = new Map<number, Uint8Array[]>();

  /** `fd`: of the image, what survives. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  read(offset: number, into: Uint8Array): void {
    assert.equal(readSync(this.#fd, into, 0, into.length, offset), into.length);
    for (let at = 0; at < into.length; at += SECTOR_BYTES) {
      const newest = this.#unflushed.get((offset + at) / SECTOR_BYTES)?.at(-1);
      if (newest !== undefined) into.set(newest, at);
    }
  }

  /** Keeps parts of `bytes`: they must not change afterwards. */
  write(offset: number, bytes: Uint8Array): void {
    assert.ok(offset % SECTOR_BYTES === 0 && bytes.length % SECTOR_BYTES === 0, 'whole sectors');
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const sector = (offset + at) / SECTOR_BYTES;
      const versions = this.#unflushed.get(sector) ?? [];
      if (versions.length === VERSIONS_MAX) versions.pop();
      versions.push(bytes.subarray(at, at + SECTOR_BYTES));
      this.#unflushed.set(sector, versions);
    }
    if (this.#unflushed.size > UNFLUSHED_SECTORS_MAX) this.flush();
  }

  writeThrough(offset: number, bytes: Uint8Array): void {
    writeSync(this.#fd, bytes, 0, bytes.length, offset);
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      this.#unflushed.delete((offset + at) / SECTOR_BYTES);
    }
  }

  flush(): void {
    for (const [sector, versions] of this.#unflushed) this.#keep(sector, versions.at(-1));
    this.#unflushed.clear();
  }

  /** The power fails: what survives is by chance. Nothing may be asked of this object any more. */
  cut(random: Random): CutReport {
    const share = SHARES[random.below(SHARES.length)] ?? 0;
    const report = { unflushed: this.#unflushed.size, survived: 0 };
    for (const [sector, versions] of this.#unflushed) {
      if (random.below(1000) >= share) continue;
      this.#keep(sector, versions[random.below(versions.length)]);
      report.survived += 1;
    }
    this.#unflushed.clear();
    return report;
  }

  #keep(sector: number, bytes: Uint8Array | undefined): void {
    if (bytes) writeSync(this.#fd, bytes, 0, bytes.length, sector * SECTOR_BYTES);
  }
}
