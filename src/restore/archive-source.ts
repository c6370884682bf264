// A point of an archive, found by what a person writes: from there on everything is read through
// its trees. Opening takes a few requests, however long the chain of points is: the identity, the
// head, the point, and for the name of a pinned one that.
import type { Archive } from '../archive/archive.js';
import { PackBlocks } from '../archive/pack-blocks.js';
import { allPins, pinOf } from '../archive/pins.js';
import type { RecordReader } from '../archive/records.js';
import { PointTrees, type SharedTrees } from '../archive/tree.js';
import { isoTime } from '../base/clock.js';
import { errorClass } from '../base/errors.js';
import { humanBytes } from '../base/units.js';
import {
  type ArchivePoint,
  type KeptPoint,
  type PointPlace,
  pointKey,
} from '../format/archive-objects.js';
import { bad } from '../format/layout.js';
import { type PointSpec, pickPoint } from '../lineage/point-spec.js';
import type { RegionSource } from './archive-region.js';
import { Frames } from './frames.js';
import { type Lay, layHere } from './lay-frames.js';
import { type Newest, newestReadable } from './newest-readable.js';

export type RestoreFault =
  | { code: 'ARCHIVE_MISSING'; url: string; near: string }
  | { code: 'ARCHIVE_EMPTY'; url: string }
  | { code: 'POINT_UNKNOWN'; where: string; point: string; known: string }
  | { code: 'POINT_NEWER_LOST'; url: string; why: string; number: number; time: string }
  | { code: 'RESTORE_EXISTS'; path: string; kind: string; sizeBytes: number; command: string }
  | { code: 'RESTORE_OTHER'; path: string; has: string; wanted: string; command: string }
  | { code: 'RESTORE_TOO_SMALL'; path: string; sizeBytes: number; wantedBytes: number }
  | { code: 'RESTORE_NO_DEVICE'; path: string };

export const RestoreError = errorClass<RestoreFault>('RestoreError', {
  ARCHIVE_MISSING: (f) =>
    `${f.url}: there is no archive${f.near} (an archive is named by the url of its block and ` +
    'the resource: s3://BUCKET/PREFIX/RESOURCE)',
  ARCHIVE_EMPTY: (f) => `${f.url}: the archive has no point yet: its first round has not ended`,
  POINT_UNKNOWN: (f) => `${f.where} has no point ${f.point}; it has ${f.known}`,
  POINT_NEWER_LOST: (f) =>
    `${f.url}: the newest point cannot be read: ${f.why}; the newest that can be is ` +
    `@${f.number}, of ${f.time}`,
  RESTORE_EXISTS: (f) =>
    `${f.path} is there already (a ${f.kind} of ${humanBytes(f.sizeBytes)}), and nothing is ` +
    `overwritten unless you say so; to make it equal to the point, whatever it has: ${f.command}`,
  RESTORE_OTHER: (f) =>
    `${f.path} is an unfinished restore of ${f.has}, and ${f.wanted} is another point; give the ` +
    `command of then to go on, or, to make it this point: ${f.command}`,
  RESTORE_TOO_SMALL: (f) =>
    `${f.path} has ${f.sizeBytes} bytes (${humanBytes(f.sizeBytes)}), the point ` +
    `${f.wantedBytes} (${humanBytes(f.wantedBytes)})`,
  RESTORE_NO_DEVICE: (f) =>
    `${f.path}: there is no such device, and no file is made in /dev; make the volume first`,
});

/** Of an index: 16 MiB, some for each tree. */
const NODE_BLOCKS = 64;
const NODE_BLOCK_BYTES = 256 * 1024;
/** In an error. */
const POINTS_SHOWN_MAX = 8;

/** A point as it is shown. */
export interface ShownPoint extends KeptPoint {
  /** Of a pinned point. */
  readonly name: string | null;
}

/** The points that are kept, newest first, as of the newest that can be read. Lists the pins. */
export async function shownPoints(
  archive: Archive,
  newest?: Newest,
): Promise<readonly ShownPoint[]> {
  const { last } = newest ?? (await newestReadable(archive));
  if (last === null) return [];
  const pins = await allPins(archive);
  const nameOf = ({ place }: KeptPoint): string | null =>
    pins.find(({ point }) => isSame(point.place, place))?.name ?? null;
  return keptOf(last).map((point) => ({ ...point, name: nameOf(point) }));
}

/** The point itself and those that it keeps, newest first. */
export const keptOf = ({ place, to, kept }: ArchivePoint): readonly KeptPoint[] => [
  { place, number: to.number, timeMs: to.timeMs },
  ...kept,
];

/** `text`: as it was written. Errors ARCHIVE_EMPTY, POINT_UNKNOWN, POINT_NEWER_LOST, FORMAT_BAD, of
 * the store. */
export async function findPoint(
  archive: Archive,
  spec: PointSpec,
  text: string,
): Promise<ArchivePoint> {
  const { url } = archive.store;
  const newest = await newestReadable(archive);
  const { last } = newest;
  if (last === null) throw new RestoreError({ code: 'ARCHIVE_EMPTY', url });
  const points = keptOf(last).map((point): ShownPoint => ({ ...point, name: null }));
  const chosen =
    spec.kind === 'name'
      ? (await pinOf(archive, spec.name))?.point
      : pickPoint<ShownPoint>(points, spec);
  if (chosen != null && isSame(chosen.place, last.place)) {
    // Of damaged ones nobody knows the time: one of them may be what is meant.
    const isSure = spec.kind === 'number' || spec.kind === 'name' || newest.damaged.length === 0;
    if (isSure) return last;
    const { number, timeMs } = last.to;
    const why = newest.damaged[0]?.why ?? 'it is damaged';
    throw new RestoreError({ code: 'POINT_NEWER_LOST', url, why, number, time: shortTime(timeMs) });
  }
  const found = chosen == null ? null : await keptPoint(archive, chosen.place);
  if (found !== null) return found;
  const known = knownText(await shownPoints(archive));
  throw new RestoreError({ code: 'POINT_UNKNOWN', where: url, point: text, known });
}

/** Null: it was pruned meanwhile. Errors FORMAT_BAD, also of one that is kept and not there. */
export async function keptPoint(archive: Archive, place: PointPlace): Promise<ArchivePoint | null> {
  const found = await archive.point(place);
  if (found !== null) return found;
  const { last } = await newestReadable(archive);
  if (last === null || !keptOf(last).some((one) => isSame(one.place, place))) return null;
  const where = { what: 'point of an archive', place: `${archive.store.url}/${pointKey(place)}` };
  throw bad(where, 'it is not there');
}

const isSame = (one: PointPlace, other: PointPlace): boolean =>
  one.epoch === other.epoch && one.sequence === other.sequence;

/** Reads nodes from the start of a disk to its end: they stand in that order in each tree. */
const nodeReader = ({ store, keyOf }: Archive): RecordReader => ({
  store,
  keyOf,
  blocks: new PackBlocks(store, NODE_BLOCKS, NODE_BLOCK_BYTES),
});

/** What is read of a point; `shared`: with other points of the archive. `lay`: of this archive. */
export function sourceOf(
  archive: Archive,
  point: ArchivePoint,
  shared: SharedTrees | null = null,
  lay: Lay = layHere(archive.keyOf),
): RegionSource {
  const { store } = archive;
  const trees = new PointTrees(nodeReader(archive), point.trees, shared);
  const frames = new Frames(store, lay);
  return { url: store.url, frames, trees, sizeBytes: point.sizeBytes };
}

/** What there is to choose from: the newest, and all names. Newest first. */
function knownText(points: readonly ShownPoint[]): string {
  const text = ({ number, timeMs }: ShownPoint): string => `${number} (${shortTime(timeMs)})`;
  const shown = points.slice(0, POINTS_SHOWN_MAX).map(text).join(', ');
  const left = points.length - POINTS_SHOWN_MAX;
  const oldest = points.at(-1);
  const more = left > 0 && oldest ? ` and ${left} older, down to ${text(oldest)}` : '';
  const names = points.flatMap(({ name, number }) => (name === null ? [] : `${name} is ${number}`));
  return `${shown}${more}${names.length === 0 ? '' : `; ${names.join(', ')}`}`;
}

const shortTime = (timeMs: number): string => isoTime(timeMs).replace(/:\d\d\.\d+Z$/, 'Z');
