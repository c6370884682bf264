// Frames of an archive for whoever lays chunks together: what stands close in a pack is asked for
// in one range, several at the same time, and a frame with chunks of what comes later is kept as
// it is stored: rounds of scattered writes have frames that span many regions, and each would be
// fetched for every one of them. The last ones used are kept unpacked, too: of such a frame every
// region takes a block or two. Two who want the same frame at the same time share one request.
// Memory: BATCH_BYTES_MAX for each caller, KEPT_BYTES_MAX and OPEN_BYTES_MAX for all. Lengths are
// bytes.
import { isDamage } from '../archive/damage.js';
import { rangesOf } from '../archive/frame-ranges.js';
import { recordId, type SizedFrame } from '../archive/laying.js';
import { openRecord } from '../archive/records.js';
import type { NameOf } from '../archive/tree.js';
import { Semaphore } from '../base/sync.js';
import { type ChunkIndex, MIB } from '../base/units.js';
import type { RecordPlace } from '../format/archive-leaf.js';
import { packKey } from '../format/archive-objects.js';
import type { KeyOf } from '../format/archive-record.js';
import type { Frame } from '../format/changeset.js';
import { decodeFrame } from '../format/frame.js';
import { copyOf } from '../format/layout.js';
import { reusingUnpack } from '../format/pack.js';
import type { ObjectStore } from '../store/store.js';

const RANGE_BYTES_MAX = 2 * MIB;
/** Of all callers. */
const RANGES_AT_ONCE = 12;
/** What one caller has under way. */
const BATCH_BYTES_MAX = 16 * MIB;
const KEPT_BYTES_MAX = 48 * MIB;
const OPEN_BYTES_MAX = 16 * MIB;
/** Of an entry of a frame, about. */
const ENTRY_BYTES = 256;

/** A frame that was asked for, until the next one is handed out. */
export interface OpenFrame extends SizedFrame {
  readonly record: RecordPlace;
}

/** A record that is damaged or missing, and why; what is not told apart from that is thrown. */
export interface BadRecord {
  readonly record: RecordPlace;
  /** Object and offset; where the name of the pack cannot be read, its number. */
  readonly place: string;
  readonly error: unknown;
}

export class Frames {
  readonly #store: ObjectStore;
  readonly #keyOf: KeyOf;
  readonly #requests = new Semaphore(RANGES_AT_ONCE);
  readonly #unpack = reusingUnpack();
  /** By record: on its way, or as it came and not looked at yet. */
  readonly #coming = new Map<string, Promise<Uint8Array>>();
  /** As stored; least recently used first. */
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  /** Unpacked, of those that are kept; least recently used first. */
  readonly #opened = new Map<string, SizedFrame>();
  #openBytes = 0;

  constructor(store: ObjectStore, keyOf: KeyOf) {
    this.#store = store;
    this.#keyOf = keyOf;
  }

  /**
   * Hands out the frames that `records` are, each once, in any order. Those with chunks from `end`
   * on are kept for whoever wants these. With `bad`, damaged and missing records go there; else
   * they are errors: FORMAT_BAD, STORE_MISSING, STORE_SHORT.
   */
  async each(
    records: readonly RecordPlace[],
    end: ChunkIndex,
    nameOf: NameOf,
    use: (frame: OpenFrame) => void,
    bad: ((record: BadRecord) => void) | null,
  ): Promise<void> {
    for (const batch of batchesOf(records)) {
      const coming = this.#begin(batch, nameOf);
      for (const [record, stored] of coming) {
        let where = `${this.#store.url} pack ${record.pack} at ${record.offset}`;
        try {
          const key = packKey((await nameOf(record.pack)).name);
          where = `${this.#store.url}/${key} at ${record.offset}`;
          this.#open(record, await stored, where, end, use);
        } catch (error) {
          this.#coming.delete(recordId(record));
          if (bad === null || !isDamage(error)) throw error;
          const alone = await this.#alone(record, nameOf, where, end, use);
          if (alone !== null) bad({ record, place: where, error: alone });
        }
      }
    }
  }

  /** Once more for itself: the range that it was in may be short, or its pack gone, behind it. */
  async #alone(
    record: RecordPlace,
    nameOf: NameOf,
    where: string,
    end: ChunkIndex,
    use: (frame: OpenFrame) => void,
  ): Promise<unknown> {
    try {
      const range = { pack: record.pack, offset: record.offset, bytes: record.bytes };
      this.#open(record, await this.#fetch(range, nameOf), where, end, use);
      return null;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return error;
    }
  }

  #open(
    record: RecordPlace,
    stored: Uint8Array,
    where: string,
    end: ChunkIndex,
    use: (frame: OpenFrame) => void,
  ): void {
    const id = recordId(record);
    const sized = this.#opened.get(id) ?? this.#unpacked(stored, where);
    use({ record, ...sized });
    this.#coming.delete(id);
    const last = sized.frame.entries.at(-1)?.chunk ?? 0;
    if (last >= end) this.#keep(id, stored, sized);
    else this.#drop(id);
  }

  /** Valid until the next one is. */
  #unpacked(stored: Uint8Array, where: string): SizedFrame {
    const { header, body } = openRecord(this.#keyOf, 'frame', stored, where);
    const { sizeBytes } = header;
    return { frame: decodeFrame(body, where, this.#unpack, sizeBytes), sizeBytes };
  }

  /** All requests begin at once, or wait for their turn. */
  #begin(records: readonly RecordPlace[], nameOf: NameOf): Map<RecordPlace, Promise<Uint8Array>> {
    const found = new Map<RecordPlace, Promise<Uint8Array>>();
    const missing: RecordPlace[] = [];
    for (const record of records) {
      const id = recordId(record);
      const kept = this.#kept.get(id);
      const coming = kept === undefined ? this.#coming.get(id) : Promise.resolve(kept);
      if (coming === undefined) missing.push(record);
      else found.set(record, coming);
    }
    for (const range of rangesOf(missing, RANGE_BYTES_MAX)) {
      const fetched = this.#fetch(range, nameOf);
      for (const record of range.records) {
        const at = record.offset - range.offset;
        const part = fetched.then((bytes) => bytes.subarray(at, at + record.bytes));
        part.catch(() => undefined);
        this.#coming.set(recordId(record), part);
        found.set(record, part);
      }
    }
    return found;
  }

  async #fetch(range: Span, nameOf: NameOf): Promise<Uint8Array> {
    await this.#requests.take();
    try {
      const { name } = await nameOf(range.pack);
      return await this.#store.read(packKey(name), range.offset, range.bytes);
    } finally {
      this.#requests.give();
    }
  }

  /** In memory of its own: a range that one record of many is kept of would stay whole, and what
   * was unpacked is overwritten by the next. */
  #keep(id: string, stored: Uint8Array, sized: SizedFrame): void {
    const before = this.#kept.get(id);
    this.#kept.delete(id);
    this.#kept.set(id, before ?? new Uint8Array(stored));
    if (before === undefined) this.#keptBytes += stored.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= KEPT_BYTES_MAX) break;
      this.#drop(oldest);
    }
    if (this.#kept.has(id)) this.#keepOpen(id, sized);
  }

  #keepOpen(id: string, { frame, sizeBytes }: SizedFrame): void {
    const before = this.#opened.get(id);
    this.#opened.delete(id);
    this.#opened.set(id, before ?? { frame: ownFrame(frame), sizeBytes });
    if (before === undefined) this.#openBytes += memoryOf(frame);
    for (const oldest of this.#opened.keys()) {
      if (this.#openBytes <= OPEN_BYTES_MAX) break;
      this.#close(oldest);
    }
  }

  #drop(id: string): void {
    this.#keptBytes -= this.#kept.get(id)?.length ?? 0;
    this.#kept.delete(id);
    this.#close(id);
  }

  #close(id: string): void {
    const open = this.#opened.get(id);
    if (open !== undefined) this.#openBytes -= memoryOf(open.frame);
    this.#opened.delete(id);
  }
}

/** In memory of its own. */
const ownFrame = ({ number, entries, blocks }: Frame): Frame => ({
  number,
  entries: entries.map((entry) => ({ ...entry, digest: copyOf(entry.digest) })),
  blocks: copyOf(blocks),
});

const memoryOf = ({ entries, blocks }: Frame): number =>
  blocks.length + entries.length * ENTRY_BYTES;

interface Span {
  readonly pack: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Each once, by where they stand, in pieces of limited length. */
function* batchesOf(records: readonly RecordPlace[]): Generator<readonly RecordPlace[]> {
  const once = new Map(records.map((record) => [recordId(record), record]));
  const sorted = [...once.values()].sort((a, b) => a.pack - b.pack || a.offset - b.offset);
  let batch: RecordPlace[] = [];
  let bytes = 0;
  for (const record of sorted) {
    if (bytes > 0 && bytes + record.bytes > BATCH_BYTES_MAX) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(record);
    bytes += record.bytes;
  }
  if (batch.length > 0) yield batch;
}
