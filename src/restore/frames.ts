// Frames of an archive for whoever lays chunks together: what stands close in a pack is asked for
// in one range, several at the same time, and a frame with chunks of what comes later is kept as
// it is stored: rounds of scattered writes have frames that span many regions, and each would be
// fetched for every one of them. Two who want the same frame at the same time share one request.
// What is handed out is in shared memory, for other threads, which is used again: a collector knows
// nothing of the size of such memory. Memory: a room of BATCH_BYTES_MAX for each batch under way,
// AHEAD_MAX and as many as callers have at a time, and KEPT_BYTES_MAX. Lengths are bytes.
import { GAP_BYTES_MAX, rangesOf } from '../archive/frame-ranges.js';
import { recordId } from '../archive/laying.js';
import type { NameOf } from '../archive/tree.js';
import { BufferPool } from '../base/ahead.js';
import { present } from '../base/assert.js';
import { Semaphore } from '../base/sync.js';
import { MIB } from '../base/units.js';
import type { RecordPlace } from '../format/archive-leaf.js';
import { packKey } from '../format/archive-objects.js';
import type { ObjectStore } from '../store/store.js';
import type { Lay, StoredFrame } from './lay-frames.js';

const RANGE_BYTES_MAX = 2 * MIB;
const RANGES_AT_ONCE = 12;
const BATCH_BYTES_MAX = 8 * MIB;
/** Of all callers: one batch comes while another is laid. */
const BATCHES_BYTES_MAX = 16 * MIB;
/** Batches that are asked for before their turn: an answer may take long. */
const AHEAD_MAX = 8;
const KEPT_BYTES_MAX = 48 * MIB;

/** Shared memory of a batch, and of those who found frames of theirs in it. */
interface Room {
  readonly memory: Uint8Array;
  usedBytes: number;
  users: number;
  /** Of records that came into it. */
  readonly ids: string[];
  /** A read into it has failed, and may still write there. */
  isBroken: boolean;
}

interface Coming {
  readonly stored: Promise<Uint8Array>;
  readonly room: Room;
}

/** Asked for and there, or on its way. */
export interface Fetched {
  readonly record: RecordPlace;
  /** Errors STORE_MISSING, STORE_SHORT, those of the name of its pack; it may reject unheard. */
  readonly frame: Promise<StoredFrame>;
}

/** Its frames are valid until it is let go. */
export interface Batch {
  readonly fetched: readonly Fetched[];
  readonly rooms: ReadonlySet<Room>;
  readonly bytes: number;
  readonly isAhead: boolean;
}

export class Frames {
  readonly lay: Lay;
  readonly #store: ObjectStore;
  readonly #requests = new Semaphore(RANGES_AT_ONCE);
  readonly #space = new Semaphore(BATCHES_BYTES_MAX);
  #ahead = 0;
  readonly #rooms = new BufferPool(BATCH_BYTES_MAX);
  /** By record. */
  readonly #coming = new Map<string, Coming>();
  /** By record; least recently used first. */
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;

  constructor(store: ObjectStore, lay: Lay) {
    this.#store = store;
    this.lay = lay;
  }

  /** Of a batch as `batchesOf` makes them; waits for room. All requests begin at once, or wait for
   * their turn. */
  async fetch(records: readonly RecordPlace[], nameOf: NameOf): Promise<Batch> {
    const bytes = bytesOf(records);
    await this.#space.take(bytes);
    try {
      return { ...this.#batch(records, nameOf), bytes, isAhead: false };
    } catch (error) {
      this.#space.give(bytes); // no memory, say: nobody is to wait for ever
      throw error;
    }
  }

  /** Of a batch that will be wanted soon; null: enough is under way. It waits for nobody, so that
   * nobody waits for those whose turn comes later. */
  prefetch(records: readonly RecordPlace[], nameOf: NameOf): Batch | null {
    if (this.#ahead >= AHEAD_MAX) return null;
    const batch = { ...this.#batch(records, nameOf), bytes: 0, isAhead: true };
    this.#ahead += 1;
    return batch;
  }

  #batch(records: readonly RecordPlace[], nameOf: NameOf): Pick<Batch, 'fetched' | 'rooms'> {
    if (records.length === 0) return { fetched: [], rooms: new Set() };
    const memory = this.#rooms.take();
    const room: Room = { memory, usedBytes: 0, users: 0, ids: [], isBroken: false };
    this.#begin(records, nameOf, room);
    const rooms = new Set([room]);
    const fetched = records.map((record): Fetched => {
      // First what is kept: a room that is found again and again would be there for ever.
      const id = recordId(record);
      const kept = this.#kept.get(id);
      if (kept !== undefined) {
        const own = cut(room, kept.length);
        own.set(kept);
        return { record, frame: this.#framed(record, Promise.resolve(own), nameOf) };
      }
      const coming = present(this.#coming.get(id), 'what is not kept is on its way');
      rooms.add(coming.room);
      return { record, frame: this.#framed(record, coming.stored, nameOf) };
    });
    for (const one of rooms) one.users += 1;
    return { fetched, rooms };
  }

  /** Once more, for itself: the range that it was in may be short, or its pack gone, behind it. */
  fetchAlone(record: RecordPlace, nameOf: NameOf): Batch {
    const stored = this.#read(record, nameOf, sharedBytes(record.bytes));
    const frame = this.#framed(record, stored, nameOf);
    return { fetched: [{ record, frame }], rooms: new Set(), bytes: 0, isAhead: false };
  }

  /** `later`: frames of it with chunks that are wanted later. */
  letGo({ fetched, rooms, bytes, isAhead }: Batch, later: ReadonlyMap<Fetched, StoredFrame>): void {
    for (const one of fetched) {
      const frame = later.get(one);
      const id = recordId(one.record);
      if (frame === undefined) this.#forget(id);
      else this.#keep(id, frame.stored);
    }
    for (const room of rooms) {
      room.users -= 1;
      if (room.users > 0) continue;
      for (const id of room.ids) if (this.#coming.get(id)?.room === room) this.#coming.delete(id);
      if (!room.isBroken) this.#rooms.give(room.memory);
    }
    if (isAhead) this.#ahead -= 1;
    else this.#space.give(bytes);
  }

  /** Object and offset; where the name of the pack cannot be read, its number. */
  async placeOf({ pack, offset }: RecordPlace, nameOf: NameOf): Promise<string> {
    const { url } = this.#store;
    try {
      return `${url}/${packKey((await nameOf(pack)).name)} at ${offset}`;
    } catch {
      return `${url} pack ${pack} at ${offset}`;
    }
  }

  /** Asks for what is neither kept nor on its way. */
  #begin(records: readonly RecordPlace[], nameOf: NameOf, room: Room): void {
    const missing = records.filter((record) => {
      const id = recordId(record);
      return !this.#kept.has(id) && !this.#coming.has(id);
    });
    for (const range of rangesOf(missing, RANGE_BYTES_MAX)) {
      const read = this.#read(range, nameOf, cut(room, range.bytes));
      read.catch(() => {
        room.isBroken = true;
      });
      for (const record of range.records) {
        const start = record.offset - range.offset;
        const stored = read.then((all) => all.subarray(start, start + record.bytes));
        stored.catch(() => undefined);
        const id = recordId(record);
        this.#coming.set(id, { stored, room });
        room.ids.push(id);
      }
    }
  }

  #framed(record: RecordPlace, bytes: Promise<Uint8Array>, nameOf: NameOf): Promise<StoredFrame> {
    const frame = bytes.then(async (stored) => {
      return { record, stored, place: await this.placeOf(record, nameOf) };
    });
    frame.catch(() => undefined);
    return frame;
  }

  async #read(
    { pack, offset, bytes }: RecordPlace,
    nameOf: NameOf,
    into: Uint8Array,
  ): Promise<Uint8Array> {
    await this.#requests.take();
    try {
      const { name } = await nameOf(pack);
      return await this.#store.read(packKey(name), offset, bytes, into);
    } finally {
      this.#requests.give();
    }
  }

  /** In memory of its own. */
  #keep(id: string, stored: Uint8Array): void {
    const before = this.#kept.get(id);
    this.#kept.delete(id);
    this.#kept.set(id, before ?? new Uint8Array(stored));
    if (before === undefined) this.#keptBytes += stored.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= KEPT_BYTES_MAX) break;
      this.#forget(oldest);
    }
  }

  #forget(id: string): void {
    this.#keptBytes -= this.#kept.get(id)?.length ?? 0;
    this.#kept.delete(id);
  }
}

const bytesOf = (records: readonly RecordPlace[]): number =>
  records.reduce((sum, { bytes }) => sum + bytes, 0);

const sharedBytes = (bytes: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(bytes));

/** The next bytes of it; ranges are longer than their records, so there may be none left. */
function cut(room: Room, bytes: number): Uint8Array {
  const start = room.usedBytes;
  if (start + bytes > room.memory.length) return sharedBytes(bytes);
  room.usedBytes += bytes;
  return room.memory.subarray(start, start + bytes);
}

/** What is fetched between two records of one range. */
function gapBefore({ pack, offset }: RecordPlace, last: RecordPlace | undefined): number {
  if (last === undefined || last.pack !== pack) return 0;
  // An index that somebody made up may have records that overlap: these count whole, each.
  const gap = Math.max(0, offset - (last.offset + last.bytes));
  return gap <= GAP_BYTES_MAX ? gap : 0;
}

/** Each once, by where they stand, in pieces of limited length; one at least. */
export function batchesOf(records: readonly RecordPlace[]): (readonly RecordPlace[])[] {
  const once = new Map(records.map((record) => [recordId(record), record]));
  const sorted = [...once.values()].sort((a, b) => a.pack - b.pack || a.offset - b.offset);
  let batch: RecordPlace[] = [];
  const batches = [batch];
  let bytes = 0;
  for (const record of sorted) {
    bytes += record.bytes + gapBefore(record, batch.at(-1));
    if (batch.length > 0 && bytes > BATCH_BYTES_MAX) {
      batch = [];
      batches.push(batch);
      bytes = record.bytes;
    }
    batch.push(record);
  }
  return batches;
}
