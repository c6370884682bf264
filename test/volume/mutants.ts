// Wrong ones of the program's loops: each mutant breaks one rule of RULES.md §2, by
// other generators or by views spoiled from outside, never by an edit of src. The explorer must
// catch every one of them, or it proves nothing.
import { BLOCKS_PER_CHUNK } from '../../src/base/units.js';
import {
  type Blocked,
  type Core,
  type closeGate,
  preserve,
  readFrozen,
  type Slot,
  type Steps,
  section,
} from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { MUTANTS_OF_SPILLS } from './mutants-of-spills.js';
import { fill, type Mutant, mutant, unlist } from './tiny-parts.js';
import { CHUNKS } from './tiny-plan.js';

/** Guest's writes go on without a frozen test. */
const withoutPreserve: typeof section = (core, offset, length, writeIntent, io) =>
  section(core, offset, length, writeIntent, io, true);

/** State first, then the disk, and no look afterwards. */
const spillFirst: typeof readFrozen = function* (core, slot, chunk, readDisk, readSpill) {
  for (;;) {
    yield;
    const sequence = Atomics.load(core.control, M.CLAIM_SEQUENCE);
    yield;
    const state = Atomics.load(slot.states, chunk);
    if (state === M.CLAIMED) yield { word: M.CLAIM_SEQUENCE, value: sequence };
    else if (state === M.PRESERVED_STATE) {
      readSpill(Atomics.load(slot.records, chunk));
      return 'read';
    } else {
      yield readDisk();
      return 'read';
    }
  }
};

/** The chunk's state is looked at just before the disk is read, and again only if it was free. */
const stateBeforeRead: typeof readFrozen = function* (core, slot, chunk, readDisk, readSpill) {
  yield;
  const free = Atomics.load(slot.states, chunk) === M.FREE;
  if (!free) return yield* readFrozen(core, slot, chunk, readDisk, readSpill);
  yield readDisk();
  return 'read';
};

/** Mark and frozen test in one section, a wait, and the I/O in another one. */
const leaveBetween: typeof section = function* (core, offset, length, writeIntent, io, advice) {
  const blocked = yield* section(core, offset, length, writeIntent, () => {}, advice);
  if (blocked !== null) return blocked;
  const open = M.OPEN_FIRST + core.thread;
  for (;;) {
    yield;
    Atomics.store(core.control, open, 1);
    yield;
    const closed = Atomics.load(core.control, M.GATE) !== 0;
    yield;
    if (!closed) io();
    Atomics.store(core.control, open, 0);
    Atomics.notify(core.control, open);
    if (!closed) return null;
    yield { word: M.GATE, value: 1 };
  }
};

/** The gate is looked at before the section says that it is open. */
const gateFirst: typeof section = function* (core, offset, length, writeIntent, io, advice) {
  yield;
  if (Atomics.load(core.control, M.GATE) !== 0) return closed;
  yield;
  // From here as section, but for its look at the gate.
  const steps = section(core, offset, length, writeIntent, io, advice);
  steps.next();
  steps.next();
  const gate = Atomics.load(core.control, M.GATE);
  Atomics.store(core.control, M.GATE, 0);
  let step = steps.next();
  Atomics.store(core.control, M.GATE, gate);
  for (; !step.done; step = steps.next()) yield step.value;
  return step.value;
};
const closed: Blocked = { why: 'closed', claims: [], sequence: 0, extents: [] };

/** Frozen test by block: a clean block of a frozen chunk is written without preserve. */
function testByBlock(core: Core): void {
  for (const slot of core.slots) {
    const clean = 1;
    const real = slot.frozenByMaps.bind(slot);
    const byBlock = (chunk: number): boolean => {
      const block = chunk * BLOCKS_PER_CHUNK + clean;
      const maps = [...core.live, ...slot.maps];
      return real(chunk) && maps.some((map) => map.anyMarked(block, block));
    };
    Object.assign(slot, { frozenByMaps: byBlock });
  }
}

/** Readers of the swapped map look at the frozen one first. */
function frozenFirst(core: Core): void {
  for (const slot of core.slots) {
    const byMaps = (chunk: number): boolean => {
      const frozen = slot.maps[Atomics.load(core.control, slot.base + M.SLOT_FROZEN)];
      return (frozen?.chunkMask(chunk) ?? 0) !== 0;
    };
    Object.assign(slot, { frozenByMaps: byMaps });
  }
}

/** Blocks of a tiny world. */
const BLOCKS = CHUNKS * BLOCKS_PER_CHUNK;

/** The swapped map is cleared before the frozen one has its bits. */
function* clearFirst(core: Core, swapped: number, slot: Slot | null): Steps<void> {
  const marked: number[] = [];
  const from = core.live[swapped];
  for (let block = 0; block < BLOCKS; block += 1) {
    if (from?.anyMarked(block, block)) marked.push(block);
  }
  yield* unlist(core, slot);
  from?.clearAll();
  for (const block of marked) from?.mark(block, block);
  yield* fill(core, swapped, slot);
  yield;
  from?.clearAll();
}

/** The round is failed only after the writer may go on (H17). */
const failLate: typeof preserve = function* (core, claim, append) {
  const setFailed = (value: number): void => {
    for (const index of claim.slots) {
      Atomics.store(core.control, M.SLOT_FIRST + index * M.SLOT_WORDS + M.SLOT_FAILED, value);
    }
  };
  const steps = preserve(core, claim, append);
  let step = steps.next();
  for (; !step.done; step = steps.next()) {
    setFailed(0);
    yield step.value;
  }
  yield;
  if (step.value !== null) setFailed(1);
  return step.value;
};

/** Claims end without a word to those who wait for them. */
const quietPreserve: typeof preserve = function* (core, claim, append) {
  const real = Atomics.notify;
  const steps = preserve(core, claim, append);
  for (;;) {
    Atomics.notify = () => 0;
    let step: IteratorResult<undefined | object, unknown>;
    try {
      step = steps.next();
    } finally {
      Atomics.notify = real;
    }
    if (step.done) return step.value;
    yield;
  }
};

/** A gate that waits for nobody. */
const closeAtOnce: typeof closeGate = function* (core) {
  yield;
  Atomics.store(core.control, M.GATE, 1);
};

/** What is frozen and being preserved by another is taken for preserved (H2). */
const claimIsEnough: typeof section = function* (core, offset, length, writeIntent, io, advice) {
  const blocked = yield* section(core, offset, length, writeIntent, io, advice);
  if (blocked?.why !== 'frozen' || blocked.claims.length > 0) return blocked;
  return yield* section(core, offset, length, writeIntent, io, true);
};

export const MUTANTS: readonly Mutant[] = [
  mutant({ rule: 'W2', breaks: 'preserve is off', switches: 2 }, { section: withoutPreserve }),
  mutant(
    { rule: 'H1', breaks: 'the spill is looked at first, then the disk is read', switches: 2 },
    { readFrozen: spillFirst },
  ),
  mutant(
    { rule: 'H1', breaks: 'the state is looked at before the read only', switches: 2 },
    { readFrozen: stateBeforeRead },
  ),
  mutant(
    { rule: 'H2', breaks: 'a claimed chunk is taken for a preserved one', switches: 3 },
    { section: claimIsEnough },
  ),
  mutant(
    { rule: 'H2', breaks: 'the frozen test is by block', switches: 2 },
    { spoil: testByBlock },
  ),
  mutant(
    { rule: 'H3', breaks: 'a wait between mark and write is outside the gate', switches: 1 },
    { section: leaveBetween },
  ),
  mutant(
    { rule: 'H3', breaks: 'after a wait the write goes on', plan: 'span', switches: 3 },
    { startOver: false },
  ),
  mutant(
    { rule: 'H4', breaks: 'the gate is looked at before OPEN is set', switches: 3 },
    { section: gateFirst },
  ),
  mutant(
    { rule: 'H4', breaks: 'a cut does not wait for sections', switches: 1 },
    { closeGate: closeAtOnce },
  ),
  mutant(
    { rule: 'H4', breaks: 'the end of a claim notifies nobody', switches: 3 },
    { preserve: quietPreserve },
  ),
  mutant(
    { rule: 'H15', breaks: 'the swapped map is not looked at', switches: 2 },
    { spoil: frozenFirst },
  ),
  mutant(
    { rule: 'H15', breaks: 'the swapped map leaves the list before the fold', switches: 2 },
    { fold: clearFirst },
  ),
  mutant(
    {
      rule: 'H17',
      breaks: 'the writer goes on before the round is failed',
      plan: 'full',
      switches: 3,
    },
    { preserve: failLate },
  ),
  ...MUTANTS_OF_SPILLS,
];
