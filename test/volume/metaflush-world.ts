// A world for H10, W1: writers with `metaflush on` over the real generators of core.ts and
// first-touch.ts, checkpoints as DirtyKeeper and Volume make them, and the clearer of intent.ts
// written down access by access. Two extents of a chunk each. The medium of the intent file is
// modelled apart from its page cache, at its worst: a bit is *sure* when a flush has ended that
// began with it in the cache; a page written without it makes it unsure again, also while a flush
// runs, for the kernel may write a page back at any time.
import assert from 'node:assert/strict';
import { present } from '../../src/base/assert.js';
import { BLOCKS_PER_CHUNK, CHUNK_BYTES } from '../../src/base/units.js';
import { Core, closeGate, openGate, type Steps, section, swap } from '../../src/volume/core.js';
import { confirmIntent, touchIntent } from '../../src/volume/first-touch.js';
import * as M from '../../src/volume/memory.js';
import { saw, type World } from './explorer.js';
import { fold } from './tiny-parts.js';

/** A word of `control` that the program does not use: Volume's mutex. */
const ORDER = 12;

/** What a mutant does otherwise. */
export interface MetaflushWays {
  /** Nothing is confirmed when bits were cleared since the touch. */
  readonly looksAtClears: boolean;
  /** The flush begins after the touch. */
  readonly touchesFirst: boolean;
  /** The data is written only when the bit is confirmed. */
  readonly waitsForFlush: boolean;
  /** The clearer takes bits only that are in `intentWritten`. */
  readonly takesConfirmed: boolean;
  /** It takes them under the lock of the file, so that nobody confirms one that it has taken. */
  readonly takesUnderLock: boolean;
  /** The clearer tells that it clears. */
  readonly countsClears: boolean;
  /** It leaves all alone when another swap came since its checkpoint (H9). */
  readonly looksAtSwaps: boolean;
}
export const metaflushRight: MetaflushWays = {
  looksAtClears: true,
  touchesFirst: true,
  waitsForFlush: true,
  takesConfirmed: true,
  takesUnderLock: true,
  countsClears: true,
  looksAtSwaps: true,
};

export interface MetaflushPlan {
  /** Bits that stand everywhere at the start. */
  readonly known: number;
  /** Extent of each writer. */
  readonly writers: readonly number[];
  readonly checkpoints: number;
}

/** Extents written between two swaps, and whether a published map could have them. */
interface Span {
  written: number;
  folded: boolean;
}

export class MetaflushWorld {
  readonly #plan: MetaflushPlan;
  readonly #ways: MetaflushWays;
  readonly #buffers: readonly Uint8Array[];
  readonly core: Core;
  readonly #cores: readonly Core[];
  #cache = 0;
  #sure = 0;
  #flushing: (number | null)[] = [];
  /** The newest last. Published ones are gone. */
  #spans: Span[] = [];
  #answered = 0;

  constructor(plan: MetaflushPlan, ways: MetaflushWays) {
    this.#plan = plan;
    this.#ways = ways;
    const memory = M.allocateVolume({
      sizeBytes: 2 * CHUNK_BYTES,
      extentBytes: CHUNK_BYTES,
      targets: 1,
      spillBytes: CHUNK_BYTES,
      metaflush: true,
    });
    const { control, live, slots, intent, intentWritten } = memory;
    const maps = [...live, ...slots.flatMap((slot) => slot.maps)];
    this.#buffers = [control, intent, intentWritten]
      .concat(maps.flatMap((map) => [map.bits, map.summary, map.full]))
      .map((buffer) => new Uint8Array(buffer));
    this.core = new Core(memory, M.THREADS_MAX - 1);
    this.#cores = plan.writers.map((_, thread) => new Core(memory, thread));
  }

  start(): World {
    for (const bytes of this.#buffers) bytes.fill(0);
    const { control, intent, intentWritten, slots } = this.core;
    for (const slot of slots) control[slot.base + M.SLOT_SWAPPED] = -1;
    const { known, writers, checkpoints } = this.#plan;
    [this.#cache, this.#sure, intent[0], intentWritten[0]] = [known, known, known, known];
    this.#flushing = writers.map(() => null);
    this.#spans = [{ written: 0, folded: false }];
    this.#answered = 0;
    const keepers = Array.from({ length: checkpoints }, (_, at) => ({
      name: `check${at}`,
      steps: this.#checkpoint(),
      seen: 0,
    }));
    const actors = writers.map((extent, index) => {
      const me = { name: `w${index}`, seen: 0 };
      return Object.assign(me, { steps: this.#write(index, extent, me) });
    });
    return {
      actors: [...actors, ...keepers],
      control,
      state: () => this.#state(),
      check: () => this.#check(),
      checkEnd: () => {
        assert.equal(this.#answered, writers.length, 'W4: every write was answered');
        assert.equal(control[M.INTENT_LOCK], 0);
        const believed = (intentWritten[0] ?? 0) & ~this.#sure;
        assert.equal(believed, 0, 'no bit is believed that is not on the medium');
      },
    };
  }

  /** WriteSections, until the I/O is done. */
  *#write(index: number, extent: number, me: { seen: number }): Steps<void> {
    const core = present(this.#cores[index], 'every writer has a core');
    const io = (): void => {
      const span = present(this.#spans.at(-1), 'there is a newest span');
      span.written |= 1 << extent;
    };
    for (;;) {
      me.seen = 1;
      const steps = section(core, extent * CHUNK_BYTES, CHUNK_BYTES, () => {}, io);
      const blocked = yield* steps;
      if (blocked === null) break;
      if (blocked.why === 'closed') yield { word: M.GATE, value: 1 };
      else if (yield* this.#firstTouch(core, index, blocked.extents)) {
        io();
        break;
      }
    }
    this.#answered += 1;
  }

  /** WriteSections.#firstTouch; true: a mutant that writes its data now. */
  *#firstTouch(core: Core, index: number, extents: readonly number[]): Steps<boolean> {
    const { touchesFirst, waitsForFlush, looksAtClears } = this.#ways;
    if (!touchesFirst) yield* this.#beginFlush(index);
    const clears = yield* touchIntent(core, extents, (_page, bytes) => this.#writePage(bytes));
    if (clears === null) {
      yield { word: M.INTENT_LOCK, value: 1 };
      return false;
    }
    if (!waitsForFlush) return true;
    if (touchesFirst) yield* this.#beginFlush(index);
    yield;
    this.#sure |= this.#flushing[index] ?? 0;
    this.#flushing[index] = null;
    for (;;) {
      const since = looksAtClears ? clears : Atomics.load(core.control, M.INTENT_CLEARS);
      if ((yield* confirmIntent(core, extents, since)) === 'done') return false;
      yield { word: M.INTENT_LOCK, value: 1 };
    }
  }

  *#beginFlush(index: number): Steps<void> {
    yield;
    this.#flushing[index] = this.#cache;
  }

  #writePage(bytes: Uint8Array): void {
    this.#cache = bytes[0] ?? 0;
    this.#sure &= this.#cache;
    this.#flushing = this.#flushing.map((bits) => (bits === null ? null : bits & this.#cache));
  }

  /** DirtyKeeper.checkpoint. */
  *#checkpoint(): Steps<void> {
    const { core } = this;
    yield* this.#lock();
    yield* this.#close();
    const swapped = swap(core, null);
    const span = present(this.#spans.at(-1), 'there is a newest span');
    this.#spans.push({ written: 0, folded: false });
    yield;
    openGate(core);
    yield* fold(core, swapped, null);
    span.folded = true;
    const swaps = Atomics.load(core.control, M.SWAPS);
    this.#unlock(ORDER);
    yield; // published
    this.#spans = this.#spans.filter(({ folded }) => !folded);
    yield* this.#lock();
    const overtaken = Atomics.load(core.control, M.SWAPS) !== swaps;
    if (!overtaken || !this.#ways.looksAtSwaps) yield* this.#clearCold();
    this.#unlock(ORDER);
  }

  /** IntentOwner.clearCold and #clearPage with keepdirty 0. */
  *#clearCold(): Steps<void> {
    const { control, intent, intentWritten } = this.core;
    const { takesUnderLock, countsClears } = this.#ways;
    yield;
    const image = Atomics.load(intent, 0);
    let taken = takesUnderLock ? 0 : yield* this.#take(image);
    yield;
    const locked = Atomics.compareExchange(control, M.INTENT_LOCK, 0, 1) === 0;
    if (locked && takesUnderLock) taken = yield* this.#take(image);
    yield;
    if (locked && taken !== 0 && countsClears) Atomics.add(control, M.INTENT_CLEARS, 1);
    let cleared = 0;
    for (const bit of [1, 2].filter((one) => (taken & one) !== 0)) {
      yield;
      const first = (bit - 1) * BLOCKS_PER_CHUNK;
      const hot = this.core.liveMap().anyMarked(first, first + BLOCKS_PER_CHUNK - 1);
      yield;
      if (!locked || hot) Atomics.or(intentWritten, 0, bit);
      else {
        Atomics.and(intent, 0, ~bit);
        cleared |= bit;
      }
    }
    saw(cleared);
    if (cleared !== 0) {
      yield;
      this.#writePage(new Uint8Array(this.core.memory.intent));
    }
    yield;
    if (locked) this.#unlock(M.INTENT_LOCK);
  }

  *#take(image: number): Steps<number> {
    let taken = 0;
    for (const bit of [1, 2].filter((one) => (image & one) !== 0)) {
      yield;
      const had = Atomics.and(this.core.intentWritten, 0, ~bit) & bit;
      taken |= this.#ways.takesConfirmed ? had : bit;
    }
    saw(taken);
    return taken;
  }

  *#lock(): Steps<void> {
    yield;
    while (Atomics.load(this.core.control, ORDER) !== 0) yield { word: ORDER, value: 1 };
    Atomics.store(this.core.control, ORDER, 1);
  }

  /** A real waiter looks again in its next turn; this one is told. */
  #unlock(word: number): void {
    Atomics.store(this.core.control, word, 0);
    Atomics.notify(this.core.control, word);
  }

  *#close(): Steps<void> {
    let looks = 0;
    for (const step of closeGate(this.core)) {
      if (step !== undefined || looks <= this.#cores.length) yield step;
      looks += 1;
    }
  }

  /** W1, H10: what was written since the last published checkpoint has its bit on the medium. */
  #check(): void {
    const written = this.#spans.reduce((all, span) => all | span.written, 0);
    const missing = written & ~this.#sure;
    assert.equal(missing, 0, `W1: extents ${missing.toString(2)} are not on the medium`);
  }

  #state(): string {
    const { core } = this;
    const maps = [...core.live, ...core.slots.flatMap((slot) => slot.maps)];
    const masks = maps.map((map) => `${map.chunkMask(0)}.${map.chunkMask(1)}`);
    const spans = this.#spans.map(({ written, folded }) => `${written}${folded}`);
    const model = [this.#cache, this.#sure, this.#flushing.join('/'), spans, this.#answered];
    const bits = [core.intent[0], core.intentWritten[0]];
    return [...masks, ...model, ...bits, core.control.subarray(0, M.SLOT_FIRST).join()].join(';');
  }
}
