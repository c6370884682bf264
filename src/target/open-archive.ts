// Opens an archive as a target: what it is, where it stands, and what its journal here still says.
import { Archive } from '../archive/archive.js';
import { Journal } from '../archive/journal.js';
import { settleJournal } from '../archive/settle.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import type { Secret } from '../format/archive-identity.js';
import { packKey } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import { sameId } from '../lineage/lineage.js';
import type { ObjectStore } from '../store/store.js';
import { ArchiveTarget } from './archive.js';
import type { ArchiveKeep } from './archive-keep.js';

export interface ArchiveOrder {
  /** Of the target. */
  readonly name: string;
  /** Url, and endpoint: what tells it from another one. */
  readonly place: string;
  /** Of the resource. */
  readonly resource: { readonly id: Uint8Array; readonly name: string };
  readonly store: ObjectStore;
  readonly secret: Secret | null;
  readonly storageClass: string | null;
  readonly files: Files;
  readonly journalPath: string;
  readonly pack: Pack;
  readonly keep: ArchiveKeep;
  readonly nowMs: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly packBytes?: number;
}

export async function openArchiveTarget(order: ArchiveOrder): Promise<ArchiveTarget> {
  const { store, secret, resource, random, log } = order;
  const archive = await Archive.open(store, secret);
  const last = archive === null ? null : await archive.last(order.nowMs());
  const id = archive?.identity.id ?? null;
  const wanted = { resource: resource.id, from: last?.to.id ?? null, archive: id };
  const { journal, lost } = await Journal.open(order.files, order.journalPath, wanted);
  if (lost)
    log.warn('the journal of the archive is lost; garbage may stay there', { store: store.url });
  const moved = !sameId(journal.from, wanted.from);
  if (moved) {
    if (archive === null) await journal.dropped(null);
    else await settleJournal(journal, archive, last);
  } else await lookForPacks(journal, store);
  const make = (id: Uint8Array): Promise<Archive> =>
    Archive.create(
      store,
      secret,
      { resource: id, name: resource.name, createdMs: order.nowMs() },
      random,
    );
  const { packBytes } = order;
  return new ArchiveTarget({
    name: order.name,
    place: order.place,
    make,
    archive,
    last,
    journal,
    moved,
    pack: order.pack,
    store,
    nowMs: order.nowMs,
    storageClass: order.storageClass,
    keep: order.keep,
    random,
    log,
    ...(packBytes === undefined ? {} : { packBytes }),
  });
}

/** Packs that were on their way when the node died: named by what they hold, they are there whole
 * or not at all. */
async function lookForPacks(journal: Journal, store: ObjectStore): Promise<void> {
  for (const number of journal.packNumbers) {
    const pack = journal.packOf(number);
    if (pack === null || journal.isPut(number)) continue;
    const found = await store.head(packKey(pack.name));
    if (found?.bytes === pack.bytes) await journal.put(number);
  }
}
