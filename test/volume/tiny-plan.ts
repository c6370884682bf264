// What an explored world is made of: its disk, its actors, and the parts of the program that they
// run, which mutants replace.
import { BLOCKS_PER_CHUNK } from '../../src/base/units.js';
import type {
  Core,
  closeGate,
  preserve,
  readFrozen,
  Slot,
  Steps,
  section,
} from '../../src/volume/core.js';

export const CHUNKS = 2;
/** Blocks looked at in every chunk. */
export const LOOKED = [0, 1] as const;
export const LOOKED_BLOCKS = [0, 1].flatMap((chunk) =>
  LOOKED.map((at) => chunk * BLOCKS_PER_CHUNK + at),
);

export type Content = readonly [number, number];
/** What may be replaced by a mutant. */
export interface Parts {
  readonly section: typeof section;
  readonly readFrozen: typeof readFrozen;
  readonly fold: (core: Core, swapped: number, slot: Slot | null) => Steps<void>;
  readonly preserve: typeof preserve;
  readonly closeGate: typeof closeGate;
  /** Called for the writers' cores of every new world. */
  readonly spoil: (core: Core) => void;
  /** True: as TrackedDisk, sections until one did the I/O; false: as the H3 mutant. */
  readonly startOver: boolean;
}

export interface Plan {
  /** Block of each chunk that was dirty before the cut (value 1). */
  readonly dirty: readonly number[];
  /** One actor each: first block, and blocks written with that actor's value. */
  readonly writers: readonly { readonly first: number; readonly count: number }[];
  readonly targets: number;
  /** Checkpoints (cuts without freezing) by an actor of their own. */
  readonly checkpoints: number;
  readonly release: boolean;
  readonly spillRecords: number;
}
