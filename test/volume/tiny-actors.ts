// Who acts in a tiny world: the program's loops around core.ts as generators: TrackedDisk's writer,
// Volume's cut, reader, end and checkpoint, and the repair of a block (H20).
import assert from 'node:assert/strict';
import { present } from '../../src/base/assert.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK } from '../../src/base/units.js';
import {
  type Blocked,
  type Core,
  release,
  type Slot,
  type Steps,
  swap,
} from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { saw } from './explorer.js';
import { CHUNKS, type Content, FILE_BIT, LOOKED, type Position } from './tiny-plan.js';
import type { TinyWorld } from './tiny-world.js';

const ALL_LOOKED = 0b11;

/** TrackedDisk.write with its retries. */
export function* write(world: TinyWorld, index: number, me: Position): Steps<void> {
  const { plan, parts } = world;
  const core = present(world.cores[index], 'every writer has a core');
  const { first, count } = plan.writers[index] ?? { first: 0, count: 1 };
  const io = (): void => {
    for (let block = first; block < first + count; block += 1) world.put(block, 10 + index);
  };
  const writeIntent = (): void => void Atomics.store(core.control, FILE_BIT, 1);
  for (;;) {
    me.seen = 1;
    const [offset, length] = [first * BLOCK_BYTES, count * BLOCK_BYTES];
    const blocked = yield* parts.section(core, offset, length, writeIntent, io);
    if (blocked === null) break;
    yield* unblock(world, core, blocked);
    if (!parts.startOver && blocked.why === 'frozen') {
      io();
      break;
    }
  }
  world.answered += 1;
}

/** WriteSections.#unblock. */
function* unblock(world: TinyWorld, core: Core, blocked: Blocked): Steps<void> {
  if (blocked.why === 'closed') yield { word: M.GATE, value: 1 };
  else if (blocked.why === 'intent-busy') yield { word: M.INTENT_LOCK, value: 1 };
  else if (blocked.claims.length === 0) {
    yield { word: M.CLAIM_SEQUENCE, value: blocked.sequence };
  }
  for (const claim of blocked.claims) {
    const old = yield* world.read(claim.chunk);
    const append = (slot: number, record: number): void =>
      void world.spills[slot]?.set(record, old.content);
    yield* world.parts.preserve(core, claim, old.unreadable === 0 ? append : null);
  }
}

/** Volume.cut, FrozenSet.read of every frozen chunk, FrozenSet.end. */
export function* round(world: TinyWorld, slot: Slot, me: Position): Steps<void> {
  const { parts, core } = world;
  yield* world.lock();
  yield* world.close();
  const swapped = swap(core, slot);
  world.cuts[slot.index] = [...world.disk];
  const frozen = [0, 1].filter((chunk) => slot.frozenByMaps(chunk));
  const bad = frozen.map((chunk) => world.badIn(chunk));
  yield;
  world.open();
  yield* parts.fold(core, swapped, slot);
  world.unlock();
  for (const [at, chunk] of frozen.entries()) {
    me.seen = 10 + chunk + 100 * (bad[at] ?? 0);
    yield* readOne(world, slot, chunk, bad[at] ?? 0);
  }
  me.seen = 20;
  yield* world.lock();
  me.seen = 21;
  yield* end(world, slot);
  world.unlock();
}

/** `bad`: what of the chunk could not be read when it was cut. */
function* readOne(world: TinyWorld, slot: Slot, chunk: number, bad: number): Steps<void> {
  const read = yield* frozenRead(world, slot, chunk);
  if (read === 'failed') {
    assert.ok(world.spillRecords(slot) < CHUNKS, 'D6: a round fails when its own spill is full');
    return;
  }
  const cut = world.cuts[slot.index];
  for (const [bit, at] of LOOKED.entries()) {
    if ((read.unreadable & (1 << bit)) !== 0) {
      assert.notEqual(bad, 0, `H21: chunk ${chunk} could be read at the cut`);
      continue;
    }
    const wanted = cut?.[chunk * BLOCKS_PER_CHUNK + at];
    const what = `D2: chunk ${chunk} of target ${slot.index} is not the cut's`;
    assert.equal(read.content[bit], wanted, what);
  }
  if (world.plan.release) {
    yield;
    release(slot, chunk);
  }
}

type Read = 'failed' | { readonly content: Content; readonly unreadable: number };

/** readFrozenChunk: the whole chunk, and if that cannot be read, block by block. */
function* frozenRead(world: TinyWorld, slot: Slot, chunk: number): Steps<Read> {
  for (const byBlock of [false, true]) {
    let [content, unreadable]: [Content, number] = [[-1, -1], 0];
    const reading = Promise.resolve();
    const fromSpill = (record: number): void => {
      [content, unreadable] = [world.spills[slot.index]?.get(record) ?? [-2, -2], 0];
    };
    const steps = world.parts.readFrozen(world.core, slot, chunk, () => reading, fromSpill);
    let threw = false;
    let step = steps.next();
    for (; !step.done && !threw; step = threw ? step : steps.next()) {
      if (step.value !== reading) yield step.value;
      else {
        const got = yield* world.read(chunk);
        [content, unreadable] = [got.content, got.unreadable];
        threw = !byBlock && unreadable !== 0;
      }
    }
    if (!step.done) continue;
    if (step.value === 'failed') return 'failed';
    return { content, unreadable: step.value === 'unreadable' ? ALL_LOOKED : unreadable };
  }
  throw new assert.AssertionError({ message: 'a read by blocks throws nothing' });
}

/** Volume.#end. */
function* end(world: TinyWorld, slot: Slot): Steps<void> {
  const { control } = world.core;
  yield* world.close();
  Atomics.store(control, slot.base + M.SLOT_ACTIVE, 0);
  world.open();
  const frozen = Atomics.load(control, slot.base + M.SLOT_FROZEN);
  const [map, pending] = [slot.maps[frozen], slot.maps[1 - frozen]];
  assert.ok(map && pending);
  for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
    for (;;) {
      yield;
      const value = Atomics.load(control, M.CLAIM_SEQUENCE);
      yield;
      if (Atomics.load(slot.states, chunk) !== M.CLAIMED) break;
      yield { word: M.CLAIM_SEQUENCE, value };
    }
    Atomics.store(slot.states, chunk, M.FREE);
  }
  yield;
  if (slot.failed || world.plan.end === 'merge') pending.merge(map);
  else world.base[slot.index] = [...(world.cuts[slot.index] ?? [])];
  map.clearAll();
}

export function* checkpoint(world: TinyWorld): Steps<void> {
  yield* world.lock();
  yield* world.close();
  const swapped = swap(world.core, null);
  yield;
  world.open();
  yield* world.parts.fold(world.core, swapped, null);
  world.unlock();
}

/** A read that failed: the target of slot 0 is asked if the block is clean for it, and answers with
 * what it has; then the block is written back (daemon/repair.ts, readWithRepair). */
export function* repair(world: TinyWorld, thread: number, block: number): Steps<void> {
  const core = present(world.cores[thread], 'who repairs has a core');
  const slot = present(core.slots[0], 'there is a target');
  yield* world.lock();
  const dirty = [core.liveMap(), ...slot.maps].some((map) => map.anyMarked(block, block));
  const swaps = Atomics.load(core.control, M.SWAPS);
  const answer = present(world.base[0]?.[block], 'the target has the block');
  saw(answer);
  world.unlock();
  if (dirty) return;
  const io = (): void => {
    const what = `H20: block ${block} was written since it was asked for`;
    assert.equal(answer, world.disk[block], what);
    world.put(block, answer);
  };
  yield* world.parts.repair(world, { core, slot, block, swaps, io });
}
