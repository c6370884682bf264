// Spill: before-images of the running rounds, 64 KiB records in one file, addressed by record
// number. Never synced, never reused after a restart (H17): the maps decide what it means.
// Written by data threads and read by the round thread through the page cache. A round may last for
// days, and a record be read back from a medium that has rotted: what was kept has a check, in
// shared memory, or a round would send something else with a digest that fits it.
import { CHECK_BYTES, checkOf, equalBytes } from '../base/digest.js';
import type { FileHandle } from '../base/files.js';
import { CHUNK_BYTES } from '../base/units.js';
import type { SlotMemory } from './memory.js';

export interface Spill {
  readonly path?: string;
  /** Keeps `old` (at most 64 KiB) as `record`; throws on ENOSPC and the like. */
  writeNow(record: number, old: Uint8Array): void;
  /** Fills `into` from `record`. */
  readNow(record: number, into: Uint8Array): void;
  /** Forgets all records; only while no frozen set stands. */
  empty(): Promise<void>;
}

export const fileSpill = (handle: FileHandle): Spill => ({
  path: handle.path,
  writeNow: (record, old) => handle.writeNow(old, record * CHUNK_BYTES),
  readNow: (record, into) => void handle.readNow(into, record * CHUNK_BYTES),
  empty: () => handle.truncate(0),
});

const checkIn = ({ spillChecks }: SlotMemory, record: number): Uint8Array =>
  new Uint8Array(spillChecks, record * CHECK_BYTES, CHECK_BYTES);

/** Remembers what is kept as `record`: before the chunk's state says that it is (core.ts). */
export function noteSpilled(slot: SlotMemory, record: number, old: Uint8Array): void {
  checkIn(slot, record).set(checkOf(old));
}

/** Whether `bytes`, read back, are what was kept as `record`. */
export const isAsSpilled = (slot: SlotMemory, record: number, bytes: Uint8Array): boolean =>
  equalBytes(checkOf(bytes), checkIn(slot, record));
