// Gate, claims and preserve: the few lines on which every promise about a cut rests. Generators
// that yield before each access to shared state: a data thread runs them to the end at once
// (`runNow`), the simulator interleaves any number of them. A yielded Wait means: cannot go on
// until that control word differs; a yielded promise: I/O that takes time (readFrozen only).
//
// The file is longer than 300 lines because the proof and the code it is about stand together.
//
// Proof, by rule:
// W1, H3  A section marks the live map, sees to the intent bit, tests every touched chunk and calls
//         the I/O, in this order, between OPEN = 1 and OPEN = 0, and never waits. Whatever must
//         wait leaves the section and the caller starts over, marking again.
// H4      A cut sets GATE and waits for OPEN words only: sections, never requests or clients. It
//         and a section cannot both miss each other (Dekker on sequentially consistent words):
//         the section stores OPEN then loads GATE, the cut stores GATE then loads OPEN.
// W2, H2  A chunk that is frozen in a slot leaves FREE by compare-exchange inside a section, so
//         there is one winner, and the slot cannot end meanwhile (it ends under the closed gate).
//         I/O touches the chunk only in PRESERVED or RELEASED. The test is by chunk.
// H1      readFrozen reads the disk first and looks at the state afterwards. A writer stores
//         PRESERVED before its I/O begins, so bytes read while the state was FREE afterwards are
//         the cut's.
// H15     While a swapped live map L is not folded into the frozen map F, frozen = L or F. Readers
//         look at L first, then F; the folder fills F, drops L from the list, then clears L:
//         whoever finds L cleared finds the bit in F. L becomes a live map again only through
//         a later cut, which no section can straddle.
// H16     Claims of one chunk in several slots are taken together; each slot keeps a record in a
//         spill of its own. (H16 says "preserved once with one reference each": but then a round of
//         one target that lasts for days keeps the spill of all from ever being emptied, and a full
//         one fails the rounds of all, against D6. The second copy is a page-cache write.)
// H17     When preserving fails, FAILED is set before the state moves on; readers look at FAILED
//         after every read. Sections no longer freeze for a slot that has failed: its FAILED stood
//         before their I/O, so whoever reads what they wrote finds it. An old content that cannot
//         be read fails nothing (H21).
// H9      Intent: the live mark precedes the load of `intentWritten`; the clearer (intent.ts)
//         clears `intentWritten`, then looks at live. One of both sees the other. A page of the
//         file is written by the holder of INTENT_LOCK, so no bit is lost between two writers.
//         (H9 says "one owner writes the file"; the lock gives the same order without sending the
//         write to another thread and waiting for it. It is held for one page-cache pwrite.)
// H10     metaflush on: a section that meets an extent without `intentWritten` does no I/O. Its
//         caller sets image and file (touchIntent), flushes the file outside of everything, sets
//         `intentWritten` (confirmIntent) and starts over. The clearer takes only bits that are in
//         `intentWritten`, so it leaves one that is being flushed alone; a bit that another
//         thread confirmed and the clearer took meanwhile shows in INTENT_CLEARS: not confirmed.
// H20     A repair (Volume.writeBack) marks nothing: it writes what a block that is clean for a
//         target had at that target's point, hence what it has now and had at every cut since. It
//         stands under the closed gate, where no section is open, and only if no cut came since the
//         block was found clean: then the live map in use knows of every write since.
import { assert, present } from '../base/assert.js';
import { BLOCK_BYTES, CHUNK_BYTES, type ChunkIndex, type ExtentIndex } from '../base/units.js';
import { BlockMap } from '../tracking/block-map.js';
import * as M from './memory.js';

/** Cannot go on until `control[word]` differs from `value`. */
export interface Wait {
  readonly word: number;
  readonly value: number;
}
export type Step = Wait | Promise<void> | undefined;
export type Steps<T> = Generator<Step, T, void>;

/** Chunks this caller has claimed and must preserve, each with the slots it froze in. */
export interface Claim {
  readonly chunk: ChunkIndex;
  readonly slots: readonly number[];
}

/** Why a section did not do its I/O. `sequence` is CLAIM_SEQUENCE as of before the test. */
export interface Blocked {
  readonly why: 'closed' | 'intent-busy' | 'first-touch' | 'frozen';
  readonly claims: readonly Claim[];
  readonly sequence: number;
  /** Extents whose intent bit is to be made durable first. */
  readonly extents: readonly ExtentIndex[];
}

/** Views over a volume's memory; one per thread. `thread` is its OPEN word, 0-based. */
export class Core {
  readonly memory: M.VolumeMemory;
  readonly thread: number;
  readonly control: Int32Array;
  readonly live: readonly BlockMap[];
  readonly slots: readonly Slot[];
  readonly intent: Int32Array;
  readonly intentWritten: Int32Array;

  constructor(memory: M.VolumeMemory, thread: number) {
    assert(thread >= 0 && thread < M.THREADS_MAX, 'a thread has an OPEN word');
    this.memory = memory;
    this.thread = thread;
    this.control = new Int32Array(memory.control);
    this.live = memory.live.map((map) => new BlockMap(map));
    this.slots = memory.slots.map((slot, index) => new Slot(slot, index, this));
    this.intent = new Int32Array(memory.intent);
    this.intentWritten = new Int32Array(memory.intentWritten);
  }

  /** True when any target has a frozen set. */
  anyActive(): boolean {
    for (const slot of this.slots) if (slot.active) return true;
    return false;
  }

  liveMap(): BlockMap {
    return present(this.live[Atomics.load(this.control, M.LIVE)], 'LIVE is 0 or 1');
  }
}

/** One target's frozen set as a data thread sees it. */
export class Slot {
  readonly index: number;
  readonly base: number;
  readonly maps: readonly BlockMap[];
  readonly states: Uint8Array;
  readonly records: Int32Array;
  readonly #core: Core;

  constructor(memory: M.SlotMemory, index: number, core: Core) {
    this.index = index;
    this.base = M.SLOT_FIRST + index * M.SLOT_WORDS;
    this.maps = memory.maps.map((map) => new BlockMap(map));
    this.states = new Uint8Array(memory.states);
    this.records = new Int32Array(memory.records);
    this.#core = core;
  }

  get active(): boolean {
    return Atomics.load(this.#core.control, this.base + M.SLOT_ACTIVE) === 1;
  }

  get failed(): boolean {
    return Atomics.load(this.#core.control, this.base + M.SLOT_FAILED) === 1;
  }

  /** In the frozen set by the maps: the swapped live map first, then the frozen one (H15). */
  frozenByMaps(chunk: ChunkIndex): boolean {
    const { control, live } = this.#core;
    const swapped = Atomics.load(control, this.base + M.SLOT_SWAPPED);
    if (swapped >= 0 && (live[swapped]?.chunkMask(chunk) ?? 0) !== 0) return true;
    const frozen = this.maps[Atomics.load(control, this.base + M.SLOT_FROZEN)];
    return (frozen?.chunkMask(chunk) ?? 0) !== 0;
  }
}

/** What a section does to the file of the intent map: writes page `page` from `bytes`. */
export type WriteIntentPage = (page: number, bytes: Uint8Array) => void;

/** One write section over bytes offset..offset+length-1: null when `io` was called. `advice`
 * (TRIM): frozen chunks do not block; `io` must leave alone those for which `isFrozen` is true. */
export function* section(
  core: Core,
  offset: number,
  length: number,
  writeIntent: WriteIntentPage,
  io: () => void,
  advice = false,
): Steps<Blocked | null> {
  const open = M.OPEN_FIRST + core.thread;
  yield;
  Atomics.store(core.control, open, 1);
  try {
    yield;
    if (Atomics.load(core.control, M.GATE) !== 0) {
      return CLOSED;
    }
    yield;
    const live = core.liveMap();
    const last = offset + length - 1;
    live.mark(Math.floor(offset / BLOCK_BYTES), Math.floor(last / BLOCK_BYTES));
    const { extentBytes, metaflush } = core.memory;
    let touched: ExtentIndex[] | null = null;
    for (let extent = Math.floor(offset / extentBytes); extent * extentBytes <= last; extent += 1) {
      yield;
      if ((Atomics.load(core.intentWritten, extent >>> 5) & (1 << (extent & 31))) !== 0) continue;
      if (metaflush) {
        touched ??= [];
        touched.push(extent);
      } else if (!(yield* setIntent(core, extent, writeIntent))) return INTENT_BUSY;
    }
    if (touched !== null) return { ...CLOSED, why: 'first-touch', extents: touched };
    if (!advice) {
      yield;
      // A slot becomes active only under the closed gate, so this cannot change in the section.
      const blocked = core.anyActive() ? yield* claimFrozen(core, offset, last) : null;
      if (blocked !== null) return blocked;
    }
    yield;
    io();
    return null;
  } finally {
    Atomics.store(core.control, open, 0);
    if (Atomics.load(core.control, M.GATE) !== 0) Atomics.notify(core.control, open);
  }
}

/** `section` where nothing has to be asked of anybody: the gate is open, every extent has its
 * intent bit, no target has a frozen set. The same accesses in the same order, without the
 * generator, whose 300 ns are a tenth of a write. False: it was not so, `io` was not called, and
 * the marks do no harm; the caller goes on with `section`. (A slot becomes active only under the
 * closed gate.) */
export function plainSection(core: Core, offset: number, length: number, io: () => void): boolean {
  const { control, intentWritten } = core;
  const open = M.OPEN_FIRST + core.thread;
  Atomics.store(control, open, 1);
  try {
    if (Atomics.load(control, M.GATE) !== 0) return false;
    const last = offset + length - 1;
    core.liveMap().mark(Math.floor(offset / BLOCK_BYTES), Math.floor(last / BLOCK_BYTES));
    const { extentBytes } = core.memory;
    for (let extent = Math.floor(offset / extentBytes); extent * extentBytes <= last; extent += 1) {
      if ((Atomics.load(intentWritten, extent >>> 5) & (1 << (extent & 31))) === 0) return false;
    }
    if (core.anyActive()) return false;
    io();
    return true;
  } finally {
    Atomics.store(control, open, 0);
    if (Atomics.load(control, M.GATE) !== 0) Atomics.notify(control, open);
  }
}

const CLOSED: Blocked = { why: 'closed', claims: [], sequence: 0, extents: [] };
const INTENT_BUSY: Blocked = { ...CLOSED, why: 'intent-busy' };

/** Sets the intent bit of an extent and writes its page; false: another thread has the lock. */
function* setIntent(core: Core, extent: number, writeIntent: WriteIntentPage): Steps<boolean> {
  const bit = 1 << (extent & 31);
  yield;
  if (Atomics.compareExchange(core.control, M.INTENT_LOCK, 0, 1) !== 0) return false;
  try {
    Atomics.or(core.intent, extent >>> 5, bit);
    const page = Math.floor(extent / (M.INTENT_PAGE_BYTES * 8));
    const start = page * M.INTENT_PAGE_BYTES;
    writeIntent(page, new Uint8Array(core.memory.intent, start, M.INTENT_PAGE_BYTES));
    Atomics.add(core.control, M.INTENT_WRITES, 1);
    Atomics.or(core.intentWritten, extent >>> 5, bit);
  } finally {
    Atomics.store(core.control, M.INTENT_LOCK, 0);
  }
  return true;
}

/** Tests every chunk of the range in every active slot; claims what is frozen and free. */
function* claimFrozen(core: Core, offset: number, last: number): Steps<Blocked | null> {
  yield;
  const sequence = Atomics.load(core.control, M.CLAIM_SEQUENCE);
  const claims: Claim[] = [];
  let busy = false;
  for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk * CHUNK_BYTES <= last; chunk += 1) {
    const won: number[] = [];
    for (const slot of core.slots) {
      yield;
      if (!slot.active) continue;
      yield;
      // Nothing read from here on is sent: FAILED stands before this write (H17).
      if (slot.failed) continue;
      yield;
      const state = Atomics.load(slot.states, chunk);
      if (state === M.PRESERVED_STATE || state === M.RELEASED) continue;
      if (state === M.CLAIMED) {
        busy = true;
        continue;
      }
      yield;
      if (!slot.frozenByMaps(chunk)) continue;
      yield;
      const found = Atomics.compareExchange(slot.states, chunk, M.FREE, M.CLAIMED);
      if (found === M.FREE) won.push(slot.index);
      else if (found === M.CLAIMED) busy = true;
    }
    if (won.length > 0) claims.push({ chunk, slots: won });
  }
  return claims.length > 0 || busy ? { why: 'frozen', claims, sequence, extents: [] } : null;
}

/** Keeps the old content of a claimed chunk as record `record` of the spill of `slot`, or throws.
 */
export type AppendToSpill = (slot: number, record: number) => void;

/** Ends a claim. Null `append`: the content could not be read; it is then unreadable for the rounds
 * too (H21). Returns the first failure to keep it, which fails that slot's round but never the
 * guest's write, nor the round of another target (W4, D6, H17). */
export function* preserve(core: Core, claim: Claim, append: AppendToSpill | null): Steps<unknown> {
  let failure: unknown = null;
  for (const index of claim.slots) {
    const slot = present(core.slots[index], 'a claim names its slots');
    let record = -1;
    yield;
    if (append !== null) {
      const next = Atomics.add(core.control, slot.base + M.SLOT_SPILL_USED, 1);
      try {
        if (next < Atomics.load(core.control, slot.base + M.SLOT_SPILL_MAX)) {
          append(index, next);
          record = next;
        } else failure ??= 'full';
      } catch (error) {
        failure ??= error;
      }
      yield;
      if (record < 0) Atomics.store(core.control, slot.base + M.SLOT_FAILED, 1);
    }
    yield;
    Atomics.store(slot.records, claim.chunk, record);
    yield;
    Atomics.store(slot.states, claim.chunk, M.PRESERVED_STATE);
  }
  Atomics.add(core.control, M.PRESERVED, 1);
  yield;
  Atomics.add(core.control, M.CLAIM_SEQUENCE, 1);
  Atomics.notify(core.control, M.CLAIM_SEQUENCE);
  return failure;
}

/** Reads a frozen chunk as of its cut into the caller's buffer: disk first, state afterwards (H1).
 * `readDisk` may be called again; `readSpill` gets the record. 'unreadable': a guest has
 * overwritten it, and what was there before could not be read (H21). */
export function* readFrozen(
  core: Core,
  slot: Slot,
  chunk: ChunkIndex,
  readDisk: () => Promise<void> | undefined,
  readSpill: (record: number) => void,
): Steps<'read' | 'failed' | 'unreadable' | 'released'> {
  for (;;) {
    yield;
    if (slot.failed) return 'failed';
    yield;
    if (Atomics.load(slot.states, chunk) !== M.PRESERVED_STATE) yield readDisk();
    yield;
    const sequence = Atomics.load(core.control, M.CLAIM_SEQUENCE);
    yield;
    const state = Atomics.load(slot.states, chunk);
    if (state === M.RELEASED) return 'released';
    if (state === M.FREE) return slot.failed ? 'failed' : 'read';
    if (state === M.CLAIMED) {
      yield { word: M.CLAIM_SEQUENCE, value: sequence };
      continue;
    }
    yield;
    if (slot.failed) return 'failed';
    const record = Atomics.load(slot.records, chunk);
    if (record < 0) return 'unreadable';
    readSpill(record);
    yield;
    return slot.failed ? 'failed' : 'read';
  }
}

/** Lets writers have the chunk without preserve; one already claimed keeps its course. */
export function release(slot: Slot, chunk: ChunkIndex): void {
  Atomics.compareExchange(slot.states, chunk, M.FREE, M.RELEASED);
}

/** Closes the gate and waits until every section open before has ended. */
export function* closeGate(core: Core): Steps<void> {
  yield;
  Atomics.store(core.control, M.GATE, 1);
  for (let thread = 0; thread < M.THREADS_MAX; thread += 1) {
    const word = M.OPEN_FIRST + thread;
    yield;
    while (Atomics.load(core.control, word) !== 0) yield { word, value: 1 };
  }
}

export function openGate(core: Core): void {
  Atomics.store(core.control, M.GATE, 0);
  Atomics.notify(core.control, M.GATE);
}

/** Under the closed gate: swaps the live maps; `slot` (null: a checkpoint) freezes its pending map
 * together with the swapped one. Returns the index of the swapped live map. O(1). */
export function swap(core: Core, slot: Slot | null): number {
  const swapped = Atomics.load(core.control, M.LIVE);
  Atomics.store(core.control, M.LIVE, 1 - swapped);
  Atomics.add(core.control, M.SWAPS, 1);
  if (slot !== null) {
    assert(!slot.active, 'one frozen set per target at a time (H16)');
    const pending = 1 - Atomics.load(core.control, slot.base + M.SLOT_FROZEN);
    Atomics.store(core.control, slot.base + M.SLOT_FROZEN, pending);
    Atomics.store(core.control, slot.base + M.SLOT_SWAPPED, swapped);
    Atomics.store(core.control, slot.base + M.SLOT_FAILED, 0);
    Atomics.store(core.control, slot.base + M.SLOT_ACTIVE, 1);
  }
  return swapped;
}

/** Runs steps that never wait, in the calling thread. */
export function runNow<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    assert(step.value === undefined, 'a section does not wait');
  }
}
