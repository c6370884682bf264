// A disk of two chunks for the explorer: the real core over the real memory, with content modelled
// as one number a block. Two blocks of each chunk are looked at; reading a chunk takes a step a
// block, so that a torn read is seen. Who acts in it: tiny-actors.ts.
import assert from 'node:assert/strict';
import { present } from '../../src/base/assert.js';
import { BLOCKS_PER_CHUNK, CHUNK_BYTES } from '../../src/base/units.js';
import { Core, openGate, type Slot, type Steps } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { type Actor, saw, type World } from './explorer.js';
import { checkpoint, repair, round, write } from './tiny-actors.js';
import {
  CHUNKS,
  type Content,
  FILE_BIT,
  LOOKED,
  LOOKED_BLOCKS,
  type Parts,
  type Plan,
  type Position,
} from './tiny-plan.js';

/** A word of `control` that the program does not use. */
const ORDER = 12;

/** One world at a time: the memory is allocated once and emptied by `start`. */
export class TinyWorld {
  readonly plan: Plan;
  readonly parts: Parts;
  readonly #memory: M.VolumeMemory;
  readonly #buffers: readonly Uint8Array[];
  readonly core: Core;
  /** Of the writers, then of those who repair. */
  readonly cores: readonly Core[];
  disk: number[] = [];
  bad = new Set<number>();
  /** Per target: records of its spill; content at the cut, or null; content the target has. */
  spills: Map<number, Content>[] = [];
  cuts: (number[] | null)[] = [];
  base: number[][] = [];
  answered = 0;

  constructor(plan: Plan, parts: Parts) {
    this.plan = plan;
    this.parts = parts;
    this.#memory = M.allocateVolume({
      sizeBytes: CHUNKS * CHUNK_BYTES,
      extentBytes: CHUNKS * CHUNK_BYTES,
      targets: plan.targets,
      spillBytes: CHUNK_BYTES,
      metaflush: false,
    });
    const { control, live, slots, intent, intentWritten } = this.#memory;
    const maps = [...live, ...slots.flatMap((slot) => slot.maps)];
    this.#buffers = [
      control,
      intent,
      intentWritten,
      ...maps.flatMap((map) => [map.bits, map.summary, map.full]),
      ...slots.flatMap((slot) => [slot.states, slot.records]),
    ].map((buffer) => new Uint8Array(buffer));
    this.core = new Core(this.#memory, M.THREADS_MAX - 1);
    const threads = [...plan.writers, ...plan.repairs];
    this.cores = threads.map((_, thread) => new Core(this.#memory, thread));
    this.cores.forEach(parts.spoil);
  }

  /** A fresh world for one schedule. */
  start(): World {
    for (const bytes of this.#buffers) bytes.fill(0);
    const { plan } = this;
    const { control, slots } = this.core;
    for (const slot of slots) {
      control[slot.base + M.SLOT_SWAPPED] = -1;
      control[slot.base + M.SLOT_SPILL_MAX] = this.spillRecords(slot);
    }
    this.disk = new Array<number>(CHUNKS * BLOCKS_PER_CHUNK).fill(0);
    this.bad = new Set(plan.bad);
    this.base = slots.map(() => [...this.disk]);
    this.cuts = slots.map(() => null);
    this.spills = slots.map(() => new Map());
    this.answered = 0;
    for (const block of plan.dirty) {
      this.disk[block] = 1;
      this.core.liveMap().mark(block, block);
    }
    this.core.intentWritten[0] = 1;
    this.core.intent[0] = 1;
    control[FILE_BIT] = 1;
    return {
      actors: this.#actors(),
      control,
      state: () => this.#state(),
      check: () => this.#check(),
      checkEnd: () => this.#checkEnd(),
    };
  }

  #actors(): Actor[] {
    const { plan, core } = this;
    const { writers } = plan;
    const make = (name: string, steps: (me: Position) => Actor['steps']): Actor => {
      const me: Position = { seen: 0 };
      return Object.assign(me, { name, steps: steps(me) });
    };
    return [
      ...writers.map((_, at) => make(`w${at}`, (me) => write(this, at, me))),
      ...core.slots.map((slot) => make(`round${slot.index}`, (me) => round(this, slot, me))),
      ...Array.from({ length: plan.checkpoints }, () => make('check', () => checkpoint(this))),
      ...plan.repairs.map((block, at) =>
        make(`repair${at}`, () => repair(this, writers.length + at, block)),
      ),
    ];
  }

  // What actors do to it.

  spillRecords(slot: Slot): number {
    return present(this.plan.spillRecords[slot.index], 'every target has a spill');
  }

  content(chunk: number): Content {
    const [first, second] = LOOKED.map((at) => this.disk[chunk * BLOCKS_PER_CHUNK + at] ?? -1);
    return [first ?? -1, second ?? -1];
  }

  put(block: number, value: number): void {
    this.disk[block] = value;
    this.bad.delete(block);
  }

  /** Mask of the looked-at blocks of a chunk that cannot be read. */
  badIn(chunk: number): number {
    const bits = LOOKED.map((at, bit) =>
      this.bad.has(chunk * BLOCKS_PER_CHUNK + at) ? 1 << bit : 0,
    );
    return bits.reduce((all, bit) => all | bit, 0);
  }

  /** A read that a write may tear, and what of it could not be read. */
  *read(chunk: number): Steps<{ readonly content: Content; readonly unreadable: number }> {
    yield;
    const [first] = this.content(chunk);
    const one = this.badIn(chunk) & 1;
    saw(first + 100 * one);
    yield;
    const [, second] = this.content(chunk);
    const two = this.badIn(chunk) & 2;
    saw(second + 100 * two);
    return { content: [first, second], unreadable: one | two };
  }

  /** Volume's mutex. */
  *lock(): Steps<void> {
    yield;
    while (Atomics.load(this.core.control, ORDER) !== 0) yield { word: ORDER, value: 1 };
    Atomics.store(this.core.control, ORDER, 1);
  }

  unlock(): void {
    Atomics.store(this.core.control, ORDER, 0);
    Atomics.notify(this.core.control, ORDER);
  }

  /** closeGate; looks at words that no thread of this world has are no steps of their own. */
  *close(): Steps<void> {
    let looks = 0;
    for (const step of this.parts.closeGate(this.core)) {
      if (step !== undefined || looks <= this.cores.length) yield step;
      looks += 1;
    }
  }

  open(): void {
    openGate(this.core);
  }

  // Checks.

  /** W1: what differs from what a target has is marked in one of the maps of that target. */
  #check(): void {
    for (const slot of this.core.slots) {
      for (const block of LOOKED_BLOCKS) {
        if (this.disk[block] === this.base[slot.index]?.[block]) continue;
        const maps = [...this.core.live, ...slot.maps];
        const marked = maps.some((map) => map.anyMarked(block, block));
        assert.ok(marked, `W1: block ${block} changed and is not marked for ${slot.index}`);
      }
    }
  }

  #checkEnd(): void {
    assert.equal(this.answered, this.plan.writers.length, 'W4: every write was answered');
    assert.equal(Atomics.load(this.core.control, M.GATE), 0);
    for (const slot of this.core.slots) {
      assert.ok(this.cuts[slot.index] && !slot.active);
      const free = slot.states.every((state) => state === M.FREE);
      assert.ok(free, 'states are free again');
    }
  }

  #state(): string {
    const { answered } = this;
    const maps = [...this.core.live, ...this.core.slots.flatMap((slot) => slot.maps)];
    const masks = maps.map((map) => `${map.chunkMask(0)}.${map.chunkMask(1)}`);
    const looked = [this.disk, ...this.cuts, ...this.base].map((disk) =>
      LOOKED_BLOCKS.map((block) => disk?.[block]),
    );
    const slots = this.core.slots.map((slot) => `${slot.states}/${slot.records}`);
    const spills = this.spills.map((spill) => [...spill].join('/'));
    const words = this.core.control.subarray(0, M.SLOT_FIRST + 2 * M.SLOT_WORDS).join();
    return [answered, masks, looked, slots, spills, [...this.bad], words].join(';');
  }
}
