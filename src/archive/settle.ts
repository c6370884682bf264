// What a journal still says when the archive stands at another point than its pieces go on from: a
// round was committed, here or with an answer that was lost, or by another node. What points need
// of its packs is in their tables; the rest is garbage. Nothing is garbage by an error: then the
// journal stays as it is, and is settled later.
//
// Where more than one point was made since (another primary has gone on meanwhile), the newest may
// need no more what an older one needs that is kept: all since then are asked, newest first.
import { equalBytes } from '../base/digest.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { sameId } from '../lineage/lineage.js';
import type { Archive } from './archive.js';
import type { Journal } from './journal.js';
import { PointTrees } from './tree.js';

/** `last` null: there is no point. Errors of the store, FORMAT_BAD. */
export async function settleJournal(
  journal: Journal,
  archive: Archive,
  last: ArchivePoint | null,
): Promise<void> {
  if (last === null) return journal.dropped(null);
  const own = journal.packNumbers.flatMap((number) => journal.packOf(number) ?? []);
  const needed = new Set<number>();
  for await (const point of since(archive, last, journal.from, own)) {
    const trees = new PointTrees(archive, point.trees, archive.trees);
    for (const { number, name } of own) {
      if (needed.has(number)) continue;
      const found = await trees.findName(number);
      const isNamed = found !== null && equalBytes(name, found.name);
      if (isNamed || (await trees.hasTableIn(name))) needed.add(number);
    }
  }
  await journal.committed(last.to.id, needed);
}

/** The points that there are since `from` and that may need packs of those numbers, newest first:
 * numbers only rise. */
async function* since(
  archive: Archive,
  last: ArchivePoint,
  from: Uint8Array | null,
  packs: readonly { readonly number: number }[],
): AsyncGenerator<ArchivePoint> {
  if (packs.length === 0) return;
  yield last;
  if (sameId(last.from?.id, from)) return;
  const first = Math.min(...packs.map(({ number }) => number));
  const older = [...last.kept, ...last.going].sort(
    (a, b) => b.place.epoch - a.place.epoch || b.place.sequence - a.place.sequence,
  );
  for (const { place } of older) {
    const point = await archive.point(place);
    if (point === null) continue;
    if (point.nextPack <= first) return;
    yield point;
  }
}
