// Which points a replica keeps (`retain`, retention/keep.ts), and how the others go. Those at the
// old end of the chain go with the state that makes a newer point (apply.ts): each takes its own
// undo with it. A point in between goes by a merge of its undo into that of the point before
// (history/merge.ts), in the background, between applies or beside them, at half speed while a
// round is received or applied. Order (H32): the merged file is durable, the chain that names it
// is published, then the files that it replaces are removed, when their last reader leaves.
//
// Nothing waits for a merge: a round that lacks room ends it. One that ends or fails costs nothing
// but space: its points stay, and the next apply or start tries again. What a rule keeps is asked
// again when the chain is published: a point that was pinned during its merge stays.
import { present } from '../base/assert.js';
import { describeError } from '../base/errors.js';
import type { ChunkIndex } from '../base/units.js';
import { NAMED_CHUNKS_MAX, type PointEntry, type ReplicaRecord } from '../format/resource-state.js';
import type { ChainReaders } from '../history/chain-readers.js';
import { mergedName, mergeUndos } from '../history/merge.js';
import { type KeptBy, keptPoints } from '../retention/keep.js';
import type { ReplicaParts, Retention } from './parts.js';

/** Undos merged at once: with more, one file after the other. */
const UNDOS_TOGETHER = 16;

/** The replica as its pruning sees it. */
export interface PrunedReplica {
  readonly parts: ReplicaParts;
  readonly directory: string;
  readonly record: ReplicaRecord;
  readonly readers: Pick<ChainReaders, 'dropped'>;
  readonly work: 'idle' | 'applying' | 'comparing';
  readonly staging: { readonly incoming: unknown };
}

/** What keeps each point of the chain that is kept. Pure. */
export function keptOf(
  chain: readonly PointEntry[],
  { rule, timezone }: Retention,
): Map<PointEntry, readonly KeptBy[]> {
  const rows = chain.map((entry) => ({
    number: entry.point.number,
    timeMs: entry.point.timeMs,
    pinned: entry.name !== undefined,
    entry,
  }));
  const kept = new Map<PointEntry, readonly KeptBy[]>();
  for (const [row, reasons] of keptPoints(rows, rule, timezone)) kept.set(row.entry, reasons);
  return kept;
}

/** The points at the old end of the chain that are not kept. Pure. */
export function oldEnd(chain: readonly PointEntry[], retention: Retention): readonly PointEntry[] {
  const kept = keptOf(chain, retention);
  const first = chain.findIndex((entry) => kept.has(entry));
  return chain.slice(0, Math.max(0, first));
}

/** A point that is kept, and those behind it that are not. */
interface Gap {
  readonly before: PointEntry;
  readonly going: readonly PointEntry[];
}

/** The oldest gap of at most `most` points. Pure. */
export function gapOf(
  chain: readonly PointEntry[],
  retention: Retention,
  most = UNDOS_TOGETHER - 1,
): Gap | null {
  const kept = keptOf(chain, retention);
  const first = chain.findIndex((entry, at) => at > 0 && !kept.has(entry));
  const before = chain[first - 1];
  if (before === undefined || !kept.has(before)) return null;
  const end = chain.findIndex((entry, at) => at > first && kept.has(entry));
  return { before, going: chain.slice(first, Math.min(end, first + most)) };
}

export class ReplicaPruning {
  readonly #replica: PrunedReplica;
  #running: Promise<void> | null = null;
  #again = false;
  /** Of what runs. */
  #end = new AbortController();
  #closed = false;

  constructor(replica: PrunedReplica) {
    this.#replica = replica;
  }

  /** Looks for gaps, in the background. */
  wake(): void {
    this.#again = true;
    if (this.#closed || this.#running !== null) return;
    this.#end = new AbortController();
    this.#running = this.#run().finally(() => {
      this.#running = null;
    });
  }

  /** Drops all that is not kept now, also at the old end; resolves when that has ended. */
  async now(): Promise<void> {
    const { parts, directory, readers } = this.#replica;
    let dropped: readonly PointEntry[] = [];
    await parts.resourceFile.update((state) => {
      const { chain } = state.replica;
      dropped = oldEnd(chain, parts.retain);
      return { ...state, replica: { ...state.replica, chain: chain.slice(dropped.length) } };
    });
    const stale = dropped.flatMap(({ undo }) => (undo === null ? [] : [undo]));
    await removeAll(parts, directory, readers.dropped(stale));
    this.wake();
    await this.idle();
  }

  /** Resolves when nothing is being merged. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** A round needs the room: what is being merged is given up, and tried again after its apply. */
  async giveWay(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#closed = true;
    await this.giveWay();
  }

  async #run(): Promise<void> {
    const { parts } = this.#replica;
    const { signal } = this.#end;
    while (this.#again && !signal.aborted) {
      this.#again = false;
      for (;;) {
        const gap = gapOf(this.#replica.record.chain, parts.retain);
        if (gap === null || signal.aborted) break;
        try {
          await this.#close(gap);
        } catch (error) {
          if (signal.aborted) return;
          // An apply may have dropped the points meanwhile.
          if (!this.#stands(gap)) continue;
          const points = gap.going.map(({ point }) => point.number);
          parts.log.warn('points that retain keeps no more could not be dropped; later again', {
            points,
            why: describeError(error),
          });
          return;
        }
      }
    }
  }

  /** The entries of a gap, as they stand in the chain that is published. */
  #stands({ before, going }: Gap): boolean {
    const { chain } = this.#replica.record;
    const at = chain.indexOf(before);
    return at >= 0 && going.every((entry, i) => chain[at + 1 + i] === entry);
  }

  async #close(gap: Gap): Promise<void> {
    const { parts, directory, readers } = this.#replica;
    const { files, log, resourceFile } = parts;
    const entries = [gap.before, ...gap.going];
    const undos = entries.map(({ undo, lost }) => ({ name: undo ?? '', lost }));
    const to = this.#after(gap);
    const name = mergedName(gap.before.point, to.point);
    const beganMs = parts.clock.monotonicMs();
    const turn = this.#turns();
    const lost = await mergeUndos({ files, directory, pack: parts.pack, turn }, name, undos);
    let isDone = false;
    await resourceFile.update((state) => {
      const { chain } = state.replica;
      const kept = keptOf(chain, parts.retain);
      const at = chain.indexOf(gap.before);
      const stands = at >= 0 && gap.going.every((entry, i) => chain[at + 1 + i] === entry);
      isDone = stands && !gap.going.some((entry) => kept.has(entry));
      if (!isDone) return state;
      const merged = { ...gap.before, undo: name, ...lostIn(entries, lost) };
      const rest = chain.slice(at + entries.length);
      return {
        ...state,
        replica: { ...state.replica, chain: [...chain.slice(0, at), merged, ...rest] },
      };
    });
    const stale = isDone ? readers.dropped(undos.map((undo) => undo.name)) : [name];
    await removeAll(parts, directory, stale);
    if (!isDone) return;
    const points = gap.going.map(({ point }) => point.number);
    const tookMs = Math.round(parts.clock.monotonicMs() - beganMs);
    log.info('points that retain keeps no more are dropped', { points, tookMs });
  }

  #after({ going }: Gap): PointEntry {
    const { chain } = this.#replica.record;
    const last = going.at(-1);
    const next = last === undefined ? undefined : chain[chain.indexOf(last) + 1];
    return present(next, 'the newest point is always kept');
  }

  #turns(): () => Promise<void> {
    const { parts, staging } = this.#replica;
    let beganMs = parts.clock.monotonicMs();
    const { signal } = this.#end;
    return async () => {
      signal.throwIfAborted();
      const nowMs = parts.clock.monotonicMs();
      const isBusy = this.#replica.work === 'applying' || staging.incoming !== null;
      if (isBusy && nowMs > beganMs) await parts.clock.sleep(nowMs - beganMs, signal);
      beganMs = parts.clock.monotonicMs();
    };
  }
}

/** What cannot be removed now, the next start removes: nothing names it any more. */
export async function removeAll(
  { files, log }: ReplicaParts,
  directory: string,
  names: readonly string[],
): Promise<void> {
  for (const each of names) {
    await files.remove(`${directory}/${each}`).catch((error: unknown) => {
      log.warn('a file could not be removed', { each, why: describeError(error) });
    });
  }
}

/** What the oldest of `entries` has lost when its undo leads over all of them. */
function lostIn(
  entries: readonly PointEntry[],
  lost: readonly ChunkIndex[],
): Pick<PointEntry, 'lost' | 'lostChunks'> {
  const unnamed = entries.reduce((sum, each) => sum + each.lostChunks - each.lost.length, 0);
  return { lost: lost.slice(0, NAMED_CHUNKS_MAX), lostChunks: lost.length + unnamed };
}
