// Tracked disk: a live volume as the guest sees it, one per data thread. Every write goes through
// a section of core.ts: mark, intent, frozen test, pwrite. Guarantee: a write is answered from
// local memory and disk alone (W4); what must wait (gate, another thread's claim, a cold chunk to
// preserve) is copied, leaves the section and starts over (H3). Offsets and lengths are bytes.
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../base/units.js';
import { DiskError } from '../disk/device.js';
import type { Disk, Sooner, StatusRun } from '../disk/disk.js';
import type { Core } from './core.js';
import { Extents } from './extents.js';
import { Gathered } from './gathered.js';
import * as M from './memory.js';
import { type RepairParts, readWithRepair } from './repair.js';
import { WriteSections, type WriteSectionsParts } from './write-sections.js';

/** Longest write section: H13's bound for zeroing; NBD pieces are shorter. */
export const SECTION_BYTES_MAX = MIB;

export interface TrackedDiskParts extends WriteSectionsParts {
  /** Asks the targets for a chunk (H20); null: nobody can be asked. */
  readonly repair: RepairParts['repair'] | null;
  /** Names of the targets by slot, for their dirty bitmaps. */
  readonly targets: readonly string[];
}

export class TrackedDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly = false;
  readonly #core: Core;
  readonly #parts: TrackedDiskParts;
  readonly #writes: WriteSections;
  readonly #extents: Extents;
  readonly #flush = new Gathered(() => this.#sync());
  /** False: no hole can be punched here, so that TRIM does nothing (H13) and marks nothing. */
  #punches = true;

  constructor(core: Core, parts: TrackedDiskParts) {
    this.#core = core;
    this.#parts = parts;
    this.#writes = new WriteSections(core, parts);
    this.#extents = new Extents(core, parts.device, parts.targets);
    this.sizeBytes = core.memory.sizeBytes;
  }

  read(offset: number, into: Uint8Array): Sooner {
    const { device, repair } = this.#parts;
    try {
      if (device.readCached(offset, into)) return 'done';
    } catch {
      // the read on the pool meets the same error
    }
    const reading = device.read(offset, into);
    if (repair === null) return reading;
    const parts = { ...this.#parts, repair };
    return reading.catch((error) => readWithRepair(parts, offset, into, error));
  }

  write(offset: number, bytes: Uint8Array): Sooner {
    if (bytes.length === 0) return 'done';
    if (bytes.length > SECTION_BYTES_MAX) return this.#writePieces(offset, Buffer.from(bytes));
    const { device } = this.#parts;
    const blocked = this.#writes.now(offset, bytes.length, () => device.writeNow(offset, bytes));
    if (blocked === null) return 'done';
    const copy = Buffer.from(bytes);
    return this.#writes.later(blocked, offset, copy.length, () => device.writeNow(offset, copy));
  }

  get contexts(): readonly string[] {
    return this.#extents.contexts;
  }

  status(context: string, offset: number, length: number, runsMax: number): readonly StatusRun[] {
    return this.#extents.status(context, offset, length, runsMax);
  }

  prefetch(offset: number, length: number): void {
    this.#parts.device.prefetch(offset, length);
  }

  /** Fast is what makes a hole: where that is refused, and for ranges that must stay allocated,
   * nothing is done. */
  async zero(
    offset: number,
    length: number,
    mayPunch: boolean,
    fast: boolean,
  ): Promise<'done' | 'slow'> {
    if (fast && !mayPunch) return 'slow';
    const { device, waiter } = this.#parts;
    let slow = false;
    for (const piece of pieces(offset, length)) {
      const io = (): void => {
        if (fast && device.punchNow(piece.offset, piece.length)) return;
        slow = fast && piece.offset === offset; // later pieces are finished, fast or not
        if (!slow) device.zeroNow(piece.offset, piece.length, mayPunch);
      };
      const blocked = this.#writes.now(piece.offset, piece.length, io);
      if (blocked !== null) await this.#writes.later(blocked, piece.offset, piece.length, io);
      if (slow) return 'slow';
      this.#extents.forget();
      await waiter.turn();
    }
    return 'done';
  }

  async trim(offset: number, length: number): Promise<void> {
    const first = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
    const end = offset + length;
    const last = end === this.sizeBytes ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES;
    if (last <= first) return;
    let data = -1;
    for (const piece of pieces(first, last - first)) {
      if (!this.#punches) return;
      // What is a hole is not marked, nor searched again for each piece of it. Space in it that is
      // allocated and unwritten stays so.
      if (data < piece.offset) data = this.#parts.device.nextData(piece.offset);
      if (data >= piece.offset + piece.length) continue;
      const io = (): void => this.#punchUnfrozen(piece.offset, piece.length);
      const blocked = this.#writes.now(piece.offset, piece.length, io, true);
      if (blocked !== null) await this.#writes.later(blocked, piece.offset, piece.length, io, true);
      this.#extents.forget();
      await this.#parts.waiter.turn();
    }
  }

  /** Pooled and coalesced: flushes that arrive while one runs share the next one (W3). */
  flush(): Promise<void> {
    return this.#flush.run();
  }

  /** H18: after one failed fdatasync no flush succeeds until the operator restarts the daemon. */
  async #sync(): Promise<void> {
    const { control } = this.#core;
    const { device } = this.#parts;
    if (Atomics.load(control, M.SUSPECT) === 0) {
      try {
        await device.sync();
      } catch (error) {
        Atomics.store(control, M.SUSPECT, 1);
        this.#parts.onTrouble('flush', error);
        throw error;
      }
    }
    if (Atomics.load(control, M.SUSPECT) !== 0) {
      throw new DiskError({
        code: 'DISK_SUSPECT',
        path: device.path,
        reason: 'an earlier fdatasync of it failed',
      });
    }
  }

  /** H13: TRIM leaves frozen chunks as they are, and punches all between two of them at once. Runs
   * inside a section, in which no chunk becomes frozen. */
  #punchUnfrozen(offset: number, length: number): void {
    const end = offset + length;
    let from = offset;
    for (let at = offset; at < end; ) {
      const chunk = Math.floor(at / CHUNK_BYTES);
      const next = Math.min(end, (chunk + 1) * CHUNK_BYTES);
      if (this.#isFrozen(chunk)) {
        this.#punch(from, at - from);
        from = next;
      }
      at = next;
    }
    this.#punch(from, end - from);
  }

  #punch(offset: number, length: number): void {
    if (length === 0 || this.#parts.device.punchNow(offset, length)) return;
    // Whole chunks are whole sectors of any device: it is not their size that is refused.
    if (offset % CHUNK_BYTES === 0 && length % CHUNK_BYTES === 0) this.#punches = false;
  }

  #isFrozen(chunk: number): boolean {
    return this.#core.slots.some((slot) => {
      if (!slot.active) return false;
      const state = Atomics.load(slot.states, chunk);
      return (state === M.FREE || state === M.CLAIMED) && slot.frozenByMaps(chunk);
    });
  }

  async #writePieces(offset: number, bytes: Buffer): Promise<void> {
    for (const piece of pieces(offset, bytes.length)) {
      const at = piece.offset - offset;
      const done = this.write(piece.offset, bytes.subarray(at, at + piece.length));
      if (done !== 'done') await done;
    }
  }
}

/** Splits a range on multiples of SECTION_BYTES_MAX (hence on block boundaries, H4). */
export function* pieces(
  offset: number,
  length: number,
): Generator<{ offset: number; length: number }> {
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const next = Math.min(end, (Math.floor(at / SECTION_BYTES_MAX) + 1) * SECTION_BYTES_MAX);
    yield { offset: at, length: next - at };
    at = next;
  }
}
