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

/** A word of `control` that the program does not use: the intent bit as the file has it. */
export const FILE_BIT = 14;

/** An actor's place; set where it holds no variables. */
export type Position = { seen: number };

export type Content = readonly [number, number];
export interface Repair {
  readonly core: Core;
  readonly slot: Slot;
  readonly block: number;
  readonly swaps: number;
  readonly io: () => void;
}

/** What a world gives beside the core: Volume's mutex, and the gate. */
export interface Gated {
  lock(): Steps<void>;
  unlock(): void;
  close(): Steps<void>;
  open(): void;
}

/** What may be replaced by a mutant. */
export interface Parts {
  readonly section: typeof section;
  readonly readFrozen: typeof readFrozen;
  readonly fold: (core: Core, swapped: number, slot: Slot | null) => Steps<void>;
  readonly preserve: typeof preserve;
  readonly closeGate: typeof closeGate;
  /** Writes a block back that was clean for the target when `swaps` was SWAPS (H20). */
  readonly repair: (world: Gated, repair: Repair) => Steps<void>;
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
  /** Records that the spill of each target may have. */
  readonly spillRecords: readonly number[];
  /** How rounds end; one whose spill was full is merged. */
  readonly end: 'drop' | 'merge';
  /** Blocks that the disk cannot read until they are written (H21). */
  readonly bad: readonly number[];
  /** One actor each: a block that is asked for at the first target and written back (H20). */
  readonly repairs: readonly number[];
}
