// Verification of an archive with a memory, within a budget of bytes (archive/look-pass.ts): what
// of its packs was looked at longest ago is read. Only where something is damaged the index is read
// too, for the chunks that stand there are named as a whole verification names them.
import type { Archive } from '../archive/archive.js';
import type { DamagedPart } from '../archive/damage.js';
import { type DamagedPack, lookAtPacks } from '../archive/look-pass.js';
import { Looks, LooksError, type LooksSummary } from '../archive/looks.js';
import type { Files } from '../base/files.js';
import type { Random } from '../base/random.js';
import { type ArchivePoint, type PointPlace, pointKey } from '../format/archive-objects.js';
import { RestoreError } from './archive-source.js';
import { checkPoints, type PointsChecked } from './check-points.js';

export interface AgeOptions {
  /** Of the file that remembers. */
  readonly memory: string;
  /** Of packs that are read. */
  readonly budgetBytes: number;
  readonly nowMs: () => number;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Bytes that were read, of those that will be. */
  readonly onProgress: (done: number, total: number) => void;
}

export interface AgeChecked extends PointsChecked {
  /** Numbers, newest first. */
  readonly points: readonly number[];
  /** All that the points need, and how much of it was looked at lately. */
  readonly looked: LooksSummary;
  /** Packs that were read now. */
  readonly packsRead: number;
  readonly bytesRead: number;
  /** All that came from the store, index and lists included. */
  readonly downBytes: number;
  readonly requests: number;
  readonly damagedPacks: readonly DamagedPart[];
  /** Why what was remembered is forgotten; null: it is not. */
  readonly forgotten: string | null;
}

/** Errors ARCHIVE_EMPTY, MEMORY_OTHER, FORMAT_VERSION, of the store and the file. */
export async function checkByAge(
  archive: Archive,
  files: Files,
  { memory, budgetBytes, nowMs, random, signal, onProgress }: AgeOptions,
): Promise<AgeChecked> {
  const { looks, fault } = await Looks.open(files, memory);
  if (!looks.bind(archive.identity.id)) {
    const why = 'the memory of another archive';
    throw new LooksError({ code: 'MEMORY_OTHER', path: memory, why });
  }
  const { store } = archive;
  const last = await archive.last(nowMs());
  if (last === null) throw new RestoreError({ code: 'ARCHIVE_EMPTY', url: store.url });
  looks.pass = { ...looks.pass, begunMs: Math.floor(nowMs()), spentBytes: 0, ended: false };
  const found = await lookAtPacks(archive, last, looks, {
    budgetBytes,
    restMs: 0,
    nowMs,
    signal,
    turn: async () => {},
    onProgress,
  });
  looks.pass = { ...looks.pass, ended: true };
  await looks.save();
  const chunks = await damagedChunks(archive, found.damaged, random, signal);
  const { put, get, head, list, remove } = store.counts;
  return {
    ...chunks,
    index: [...found.tables.map(shown), ...chunks.index],
    points: found.points,
    looked: looks.summary(nowMs()),
    packsRead: found.read.packs,
    bytesRead: found.read.bytes,
    downBytes: store.counts.downBytes,
    requests: put + get + head + list + remove,
    damagedPacks: found.damaged.map(shown),
    forgotten: fault,
  };
}

const shown = ({ place, why, points }: DamagedPart): DamagedPart => ({ place, why, points });

const NOTHING: PointsChecked = {
  chunks: 0,
  chunkBytes: 0,
  damagedChunks: 0,
  damaged: [],
  index: [],
  damagedPoints: [],
};

/** Of the points that need damaged packs, what stands in these. */
async function damagedChunks(
  archive: Archive,
  packs: readonly DamagedPack[],
  random: Random,
  signal: AbortSignal,
): Promise<PointsChecked> {
  const places = new Map<string, PointPlace>();
  for (const { needing } of packs) {
    for (const { place } of needing) places.set(pointKey(place), place);
  }
  const points: ArchivePoint[] = [];
  for (const place of places.values()) {
    const point = await archive.point(place);
    if (point !== null) points.push(point);
  }
  if (points.length === 0) return NOTHING;
  const newestFirst = points.sort((a, b) => b.to.number - a.to.number);
  const names = new Set(packs.map(({ name }) => name));
  const options = { share: 1, packs: names, random, signal, onProgress: () => {} };
  return checkPoints(archive, newestFirst, options);
}
