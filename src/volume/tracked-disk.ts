// Tracked disk: a live volume as the guest sees it, one per data thread. Every write goes through
// a section of core.ts: mark, intent, frozen test, pwrite. Guarantee: a write is answered from
// local memory and disk alone (W4); what must wait (gate, another thread's claim, a cold chunk to
// preserve) is copied, leaves the section and starts over (H3). Offsets and lengths are bytes.
import { BLOCK_BYTES, CHUNK_BYTES, chunkLength, MIB } from '../base/units.js';
import { type Device, DiskError } from '../disk/device.js';
import type { Disk, Sooner } from '../disk/disk.js';
import { type Blocked, type Claim, type Core, preserve, runNow, section } from './core.js';
import * as M from './memory.js';
import type { Spill } from './spill.js';
import type { Waiter } from './waiter.js';

/** Longest write section: H13's bound for zeroing; NBD pieces are shorter. */
export const SECTION_BYTES_MAX = MIB;
/** Preserves done in the calling turn before a write is copied and waits its turn. */
const TRIES_NOW_MAX = 64;

export interface TrackedDiskParts {
  readonly device: Device;
  readonly spill: Spill;
  readonly writeIntent: (page: number, bytes: Uint8Array) => void;
  readonly waiter: Waiter;
  /** Told of a failed preserve or flush, once each time; for log and status. */
  readonly onTrouble: (what: 'preserve' | 'flush', error: unknown) => void;
}

export class TrackedDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly = false;
  readonly #core: Core;
  readonly #parts: TrackedDiskParts;
  readonly #old = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #flushing: Promise<void> | null = null;
  #nextFlush: Promise<void> | null = null;

  constructor(core: Core, parts: TrackedDiskParts) {
    this.#core = core;
    this.#parts = parts;
    this.sizeBytes = core.memory.sizeBytes;
  }

  read(offset: number, into: Uint8Array): Sooner {
    if (this.#parts.device.readCached(offset, into)) return 'done';
    return this.#parts.device.read(offset, into);
  }

  write(offset: number, bytes: Uint8Array): Sooner {
    if (bytes.length === 0) return 'done';
    if (bytes.length > SECTION_BYTES_MAX) return this.#writePieces(offset, Buffer.from(bytes));
    const blocked = this.#tryNow(offset, bytes.length, () =>
      this.#parts.device.writeNow(offset, bytes),
    );
    if (blocked === null) return 'done';
    const copy = Buffer.from(bytes);
    return this.#retry(blocked, offset, copy.length, () =>
      this.#parts.device.writeNow(offset, copy),
    );
  }

  async zero(offset: number, length: number, mayPunch: boolean): Promise<void> {
    for (const piece of pieces(offset, length)) {
      const io = (): void => this.#parts.device.zeroNow(piece.offset, piece.length, mayPunch);
      const blocked = this.#tryNow(piece.offset, piece.length, io);
      if (blocked !== null) await this.#retry(blocked, piece.offset, piece.length, io);
      await this.#parts.waiter.turn();
    }
  }

  async trim(offset: number, length: number): Promise<void> {
    const first = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
    const end = offset + length;
    const last = end === this.sizeBytes ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES;
    if (last <= first) return;
    for (const piece of pieces(first, last - first)) {
      const io = (): void => this.#punchUnfrozen(piece.offset, piece.length);
      const blocked = this.#section(piece.offset, piece.length, io, true);
      if (blocked !== null) await this.#retry(blocked, piece.offset, piece.length, io, true);
      await this.#parts.waiter.turn();
    }
  }

  /** Pooled and coalesced: flushes that arrive while one runs share the next one (W3). */
  flush(): Promise<void> {
    if (this.#nextFlush !== null) return this.#nextFlush;
    if (this.#flushing === null) {
      this.#flushing = this.#sync().finally(() => {
        this.#flushing = null;
      });
      return this.#flushing;
    }
    const after = this.#flushing.catch(() => undefined);
    this.#nextFlush = after.then(() => {
      this.#nextFlush = null;
      this.#flushing = this.#sync().finally(() => {
        this.#flushing = null;
      });
      return this.#flushing;
    });
    return this.#nextFlush;
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

  #section(offset: number, length: number, io: () => void, advice = false): Blocked | null {
    return runNow(section(this.#core, offset, length, this.#parts.writeIntent, io, advice));
  }

  /** Sections, preserving warm chunks in between, until the I/O is done or something must wait. */
  #tryNow(offset: number, length: number, io: () => void): Blocked | null {
    for (let tries = 0; ; tries += 1) {
      const blocked = this.#section(offset, length, io);
      if (blocked === null || tries >= TRIES_NOW_MAX) return blocked;
      if (blocked.why !== 'frozen' || blocked.claims.length === 0) return blocked;
      const cold = blocked.claims.filter((claim) => !this.#preserveWarm(claim));
      if (cold.length > 0) return { ...blocked, claims: cold };
    }
  }

  async #retry(
    first: Blocked,
    offset: number,
    length: number,
    io: () => void,
    advice = false,
  ): Promise<void> {
    for (let blocked: Blocked | null = first; blocked !== null; ) {
      await this.#unblock(blocked);
      blocked = this.#section(offset, length, io, advice);
    }
  }

  async #unblock(blocked: Blocked): Promise<void> {
    const { control } = this.#core;
    const { waiter } = this.#parts;
    if (blocked.why === 'closed') {
      await waiter.wait(control, { word: M.GATE, value: 1 });
    } else if (blocked.why === 'intent-busy') {
      await waiter.turn();
    } else if (blocked.claims.length === 0) {
      await waiter.wait(control, { word: M.CLAIM_SEQUENCE, value: blocked.sequence });
    } else {
      await Promise.all(blocked.claims.map((claim) => this.#preserveCold(claim)));
    }
  }

  #preserveWarm(claim: Claim): boolean {
    const old = this.#old.subarray(0, chunkLength(claim.chunk, this.sizeBytes));
    try {
      if (!this.#parts.device.readCached(claim.chunk * CHUNK_BYTES, old)) return false;
    } catch {
      return false; // the read on the pool meets the same error and ends the claim
    }
    this.#endClaim(claim, old);
    return true;
  }

  async #preserveCold(claim: Claim): Promise<void> {
    const old = Buffer.allocUnsafeSlow(chunkLength(claim.chunk, this.sizeBytes));
    try {
      await this.#parts.device.read(claim.chunk * CHUNK_BYTES, old);
    } catch (error) {
      this.#parts.onTrouble('preserve', error);
      this.#endClaim(claim, null);
      return;
    }
    this.#endClaim(claim, old);
  }

  #endClaim(claim: Claim, old: Uint8Array | null): void {
    const append =
      old === null ? null : (record: number) => this.#parts.spill.writeNow(record, old);
    const failure = runNow(preserve(this.#core, claim, append));
    if (failure !== null && failure !== 'unreadable') this.#parts.onTrouble('preserve', failure);
  }

  /** H13: TRIM leaves frozen chunks as they are. Runs inside a section. */
  #punchUnfrozen(offset: number, length: number): void {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const chunk = Math.floor(at / CHUNK_BYTES);
      const next = Math.min(end, (chunk + 1) * CHUNK_BYTES);
      if (!this.#isFrozen(chunk)) this.#parts.device.punchNow(at, next - at);
      at = next;
    }
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
