// What a guest's write does until its I/O is done: sections of core.ts, and between them whatever a
// section could not wait for: an open gate, another thread's claim, the old content of a frozen
// chunk kept in the spill (W2), an intent bit made durable (metaflush on, H10). Never a network,
// never a round (W4). One per data thread; offsets and lengths are bytes.
import { CHUNK_BYTES, chunkLength, type ExtentIndex } from '../base/units.js';
import type { Device } from '../disk/device.js';
import {
  type AppendToSpill,
  type Blocked,
  type Claim,
  type Core,
  plainSection,
  preserve,
  runNow,
  section,
  type WriteIntentPage,
} from './core.js';
import { confirmIntent, touchIntent } from './first-touch.js';
import { Gathered } from './gathered.js';
import { HoldTimes } from './hold-times.js';
import * as M from './memory.js';
import { noteSpilled, type Spill } from './spill.js';
import type { Waiter } from './waiter.js';

/** Preserves done in the calling turn before a write is copied and waits its turn. */
const TRIES_NOW_MAX = 64;

/** The same trouble of many writes is told once in so long. */
const TOLD_EVERY_MS = 1000;

/** An old chunk could not be kept; an fdatasync of the disk, or of the intent map, failed. */
export type WriteTrouble = 'preserve' | 'flush' | 'intent';

/** The counters of this thread that writes move (memory.ts). */
export interface WriteCounters {
  firstTouches: number;
  firstTouchMicros: number;
  firstTouchMicrosMax: number;
}

export const newWriteCounters = (): WriteCounters => ({
  firstTouches: 0,
  firstTouchMicros: 0,
  firstTouchMicrosMax: 0,
});

export interface WriteSectionsParts {
  readonly device: Device;
  /** One a slot. */
  readonly spills: readonly Spill[];
  readonly writeIntent: WriteIntentPage;
  /** fdatasync of the intent map, on the pool. */
  readonly flushIntent: () => Promise<void>;
  readonly waiter: Waiter;
  /** Milliseconds, for what a guest waited. */
  readonly nowMs: () => number;
  readonly counters: WriteCounters;
  /** Told each time; for log and status. */
  readonly onTrouble: (what: WriteTrouble, error: unknown) => void;
}

export class WriteSections {
  readonly #core: Core;
  readonly #parts: WriteSectionsParts;
  readonly #old = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  readonly #intentFlush: Gathered;
  readonly #preserveWaits: HoldTimes;
  readonly #writeIntent: WriteIntentPage;
  #intentToldMs = Number.NEGATIVE_INFINITY;

  constructor(core: Core, parts: WriteSectionsParts) {
    this.#core = core;
    this.#parts = parts;
    this.#intentFlush = new Gathered(parts.flushIntent);
    this.#writeIntent = (page, bytes) => {
      try {
        parts.writeIntent(page, bytes);
      } catch (error) {
        this.#tellIntent(error);
      }
    };
    const { preserveWaits } = core.memory;
    this.#preserveWaits = new HoldTimes([HoldTimes.row(preserveWaits, core.thread)]);
  }

  /** Sections, preserving warm chunks in between, until `io` is done (null) or something must wait.
   */
  now(offset: number, length: number, io: () => void, advice = false): Blocked | null {
    if (!advice && plainSection(this.#core, offset, length, io)) return null;
    let startMs = -1;
    for (let tries = 0; ; tries += 1) {
      const blocked = this.#section(offset, length, io, advice);
      if (blocked === null) {
        if (startMs >= 0) this.#preserveWaits.add(this.#parts.nowMs() - startMs);
        return null;
      }
      if (tries >= TRIES_NOW_MAX || blocked.why !== 'frozen') return blocked;
      if (blocked.claims.length === 0) return blocked;
      if (startMs < 0) startMs = this.#parts.nowMs();
      const cold = blocked.claims.filter((claim) => !this.#preserveWarm(claim));
      if (cold.length > 0) return { ...blocked, claims: cold };
    }
  }

  /** Waits for what blocks and starts over (H3), until `io` is done. */
  async later(
    first: Blocked,
    offset: number,
    length: number,
    io: () => void,
    advice = false,
  ): Promise<void> {
    const startMs = this.#parts.nowMs();
    const reasons = new Set<Blocked['why']>();
    for (let blocked: Blocked | null = first; blocked !== null; ) {
      reasons.add(blocked.why);
      await this.#unblock(blocked);
      blocked = this.#section(offset, length, io, advice);
    }
    const ms = this.#parts.nowMs() - startMs;
    if (reasons.has('frozen')) this.#preserveWaits.add(ms);
    if (reasons.has('first-touch')) this.#countFirstTouch(ms);
  }

  #section(offset: number, length: number, io: () => void, advice: boolean): Blocked | null {
    return runNow(section(this.#core, offset, length, this.#writeIntent, io, advice));
  }

  async #unblock(blocked: Blocked): Promise<void> {
    const { control } = this.#core;
    const { waiter } = this.#parts;
    if (blocked.why === 'closed') {
      await waiter.wait(control, { word: M.GATE, value: 1 });
    } else if (blocked.why === 'intent-busy') {
      await waiter.turn();
    } else if (blocked.why === 'first-touch') {
      await this.#firstTouch(blocked.extents);
    } else if (blocked.claims.length === 0) {
      await waiter.wait(control, { word: M.CLAIM_SEQUENCE, value: blocked.sequence });
    } else {
      await Promise.all(blocked.claims.map((claim) => this.#preserveCold(claim)));
    }
  }

  /** H10. */
  async #firstTouch(extents: readonly ExtentIndex[]): Promise<void> {
    const { waiter } = this.#parts;
    const clears = runNow(touchIntent(this.#core, extents, this.#writeIntent));
    if (clears === null) return waiter.turn();
    try {
      await this.#intentFlush.run();
    } catch (error) {
      this.#tellIntent(error);
    }
    while (runNow(confirmIntent(this.#core, extents, clears)) === 'busy') await waiter.turn();
  }

  /** A page of the intent map that cannot be written, or flushed, is told, and the write goes on:
   * replication fails no guest's write (W4). W1 then rests on the doubt that is raised: the next
   * start compares everything (round/doubt.ts). */
  #tellIntent(error: unknown): void {
    const nowMs = this.#parts.nowMs();
    if (nowMs - this.#intentToldMs < TOLD_EVERY_MS) return;
    this.#intentToldMs = nowMs;
    this.#parts.onTrouble('intent', error);
  }

  #countFirstTouch(ms: number): void {
    const { counters } = this.#parts;
    const micros = Math.round(ms * 1000);
    counters.firstTouches += 1;
    counters.firstTouchMicros += micros;
    counters.firstTouchMicrosMax = Math.max(counters.firstTouchMicrosMax, micros);
  }

  #preserveWarm(claim: Claim): boolean {
    const old = this.#old.subarray(0, chunkLength(claim.chunk, this.#core.memory.sizeBytes));
    try {
      if (!this.#parts.device.readCached(claim.chunk * CHUNK_BYTES, old)) return false;
    } catch {
      return false; // the read on the pool meets the same error and ends the claim
    }
    this.#endClaim(claim, old);
    return true;
  }

  async #preserveCold(claim: Claim): Promise<void> {
    const old = Buffer.allocUnsafeSlow(chunkLength(claim.chunk, this.#core.memory.sizeBytes));
    try {
      await this.#parts.device.read(claim.chunk * CHUNK_BYTES, old);
    } catch {
      this.#endClaim(claim, null); // H21: unreadable for the rounds too
      return;
    }
    this.#endClaim(claim, old);
  }

  #endClaim(claim: Claim, old: Uint8Array | null): void {
    const { spills, onTrouble } = this.#parts;
    const keep = (old: Uint8Array): AppendToSpill => {
      return (slot, record) => {
        spills[slot]?.writeNow(record, old);
        const memory = this.#core.memory.slots[slot];
        if (memory !== undefined) noteSpilled(memory, record, old);
      };
    };
    const append = old === null ? null : keep(old);
    const failure = runNow(preserve(this.#core, claim, append));
    if (failure !== null) onTrouble('preserve', failure);
  }
}
