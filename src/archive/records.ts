// Reading of records from the packs of an archive, by ranges. Guarantee: what is handed out is a
// whole record of the kind that was asked for; errors name the pack. Lengths are bytes.
import type { RecordPlace } from '../format/archive-leaf.js';
import type { PackName } from '../format/archive-node.js';
import { packKey } from '../format/archive-objects.js';
import {
  decodeRecord,
  type KeyOf,
  type RecordHeader,
  type RecordKind,
} from '../format/archive-record.js';
import { bad } from '../format/layout.js';
import type { ObjectStore } from '../store/store.js';
import type { PackBlocks } from './pack-blocks.js';
import type { PackWriter } from './pack-writer.js';

export interface RecordReader {
  readonly store: ObjectStore;
  /** Key of a salt; null: the archive is not sealed. */
  readonly keyOf: KeyOf;
  /** Reads of packs that go on where the last one ended; null: each for itself. */
  readonly blocks?: PackBlocks | null;
  /** Packs that are being written, which may have no name yet. */
  readonly own?: PackWriter | null;
}

export interface OpenRecord {
  readonly header: RecordHeader;
  readonly body: Uint8Array;
}

/** A record; `nameOf` is asked for the pack where that is needed. Errors FORMAT_BAD, STORE_MISSING
 * and others of the store. */
export async function readRecord(
  { store, keyOf, blocks = null, own = null }: RecordReader,
  kind: RecordKind,
  nameOf: () => PackName | Promise<PackName>,
  place: RecordPlace,
): Promise<OpenRecord> {
  if (own?.has(place.pack)) {
    return openRecord(keyOf, kind, await own.read(place), `own pack ${place.pack}`);
  }
  const { offset, bytes } = place;
  const pack = await nameOf();
  const key = packKey(pack.name);
  const stored = await (blocks?.read(pack, offset, bytes) ?? store.read(key, offset, bytes));
  return openRecord(keyOf, kind, stored, `${store.url}/${key} at ${offset}`);
}

/** A record that has been read. */
export function openRecord(
  keyOf: KeyOf,
  kind: RecordKind,
  stored: Uint8Array,
  place: string,
): OpenRecord {
  const record = decodeRecord(stored, place, keyOf);
  if (record.header.kind === kind) return record;
  throw bad({ what: 'archive record', place }, `it is a ${record.header.kind}, not a ${kind}`);
}
