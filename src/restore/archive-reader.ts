// An archive that is opened by its url to be read, on any machine: its points, what differs between
// two, whether it is whole, and a point onto a disk. It is never written but for pins. Everything
// that these need of the world is handed in.
import { access, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Archive } from '../archive/archive.js';
import type { DamagedPart } from '../archive/damage.js';
import { pin, unpin } from '../archive/pins.js';
import type { SharedTrees } from '../archive/tree.js';
import { isoTime } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Files } from '../base/files.js';
import { hex, type Random } from '../base/random.js';
import type { Secret } from '../format/archive-identity.js';
import { ARCHIVE_KEY, type ArchivePoint, pointKey } from '../format/archive-objects.js';
import type { Pin } from '../format/archive-pin.js';
import type { PointSpec } from '../lineage/point-spec.js';
import type { ObjectStore } from '../store/store.js';
import { storeUrl } from '../store/url.js';
import { findPoint, RestoreError, sourceOf } from './archive-source.js';
import { type AgeChecked, type AgeOptions, checkByAge } from './check-by-age.js';
import { checkPacks, type PacksChecked } from './check-packs.js';
import { checkPoints, type PointsChecked } from './check-points.js';
import { comparePoints, type Difference, type DifferenceCounts } from './compare-points.js';
import { startLayThreads } from './lay-threads.js';
import { type RestoreOrder, restoreOnto } from './onto-path.js';
import { type PointTable, pointTable } from './point-table.js';
import { type RestoreCounts, restoreToDisk } from './to-disk.js';

/** What stands behind the @, as it was written and as it was read. */
export interface WrittenPoint {
  readonly text: string;
  readonly spec: PointSpec;
}

/** Looks on the way, for `check`. */
export interface CheckWatch {
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
}

/** Points to be checked, newest first. */
interface Chosen {
  readonly points: readonly ArchivePoint[];
  /** Of these and of the lost ones. */
  readonly numbers: readonly number[];
  /** Objects of points that cannot be read. */
  readonly lost: readonly DamagedPart[];
}

export class ArchiveReader {
  readonly #archive: Archive;
  readonly #files: Files;
  readonly #random: Random;

  private constructor(archive: Archive, files: Files, random: Random) {
    this.#archive = archive;
    this.#files = files;
    this.#random = random;
  }

  /** Errors ARCHIVE_MISSING, ARCHIVE_SEALED, ARCHIVE_NOT_SEALED, ARCHIVE_WRONG_KEY, FORMAT_BAD. */
  static async open(
    store: ObjectStore,
    secret: Secret | null,
    files: Files,
    random: Random,
  ): Promise<ArchiveReader> {
    const archive = await Archive.open(store, secret);
    if (archive === null) throw await missing(store.url);
    return new ArchiveReader(archive, files, random);
  }

  get url(): string {
    return this.#archive.store.url;
  }

  close(): Promise<void> {
    return this.#archive.store.close();
  }

  points(): Promise<PointTable> {
    return pointTable(this.#archive);
  }

  /** Errors ARCHIVE_EMPTY, POINT_UNKNOWN, POINT_NEWER_LOST. */
  point({ text, spec }: WrittenPoint): Promise<ArchivePoint> {
    return findPoint(this.#archive, spec, text);
  }

  /** Of all points that are kept. Error ARCHIVE_EMPTY. */
  async #chosen(point: WrittenPoint | null): Promise<Chosen> {
    if (point !== null) {
      const one = await this.point(point);
      return { points: [one], numbers: [one.to.number], lost: [] };
    }
    const { rows, newer } = await this.points();
    if (rows.length === 0) throw new RestoreError({ code: 'ARCHIVE_EMPTY', url: this.url });
    const lost = rows.flatMap(({ point, place, number, error }): DamagedPart[] => {
      const object = `${this.url}/${pointKey(place)}`;
      return point === null ? [{ place: object, why: describeError(error), points: [number] }] : [];
    });
    const points = rows.flatMap((row) => (row.point === null ? [] : [row.point]));
    return { points, numbers: rows.map(({ number }) => number), lost: [...newer, ...lost] };
  }

  /** `point` null: all that are kept. */
  async check(
    point: WrittenPoint | null,
    share: number,
    watch: CheckWatch,
  ): Promise<PointsChecked & { readonly points: readonly number[] }> {
    const { points, numbers, lost } = await this.#chosen(point);
    const options = { ...watch, share, random: this.#random };
    const checked = await checkPoints(this.#archive, points, options);
    const bad = new Set([...checked.damagedPoints, ...lost.flatMap((part) => part.points)]);
    return {
      points: numbers,
      ...checked,
      index: [...lost, ...checked.index],
      damagedPoints: numbers.filter((number) => bad.has(number)),
    };
  }

  /** Only that the packs are there; `point` null: of all that are kept. */
  async checkPacks(
    point: WrittenPoint | null,
    { signal, onProgress }: CheckWatch,
  ): Promise<PacksChecked & { readonly points: readonly number[] }> {
    const { points, numbers, lost } = await this.#chosen(point);
    const checked = await checkPacks(this.#archive, points, signal, onProgress);
    return { points: numbers, ...checked, damaged: [...lost, ...checked.damaged] };
  }

  /** What was looked at longest ago, within a budget. Errors as of `checkByAge`. */
  checkByAge(options: Omit<AgeOptions, 'random'>): Promise<AgeChecked> {
    return checkByAge(this.#archive, this.#files, { ...options, random: this.#random });
  }

  /** Of this archive and another, or of one. */
  async compare(
    point: ArchivePoint,
    other: ArchiveReader,
    otherPoint: ArchivePoint,
    found: (difference: Difference) => void,
  ): Promise<DifferenceCounts> {
    const isOne = this === other;
    const shared: SharedTrees | null = isOne ? new Map() : null;
    const one = sourceOf(this.#archive, point, shared);
    return comparePoints(one, sourceOf(other.#archive, otherPoint, shared), isOne, found);
  }

  /** Errors as of `restoreOnto`, of `restoreToDisk`. */
  restore(point: ArchivePoint, order: RestoreOrder): Promise<RestoreCounts> {
    const { to, sizeBytes } = point;
    const mark = {
      hastRestore: 1 as const,
      archive: this.url,
      point: { id: hex(to.id), number: to.number, time: isoTime(to.timeMs) },
      sizeBytes,
    };
    return restoreOnto(this.#files, mark, order, async (device, options) => {
      const threads = startLayThreads(this.#archive.dataKey);
      try {
        const source = sourceOf(this.#archive, point, null, threads.lay);
        return await restoreToDisk(source, device, options);
      } finally {
        await threads.close();
      }
    });
  }

  /** Errors POINT_NAME_TAKEN, POINT_PINNED, POINT_GOING. */
  async pin(written: WrittenPoint, name: string): Promise<ArchivePoint> {
    const point = await this.point(written);
    const { place, to } = point;
    await pin(this.#archive, name, { place, number: to.number, timeMs: to.timeMs });
    return point;
  }

  /** Error POINT_NOT_PINNED. */
  unpin(name: string): Promise<Pin> {
    return unpin(this.#archive, name);
  }
}

/** Beside a directory that is no archive, and in it, there may be one. */
export async function missing(url: string): Promise<Error> {
  const at = storeUrl(url);
  if (at.kind !== 'directory') {
    return new RestoreError({ code: 'ARCHIVE_MISSING', url: at.url, near: '' });
  }
  const [below, beside] = await Promise.all([archivesIn(at.path), archivesIn(dirname(at.path))]);
  const names = below.length > 0 ? below.map((name) => `${basename(at.path)}/${name}`) : beside;
  const near = names.length === 0 ? '' : `; near it there is ${names.join(', ')}`;
  return new RestoreError({ code: 'ARCHIVE_MISSING', url: at.url, near });
}

const NAMES_SHOWN_MAX = 20;

async function archivesIn(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const name of (await readdir(path).catch(() => [])).sort()) {
    if (names.length >= NAMES_SHOWN_MAX) break;
    const isThere = access(join(path, name, ARCHIVE_KEY)).then(
      () => true,
      () => false,
    );
    if (await isThere) names.push(name);
  }
  return names;
}
