// Reading a frozen chunk as of its cut: disk or spill, in the order of core.ts (H1); and what can
// still be had of a chunk that the disk cannot read (H21). Pages that the read brought into the
// cache do not stay there (H22).
import { assert, present } from '../base/assert.js';
import { BLOCK_BYTES, CHUNK_BYTES, type ChunkIndex, chunkMask } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { FormatError } from '../format/changeset.js';
import type { BlockMap } from '../tracking/block-map.js';
import { type Core, readFrozen, type Slot } from './core.js';
import { isMediumError } from './repair.js';
import { isAsSpilled, type Spill } from './spill.js';
import { runWaiting, type Waiter } from './waiter.js';

/** What became of it. `unreadable`: mask of the blocks that nobody can read any more; the others
 * are in the buffer (H21). 'failed': preserve failed, the round is lost (H17). */
export type FrozenRead = 'read' | 'failed' | { readonly unreadable: number };
/** 'released': let go before or while it was read; the bytes may be newer than the cut. */
export type HeldRead = FrozenRead | 'released';

/** A target's chunks as of a cut; stands until `end`. */
export interface FrozenSet {
  /** Wall time just before the gate closed, and just after it opened. */
  readonly beganMs: number;
  readonly endedMs: number;
  readonly map: BlockMap;
  /** Fills `into` with the chunk as of the cut; never of one that was released. */
  read(chunk: ChunkIndex, into: Uint8Array): Promise<FrozenRead>;
  /** As `read`; 'released' when guests may have the chunk already. */
  readIfHeld(chunk: ChunkIndex, into: Uint8Array): Promise<HeldRead>;
  /** No more preserve for this chunk (ladder step 5). */
  release(chunk: ChunkIndex): void;
  readonly failed: boolean;
  /** Ends the set: 'drop' forgets the bits (D1: committed and hardened), 'merge' gives them back
   * to the target's pending map. */
  end(how: 'drop' | 'merge'): Promise<void>;
}

export interface FrozenReadParts {
  readonly device: Device;
  readonly spill: Spill;
  readonly waiter: Waiter;
}

/** Fills `bytes`, as long as the chunk is. */
export async function readFrozenChunk(
  core: Core,
  parts: FrozenReadParts,
  slot: Slot,
  chunk: ChunkIndex,
  bytes: Uint8Array,
): Promise<HeldRead> {
  const { device } = parts;
  const offset = chunk * CHUNK_BYTES;
  const whole = (): Promise<void> => device.readAside(offset, bytes);
  try {
    return await readBy(core, parts, slot, chunk, bytes, whole, () => {});
  } catch (error) {
    if (!isMediumError(error)) throw error;
  }
  let unreadable = 0;
  const byBlock = async (): Promise<void> => {
    unreadable = await readBlocks(device, offset, bytes);
  };
  const read = await readBy(core, parts, slot, chunk, bytes, byBlock, () => {
    unreadable = 0; // the spill has all of it
  });
  return read === 'read' && unreadable !== 0 ? { unreadable } : read;
}

async function readBy(
  core: Core,
  { spill, waiter }: FrozenReadParts,
  slot: Slot,
  chunk: ChunkIndex,
  bytes: Uint8Array,
  readDisk: () => Promise<void> | undefined,
  onSpill: () => void,
): Promise<HeldRead> {
  const fromSpill = (record: number): void => {
    spill.readNow(record, bytes);
    const memory = present(core.memory.slots[slot.index], 'a slot has its memory');
    if (!isAsSpilled(memory, record, bytes)) throw spillRotten(spill, record);
    onSpill();
  };
  const steps = readFrozen(core, slot, chunk, readDisk, fromSpill);
  const result = await runWaiting(steps, core.control, waiter);
  assert(result !== 'timeout', 'reading a frozen chunk has no time limit');
  if (result.value !== 'unreadable') return result.value;
  return { unreadable: chunkMask(chunk, core.memory.sizeBytes) };
}

function spillRotten({ path }: Spill, record: number) {
  const place = `${path ?? 'spill'} at ${record * CHUNK_BYTES}`;
  const why = 'checksum differs';
  return new FormatError({ code: 'FORMAT_BAD', what: 'kept chunk', place, why });
}

/** Block by block; returns the mask of those that cannot be read. */
async function readBlocks(device: Device, offset: number, bytes: Uint8Array): Promise<number> {
  let unreadable = 0;
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    try {
      await device.read(offset + at, bytes.subarray(at, at + BLOCK_BYTES));
    } catch (error) {
      if (!isMediumError(error)) throw error;
      unreadable |= 1 << (at / BLOCK_BYTES);
    }
  }
  return unreadable;
}
