// Points of an archive that have a name and stay (format/archive-pin.ts). Anybody with the url may
// pin, beside a sender that makes points and prunes. Why nothing pinned is lost: who pins writes
// the pin first and looks then whether the newest point still keeps it; who prunes removes only
// what the newest point does not keep, and looks for the pin after that point stood. Whichever of
// the two is second sees the other. A point has one name.
import { errorClass } from '../base/errors.js';
import type { PointPlace } from '../format/archive-objects.js';
import { type KeptPoint, pinKey } from '../format/archive-objects.js';
import {
  decodePin,
  encodePin,
  NAMES_PREFIX,
  nameKey,
  PIN_BYTES_MAX,
  type Pin,
} from '../format/archive-pin.js';
import type { ObjectStore } from '../store/store.js';
import type { Archive } from './archive.js';

export type PinFault =
  | { code: 'POINT_NAME_TAKEN'; url: string; name: string; number: number }
  | { code: 'POINT_PINNED'; url: string; name: string; number: number }
  | { code: 'POINT_NOT_PINNED'; url: string; name: string }
  | { code: 'POINT_GOING'; url: string; number: number };

export const PinError = errorClass<PinFault>('PinError', {
  POINT_NAME_TAKEN: (f) =>
    `${f.url}: ${f.name} is the name of point ${f.number}; take another name, or unpin that first`,
  POINT_PINNED: (f) => `${f.url}: point ${f.number} is pinned already, as ${f.name}`,
  POINT_NOT_PINNED: (f) => `${f.url}: no point is called ${f.name}`,
  POINT_GOING: (f) => `${f.url}: point ${f.number} is not kept any more, and is being removed`,
});

/** Pins a point under a name. Errors POINT_NAME_TAKEN, POINT_PINNED, POINT_GOING. */
export async function pin(archive: Archive, name: string, point: KeptPoint): Promise<void> {
  const { store } = archive;
  const { url } = store;
  const bytes = encodePin({ name, point });
  // An answer may have been lost: what stands there may be our own.
  const byName = await createOrRead(store, nameKey(name), bytes);
  if (!isSamePlace(byName.point.place, point.place)) {
    throw new PinError({ code: 'POINT_NAME_TAKEN', url, name, number: byName.point.number });
  }
  const byPlace = await createOrRead(store, pinKey(point.place), bytes);
  if (byPlace.name !== name) {
    await store.remove([nameKey(name)]);
    throw new PinError({ code: 'POINT_PINNED', url, name: byPlace.name, number: point.number });
  }
  const last = await archive.last();
  const kept = last === null ? [] : [{ place: last.place }, ...last.kept];
  if (kept.some(({ place }) => isSamePlace(place, point.place))) return;
  await unpin(archive, name);
  throw new PinError({ code: 'POINT_GOING', url, number: point.number });
}

/** The point may go with the next prune. Error POINT_NOT_PINNED. */
export async function unpin(archive: Archive, name: string): Promise<Pin> {
  const { store } = archive;
  const found = await pinOf(archive, name);
  if (found === null) throw new PinError({ code: 'POINT_NOT_PINNED', url: store.url, name });
  const { place } = found.point;
  // The name may be left of somebody whose pin broke off, and the point pinned by another one.
  if ((await pinAt(archive, place))?.name === name) await store.remove([pinKey(place)]);
  await store.remove([nameKey(name)]);
  return found;
}

/** Null: no point is called so. */
export const pinOf = (archive: Archive, name: string): Promise<Pin | null> =>
  read(archive.store, nameKey(name));

/** What is pinned there; null: it may go. */
export const pinAt = (archive: Archive, place: PointPlace): Promise<Pin | null> =>
  read(archive.store, pinKey(place));

/** All pins. Lists the names: for people, and no part of a round or a restore. */
export async function allPins(archive: Archive): Promise<readonly Pin[]> {
  const pins: Pin[] = [];
  for await (const { key } of archive.store.list(NAMES_PREFIX)) {
    const found = await read(archive.store, key);
    if (found !== null) pins.push(found);
  }
  return pins;
}

const isSamePlace = (one: PointPlace, other: PointPlace): boolean =>
  one.epoch === other.epoch && one.sequence === other.sequence;

async function createOrRead(store: ObjectStore, key: string, bytes: Uint8Array): Promise<Pin> {
  for (;;) {
    await store.put(key, bytes, 'create');
    const found = await read(store, key);
    // Else somebody has just unpinned it.
    if (found !== null) return found;
  }
}

async function read(store: ObjectStore, key: string): Promise<Pin | null> {
  const bytes = await store.readWhole(key, PIN_BYTES_MAX);
  return bytes === null ? null : decodePin(bytes, `${store.url}/${key}`);
}
