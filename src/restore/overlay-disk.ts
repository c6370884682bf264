// A restore point that can be written: changes lie aside, in blocks of 4 KiB, and what is under
// them is never changed. Guarantees: a write that was answered is what is read, whatever other
// writes of the same block are under way; a block of which only a part is written gets the rest
// from below first; what is trimmed reads as zeroes. Offsets and lengths are bytes.
//
// Two writers of one block: whoever needs the block from below waits for that, and then looks, and
// writes, and marks the block in one go. If it is marked by then, only the part itself is written.
import { nextTurn } from '../base/clock.js';
import { BLOCK_BYTES, MIB } from '../base/units.js';
import type { Disk, Sooner, SoonerRuns, StatusRun } from '../disk/disk.js';
import { BASE_ALLOCATION, READ_CONTEXT, STATE_HOLE, STATE_ZERO } from '../nbd/meta-context.js';
import type { OverlayFile } from './overlay-file.js';

const ZERO_BYTES_MAX = MIB;
const ZEROES = new Uint8Array(BLOCK_BYTES);

export class OverlayDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly = false;
  readonly contexts = [BASE_ALLOCATION];
  readonly #below: Disk;
  readonly #file: OverlayFile;

  constructor(below: Disk, file: OverlayFile) {
    this.#below = below;
    this.#file = file;
    this.sizeBytes = below.sizeBytes;
  }

  read(offset: number, into: Uint8Array): Sooner {
    const waits: Promise<void>[] = [];
    for (const { at, length, own } of this.#runs(offset, into.length)) {
      const part = into.subarray(at - offset, at - offset + length);
      const sooner = own ? (this.#file.read(at, part) ?? 'done') : this.#below.read(at, part);
      if (sooner !== 'done') waits.push(sooner);
    }
    return waits.length === 0 ? 'done' : allOf(waits);
  }

  write(offset: number, bytes: Uint8Array): Sooner {
    const end = offset + bytes.length;
    const isWhole = (at: number): boolean => at % BLOCK_BYTES === 0 || at === this.sizeBytes;
    if (isWhole(offset) && isWhole(end)) {
      this.#writeBlocks(offset, bytes);
      return 'done';
    }
    const block = Math.floor(offset / BLOCK_BYTES);
    if (end <= (block + 1) * BLOCK_BYTES && this.#file.bits.has(block)) {
      this.#file.writeNow(offset, bytes);
      return 'done';
    }
    return this.#writeParts(offset, bytes);
  }

  async zero(
    offset: number,
    length: number,
    mayPunch: boolean,
    fast: boolean,
  ): Promise<'done' | 'slow'> {
    if (fast && !mayPunch) return 'slow';
    const end = offset + length;
    const [from, to] = this.#wholeBlocks(offset, end);
    for (let at = from; at < to; at += ZERO_BYTES_MAX) {
      const next = Math.min(to, at + ZERO_BYTES_MAX);
      const isPunched = mayPunch && this.#file.punchNow(at, next - at);
      if (!isPunched && fast && at === from) return 'slow';
      if (!isPunched) this.#file.zeroNow(at, next - at, mayPunch);
      this.#mark(at, next);
      await nextTurn();
    }
    await this.#zeroParts(offset, from >= to ? end : from);
    if (from < to) await this.#zeroParts(to, end);
    return 'done';
  }

  /** Whole blocks only: they need not be fetched from below any more. */
  async trim(offset: number, length: number): Promise<void> {
    const [from, to] = this.#wholeBlocks(offset, offset + length);
    if (from < to) await this.zero(from, to - from, true, true);
  }

  flush(): Promise<void> {
    return this.#file.sync();
  }

  prefetch(offset: number, length: number): void {
    for (const { at, length: bytes, own } of this.#runs(offset, length)) {
      if (!own) this.#below.prefetch(at, bytes);
    }
  }

  status(context: string, offset: number, length: number, runsMax: number): SoonerRuns {
    const [run] = this.#runs(offset, length);
    if (run === undefined) return [];
    if (run.own && context === READ_CONTEXT) return [{ length: run.length, flags: 0 }];
    if (run.own) return this.#ownStatus(run.at, run.length, runsMax);
    // As far as nothing is above; the client asks on from there.
    return this.#below.status(context, run.at, run.length, runsMax);
  }

  /** First and end of the blocks that lie wholly in offset..end-1; the last one of the disk may be
   * short. */
  #wholeBlocks(offset: number, end: number): readonly [number, number] {
    const from = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
    const to = end === this.sizeBytes ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES;
    return [from, to];
  }

  /** All parts are begun, and what they need of `bytes` is copied, before this returns. */
  #writeParts(offset: number, bytes: Uint8Array): Promise<void> {
    const [from, to] = this.#wholeBlocks(offset, offset + bytes.length);
    const waits: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; ) {
      const place = offset + at;
      const isBlocks = place === from && from < to;
      const room = isBlocks ? to - from : BLOCK_BYTES - (place % BLOCK_BYTES);
      const piece = bytes.subarray(at, at + room);
      waits.push(isBlocks ? this.#blocks(place, piece) : this.#part(place, piece));
      at += piece.length;
    }
    return allOf(waits);
  }

  #writeBlocks(offset: number, bytes: Uint8Array): void {
    this.#file.writeNow(offset, bytes);
    this.#mark(offset, offset + bytes.length);
  }

  async #blocks(offset: number, bytes: Uint8Array): Promise<void> {
    this.#writeBlocks(offset, bytes);
  }

  /** A part of one block. */
  async #part(offset: number, bytes: Uint8Array): Promise<void> {
    const block = Math.floor(offset / BLOCK_BYTES);
    if (this.#file.bits.has(block)) this.#file.writeNow(offset, bytes);
    else await this.#overBelow(block, offset, new Uint8Array(bytes));
  }

  async #overBelow(block: number, offset: number, bytes: Uint8Array): Promise<void> {
    const start = block * BLOCK_BYTES;
    const whole = new Uint8Array(Math.min(BLOCK_BYTES, this.sizeBytes - start));
    await this.#below.read(start, whole);
    if (this.#file.bits.has(block)) {
      this.#file.writeNow(offset, bytes);
      return;
    }
    whole.set(bytes, offset - start);
    this.#file.writeNow(start, whole);
    this.#file.bits.set(block, block + 1);
  }

  async #zeroParts(offset: number, end: number): Promise<void> {
    for (let at = offset; at < end; ) {
      const length = Math.min(end - at, BLOCK_BYTES - (at % BLOCK_BYTES));
      await this.#part(at, ZEROES.subarray(0, length));
      at += length;
    }
  }

  #mark(from: number, to: number): void {
    this.#file.bits.set(from / BLOCK_BYTES, Math.ceil(to / BLOCK_BYTES));
  }

  #ownStatus(offset: number, length: number, runsMax: number): readonly StatusRun[] {
    const runs: StatusRun[] = [];
    const end = offset + length;
    for (let at = offset; at < end && runs.length < runsMax; ) {
      const data = Math.min(end, this.#file.next('data', at));
      const isHole = data > at;
      const next = isHole ? data : Math.min(end, Math.max(at + 1, this.#file.next('hole', at)));
      runs.push({ length: next - at, flags: isHole ? STATE_HOLE | STATE_ZERO : 0 });
      at = next;
    }
    return runs;
  }

  /** The range in runs of blocks that are all changed, or all as they are below. */
  *#runs(offset: number, length: number): Generator<Run> {
    const { bits } = this.#file;
    const end = offset + length;
    const endBlock = Math.ceil(end / BLOCK_BYTES);
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / BLOCK_BYTES);
      const next = Math.min(end, bits.runEnd(block, endBlock) * BLOCK_BYTES);
      yield { at, length: next - at, own: bits.has(block) };
      at = next;
    }
  }
}

interface Run {
  readonly at: number;
  readonly length: number;
  readonly own: boolean;
}

/** When all have settled: until then they may write into what is being read. */
async function allOf(waits: readonly Promise<void>[]): Promise<void> {
  const ends = await Promise.allSettled(waits);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
