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

export interface RecordReader {
  readonly store: ObjectStore;
  /** Key of a round; null: the archive is not sealed. */
  readonly keyOf: KeyOf;
}

export interface OpenRecord {
  readonly header: RecordHeader;
  readonly body: Uint8Array;
}

/** A record. Errors FORMAT_BAD, STORE_MISSING and others of the store. */
export async function readRecord(
  { store, keyOf }: RecordReader,
  kind: RecordKind,
  pack: PackName,
  { offset, bytes }: Pick<RecordPlace, 'offset' | 'bytes'>,
): Promise<OpenRecord> {
  const key = packKey(pack.name);
  const stored = await store.read(key, offset, bytes);
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
