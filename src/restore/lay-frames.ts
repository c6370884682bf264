// What costs processor time when points are read: frames as they are stored are opened and
// unpacked, laid into the chunks that want them, and these checked against their digests (Q1). In
// the calling thread or in others (lay-threads.ts): a job is plain data, its content for others in
// shared memory, and what comes of it is plain data. The frames used last that have chunks of what
// comes later stay unpacked: of such a frame every region takes a block or two. Memory:
// OPEN_BYTES_MAX, FREE_MAX rooms, and one frame.
import {
  isWhole,
  layFrame,
  recordId,
  type SizedFrame,
  usesOf,
  type Wanted,
} from '../archive/laying.js';
import { openRecord } from '../archive/records.js';
import type { ChunkIndex } from '../base/units.js';
import type { RecordPlace } from '../format/archive-leaf.js';
import type { KeyOf } from '../format/archive-record.js';
import { FormatError, type FormatFault, type Frame } from '../format/changeset.js';
import { decodeFrame } from '../format/frame.js';
import { copyOf } from '../format/layout.js';
import { reusingUnpack } from '../format/pack.js';

const OPEN_BYTES_MAX = 16 * 1024 * 1024;
/** Of an entry of a frame, about. */
const ENTRY_BYTES = 256;
/** Blocks of an ordinary frame of an archive. */
const ROOM_BYTES = 256 * 1024;
const FREE_MAX = 8;

/** A frame's record as it came. */
export interface StoredFrame {
  readonly record: RecordPlace;
  readonly stored: Uint8Array;
  /** Object and offset, for errors. */
  readonly place: string;
}

export interface LayJob {
  readonly wanted: readonly Wanted[];
  readonly frames: readonly StoredFrame[];
  /** Chunks from there on may be wanted later. */
  readonly end: ChunkIndex;
  /** No other frames come: the chunks are checked. */
  readonly isLast: boolean;
}

/** Nothing was taken from a frame that is not whole. */
export interface Laid {
  /** By frame: its last chunk, or what is wrong with it. */
  readonly frames: readonly (ChunkIndex | FormatFault)[];
  /** Of a last job, the `wanted` whose content has another digest, by index. */
  readonly notWhole: readonly number[];
}

/** Jobs of one archive. Rejects only when the program is wrong, or out of memory. */
export type Lay = (job: LayJob) => Promise<Laid>;

/** In the calling thread. `keyOf`: of the archive. */
export function layHere(keyOf: KeyOf): Lay {
  const layer = new Layer(keyOf);
  return async (job) => layer.lay(job);
}

class Layer {
  readonly #keyOf: KeyOf;
  readonly #unpack = reusingUnpack();
  /** By record; least recently used first. */
  readonly #opened = new Map<string, SizedFrame>();
  #openBytes = 0;
  /** Memory of blocks that is used again: a collector leaves 64 MiB of such garbage alone. */
  readonly #free: Uint8Array[] = [];

  constructor(keyOf: KeyOf) {
    this.#keyOf = keyOf;
  }

  lay({ wanted, frames, end, isLast }: LayJob): Laid {
    const uses = usesOf(wanted);
    const found = frames.map((frame) => {
      const id = recordId(frame.record);
      const sized = this.#opened.get(id) ?? this.#open(frame);
      if ('code' in sized) return sized;
      layFrame(sized, uses.get(id)?.uses ?? []);
      const last = sized.frame.entries.at(-1)?.chunk ?? 0;
      if (last >= end) this.#keep(id, sized);
      else this.#drop(id);
      return last;
    });
    const notWhole = isLast ? wanted.flatMap((one, at) => (isWhole(one) ? [] : [at])) : [];
    return { frames: found, notWhole };
  }

  /** Valid until the next one is. */
  #open({ stored, place }: StoredFrame): SizedFrame | FormatFault {
    try {
      const { header, body } = openRecord(this.#keyOf, 'frame', stored, place);
      const { sizeBytes } = header;
      return { frame: decodeFrame(body, place, this.#unpack, sizeBytes), sizeBytes };
    } catch (error) {
      if (error instanceof FormatError) return error.fault;
      throw error;
    }
  }

  /** In memory of its own: what was unpacked is overwritten by the next. */
  #keep(id: string, { frame, sizeBytes }: SizedFrame): void {
    const before = this.#opened.get(id);
    this.#opened.delete(id);
    const own = before ?? { frame: this.#ownFrame(frame), sizeBytes };
    this.#opened.set(id, own);
    if (before === undefined) this.#openBytes += memoryOf(own.frame);
    for (const oldest of this.#opened.keys()) {
      if (this.#openBytes <= OPEN_BYTES_MAX) break;
      this.#drop(oldest);
    }
  }

  #drop(id: string): void {
    const open = this.#opened.get(id);
    if (open === undefined) return;
    this.#openBytes -= memoryOf(open.frame);
    this.#opened.delete(id);
    if (this.#free.length < FREE_MAX) this.#free.push(new Uint8Array(open.frame.blocks.buffer));
  }

  #ownFrame({ number, entries, blocks }: Frame): Frame {
    const free = this.#free.pop();
    const bytes = Math.max(blocks.length, ROOM_BYTES);
    const room = free !== undefined && free.length >= bytes ? free : new Uint8Array(bytes);
    room.set(blocks);
    const own = entries.map((entry) => ({ ...entry, digest: copyOf(entry.digest) }));
    return { number, entries: own, blocks: room.subarray(0, blocks.length) };
  }
}

const memoryOf = ({ entries, blocks }: Frame): number =>
  blocks.buffer.byteLength + entries.length * ENTRY_BYTES;
