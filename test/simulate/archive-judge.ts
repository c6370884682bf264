// The judgements of a simulated run that look at an archive as it stands in its store: points read
// as their cuts (D2, Q1), each follows the one before (C3), nothing is left that nobody needs. All
// are made of a copy of the objects, so that nothing changes meanwhile.
import { type Archive, GRACE_MS } from '../../src/archive/archive.js';
import { ChunkReader } from '../../src/archive/chunk-reader.js';
import { Journal } from '../../src/archive/journal.js';
import { PackTables } from '../../src/archive/pack-tables.js';
import { pinAt } from '../../src/archive/pins.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { hex } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount } from '../../src/base/units.js';
import { decodeJournalHeader } from '../../src/format/archive-journal.js';
import { LEAF_CHUNKS } from '../../src/format/archive-leaf.js';
import {
  type ArchivePoint,
  type KeptPoint,
  type PointPlace,
  packKey,
  placeOf,
  pointKey,
} from '../../src/format/archive-objects.js';
import { sameId } from '../../src/lineage/lineage.js';
import { REGION_BYTES, readChunks, regionLength } from '../../src/restore/archive-region.js';
import { keptOf, sourceOf } from '../../src/restore/archive-source.js';
import type { MemoryStore } from '../store/memory-store.js';
import { Broken } from './broken.js';
import { type Machine, STATE } from './machine.js';
import { OFFSITE } from './setup.js';
import { type Cut, same, type Truth } from './truth.js';

/** How content is read: chunk by chunk, or in whole regions as a restore does. */
export type Reading = 'chunks' | 'regions';

export async function contentOf(
  archive: Archive,
  point: ArchivePoint,
  how: Reading,
): Promise<Uint8Array> {
  const { sizeBytes } = point;
  const disk = new Uint8Array(sizeBytes);
  if (how === 'regions') {
    const source = sourceOf(archive, point);
    for (let region = 0; region * REGION_BYTES < sizeBytes; region += 1) {
      const leaf = await source.trees.leaf(region);
      const offset = region * REGION_BYTES;
      const bytes = disk.subarray(offset, offset + regionLength(region, sizeBytes));
      const within = leaf.filter(({ chunk }) => chunk < chunkCount(sizeBytes));
      await readChunks(source, region * LEAF_CHUNKS, within, bytes);
    }
    return disk;
  }
  const reader = new ChunkReader(archive, new PointTrees(archive, point.trees), sizeBytes);
  for (let chunk = 0; chunk < chunkCount(sizeBytes); chunk += 1) {
    const bytes = await reader.chunk(chunk);
    if (bytes !== null) disk.set(bytes, chunk * CHUNK_BYTES);
  }
  return disk;
}

/** D2: what a point reads as is its cut. Chunks that could not be read at the primary hold what was
 * there before (H21): the point says how many; from now on they are part of the cut. */
export function isItsCut(cut: Cut, point: ArchivePoint, disk: Uint8Array, what: string): void {
  const { damagedChunks } = point;
  let older = 0;
  for (let chunk = 0; damagedChunks > 0 && chunk < chunkCount(disk.length); chunk += 1) {
    const [from, to] = [chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES];
    if (equalBytes(disk.subarray(from, to), cut.image.subarray(from, to))) continue;
    older += 1;
    if (older > damagedChunks) break;
    cut.image = cut.image.slice();
    cut.image.set(disk.subarray(from, to), from);
  }
  same(disk, cut.image, `D2: ${what} point ${cut.number} of the archive`);
}

/** The point at `place`, which must be there, read and compared. */
export async function pointTrue(
  truth: Truth,
  archive: Archive,
  { place, number }: KeptPoint,
  how: Reading,
  what: string,
): Promise<void> {
  const point = await archive.point(place);
  if (point === null) throw new Broken(`D4: ${what}: point ${number} of the archive is gone`);
  const cut = truth.cut(point.to.id, `the archive has it, ${what}`);
  const disk = await contentOf(archive, point, how).catch((error: unknown) => {
    throw new Broken(`Q1: ${what}: point ${number} of the archive cannot be read: ${error}`);
  });
  isItsCut(cut, point, disk, what);
  truth.judged += 1;
}

/** D4: the archive is not behind what somebody was told of. Null: it has no point. */
export async function lastTrue(
  truth: Truth,
  archive: Archive | null,
  what: string,
): Promise<ArchivePoint | null> {
  const told = truth.lastAcknowledged(OFFSITE);
  const last = archive === null ? null : await archive.last();
  if (last === null) {
    if (told !== null) throw new Broken(`D4: ${what}: committed point ${told.number} is gone`);
    return null;
  }
  const cut = truth.cut(last.to.id, `the archive stands at it, ${what}`);
  if (told !== null && cut.order < told.order) {
    throw new Broken(`D4: ${what}: at point ${cut.number}, behind ${told.number}, committed`);
  }
  return last;
}

/** C3: every point is of the reign that it stands in, and follows the one before it; nobody has
 * added one to a reign that is over. */
export async function chainTrue(truth: Truth, archive: Archive, keys: readonly string[]) {
  const places = keys.flatMap((key) => placeOf(key) ?? []);
  let before: ArchivePoint | null = null;
  for (const place of places.sort((a, b) => a.epoch - b.epoch || a.sequence - b.sequence)) {
    const point = await archive.point(place);
    if (point === null) continue;
    const { epoch } = truth.cut(point.to.id, 'the archive has it');
    const reign = archive.epochs[place.epoch - 1]?.epoch.id;
    const what = `C3: point ${point.to.number} at ${pointKey(place)} of the archive`;
    if (reign === undefined || hex(reign) !== epoch) throw new Broken(`${what}: of another epoch`);
    if (before !== null && follows(before.place, place) && !sameId(point.from?.id, before.to.id)) {
      throw new Broken(`${what} does not go on from the one before`);
    }
    before = point;
  }
}

const follows = (one: PointPlace, next: PointPlace): boolean =>
  one.epoch === next.epoch && next.sequence === one.sequence + 1;

/** Keys of packs that no point needs which is kept, pinned, or too young to be removed. */
export async function orphans(
  archive: Archive,
  last: ArchivePoint,
  nowMs: number,
): Promise<string[]> {
  const store = archive.store as MemoryStore;
  const tables = new PackTables(archive);
  const needed = new Set<string>();
  const standing = [...keptOf(last)];
  for (const point of last.going) {
    const young = nowMs - point.timeMs < GRACE_MS && (await archive.point(point.place)) !== null;
    if (young || (await pinAt(archive, point.place)) !== null) standing.push(point);
  }
  for (const { place } of standing) {
    for (const { name } of (await tables.of(place, last)).values()) needed.add(packKey(name));
  }
  return [...store.objects.keys()].filter((key) => key.startsWith('packs/') && !needed.has(key));
}

/** Packs that the journal of a node knows of, and removes when it is primary again. */
export async function journalled(machine: Machine): Promise<ReadonlySet<string>> {
  const path = `${STATE}/${OFFSITE}.journal`;
  const world = machine.world.afterKill();
  const bytes = world.peek(path);
  if (bytes === null) return new Set();
  const header = decodeJournalHeader(bytes, path);
  const { journal } = await Journal.open(world, path, header);
  const packs = journal.packNumbers.flatMap((number) => journal.packOf(number) ?? []);
  return new Set([...packs, ...journal.garbage].map(({ name }) => packKey(name)));
}
