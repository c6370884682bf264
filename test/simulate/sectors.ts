// What a guest may find in its disk: a model of every sector that knows nothing of the program. A
// write is possible from its issue on and certain from its answer on; what it replaced stays
// possible after a power failure until a flush that was issued after its answer has been answered
// (W3). Every sector of every write carries the number of the write and its own place, so that a
// sector that stands elsewhere, or is torn, is seen. Offsets are bytes; a sector has 512.
import { SECTOR_BYTES } from '../../src/base/units.js';
import { Broken } from './broken.js';

const WORD_BYTES = 8;

/** One value that a sector has had, or may have. Times are counts of what happened. */
interface Version {
  readonly tag: number;
  readonly begun: number;
  ended: number;
  /** False: it may have done nothing (TRIM, or it failed). */
  certain: boolean;
}

/** A write under way. */
export interface Writing {
  readonly first: number;
  readonly versions: readonly Version[];
}

/** A read under way, and what there was when it was issued. */
export interface Reading {
  readonly offset: number;
  readonly begun: number;
  readonly lists: readonly Version[][];
}

/** The content of sector `sector` as of write number `tag`; 0: zeroes. */
export function fillSector(into: Uint8Array, at: number, tag: number, sector: number): void {
  const view = new DataView(into.buffer, into.byteOffset + at, SECTOR_BYTES);
  if (tag === 0) return void into.fill(0, at, at + SECTOR_BYTES);
  view.setUint32(0, tag);
  view.setUint32(4, sector);
  for (let filled = WORD_BYTES; filled < SECTOR_BYTES; filled *= 2) {
    into.copyWithin(at + filled, at, at + filled);
  }
}

export function contentOf(offset: number, length: number, tag: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += SECTOR_BYTES) {
    fillSector(bytes, at, tag, (offset + at) / SECTOR_BYTES);
  }
  return bytes;
}

/** Stands for whatever a sector holds that no guest wrote. */
const foreign = (sector: number): number => -1 - sector;

/** Write number of the content at `at`; null: no whole sector of that place. */
export function tagOf(bytes: Uint8Array, at: number, sector: number): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, SECTOR_BYTES);
  const [high, low] = [view.getUint32(0), view.getUint32(4)];
  const last = SECTOR_BYTES - WORD_BYTES;
  if (view.getUint32(last) !== high || view.getUint32(last + 4) !== low) return null;
  if (high === 0 && low === 0) return 0;
  return low === sector ? high : null;
}

export class Sectors {
  readonly #lists: Version[][] = [];
  /** Sectors with more than one version. */
  readonly #open = new Set<number>();
  /** Under way. */
  readonly #readings = new Set<Reading>();
  #time = 1;

  /** All of it is on the disk. */
  constructor(bytes: Uint8Array) {
    this.become(bytes);
  }

  get sizeBytes(): number {
    return this.#lists.length * SECTOR_BYTES;
  }

  /** The disk is that, whatever was written: after a crash was judged, or for what others did. */
  become(bytes: Uint8Array): void {
    this.#readings.clear();
    this.#open.clear();
    this.#lists.length = bytes.length / SECTOR_BYTES;
    for (let sector = 0; sector < this.#lists.length; sector += 1) {
      const tag = tagOf(bytes, sector * SECTOR_BYTES, sector) ?? foreign(sector);
      this.#lists[sector] = [{ tag, begun: this.#time, ended: this.#time, certain: true }];
    }
  }

  /** The process died: what was under way may have been done, and nobody was told. */
  killed(): void {
    this.#time += 1;
    this.#readings.clear();
    for (const sector of this.#open) {
      for (const version of this.#lists[sector] ?? []) {
        if (version.ended !== Number.POSITIVE_INFINITY) continue;
        version.ended = this.#time;
        version.certain = false;
      }
    }
  }

  /** The disk is longer now. */
  grown(bytes: Uint8Array): void {
    const { sizeBytes } = this;
    for (let at = sizeBytes; at < bytes.length; at += SECTOR_BYTES) {
      const sector = at / SECTOR_BYTES;
      const tag = tagOf(bytes, at, sector) ?? foreign(sector);
      this.#lists.push([{ tag, begun: this.#time, ended: this.#time, certain: true }]);
    }
  }

  /** The page cache was dropped after an fdatasync that had failed (H18): what a power failure may
   * leave may now be read, too. */
  evicted(): void {
    this.#time += 1;
    for (const sector of this.#open) {
      const list = this.#lists[sector] ?? [];
      const [begun, ended] = [this.#time, this.#time];
      this.#lists[sector] = list.map(({ tag }) => ({ tag, begun, ended, certain: true }));
    }
  }

  /** A write of one number (or of older content, whose tags are read from `bytes`) is issued. */
  begin(offset: number, bytes: Uint8Array, certain = true): Writing {
    this.#time += 1;
    const first = offset / SECTOR_BYTES;
    const versions: Version[] = [];
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const sector = first + at / SECTOR_BYTES;
      const tag = tagOf(bytes, at, sector) ?? foreign(sector);
      const version = { tag, begun: this.#time, ended: Number.POSITIVE_INFINITY, certain };
      versions.push(version);
      this.#lists[sector]?.push(version);
      this.#open.add(sector);
    }
    return { first, versions };
  }

  /** ... and answered. 'nothing': it said that nothing was done; 'failed': nobody can say. */
  end({ first, versions }: Writing, how: 'done' | 'nothing' | 'failed'): void {
    this.#time += 1;
    for (const [at, version] of versions.entries()) {
      version.ended = this.#time;
      if (how === 'failed') version.certain = false;
      const list = this.#lists[first + at];
      if (how === 'nothing' && list !== undefined) list.splice(list.indexOf(version), 1);
    }
  }

  /** A flush is issued; the number is for `flushed`. */
  beginFlush(): number {
    this.#time += 1;
    return this.#time;
  }

  /** The flush was answered: what was replaced before it was issued is gone for good. */
  flushed(begun: number): void {
    for (const sector of this.#open) {
      const list = this.#lists[sector] ?? [];
      const left = list.filter((version) => !isReplaced(version, list, begun));
      this.#lists[sector] = left;
      for (const { offset, lists } of this.#readings) {
        const gone = list.filter((version) => !left.includes(version));
        lists[sector - offset / SECTOR_BYTES]?.push(...gone);
      }
      if (left.length === 1 && (left[0]?.ended ?? 0) <= begun) this.#open.delete(sector);
    }
  }

  /** A read is issued. What it may find is what there is, and what comes until it is answered: a
   * flush meanwhile makes nothing of that impossible. */
  beginRead(offset: number, length: number): Reading {
    this.#time += 1;
    const first = offset / SECTOR_BYTES;
    const lists = this.#lists.slice(first, first + length / SECTOR_BYTES).map((list) => [...list]);
    const reading = { offset, begun: this.#time, lists };
    this.#readings.add(reading);
    return reading;
  }

  /** ... and answered with `bytes`. */
  check(reading: Reading, bytes: Uint8Array, what: string): void {
    const { offset, begun, lists } = reading;
    this.#readings.delete(reading);
    for (let at = 0; at + SECTOR_BYTES <= bytes.length; at += SECTOR_BYTES) {
      const sector = (offset + at) / SECTOR_BYTES;
      const list = [...(lists[at / SECTOR_BYTES] ?? []), ...(this.#lists[sector] ?? [])];
      judge(list, sector, bytes, at, what, (version) => !isReplaced(version, list, begun));
    }
  }

  /** What a power failure may leave. */
  checkDurable(bytes: Uint8Array, what: string): void {
    this.#judge(bytes, what, () => true);
  }

  /** What the death of the process may leave. */
  checkNow(bytes: Uint8Array, what: string): void {
    const now = this.#time + 1;
    this.#judge(bytes, what, (version, list) => !isReplaced(version, list, now));
  }

  #judge(
    bytes: Uint8Array,
    what: string,
    possible: (version: Version, list: readonly Version[]) => boolean,
  ): void {
    for (let at = 0; at + SECTOR_BYTES <= bytes.length; at += SECTOR_BYTES) {
      const sector = at / SECTOR_BYTES;
      const list = this.#lists[sector] ?? [];
      judge(list, sector, bytes, at, what, (version) => possible(version, list));
    }
  }
}

function judge(
  list: readonly Version[],
  sector: number,
  bytes: Uint8Array,
  at: number,
  what: string,
  possible: (version: Version) => boolean,
): void {
  const tag = tagOf(bytes, at, sector) ?? foreign(sector);
  if (list.some((version) => version.tag === tag && possible(version))) return;
  const may = list.filter(possible).map((version) => version.tag);
  throw new Broken(`W3: ${what}: sector ${sector} is of write ${tag}, may be ${may}`);
}

/** A later one was issued after this one's answer, and answered by then. */
const isReplaced = (version: Version, list: readonly Version[], by: number): boolean =>
  list.some((other) => other.certain && other.begun > version.ended && other.ended <= by);
