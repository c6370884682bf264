// One who looks at an archive in memory, a day after the other; what there is to be found in it.
import assert from 'node:assert/strict';
import { Archive } from '../../src/archive/archive.js';
import { seededRandom } from '../../src/base/random.js';
import { checkByAge } from '../../src/restore/check-by-age.js';
import { checkPacks } from '../../src/restore/check-packs.js';
import { checkPoints } from '../../src/restore/check-points.js';
import { pointTable } from '../../src/restore/point-table.js';
import { type MemoryObjects, MemoryStore, type StoreWeather } from '../store/memory-store.js';
import { CrashWorld } from '../world/memory-files.js';

export const MIB = 1024 * 1024;
export const DAY_MS = 24 * 3_600_000;
export const MEMORY = '/state/offsite.verified';
export const SHAPE = { sizeBytes: 36 * MIB + 512, rounds: 4, blocks: 60 };
export const never = new AbortController().signal;

export class Looker {
  readonly objects: MemoryObjects;
  world = new CrashWorld();
  day = 20_000;
  signal = never;
  weather: StoreWeather = {};
  store = new MemoryStore();

  constructor(objects: MemoryObjects) {
    this.objects = objects;
    this.world.plant('/state/.made', 0);
  }

  get nowMs(): number {
    return this.day * DAY_MS;
  }

  async look(budgetBytes: number) {
    this.day += 1;
    this.store = new MemoryStore(this.objects, this.weather);
    const archive = await Archive.open(this.store, null);
    assert.ok(archive);
    return checkByAge(archive, this.world, {
      memory: MEMORY,
      budgetBytes,
      nowMs: () => this.nowMs,
      random: seededRandom(4),
      signal: this.signal,
      onProgress: () => {},
    });
  }
}

/** All that there is, as a whole verification finds it. */
export async function allOf(objects: MemoryObjects) {
  const archive = await Archive.open(new MemoryStore(objects), null);
  assert.ok(archive);
  const points = (await pointTable(archive)).rows.flatMap(({ point }) => point ?? []);
  const options = { share: 1, random: seededRandom(9), signal: never, onProgress: () => {} };
  return {
    packs: await checkPacks(archive, points, never, () => {}),
    chunks: await checkPoints(archive, points, options),
  };
}

export const packsOf = (objects: MemoryObjects): string[] =>
  [...objects.keys()].filter((key) => key.startsWith('packs/'));

/** In place: the archive that a store has. */
export function flip(objects: MemoryObjects, key: string, at: number): void {
  const object = objects.get(key);
  assert.ok(object);
  const bytes = object.bytes.slice();
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  objects.set(key, { ...object, bytes });
}
