// When the archive of a target is pruned, and what of that is remembered. A prune runs with the
// first point of a session, and then when GOING_MAX points may go, or a day has passed. It holds
// up nobody: it ends at its next point when the target is closed or a round begins, and the next
// prune goes on.
import { type Archive, GRACE_MS } from '../archive/archive.js';
import type { Journal } from '../archive/journal.js';
import { type PruneResult, prune } from '../archive/prune.js';
import type { Log } from '../base/log.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { minimumDaysOf } from '../store/storage-class.js';
import type { ArchiveKeep } from './archive-keep.js';

const GOING_MAX = 16;
const PRUNE_MS = 24 * 3_600_000;

export interface PruningParts {
  readonly journal: Journal;
  readonly keep: ArchiveKeep;
  readonly storageClass: string | null;
  readonly nowMs: () => number;
  readonly log: Log;
}

export class ArchivePruning {
  readonly #parts: PruningParts;
  #prunedMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(parts: PruningParts) {
    this.#parts = parts;
  }

  isDue({ going }: ArchivePoint): boolean {
    const { journal, nowMs } = this.#parts;
    const old = going.filter(({ timeMs }) => nowMs() - timeMs >= GRACE_MS).length;
    const late = old >= GOING_MAX || nowMs() - this.#prunedMs >= PRUNE_MS;
    return late && old + journal.garbage.length > 0;
  }

  /** `yields` is asked between two points: somebody waits. Errors of the store. */
  async run(
    archive: Archive,
    last: ArchivePoint,
    dryRun: boolean,
    yields: () => boolean,
  ): Promise<PruneResult> {
    const { journal, keep, nowMs, storageClass, log } = this.#parts;
    const minimumDays = minimumDaysOf(storageClass);
    const stopped = (): boolean => this.#stopped || yields();
    const result = await prune(archive, journal, last, {
      nowMs: nowMs(),
      minimumDays,
      dryRun,
      stopped,
    });
    if (dryRun) return result;
    keep.notePruned(result.removed, result.pinned);
    if (!stopped()) this.#prunedMs = nowMs();
    log.info('the archive is pruned', { ...result, removed: result.removed.length });
    return result;
  }

  stop(): void {
    this.#stopped = true;
  }
}
