// Opens an archive as a target: what it is, where it stands, and what its journal here still says.
// A journal that goes on from another point than the newest one is of a round that was committed,
// or of another life of this node: what the newest point needs of its packs is in that point's
// tables; the rest is garbage.
import { Archive } from '../archive/archive.js';
import { Journal } from '../archive/journal.js';
import { PointTrees } from '../archive/tree.js';
import { equalBytes } from '../base/digest.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import type { Secret } from '../format/archive-identity.js';
import { type ArchivePoint, packKey } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import { sameId } from '../lineage/lineage.js';
import type { ObjectStore } from '../store/store.js';
import { ArchiveTarget, type ArchiveTargetParts } from './archive.js';

export interface ArchiveOrder {
  /** Of the target. */
  readonly name: string;
  /** Of the resource. */
  readonly resource: { readonly id: Uint8Array; readonly name: string };
  readonly store: ObjectStore;
  readonly secret: Secret | null;
  readonly storageClass: string | null;
  readonly files: Files;
  readonly journalPath: string;
  readonly pack: Pack;
  readonly keep: ArchiveTargetParts['keep'];
  readonly nowMs: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly packBytes?: number;
}

export async function openArchiveTarget(order: ArchiveOrder): Promise<ArchiveTarget> {
  const { store, secret, resource, random, log } = order;
  const archive = await Archive.open(store, secret);
  const last = archive === null ? null : await archive.last();
  const wanted = { resource: resource.id, from: last?.to.id ?? null };
  const { journal, lost } = await Journal.open(order.files, order.journalPath, wanted);
  if (lost)
    log.warn('the journal of the archive is lost; garbage may stay there', { store: store.url });
  if (!sameId(journal.from, wanted.from)) await settle(journal, archive, last);
  else await lookForPacks(journal, store);
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
    make,
    archive,
    last,
    journal,
    pack: order.pack,
    storageClass: order.storageClass,
    keep: order.keep,
    random,
    log,
    ...(packBytes === undefined ? {} : { packBytes }),
  });
}

/** Packs that were on their way when the node died: named by what they hold, they are there whole or
 * not at all. */
async function lookForPacks(journal: Journal, store: ObjectStore): Promise<void> {
  for (const number of journal.packNumbers) {
    const pack = journal.packOf(number);
    if (pack === null || journal.isPut(number)) continue;
    const found = await store.head(packKey(pack.name));
    if (found?.bytes === pack.bytes) await journal.put(number);
  }
}

async function settle(
  journal: Journal,
  archive: Archive | null,
  last: ArchivePoint | null,
): Promise<void> {
  if (archive === null || last === null) return journal.dropped(null);
  const trees = new PointTrees(archive, last.trees);
  const needed = new Set<number>();
  for (const number of journal.packNumbers) {
    const own = journal.packOf(number);
    const found = await trees.nameOf(number).catch(() => null);
    if (own !== null && found !== null && equalBytes(own.name, found.name)) needed.add(number);
  }
  await journal.committed(last.to.id, needed);
}
