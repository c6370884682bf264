// What a journal still says when the archive stands at another point than its pieces go on from: a
// round was committed, here or with an answer that was lost, or by another node. What the newest
// point needs of its packs, and where it is not the very next one what older points need that are
// kept, is in their tables; the rest is garbage. Nothing is garbage by an error: then the journal
// stays as it is, and is settled later.
import { hex } from '../base/random.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { sameId } from '../lineage/lineage.js';
import type { Archive } from './archive.js';
import type { Journal } from './journal.js';
import { PackTables } from './pack-tables.js';

/** `last` null: there is no point. Errors of the store, FORMAT_BAD. */
export async function settleJournal(
  journal: Journal,
  archive: Archive,
  last: ArchivePoint | null,
): Promise<void> {
  if (last === null) return journal.dropped(null);
  const tables = new PackTables(archive);
  const names = new Set((await tables.packsOf(last)).keys());
  // Where others have made points since, an older one that is kept may be ours.
  const isNext = sameId(last.from?.id, journal.from);
  for (const { place } of isNext ? [] : last.kept) {
    const point = await archive.point(place);
    if (point === null) continue; // removed meanwhile
    for (const name of (await tables.packsOf(point)).keys()) names.add(name);
  }
  const needed = new Set<number>();
  for (const number of journal.packNumbers) {
    const own = journal.packOf(number);
    if (own !== null && names.has(hex(own.name))) needed.add(number);
  }
  await journal.committed(last.to.id, needed);
}
