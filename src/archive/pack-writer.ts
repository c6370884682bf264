// Packs of one round: records in, objects of about 32 MiB out, named by what they hold, several on
// their way at the same time. Guarantee: a pack that is told of has been journalled before its PUT
// (a crash leaves nothing that nobody knows of) and is durable when `put` says so; packs are
// numbered in the order in which they were begun; memory is a pack more than the store takes at
// once. A put of the same pack twice is the same object.
import { assert, present } from '../base/assert.js';
import { runningDigest } from '../base/digest.js';
import { Semaphore } from '../base/sync.js';
import { MIB } from '../base/units.js';
import type { RecordPlace } from '../format/archive-leaf.js';
import type { PackName } from '../format/archive-node.js';
import { packKey } from '../format/archive-objects.js';
import {
  putRecord,
  type RecordKey,
  type RecordKind,
  recordBytes,
} from '../format/archive-record.js';
import { copyOf } from '../format/layout.js';
import type { ObjectStore } from '../store/store.js';

export const PACK_BYTES = 32 * MIB;

export interface PutPack extends PackName {
  readonly number: number;
}

export interface PackWriterParts {
  readonly store: ObjectStore;
  /** 16 random bytes, of this writer alone. */
  readonly salt: Uint8Array;
  /** Null: not sealed. */
  readonly key: RecordKey | null;
  /** Number of the first pack. */
  readonly firstPack: number;
  readonly storageClass: string | null;
  /** A pack is closed before it would be longer; default PACK_BYTES. */
  readonly packBytes?: number;
  /** Durable before the pack is put. */
  readonly journal: (pack: PutPack) => Promise<void>;
  /** The pack is durable. In any order. */
  readonly put: (pack: PutPack) => Promise<void>;
}

export class PackWriter {
  readonly #parts: PackWriterParts;
  readonly #packBytes: number;
  readonly #free: Uint8Array[] = [];
  readonly #up: Semaphore;
  readonly #uploads = new Map<number, Promise<void>>();
  #open: { readonly number: number; readonly bytes: Uint8Array; used: number } | null = null;
  #nextPack: number;
  #nextRecord = 0;
  #failure: { readonly error: unknown } | null = null;
  /** Closed, in order of their numbers; those of the last ones may be on their way. */
  readonly packs: PutPack[] = [];

  constructor(parts: PackWriterParts) {
    this.#parts = parts;
    this.#up = new Semaphore(parts.store.putsAtOnce);
    this.#packBytes = parts.packBytes ?? PACK_BYTES;
    this.#nextPack = parts.firstPack;
  }

  /** Number that the next pack will have, or the open one has. */
  get packNumber(): number {
    return this.#open?.number ?? this.#nextPack;
  }

  get nextPack(): number {
    return this.#nextPack;
  }

  /** Bytes that still fit into the open pack. */
  get room(): number {
    return this.#packBytes - (this.#open?.used ?? 0);
  }

  /** Bytes of a record with such a body. */
  bytesOf(bodyBytes: number): number {
    return recordBytes(bodyBytes, this.#parts.key !== null);
  }

  /** It is one of these, closed or not. */
  has(pack: number): boolean {
    return pack >= this.#parts.firstPack && pack < this.#nextPack;
  }

  /** A record of one of these, in an array of its own. */
  async read({ pack, offset, bytes }: RecordPlace): Promise<Uint8Array> {
    if (this.#open?.number === pack) return copyOf(this.#open.bytes, offset, offset + bytes);
    await this.#uploads.get(pack);
    this.#throwFailure();
    const found = this.packs.find(({ number }) => number === pack);
    return this.#parts.store.read(packKey(present(found, 'it is closed').name), offset, bytes);
  }

  /** Adds a record, of a frame with the size of its disk; waits while too many packs are on their
   * way. Rejects with the first error of a put. */
  async add(kind: RecordKind, body: Uint8Array, sizeBytes = 0): Promise<RecordPlace> {
    this.#throwFailure();
    const wanted = this.bytesOf(body.length);
    assert(wanted <= this.#packBytes, 'a record fits into a pack');
    if (wanted > this.room) await this.close();
    this.#open ??= this.#begin();
    const open = this.#open;
    const { salt, key } = this.#parts;
    const offset = open.used;
    const facts = { kind, salt, number: this.#nextRecord, sizeBytes };
    putRecord(open.bytes.subarray(offset, offset + wanted), facts, body, key);
    this.#nextRecord += 1;
    open.used += wanted;
    return { pack: open.number, offset, bytes: wanted };
  }

  /** Ends the open pack, if there is one, and begins to put it. */
  async close(): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    this.#open = null;
    const bytes = open.bytes.subarray(0, open.used);
    const hash = runningDigest();
    hash.add(bytes);
    const pack = { number: open.number, name: new Uint8Array(hash.done()), bytes: open.used };
    this.packs.push(pack);
    await this.#up.take();
    const upload = this.#put(pack, bytes).finally(() => {
      this.#uploads.delete(pack.number);
      this.#free.push(open.bytes);
      this.#up.give();
    });
    this.#uploads.set(pack.number, upload);
  }

  /** Ends the open pack and waits until all are durable. */
  async flush(): Promise<void> {
    await this.close();
    await Promise.all(this.#uploads.values());
    this.#throwFailure();
  }

  /** Waits for what is on its way, after an error. */
  async settle(): Promise<void> {
    await Promise.all(this.#uploads.values());
  }

  #begin(): { number: number; bytes: Uint8Array; used: number } {
    const number = this.#nextPack;
    this.#nextPack += 1;
    return { number, bytes: this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#packBytes), used: 0 };
  }

  async #put(pack: PutPack, bytes: Uint8Array): Promise<void> {
    const { store, storageClass, journal, put } = this.#parts;
    try {
      if (this.#failure !== null) return;
      await journal(pack);
      await store.put(packKey(pack.name), bytes, 'replace', storageClass ?? undefined);
      await put(pack);
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}
