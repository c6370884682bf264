// A disk of two chunks for the explorer: the real core over the real memory, with content modelled
// as one number a block. Two blocks of each chunk are looked at; reading a chunk takes a step a
// block, so that a torn read is seen. Actors are the program's loops around core.ts: TrackedDisk's
// writer, Volume's cut, reader and end.
import assert from 'node:assert/strict';
import { present } from '../../src/base/assert.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, CHUNK_BYTES } from '../../src/base/units.js';
import {
  type Blocked,
  Core,
  openGate,
  release,
  type Slot,
  type Steps,
  swap,
} from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { type Actor, saw, type World } from './explorer.js';
import { CHUNKS, type Content, LOOKED, LOOKED_BLOCKS, type Parts, type Plan } from './tiny-plan.js';

/** Words of `control` that the program does not use. */
const ORDER = 12;
const FILE_BIT = 14;

/** An actor's place; set where it holds no variables. */
type Position = { seen: number };

/** One world at a time: the memory is allocated once and emptied by `start`. */
export class TinyWorld {
  readonly plan: Plan;
  readonly parts: Parts;
  readonly #memory: M.VolumeMemory;
  readonly #buffers: readonly Uint8Array[];
  readonly core: Core;
  readonly #cores: readonly Core[];
  disk: number[] = [];
  spill = new Map<number, Content>();
  /** Per target: content at the cut, or null; content the target has. */
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
      spillBytes: plan.spillRecords * CHUNK_BYTES,
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
    this.#cores = plan.writers.map((_, thread) => new Core(this.#memory, thread));
    this.#cores.forEach(parts.spoil);
  }

  /** A fresh world for one schedule. */
  start(): World {
    for (const bytes of this.#buffers) bytes.fill(0);
    const { plan } = this;
    const { control, slots } = this.core;
    control[M.SPILL_MAX] = plan.spillRecords;
    for (const slot of slots) control[slot.base + M.SLOT_SWAPPED] = -1;
    this.disk = new Array<number>(CHUNKS * BLOCKS_PER_CHUNK).fill(0);
    this.base = slots.map(() => [...this.disk]);
    this.cuts = slots.map(() => null);
    this.spill = new Map();
    this.answered = 0;
    for (const block of plan.dirty) {
      this.disk[block] = 1;
      this.core.liveMap().mark(block, block);
    }
    this.core.intentWritten[0] = 1;
    this.core.intent[0] = 1;
    control[FILE_BIT] = 1;
    const actors = [
      ...plan.writers.map((_, index) => this.#writer(index)),
      ...slots.map((slot) => this.#actor(`round${slot.index}`, (me) => this.#round(slot, me))),
      ...Array.from({ length: plan.checkpoints }, () =>
        this.#actor('check', () => this.#checkpoint()),
      ),
    ];
    return {
      actors,
      control,
      state: () => this.#state(),
      check: () => this.#check(),
      checkEnd: () => this.#checkEnd(),
    };
  }

  content(chunk: number): Content {
    const [first, second] = LOOKED.map((at) => this.disk[chunk * BLOCKS_PER_CHUNK + at] ?? -1);
    return [first ?? -1, second ?? -1];
  }

  // Actors.

  #actor(name: string, steps: (me: Position) => Actor['steps']): Actor {
    const me: Position = { seen: 0 };
    return Object.assign(me, { name, steps: steps(me) });
  }

  #writer(index: number): Actor {
    const core = present(this.#cores[index], 'every writer has a core');
    return this.#actor(`w${index}`, (me) => this.#write(core, index, me));
  }

  /** TrackedDisk.write with its retries. */
  *#write(core: Core, index: number, me: Position): Steps<void> {
    const { first, count } = this.plan.writers[index] ?? { first: 0, count: 1 };
    const io = (): void => {
      for (let block = first; block < first + count; block += 1) this.disk[block] = 10 + index;
    };
    const writeIntent = (): void => void Atomics.store(core.control, FILE_BIT, 1);
    for (;;) {
      me.seen = 1;
      const [offset, length] = [first * BLOCK_BYTES, count * BLOCK_BYTES];
      const blocked = yield* this.parts.section(core, offset, length, writeIntent, io);
      if (blocked === null) break;
      yield* this.#unblock(core, blocked);
      if (!this.parts.startOver && blocked.why === 'frozen') {
        io();
        break;
      }
    }
    this.answered += 1;
  }

  *#unblock(core: Core, blocked: Blocked): Steps<void> {
    if (blocked.why === 'closed') yield { word: M.GATE, value: 1 };
    else if (blocked.why === 'intent-busy') yield { word: M.INTENT_LOCK, value: 1 };
    else if (blocked.claims.length === 0) {
      yield { word: M.CLAIM_SEQUENCE, value: blocked.sequence };
    }
    for (const claim of blocked.claims) {
      const old = yield* this.#readDisk(claim.chunk);
      yield* this.parts.preserve(core, claim, (record) => void this.spill.set(record, old));
    }
  }

  /** A read that a write may tear. */
  *#readDisk(chunk: number): Steps<Content> {
    yield;
    const [first] = this.content(chunk);
    saw(first);
    yield;
    const [, second] = this.content(chunk);
    saw(second);
    return [first, second];
  }

  /** Volume.cut, FrozenSet.read of every frozen chunk, FrozenSet.end. */
  *#round(slot: Slot, me: Position): Steps<void> {
    yield* this.#lock();
    yield* this.#close();
    const swapped = swap(this.core, slot);
    this.cuts[slot.index] = [...this.disk];
    const frozen = [0, 1].filter((chunk) => slot.frozenByMaps(chunk));
    yield;
    openGate(this.core);
    yield* this.parts.fold(this.core, swapped, slot);
    this.#unlock();
    for (const chunk of frozen) {
      me.seen = 10 + chunk;
      yield* this.#readOne(slot, chunk);
    }
    me.seen = 20;
    yield* this.#lock();
    me.seen = 21;
    yield* this.#end(slot);
    this.#unlock();
  }

  *#readOne(slot: Slot, chunk: number): Steps<void> {
    let into: Content = [-1, -1];
    const read = Promise.resolve();
    const fromSpill = (record: number): void => {
      into = this.spill.get(record) ?? [-2, -2];
    };
    const steps = this.parts.readFrozen(this.core, slot, chunk, () => read, fromSpill);
    let step = steps.next();
    for (; !step.done; step = steps.next()) {
      if (step.value === read) into = yield* this.#readDisk(chunk);
      else yield step.value;
    }
    if (step.value === 'failed') {
      assert.ok(this.plan.spillRecords < CHUNKS, 'a round fails only when the spill is full');
      return;
    }
    const cut = this.cuts[slot.index];
    const at = LOOKED.map((one) => cut?.[chunk * BLOCKS_PER_CHUNK + one]);
    assert.deepEqual(into, at, `D2: chunk ${chunk} of target ${slot.index} is not the cut's`);
    if (this.plan.release) {
      yield;
      release(slot, chunk);
    }
  }

  /** Volume.#end. */
  *#end(slot: Slot): Steps<void> {
    yield* this.#close();
    Atomics.store(this.core.control, slot.base + M.SLOT_ACTIVE, 0);
    openGate(this.core);
    const frozen = Atomics.load(this.core.control, slot.base + M.SLOT_FROZEN);
    const [map, pending] = [slot.maps[frozen], slot.maps[1 - frozen]];
    assert.ok(map && pending);
    for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
      for (;;) {
        yield;
        const value = Atomics.load(this.core.control, M.CLAIM_SEQUENCE);
        yield;
        if (Atomics.load(slot.states, chunk) !== M.CLAIMED) break;
        yield { word: M.CLAIM_SEQUENCE, value };
      }
      Atomics.store(slot.states, chunk, M.FREE);
    }
    yield;
    if (slot.failed) pending.merge(map);
    else this.base[slot.index] = [...(this.cuts[slot.index] ?? [])];
    map.clearAll();
  }

  *#checkpoint(): Steps<void> {
    yield* this.#lock();
    yield* this.#close();
    const swapped = swap(this.core, null);
    yield;
    openGate(this.core);
    yield* this.parts.fold(this.core, swapped, null);
    this.#unlock();
  }

  /** closeGate; looks at words that no thread of this world has are no steps of their own. */
  *#close(): Steps<void> {
    let looks = 0;
    for (const step of this.parts.closeGate(this.core)) {
      if (step !== undefined || looks <= this.plan.writers.length) yield step;
      looks += 1;
    }
  }

  /** Volume's mutex. */
  *#lock(): Steps<void> {
    yield;
    while (Atomics.load(this.core.control, ORDER) !== 0) yield { word: ORDER, value: 1 };
    Atomics.store(this.core.control, ORDER, 1);
  }

  #unlock(): void {
    Atomics.store(this.core.control, ORDER, 0);
    Atomics.notify(this.core.control, ORDER);
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
    const spill = [...this.spill].join('/');
    const words = this.core.control.subarray(0, M.SLOT_FIRST + 8).join();
    return [answered, masks, looked, slots, spill, words].join(';');
  }
}
