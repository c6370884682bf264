// An archive in a store: what it is, its epochs, its points (format/archive-objects.ts). Reading
// needs no list: `head` hints where a point is that no prune has removed (it is written before any
// is), and from there on is asked until there is none. Only where the hint is lost the points are
// listed. Guarantee: the newest point is found; objects that are not whole are errors, but the hint.
import { assert, present } from '../base/assert.js';
import { hex, type Random } from '../base/random.js';
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
  RECORD_BYTES_MAX,
  type RecordKind,
  recordKey,
} from '../format/archive-record.js';
import { bad } from '../format/layout.js';
import { sameId } from '../lineage/lineage.js';
import type { ObjectStore } from '../store/store.js';

const SMALL_BYTES_MAX = 4096;
const KEYS_KEPT_MAX = 1024;

export class Archive {
  readonly store: ObjectStore;
  readonly identity: ArchiveIdentity;
  readonly #dataKey: Uint8Array | null;
  readonly #keys = new Map<string, ReturnType<typeof recordKey>>();
  /** Of the epochs that were read, in order. */
  readonly epochs: ArchiveEpoch[] = [];

  private constructor(store: ObjectStore, identity: ArchiveIdentity, dataKey: Uint8Array | null) {
    this.store = store;
    this.identity = identity;
    this.#dataKey = dataKey;
  }

  /** Null: there is none yet. Errors ARCHIVE_SEALED, ARCHIVE_WRONG_KEY, FORMAT_BAD, of the store. */
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
    const identity: ArchiveIdentity = { ...facts, wrapped: own?.wrapped ?? null };
    await store.put(ARCHIVE_KEY, encodeIdentity(identity), 'create');
    // Whoever was first made it: also we, when our answer was lost.
    return present(await Archive.open(store, secret), 'it was just made');
  }

  readonly keyOf: KeyOf = (salt) => {
    if (this.#dataKey === null) return null;
    const id = hex(salt);
    let key = this.#keys.get(id);
    if (key === undefined) {
      key = recordKey(this.#dataKey, salt);
      if (this.#keys.size >= KEYS_KEPT_MAX) this.#keys.clear();
      this.#keys.set(id, key);
    }
    return key;
  };

  /** The newest point of the newest epoch; null: there is none. Reads the epochs, too. */
  async last(): Promise<ArchivePoint | null> {
    let hint = await this.#hint();
    for (;;) {
      const found = await this.#lastBehind(hint ?? (await this.#listed()));
      if (found !== 'moved') return found;
      // A prune has removed that point meanwhile, and has written the head before; or the head says
      // what never was, or is lost.
      const next = await this.#hint();
      const isNews = next?.epoch !== hint?.epoch || next?.sequence !== hint?.sequence;
      if (!isNews && hint === null) {
        const where = { what: 'archive', place: this.store.url };
        throw bad(where, 'the newest of its points is not there');
      }
      hint = isNews ? next : null;
    }
  }

  /** 'moved': the hint says what is not there. */
  async #lastBehind(hint: PointPlace | null): Promise<ArchivePoint | null | 'moved'> {
    for (;;) {
      for (let number = this.epochs.length + 1; ; number += 1) {
        const epoch = await this.#epoch(number);
        if (epoch === null) break;
        this.epochs.push(epoch);
      }
      const number = this.epochs.length;
      if (number === 0) return null;
      const isHinted = hint?.epoch === number;
      const { point, over } = await this.#lastOf(number, isHinted ? hint.sequence : 1);
      if (over !== null) this.epochs.push(over);
      else if (point !== null) return point;
      else if (isHinted) return 'moved';
      else {
        // An epoch without points goes on from a point that there is.
        const from = this.epochs.at(-1)?.from ?? null;
        return from === null ? null : ((await this.point(from)) ?? 'moved');
      }
    }
  }

  /** Null: it is not there, or not any more. */
  async point(place: PointPlace): Promise<ArchivePoint | null> {
    const found = await this.#at(place);
    return found !== null && 'to' in found ? found : null;
  }

  /** `salt`: 16 random bytes. 'exists': another one, or this very one, stands there; who must know reads it (H35). */
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
    return sameId(found.epoch.id, epoch.epoch.id) ? 'stored' : 'other';
  }

  async putHead(place: PointPlace): Promise<void> {
    await this.store.put(HEAD_KEY, encodeHead(place), 'replace');
  }

  async #hint(): Promise<PointPlace | null> {
    const bytes = await this.store.readWhole(HEAD_KEY, SMALL_BYTES_MAX);
    return bytes === null ? null : decodeHead(bytes);
  }

  /** The newest point by its key; null: there is none. */
  async #listed(): Promise<PointPlace | null> {
    let last: PointPlace | null = null;
    for await (const { key } of this.store.list(POINTS_PREFIX)) last = placeOf(key) ?? last;
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
    return decodeEpoch(this.#opened('epoch', bytes, where), where);
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
    if (header.kind === 'epoch') return decodeEpoch(body, where);
    if (header.kind !== 'point') throw bad({ what: 'point', place: where }, 'it is something else');
    const point = decodePoint(body, where);
    const isThere = point.place.epoch === place.epoch && point.place.sequence === place.sequence;
    if (!isThere) throw bad({ what: 'point of an archive', place: where }, 'it is another one');
    return point;
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
    if (record.header.sealed === (this.#dataKey !== null)) return record;
    throw bad({ what: 'object of an archive', place }, 'it is not sealed as the archive is');
  }
}
