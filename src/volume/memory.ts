// The shared memory of one volume: what data threads, the round thread and the control thread look
// at together. Allocated once at resource start and posted to every thread (H15). Plain layout, no
// logic; the order of accesses is core.ts's business.
import { CHECK_BYTES } from '../base/digest.js';
import { type Bytes, CHUNK_BYTES, chunkCount } from '../base/units.js';
import { allocateMap, type MapMemory } from '../tracking/block-map.js';
import { HISTOGRAM_BYTES } from './hold-times.js';

/** Most threads that may open write sections on a volume: data threads and the round thread. */
export const THREADS_MAX = 17;
/** Most targets of a resource; maps are allocated for those it has. */
export const SLOTS_MAX = 16;

// Words of `control` (Int32).
export const GATE = 0; // 0 open, 1 closed by a cut
export const LIVE = 1; // which of the two live maps is written now
export const SUSPECT = 2; // 1: an fdatasync of the disk has failed (H18)
export const CLAIM_SEQUENCE = 3; // bumped and notified whenever a claim ends
export const INTENT_CLEARS = 4; // times bits of the intent map were cleared since start
export const INTENT_LOCK = 6; // 1 while one thread writes a page of the intent map
export const SWAPS = 7; // cuts and checkpoints since start: live map swaps
export const PRESERVED = 8; // chunks preserved since start
export const INTENT_WRITES = 9; // pages of the intent map written since start
export const OPEN_FIRST = 16; // one word a thread: 1 while its section is open
export const SLOT_FIRST = OPEN_FIRST + THREADS_MAX;
export const SLOT_WORDS = 6;
// Words of a slot: one frozen set of one target.
export const SLOT_ACTIVE = 0; // 1 while a frozen set stands
export const SLOT_FAILED = 1; // 1: preserve failed, nothing read after this is sent (H17)
export const SLOT_FROZEN = 2; // which of the slot's two maps is the frozen one
export const SLOT_SWAPPED = 3; // live map not yet folded into the frozen one, or -1
export const SLOT_SPILL_USED = 4; // spill records of this slot handed out since its cut
export const SLOT_SPILL_MAX = 5; // records its spill may have
const CONTROL_WORDS = SLOT_FIRST + SLOTS_MAX * SLOT_WORDS;

/** Chunk states of a slot (H2). A chunk is frozen when its state is FREE and a map has it. */
export const FREE = 0;
export const CLAIMED = 1;
export const PRESERVED_STATE = 2;
export const RELEASED = 3;

/** Counters a data thread owns, as doubles at COUNTERS_PER_THREAD * thread. */
export const COUNTERS = [
  'reads',
  'writes',
  'deletes',
  'flushes',
  'readErrors',
  'writeErrors',
  'deleteErrors',
  'flushErrors',
  'writtenBytes',
  // metaflush on: writes that waited for the intent bit of their extent (H10).
  'firstTouches',
  'firstTouchMicros',
  'firstTouchMicrosMax',
] as const;
export type Counter = (typeof COUNTERS)[number];

export interface SlotMemory {
  readonly maps: readonly [MapMemory, MapMemory];
  /** One byte a chunk. */
  readonly states: SharedArrayBuffer;
  /** One Int32 a chunk: its record in the slot's spill; meaningful when preserved; -1: not kept,
   * because the old content could not be read (H21) or the round has failed (H17). */
  readonly records: SharedArrayBuffer;
  /** CHECK_BYTES a record of the slot's spill: of what was kept there. */
  readonly spillChecks: SharedArrayBuffer;
}

export interface VolumeMemory {
  readonly sizeBytes: Bytes;
  readonly extentBytes: Bytes;
  /** `metaflush on`: an intent bit is durable before the first write to its extent. */
  readonly metaflush: boolean;
  readonly control: SharedArrayBuffer;
  readonly live: readonly [MapMemory, MapMemory];
  readonly slots: readonly SlotMemory[];
  /** The intent map as it is in the file, one bit an extent, whole 4 KiB pages. */
  readonly intent: SharedArrayBuffer;
  /** One bit an extent: its intent bit has reached the file. */
  readonly intentWritten: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  /** A histogram a thread (hold-times.ts): how long guests' writes waited for a preserve. */
  readonly preserveWaits: SharedArrayBuffer;
}

export interface VolumeShape {
  readonly sizeBytes: Bytes;
  /** Power of two, multiple of the chunk size. */
  readonly extentBytes: Bytes;
  readonly targets: number;
  /** Of each target's spill. */
  readonly spillBytes: Bytes;
  readonly metaflush: boolean;
}

export const INTENT_PAGE_BYTES = 4096;

export function allocateVolume(shape: VolumeShape): VolumeMemory {
  const { sizeBytes, extentBytes } = shape;
  const chunks = chunkCount(sizeBytes);
  const extents = Math.ceil(sizeBytes / extentBytes);
  const intentBytes = Math.ceil(extents / (INTENT_PAGE_BYTES * 8)) * INTENT_PAGE_BYTES;
  const control = new SharedArrayBuffer(CONTROL_WORDS * 4);
  const words = new Int32Array(control);
  const spillRecords = Math.min(Math.floor(shape.spillBytes / CHUNK_BYTES), 2 ** 31 - 1);
  const slots = Array.from({ length: shape.targets }, (_, slot): SlotMemory => {
    words[SLOT_FIRST + slot * SLOT_WORDS + SLOT_SWAPPED] = -1;
    words[SLOT_FIRST + slot * SLOT_WORDS + SLOT_SPILL_MAX] = spillRecords;
    return {
      maps: [allocateMap(sizeBytes), allocateMap(sizeBytes)],
      states: new SharedArrayBuffer(chunks),
      records: new SharedArrayBuffer(chunks * 4),
      spillChecks: new SharedArrayBuffer(Math.min(spillRecords, chunks) * CHECK_BYTES),
    };
  });
  return {
    sizeBytes,
    extentBytes,
    metaflush: shape.metaflush,
    control,
    live: [allocateMap(sizeBytes), allocateMap(sizeBytes)],
    slots,
    intent: new SharedArrayBuffer(intentBytes),
    intentWritten: new SharedArrayBuffer(intentBytes),
    counters: new SharedArrayBuffer(THREADS_MAX * COUNTERS.length * 8),
    preserveWaits: new SharedArrayBuffer(THREADS_MAX * HISTOGRAM_BYTES),
  };
}
