// Spill: before-images of the running rounds, 64 KiB records in one file, addressed by record
// number. Never synced, never reused after a restart (H17): the maps decide what it means.
// Written by data threads and read by the round thread through the page cache.
import type { FileHandle } from '../base/files.js';
import { CHUNK_BYTES } from '../base/units.js';

export interface Spill {
  /** Keeps `old` (at most 64 KiB) as `record`; throws on ENOSPC and the like. */
  writeNow(record: number, old: Uint8Array): void;
  /** Fills `into` from `record`. */
  readNow(record: number, into: Uint8Array): void;
  /** Forgets all records; only while no frozen set stands. */
  empty(): Promise<void>;
}

export const fileSpill = (handle: FileHandle): Spill => ({
  writeNow: (record, old) => handle.writeNow(old, record * CHUNK_BYTES),
  readNow: (record, into) => void handle.readNow(into, record * CHUNK_BYTES),
  empty: () => handle.truncate(0),
});
