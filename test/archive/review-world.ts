// What the stories of a review need: a sender of random content, a round driven step by step, a
// store that fails where it is told to, and what a point or a journal says of packs.
import assert from 'node:assert/strict';
import { Archive } from '../../src/archive/archive.js';
import { ChunkReader } from '../../src/archive/chunk-reader.js';
import { Journal } from '../../src/archive/journal.js';
import { PointTrees } from '../../src/archive/tree.js';
import { digestOf, equalBytes } from '../../src/base/digest.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount, MASK_ALL, MIB } from '../../src/base/units.js';
import { type ArchivePoint, packKey } from '../../src/format/archive-objects.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { Outflow } from '../../src/round/outflow.js';
import type { ObjectStore } from '../../src/store/store.js';
import type { ArchiveTarget } from '../../src/target/archive.js';
import type { Begin, Commit } from '../../src/target/target.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import { Sender } from './sender.js';

export const RESOURCE = seededRandom(1).bytes(16);
export const JOURNAL = '/state/offsite.journal';
/** Chunks of a MiB, which is a frame of content that does not pack. */
export const MIB_CHUNKS = MIB / CHUNK_BYTES;

/** A sender with a disk of random content; three frames make a pack. */
export function senderOf(random: Random, objects: MemoryObjects, mib: number): Sender {
  const sender = new Sender(random, objects, null, mib * MIB);
  sender.packBytes = 4 * MIB;
  sender.disk.set(random.bytes(sender.disk.length));
  return sender;
}

export async function archiveOf(objects: MemoryObjects): Promise<Archive> {
  const archive = await Archive.open(new MemoryStore(objects), null);
  assert.ok(archive !== null);
  return archive;
}

export async function lastOf(objects: MemoryObjects): Promise<ArchivePoint> {
  const last = await (await archiveOf(objects)).last();
  assert.ok(last !== null, 'the archive has a point');
  return last;
}

/** Every chunk of the point is that of `disk`. */
export async function reads(
  objects: MemoryObjects,
  point: ArchivePoint,
  disk: Uint8Array,
): Promise<void> {
  const archive = await archiveOf(objects);
  const reader = new ChunkReader(archive, new PointTrees(archive, point.trees), point.sizeBytes);
  for (let chunk = 0; chunk < chunkCount(point.sizeBytes); chunk += 1) {
    const wanted = disk.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    const found = (await reader.chunk(chunk)) ?? new Uint8Array(wanted.length);
    assert.ok(equalBytes(found, wanted), `chunk ${chunk} reads as it was`);
  }
}

/** Keys of the packs that the content and the roots of a point are in. */
export async function packsOf(objects: MemoryObjects, point: ArchivePoint): Promise<Set<string>> {
  const trees = new PointTrees(await archiveOf(objects), point.trees);
  const keys = new Set(point.trees.map(({ pack }) => packKey(pack.name)));
  for await (const region of trees.regions()) {
    for (const { pieces } of await trees.leaf(region)) {
      for (const { place } of pieces) {
        if (place !== null) keys.add(packKey((await trees.nameOf(place.pack)).name));
      }
    }
  }
  return keys;
}

/** Keys of the packs that no point refers to, as the journal has it. */
export async function garbageOf(sender: Sender): Promise<readonly string[]> {
  const archive = (await archiveOf(sender.objects)).identity.id;
  const wanted = { resource: RESOURCE, from: null, archive };
  const { journal, lost } = await Journal.open(sender.world, JOURNAL, wanted);
  assert.equal(lost, false);
  const keys = journal.garbage.map(({ name }) => packKey(name));
  await journal.close();
  return keys;
}

export const pointTo = (sender: Sender): PointRef => {
  sender.number += 1;
  return { id: sender.random.bytes(16), number: sender.number, timeMs: sender.number };
};

export function begun(sender: Sender, to: PointRef, some: Partial<Begin> = {}): Begin {
  return {
    kind: 'round',
    resource: RESOURCE,
    round: to.id,
    epoch: sender.epoch,
    from: sender.target?.state.point ?? null,
    to,
    sizeBytes: sender.disk.length,
    spaceBytes: 0,
    resumeAt: 0,
    fill: null,
    again: false,
    ...some,
  };
}

type Totals = Pick<Commit, 'frames' | 'indexDigest'>;

/** Begins and sends chunks first..end-1 whole; what the target holds is taken over. */
export async function sent(
  sender: Sender,
  begin: Begin,
  first: number,
  end: number,
): Promise<Totals> {
  const target = await sender.open();
  await target.begin(begin);
  const outflow = new Outflow(target, inlineCompute(packRaw));
  for (let chunk = first; chunk < end; chunk += 1) {
    const bytes = sender.disk.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    const digest = digestOf(bytes).slice();
    const [held] = begin.from === null ? [] : await target.held(chunk, 1);
    if (held !== undefined && equalBytes(held.digest, digest)) await outflow.reuse(held);
    else await outflow.add(chunk, MASK_ALL, digest, bytes);
    // As slow as a disk: what was handed over has its turn.
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }
  return outflow.finish();
}

export const committed = (target: ArchiveTarget, { round, from, to }: Begin, totals: Totals) =>
  target.commit({ round, from, to, ...totals, consistency: 'crash', damaged: [] });

/** The next put of such a key fails, and nothing is stored. */
export function failOnce(store: ObjectStore, prefix: string): void {
  const put = store.put.bind(store);
  store.put = (key, bytes, how, storageClass) => {
    if (!key.startsWith(prefix)) return put(key, bytes, how, storageClass);
    store.put = put;
    return store.read('nowhere', 0, 1).then(() => 'stored');
  };
}

/** Once `key` is being put nothing can be read any more. */
export function downBehind(store: ObjectStore, key: string): void {
  const [put, read] = [store.put.bind(store), store.read.bind(store)];
  let isDown = false;
  store.put = (one, bytes, how, storageClass) => {
    if (one === key) isDown = true;
    return put(one, bytes, how, storageClass);
  };
  store.read = (one, offset, length) => read(isDown ? 'nowhere' : one, offset, length);
}
