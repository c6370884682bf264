// What a journal still says when the archive stands at another point than its pieces go on from: a
// round was committed, here or with an answer that was lost, or by another node. What the newest
// point needs of its packs is in that point's tables; the rest is garbage. Nothing is garbage by an
// error: then the journal stays as it is, and is settled later.
import { equalBytes } from '../base/digest.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import type { Journal } from './journal.js';
import type { RecordReader } from './records.js';
import { PointTrees } from './tree.js';

/** `last` null: there is no point. Errors of the store, FORMAT_BAD. */
export async function settleJournal(
  journal: Journal,
  reader: RecordReader,
  last: ArchivePoint | null,
): Promise<void> {
  if (last === null) return journal.dropped(null);
  const trees = new PointTrees(reader, last.trees);
  const needed = new Set<number>();
  for (const number of journal.packNumbers) {
    const own = journal.packOf(number);
    const found = await trees.findName(number);
    if (own !== null && found !== null && equalBytes(own.name, found.name)) needed.add(number);
  }
  await journal.committed(last.to.id, needed);
}
