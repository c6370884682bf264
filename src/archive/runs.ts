// The pieces of a journal in order of their chunks: several runs, each ascending, merged; of each
// block the newest counts. Memory: a piece of the file for each run.
import type { LeafEntry } from '../format/archive-leaf.js';
import { overlaid } from '../format/archive-leaf.js';
import type { Journal, PieceRow } from './journal.js';

/** Entries of runs firstRun.. of the journal, ascending; `own`: packs that are usable though they
 * are not durable yet. */
export async function* mergedRuns(
  journal: Journal,
  firstRun: number,
  own: (pack: number) => boolean,
): AsyncGenerator<LeafEntry> {
  const usable = (pack: number): boolean => own(pack) || journal.isPut(pack);
  // Newest first. Within a run no chunk is in both lanes.
  const sources: AsyncGenerator<PieceRow>[] = [];
  for (let run = journal.runs - 1; run >= firstRun; run -= 1) {
    sources.push(journal.run(run, 0, usable), journal.run(run, 1, usable));
  }
  const heads: (PieceRow | null)[] = [];
  for (const source of sources) heads.push(await nextOf(source));
  for (;;) {
    let chunk = Number.POSITIVE_INFINITY;
    for (const head of heads) if (head !== null) chunk = Math.min(chunk, head.chunk);
    if (chunk === Number.POSITIVE_INFINITY) return;
    let entry: LeafEntry | null = null;
    for (const [i, head] of heads.entries()) {
      const source = sources[i];
      if (head?.chunk !== chunk || source === undefined) continue;
      const own: LeafEntry = { chunk, digest: head.digest, pieces: [head.piece] };
      entry = entry === null ? own : overlaid(entry, own);
      heads[i] = await nextOf(source);
    }
    if (entry !== null) yield entry;
  }
}

/** Of each chunk the newest piece of runs 0..runs-1, as it was staged, ascending. */
export async function* newestRuns(
  journal: Journal,
  runs: number,
): AsyncGenerator<Pick<PieceRow, 'chunk' | 'digest' | 'piece'>> {
  const sources: AsyncGenerator<PieceRow>[] = [];
  const usable = (pack: number): boolean => journal.isPut(pack);
  for (let run = runs - 1; run >= 0; run -= 1) {
    sources.push(journal.run(run, 0, usable), journal.run(run, 1, usable));
  }
  const heads: (PieceRow | null)[] = [];
  for (const source of sources) heads.push(await nextOf(source));
  for (;;) {
    let chunk = Number.POSITIVE_INFINITY;
    for (const head of heads) if (head !== null) chunk = Math.min(chunk, head.chunk);
    if (chunk === Number.POSITIVE_INFINITY) return;
    let newest: PieceRow | null = null;
    for (const [i, head] of heads.entries()) {
      const source = sources[i];
      if (head?.chunk !== chunk || source === undefined) continue;
      newest ??= head;
      heads[i] = await nextOf(source);
    }
    if (newest !== null) yield newest;
  }
}

async function nextOf(source: AsyncGenerator<PieceRow>): Promise<PieceRow | null> {
  const next = await source.next();
  return next.done === true ? null : next.value;
}
