// Wrong ways with a spill of one's own for each target (H16, D6), with what cannot be read (H21),
// and with blocks that a target gave back (H20).
import { type Core, preserve, readFrozen } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { type Mutant, mutant, repairUnderGate } from './tiny-parts.js';

/** A spill that is full fails every target that had the chunk frozen. */
const failAll: typeof preserve = function* (core, claim, append) {
  const failure = yield* preserve(core, claim, append);
  const slots = failure === null ? [] : claim.slots;
  for (const index of slots) Atomics.store(failedWord(core, index), 0, 1);
  return failure;
};
const failedWord = (core: Core, slot: number): Int32Array => {
  const word = M.SLOT_FIRST + slot * M.SLOT_WORDS + M.SLOT_FAILED;
  return core.control.subarray(word, word + 1);
};

/** One record for all targets, in the spill of the first (what H16 said before). */
const oneRecord: typeof preserve = function* (core, claim, append) {
  const [first] = claim.slots;
  return yield* preserve(
    core,
    claim,
    append && ((slot, record) => (slot === first ? append(slot, record) : undefined)),
  );
};

/** What could not be kept is read from the disk, over which a guest has written (H21). */
const readWhatIsThere: typeof readFrozen = function* (core, slot, chunk, readDisk, readSpill) {
  const result = yield* readFrozen(core, slot, chunk, readDisk, readSpill);
  if (result !== 'unreadable') return result;
  yield readDisk();
  return 'read';
};

/** A chunk whose old content cannot be read is released. */
const releaseUnreadable: typeof preserve = function* (core, claim, append) {
  if (append !== null) return yield* preserve(core, claim, append);
  for (const slot of claim.slots) {
    yield;
    const states = core.slots[slot]?.states;
    if (states) Atomics.store(states, claim.chunk, M.RELEASED);
  }
  yield;
  Atomics.add(core.control, M.CLAIM_SEQUENCE, 1);
  Atomics.notify(core.control, M.CLAIM_SEQUENCE);
  return null;
};

export const MUTANTS_OF_SPILLS: readonly Mutant[] = [
  mutant(
    { rule: 'D6', breaks: 'a full spill fails every target', plan: 'oneFull', switches: 3 },
    { preserve: failAll },
  ),
  mutant(
    { rule: 'H16', breaks: 'targets share a record', plan: 'twoTargets', switches: 3 },
    { preserve: oneRecord },
  ),
  mutant(
    { rule: 'H21', breaks: 'what was not kept is read from the disk', plan: 'bad', switches: 2 },
    { readFrozen: readWhatIsThere },
  ),
  mutant(
    { rule: 'H21', breaks: 'what cannot be read is given free', plan: 'bad', switches: 2 },
    { preserve: releaseUnreadable },
  ),
  mutant(
    {
      rule: 'H20',
      breaks: 'a repair looks before it closes the gate',
      plan: 'repaired',
      switches: 1,
    },
    { repair: repairUnderGate('before the gate') },
  ),
  mutant(
    { rule: 'H20', breaks: 'a repair does not look at live', plan: 'repaired', switches: 1 },
    { repair: repairUnderGate('without live') },
  ),
  mutant(
    { rule: 'H20', breaks: 'marks came and went since', plan: 'repaired', switches: 2 },
    { repair: repairUnderGate('without swaps') },
  ),
];
