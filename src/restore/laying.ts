// Wanted chunks laid together from the frames that have their blocks, fetched for that, and checked
// against their digests (Q1).
import { isDamage } from '../archive/damage.js';
import { recordsOf } from '../archive/frame-ranges.js';
import { recordId, type Wanted } from '../archive/laying.js';
import type { NameOf } from '../archive/tree.js';
import { present } from '../base/assert.js';
import type { ChunkIndex } from '../base/units.js';
import type { LeafEntry, RecordPlace } from '../format/archive-leaf.js';
import { FormatError } from '../format/changeset.js';
import { type Batch, batchesOf, type Fetched, type Frames } from './frames.js';
import type { StoredFrame } from './lay-frames.js';

/** A record that is damaged or missing, and why; what is not told apart from that is thrown. */
export interface BadRecord {
  readonly record: RecordPlace;
  /** Object and offset; where the name of the pack cannot be read, its number. */
  readonly place: string;
  readonly error: unknown;
}

/** A chunk that is not as its point says. */
export interface BadChunk {
  readonly wanted: Wanted;
  /** Records of it that are damaged or missing; none: its content has another digest. */
  readonly records: readonly BadRecord[];
}

/** Frames that were asked for before their turn. */
export interface Asked {
  readonly batches: readonly (readonly RecordPlace[])[];
  /** The first one; null: not yet. */
  readonly first: Batch | null;
}

/** Of chunks that `layChunks` will be told. */
export function askAhead(frames: Frames, nameOf: NameOf, entries: readonly LeafEntry[]): Asked {
  const batches = batchesOf(recordsOf(entries));
  return { batches, first: frames.prefetch(batches[0] ?? [], nameOf) };
}

/**
 * Fills in the content of all that are wanted, and returns those that are damaged; without
 * `survey` a damaged or missing record is an error: FORMAT_BAD, STORE_MISSING, STORE_SHORT. `end`:
 * chunks from there on may be wanted later. `asked`: what `askAhead` answered, for these entries.
 */
export async function layChunks(
  frames: Frames,
  nameOf: NameOf,
  wanted: readonly Wanted[],
  end: ChunkIndex,
  survey: boolean,
  asked: Asked | null = null,
): Promise<readonly BadChunk[]> {
  const bad = new Map<string, BadRecord>();
  let notWhole: readonly number[] = [];
  const batches = asked?.batches ?? batchesOf(recordsOf(wanted.map(({ entry }) => entry)));
  for (const [at, records] of batches.entries()) {
    const ahead = at === 0 ? asked?.first : null;
    const isEnd = at === batches.length - 1;
    const failed = await lay(ahead ?? (await frames.fetch(records, nameOf)), isEnd);
    for (const [one, { record, error }] of failed.entries()) {
      if (!survey || !isDamage(error)) throw error;
      const isLast = isEnd && one === failed.length - 1;
      const [again] = await lay(frames.fetchAlone(record, nameOf), isLast);
      if (again === undefined) continue;
      if (!isDamage(again.error)) throw again.error;
      bad.set(recordId(record), { ...again, place: await frames.placeOf(record, nameOf) });
    }
  }
  const without = new Set(notWhole);
  return wanted.flatMap((one, at) => {
    const records = one.entry.pieces.flatMap(({ place }) => {
      const found = place === null ? undefined : bad.get(recordId(place));
      return found === undefined ? [] : [found];
    });
    return records.length > 0 || without.has(at) ? [{ wanted: one, records }] : [];
  });

  /** Those that could not be laid; what is whole is. */
  async function lay(batch: Batch, isLast: boolean): Promise<readonly Failed[]> {
    const { fetched } = batch;
    const later = new Map<Fetched, StoredFrame>();
    try {
      const settled = await Promise.allSettled(fetched.map(({ frame }) => frame));
      const there: { readonly one: Fetched; readonly frame: StoredFrame }[] = [];
      const failed: Failed[] = [];
      for (const [at, one] of fetched.entries()) {
        const found = present(settled[at], 'each has settled');
        if (found.status === 'fulfilled') there.push({ one, frame: found.value });
        else failed.push({ record: one.record, error: found.reason });
      }
      const laid = await frames.lay({
        wanted,
        frames: there.map(({ frame }) => frame),
        end,
        isLast,
      });
      notWhole = laid.notWhole;
      for (const [at, { one, frame }] of there.entries()) {
        const last = present(laid.frames[at], 'each frame has its outcome');
        if (typeof last !== 'number') {
          failed.push({ record: one.record, error: new FormatError(last) });
        } else if (last >= end) later.set(one, frame);
      }
      return failed;
    } finally {
      frames.letGo(batch, later);
    }
  }
}

interface Failed {
  readonly record: RecordPlace;
  readonly error: unknown;
}
