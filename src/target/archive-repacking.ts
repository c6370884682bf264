// A repack of the archive of a target: which packs its newest point is to leave, from when it is
// asked for until the next round has committed or is given up. It is kept nowhere else: a session
// that ends forgets it, and what was sent for it waits in the journal for whoever asks again.
import type { Archive } from '../archive/archive.js';
import { PackBlocks } from '../archive/pack-blocks.js';
import { type Moves, movesFrom, packUses, type RepackPlan, repackPlan } from '../archive/repack.js';
import { PointTrees } from '../archive/tree.js';
import { type Leaving, NONE_LEAVES } from '../archive/tree-writer.js';
import type { ChunkIndex } from '../base/units.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { minimumDaysOf } from '../store/storage-class.js';
import type { PruningParts } from './archive-pruning.js';
import type { RepackOrder } from './target.js';

/** Leaves are read in blocks, of a MiB each. */
const BLOCKS_KEPT = 16;

export class ArchiveRepacking {
  readonly #parts: Pick<PruningParts, 'storageClass' | 'nowMs' | 'log'>;
  #order: { readonly leaving: Leaving; readonly trees: PointTrees } | null = null;

  constructor(parts: Pick<PruningParts, 'storageClass' | 'nowMs' | 'log'>) {
    this.#parts = parts;
  }

  /** Packs that the next point leaves. */
  get leaving(): Leaving {
    return this.#order?.leaving ?? NONE_LEAVES;
  }

  /** Finds what a repack would do now; but for a dry run the next round does it. Errors of the
   * store. */
  async plan(
    archive: Archive,
    last: ArchivePoint,
    { belowPercent, dryRun }: RepackOrder,
  ): Promise<RepackPlan> {
    const { storageClass, nowMs, log } = this.#parts;
    const minimumDays = minimumDaysOf(storageClass);
    const uses = await packUses(archive, last);
    const plan = repackPlan(uses, { nowMs: nowMs(), minimumDays, belowPercent });
    if (dryRun || plan.leaving.size === 0) return plan;
    const { store, keyOf } = archive;
    const reader = { store, keyOf, blocks: new PackBlocks(store, BLOCKS_KEPT) };
    this.#order = { leaving: plan.leaving, trees: new PointTrees(reader, last.trees) };
    const { packBytes, sendBytes } = plan;
    log.info('a repack is asked for', { packs: plan.leaving.size, packBytes, sendBytes });
    return plan;
  }

  /** What the round that does it has to send though it did not change, from `first` on. */
  async moves(first: ChunkIndex): Promise<Moves> {
    if (this.#order === null) return { moves: [], next: null };
    return movesFrom(this.#order.trees, this.#order.leaving, first);
  }

  /** The round has ended, or another point is the newest. */
  done(): void {
    this.#order = null;
  }
}
