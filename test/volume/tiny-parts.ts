// The program's loops as they are, for the explorer: what a tiny world runs when nothing is broken.
import {
  type Core,
  closeGate,
  preserve,
  readFrozen,
  type Slot,
  type Steps,
  section,
} from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import type { Parts } from './tiny-plan.js';

/** Volume.#fold: fill the frozen and pending maps, drop the swapped one from the list, clear it. */
export function* fold(core: Core, swapped: number, slot: Slot | null): Steps<void> {
  yield* fill(core, swapped, slot);
  yield* unlist(core, slot);
  yield;
  core.live[swapped]?.clearAll();
}

export function* fill(core: Core, swapped: number, slot: Slot | null): Steps<void> {
  const from = core.live[swapped];
  for (const other of core.slots) {
    yield;
    const frozen = Atomics.load(core.control, other.base + M.SLOT_FROZEN);
    const into = other.maps[other === slot ? frozen : 1 - frozen];
    if (from) into?.merge(from);
  }
}

export function* unlist(core: Core, slot: Slot | null): Steps<void> {
  yield;
  if (slot) Atomics.store(core.control, slot.base + M.SLOT_SWAPPED, -1);
}

/** Volume.writeBack: under the closed gate, where no section of another thread stands between its
 * look and its write; nothing was cut since the target was asked, so that the live map in use knows
 * of every write since. */
export const repairUnderGate = (
  looks: 'all' | 'before the gate' | 'without swaps' | 'without live',
): Parts['repair'] =>
  function* (world, { core, slot, block, swaps, io }) {
    const clean = (): boolean => {
      const swapped = Atomics.load(core.control, M.SWAPS) !== swaps;
      const maps = [core.liveMap(), ...slot.maps];
      if (looks === 'without live') return !swapped;
      const marked = maps.some((map) => map.anyMarked(block, block));
      return !marked && (looks === 'without swaps' || !swapped);
    };
    yield* world.lock();
    const before = clean();
    yield* world.close();
    if (looks === 'before the gate' ? before : clean()) io();
    yield;
    world.open();
    world.unlock();
  };

export const asWritten: Parts = {
  repair: repairUnderGate('all'),
  section,
  readFrozen,
  fold,
  preserve,
  closeGate,
  spoil: () => {},
  startOver: true,
};

export interface Mutant {
  readonly rule: string;
  readonly breaks: string;
  /** The world it is caught in (interleave.test.ts). */
  readonly plan: 'plain' | 'span' | 'full' | 'oneFull' | 'twoTargets' | 'bad' | 'repaired';
  /** Switches away from an actor that could have gone on: the fewest that show it. */
  readonly switches: number;
  readonly parts: Parts;
}

type Facts = Pick<Mutant, 'rule' | 'breaks' | 'switches'> & { readonly plan?: Mutant['plan'] };
export const mutant = (facts: Facts, parts: Partial<Parts>): Mutant => ({
  plan: 'plain',
  ...facts,
  parts: { ...asWritten, ...parts },
});
