// An archive in a store: what it is, its epochs, its points (format/archive-objects.ts). Reading
// needs no list: `head` hints where a point is that no prune has removed (it is written before any
// is), and from there on is asked until there is none. Only where the hint is lost the points are
// listed. Guarantee: the newest point is found; objects that are not whole are errors, but for the
// hint.
import { assert, present } from '../base/assert.js';
import { codeOf } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { ID_BYTES } from '../base/units.js';
import {
  type ArchiveIdentity,
  dataKeyOf,
  decodeIdentity,
  encodeIdentity,
  IDENTITY_BYTES,
  type Secret,
  wrapNewKey,
} from '../format/archive-identity.js';
import {
  ARCHIVE_KEY,
  type ArchiveEpoch,
  type ArchivePoint,
  decodeEpoch,
  decodeHead,
  decodePoint,
  encodeEpoch,
  encodeHead,
  encodePoint,
  epochKey,
  HEAD_KEY,
  POINT_BYTES_MAX,
  POINTS_PREFIX,
  type PointPlace,
  placeOf,
  pointKey,
  pointsOf,
} from '../format/archive-objects.js';
import {
  decodeRecord,
  encodeRecord,
  type KeyOf,
  keysOf,
  RECORD_BYTES_MAX,
  type RecordKind,
} from '../format/archive-record.js';
import { bad } from '../format/layout.js';
import { sameId } from '../lineage/lineage.js';
import type { ObjectStore } from '../store/store.js';
import type { SharedTrees } from './tree.js';

const SMALL_BYTES_MAX = 4096;

/** Points younger than this are never removed (prune.ts), so that behind one there is no gap that a
 * head written late could hide; behind an older one the points are listed once. */
export const GRACE_MS = 24 * 3_600_000;

export class Archive {
  readonly store: ObjectStore;
  readonly identity: ArchiveIdentity;
  /** 32 bytes; null: it is not sealed. For threads of this process. */
  readonly dataKey: Uint8Array | null;
  readonly keyOf: KeyOf;
  /** Trees of the points that were asked for last: what several share is read once. */
  readonly trees: SharedTrees = new Map();
  /** Epochs whose own objects are there. */
  #epochsMade = 0;
  /** Of the epochs that were read, in order. */
  readonly epochs: ArchiveEpoch[] = [];

  private constructor(store: ObjectStore, identity: ArchiveIdentity, dataKey: Uint8Array | null) {
    this.store = store;
    this.identity = identity;
    this.dataKey = dataKey;
    this.keyOf = keysOf(dataKey);
  }

  /** Null: there is none yet. Errors ARCHIVE_SEALED, ARCHIVE_WRONG_KEY, FORMAT_BAD, and of the
   * store. */
  static async open(store: ObjectStore, secret: Secret | null): Promise<Archive | null> {
    const bytes = await store.readWhole(ARCHIVE_KEY, IDENTITY_BYTES);
    if (bytes === null) return null;
    const identity = decodeIdentity(bytes, `${store.url}/${ARCHIVE_KEY}`);
    return new Archive(store, identity, dataKeyOf(identity, secret, store.url));
  }

  /** Makes it where there is none; else the one that there is. */
  static async create(
    store: ObjectStore,
    secret: Secret | null,
    facts: { readonly resource: Uint8Array; readonly name: string; readonly createdMs: number },
    random: Random,
  ): Promise<Archive> {
    const own = secret === null ? null : wrapNewKey(secret, facts.resource, random);
    const id = random.bytes(ID_BYTES);
    const identity: ArchiveIdentity = { ...facts, id, wrapped: own?.wrapped ?? null };
    await store.put(ARCHIVE_KEY, encodeIdentity(identity), 'create');
    // Whoever was first made it: also we, when our answer was lost.
    return present(await Archive.open(store, secret), 'it was just made');
  }

  /** The newest point of the newest epoch; null: there is none. Reads the epochs, too. `nowMs`:
   * wall time, where the caller has it; see GRACE_MS. */
  async last(nowMs: number | null = null): Promise<ArchivePoint | null> {
    let hint = await this.#hint();
    for (;;) {
      const found = await this.#lastBehind(hint);
      const isSure = found !== null && nowMs !== null && nowMs - found.to.timeMs < GRACE_MS;
      const isFresh = this.epochs.length === 0 || isSure;
      const listed = isFresh ? null : await this.#listed();
      if (listed === null || (found !== null && !isBehind(found.place, listed))) return found;
      // What is listed behind it is the epoch that has begun, and has no point yet.
      if (found !== null && listed.epoch < this.epochs.length) return found;
      // The head was written late, or is lost, and what is between was pruned.
      if (hint !== null && !isBehind(hint, listed)) {
        const where = { what: 'archive', place: `${this.store.url}/${pointKey(listed)}` };
        throw bad(where, 'it is listed and cannot be read');
      }
      hint = listed;
    }
  }

  /** As far as it goes without a gap. */
  async #lastBehind(hint: PointPlace | null): Promise<ArchivePoint | null> {
    for (;;) {
      for (let number = this.epochs.length + 1; ; number += 1) {
        const epoch = await this.#epoch(number);
        if (epoch === null) break;
        this.epochs.push(epoch);
        this.#epochsMade = number;
      }
      const number = this.epochs.length;
      if (number === 0) return null;
      const start = hint?.epoch === number ? hint.sequence : 1;
      const { point, over } = await this.#lastOf(number, start);
      if (over === null && point !== null) return point;
      if (over === null) {
        // An epoch without points goes on from a point that there is.
        const from = this.epochs.at(-1)?.from ?? null;
        return from === null ? null : this.point(from);
      }
      this.epochs.push(over);
    }
  }

  /** Null: it is not there, or not any more. */
  async point(place: PointPlace): Promise<ArchivePoint | null> {
    const found = await this.#at(place);
    return found !== null && 'to' in found ? found : null;
  }

  /** `salt`: 16 random bytes. 'exists': another one, or this very one, stands there; who must know
   * reads it (H35). */
  putPoint(point: ArchivePoint, salt: Uint8Array): Promise<'stored' | 'exists'> {
    const bytes = this.#record('point', salt, encodePoint(point));
    assert(bytes.length <= POINT_BYTES_MAX, 'a point is within limits');
    return this.store.put(pointKey(point.place), bytes, 'create');
  }

  /** Makes the epoch the next one of the archive. It takes the place behind the last point, so
   * that the epoch before is over: 'other' where that, or another epoch, was faster. A crash
   * between the two objects is mended by whoever reads next (`last`). A place is free again when
   * its point was pruned: then a newer one stands, for the newest is never removed, and the list
   * has it; so this asks for a list before and after it takes the place. */
  async putEpoch(epoch: ArchiveEpoch, salt: Uint8Array): Promise<'stored' | 'other'> {
    const number = this.epochs.length + 1;
    const bytes = this.#record('epoch', salt, encodeEpoch(epoch));
    if (number > 1) {
      const { from } = epoch;
      const sequence = from?.epoch === number - 1 ? from.sequence + 1 : 1;
      const behind = { epoch: number - 1, sequence };
      if (await this.#goesOnBehind(behind)) return 'other';
      await this.store.put(pointKey(behind), bytes, 'create');
      const stands = await this.#at(behind);
      if (stands === null || !('epoch' in stands)) return 'other';
      if (!sameId(stands.epoch.id, epoch.epoch.id)) return 'other';
      if (await this.#goesOnBehind(behind)) {
        await this.store.remove([pointKey(behind)]);
        return 'other';
      }
    }
    await this.store.put(epochKey(number), bytes, 'create');
    const found = present(await this.#epoch(number), 'it was just made, or there already');
    this.epochs.push(found);
    this.#epochsMade = number;
    return sameId(found.epoch.id, epoch.epoch.id) ? 'stored' : 'other';
  }

  /** Makes the object of an epoch that a crash has left without: before it has any point, for those
   * may be pruned, and then nothing else would lead to it. */
  async mendEpochs(random: Random): Promise<void> {
    for (const epoch of this.epochs.slice(this.#epochsMade)) {
      const salt = random.bytes(ID_BYTES); // each its own: one key seals one record (H33)
      const bytes = this.#record('epoch', salt, encodeEpoch(epoch));
      await this.store.put(epochKey(epoch.place), bytes, 'create');
      this.#epochsMade = epoch.place;
    }
  }

  async putHead(place: PointPlace): Promise<void> {
    await this.store.put(HEAD_KEY, encodeHead(place), 'replace');
  }

  async #hint(): Promise<PointPlace | null> {
    const bytes = await this.store.readWhole(HEAD_KEY, SMALL_BYTES_MAX);
    return bytes === null ? null : decodeHead(bytes);
  }

  /** The newest place that is taken; null: none, or it may not be asked for here. */
  async #listed(): Promise<PointPlace | null> {
    let last: PointPlace | null = null;
    try {
      for await (const { key } of this.store.list(POINTS_PREFIX)) last = placeOf(key) ?? last;
    } catch (error) {
      if (codeOf(error) !== 'STORE_DENIED') throw error;
    }
    return last;
  }

  /** Something stands in a later place of the epoch. */
  async #goesOnBehind(place: PointPlace): Promise<boolean> {
    for await (const { key } of this.store.list(pointsOf(place.epoch))) {
      if (key > pointKey(place)) return true;
    }
    return false;
  }

  async #epoch(number: number): Promise<ArchiveEpoch | null> {
    const key = epochKey(number);
    const bytes = await this.store.readWhole(key, SMALL_BYTES_MAX);
    if (bytes === null) return null;
    const where = `${this.store.url}/${key}`;
    return this.#epochOf(this.#opened('epoch', bytes, where), number, where);
  }

  /** The newest point of an epoch, asked for from `start` on, and the epoch that ended it. */
  async #lastOf(
    epoch: number,
    start: number,
  ): Promise<{ readonly point: ArchivePoint | null; readonly over: ArchiveEpoch | null }> {
    let point: ArchivePoint | null = null;
    for (let sequence = start; ; sequence += 1) {
      const found = await this.#at({ epoch, sequence });
      if (found === null) return { point, over: null };
      if (!('to' in found)) return { point, over: found };
      point = found;
    }
  }

  /** What stands at a place of points: one, or the epoch that follows. */
  async #at(place: PointPlace): Promise<ArchivePoint | ArchiveEpoch | null> {
    const key = pointKey(place);
    const bytes = await this.store.readWhole(key, POINT_BYTES_MAX);
    if (bytes === null) return null;
    const where = `${this.store.url}/${key}`;
    const { header, body } = this.#openRecord(bytes, where);
    if (header.kind === 'epoch') return this.#epochOf(body, place.epoch + 1, where);
    if (header.kind !== 'point') throw bad({ what: 'point', place: where }, 'it is something else');
    const point = decodePoint(body, where);
    if (pointKey(point.place) === key) return point;
    throw bad({ what: 'point of an archive', place: where }, 'it is another one');
  }

  /** It says itself which one it is: a copy under another number is none. */
  #epochOf(body: Uint8Array, number: number, where: string): ArchiveEpoch {
    const epoch = decodeEpoch(body, where);
    if (epoch.place === number) return epoch;
    throw bad({ what: 'epoch of an archive', place: where }, `it is number ${epoch.place}`);
  }

  #record(kind: 'point' | 'epoch', salt: Uint8Array, body: Uint8Array): Uint8Array {
    return encodeRecord({ kind, salt, number: 0, sizeBytes: 0 }, body, this.keyOf(salt));
  }

  #opened(kind: RecordKind, bytes: Uint8Array, where: string): Uint8Array {
    const { header, body } = this.#openRecord(bytes, where);
    if (header.kind === kind) return body;
    throw bad({ what: kind, place: where }, 'it is something else');
  }

  #openRecord(bytes: Uint8Array, place: string): ReturnType<typeof decodeRecord> {
    assert(bytes.length <= RECORD_BYTES_MAX, 'objects are read within limits');
    const record = decodeRecord(bytes, place, this.keyOf);
    if (record.header.sealed === (this.dataKey !== null)) return record;
    throw bad({ what: 'object of an archive', place }, 'it is not sealed as the archive is');
  }
}

const isBehind = (one: PointPlace, other: PointPlace): boolean =>
  other.epoch > one.epoch || (other.epoch === one.epoch && other.sequence > one.sequence);
