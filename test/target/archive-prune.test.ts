// Retention of an archive: what goes by the rule is removed with the packs that only it needs, and
// every point that is kept reads as its cut, whatever fails or crashes on the way; pins hold; an
// epoch that has begun ends the one before.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { ChunkReader } from '../../src/archive/chunk-reader.js';
import { Journal } from '../../src/archive/journal.js';
import { PackTables } from '../../src/archive/pack-tables.js';
import { pin, unpin } from '../../src/archive/pins.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { deferred } from '../../src/base/sync.js';
import { CHUNK_BYTES, chunkCount } from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import type { ArchivePoint, KeptPoint } from '../../src/format/archive-objects.js';
import { keptOf, shownPoints } from '../../src/restore/archive-source.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import type { CrashWorld } from '../world/memory-files.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_122);

async function reading(objects: MemoryObjects): Promise<[Archive, ArchivePoint]> {
  const archive = await Archive.open(new MemoryStore(objects), null);
  const last = await archive?.last();
  assert.ok(archive && last);
  return [archive, last];
}

async function contentOf(archive: Archive, { place }: KeptPoint): Promise<Uint8Array> {
  const point = await archive.point(place);
  assert.ok(point !== null, `point ${place.sequence} is there`);
  const reader = new ChunkReader(archive, new PointTrees(archive, point.trees), point.sizeBytes);
  const disk = new Uint8Array(point.sizeBytes);
  for (let chunk = 0; chunk < chunkCount(point.sizeBytes); chunk += 1) {
    const bytes = await reader.chunk(chunk);
    if (bytes !== null) disk.set(bytes, chunk * CHUNK_BYTES);
  }
  return disk;
}

const packsIn = (objects: MemoryObjects): string[] =>
  [...objects.keys()].filter((key) => key.startsWith('packs/'));

test('rounds and prunes in bad weather: each kept point reads as its cut', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  let removed = 0;
  for (let story = 0; story < 6; story += 1) {
    const random = seededRandom(SEED + story);
    const objects: MemoryObjects = new Map();
    const sender = new Sender(random, objects, null, 12 * CHUNK_BYTES + 512 * random.below(128));
    sender.rule = { ...retainLast(1 + random.below(3)), daily: random.below(3) };
    const images = new Map<number, Uint8Array>();
    const sides: Sender[] = [sender];
    for (let step = 0; images.size < 25; step += 1) {
      assert.ok(step < 600, 'it goes on');
      sender.write();
      sender.nowMs += 6 * 3_600_000;
      sender.stormy = random.below(2) === 0 ? 0 : 12;
      try {
        const { number } = await sender.round();
        images.set(number, sender.disk.slice());
      } catch {
        sender.stormy = 0;
        if (random.below(2) === 0) {
          // Who is dead journals nothing, and so puts nothing either.
          const { world } = sender;
          sender.world = world.afterKill();
          world.stop('killed');
          sender.target = null;
        } else await sender.close();
        // An answer that was lost: the point may be made.
        const [, last] = await reading(objects).catch(() => [null, null] as const);
        if (last !== null && !images.has(last.to.number) && last.to.number === sender.number) {
          images.set(last.to.number, sender.disk.slice());
          sender.dirty.clear();
        }
      }
    }
    sender.stormy = 0;
    const target = await sender.open();
    await target.prune(false);
    await sides[0]?.close();
    const [archive, last] = await reading(objects);
    const kept = keptOf(last);
    assert.ok(kept.length <= 1 + 3 + 2, `${kept.length} points are kept`);
    const needed = new Set<string>();
    const tables = new PackTables(archive);
    for (const point of kept) {
      const image = images.get(point.number);
      assert.ok(image !== undefined);
      assert.ok(equalBytes(await contentOf(archive, point), image), `point ${point.number}`);
      for (const name of (await tables.of(point.place, last)).keys()) needed.add(name);
    }
    removed += 25 - kept.length;
    const orphans = packsIn(objects).filter((key) => !needed.has(key.slice(-64)));
    assert.deepEqual(orphans, [], `${story}: nothing is left that nobody needs`);
  }
  assert.ok(removed > 60);
});

test('a pinned point stays and is found by its name; unpinned it goes', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(5), objects, null, 12 * CHUNK_BYTES);
  sender.rule = retainLast(2);
  const images = new Map<number, Uint8Array>();
  const round = async (): Promise<void> => {
    sender.write();
    sender.nowMs += 24 * 3_600_000;
    images.set((await sender.round()).number, sender.disk.slice());
  };
  for (let i = 0; i < 3; i += 1) await round();
  const [archive, last] = await reading(objects);
  const first = keptOf(last).at(-1);
  assert.equal(first?.number, 2);
  await pin(archive, 'before-upgrade', first);
  await assert.rejects(pin(archive, 'twice', first), /pinned already, as before-upgrade/);
  await assert.rejects(
    pin(archive, 'before-upgrade', keptOf(last)[0] ?? first),
    /is the name of point 2/,
  );
  for (let i = 0; i < 5; i += 1) await round();
  const [then, newest] = await reading(objects);
  const shown = await shownPoints(then);
  assert.deepEqual(
    shown.map(({ number, name }) => [number, name]),
    [
      [8, null],
      [7, null],
      [2, 'before-upgrade'],
    ],
  );
  const image = images.get(2);
  assert.ok(image && equalBytes(await contentOf(then, first), image));
  assert.equal(newest.kept.length, 2);
  const gone = { place: { epoch: 1, sequence: 4 }, number: 4, timeMs: 4 };
  await assert.rejects(pin(then, 'late', gone), /is not kept any more/);
  await unpin(then, 'before-upgrade');
  await assert.rejects(unpin(then, 'before-upgrade'), /no point is called/);
  for (let i = 0; i < 3; i += 1) await round();
  const [, end] = await reading(objects);
  assert.deepEqual(
    keptOf(end).map(({ number }) => number),
    [11, 10],
  );
});

test('a dry run says what would go and removes nothing; a class holds its packs', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(6), objects, null, 12 * CHUNK_BYTES);
  sender.rule = retainLast(1);
  for (let i = 0; i < 2; i += 1) {
    sender.write();
    await sender.round();
  }
  const before = packsIn(objects).length;
  const target = await sender.open();
  const plan = await target.prune(true);
  // The point that went with the second round was pruned with it, or goes now.
  assert.equal(packsIn(objects).length, before);
  const done = await target.prune(false);
  assert.equal(done?.result.packs, plan?.result.packs);
  await sender.close();
});

test('an epoch takes the next place of the one before: nobody adds a point there', async () => {
  const objects: MemoryObjects = new Map();
  const one = new Sender(seededRandom(7), objects, null, 8 * CHUNK_BYTES);
  one.write();
  await one.round();
  const other = new Sender(seededRandom(8), objects, null, 8 * CHUNK_BYTES);
  other.disk = one.disk.slice();
  other.dirty.clear();
  other.number = 1;
  const { parent } = one.epoch;
  assert.equal(parent, null);
  other.epoch = { id: other.random.bytes(16), number: 2, parent: one.epoch.id, node: 'b' };
  await one.open();
  other.write();
  await other.round();
  one.write();
  await assert.rejects(one.round(), /another node has written this archive/);
  const [archive, last] = await reading(objects);
  assert.deepEqual(last.place, { epoch: 2, sequence: 1 });
  assert.ok(equalBytes(await contentOf(archive, keptOf(last)[0] ?? assert.fail()), other.disk));
  assert.equal(archive.epochs.length, 2);
  // The record of the epoch alone is lost: what stands behind the last point says it as well.
  objects.delete('epochs/00000002');
  const [again, same] = await reading(objects);
  assert.deepEqual(same.place, { epoch: 2, sequence: 1 });
  assert.equal(again.epochs.length, 2);
  // And so is the head.
  objects.delete('head');
  assert.deepEqual((await reading(objects))[1].place, { epoch: 2, sequence: 1 });
});

test('a node that dies when it has removed a point knows the packs that nobody needs', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(9), objects, null, 12 * CHUNK_BYTES);
  sender.rule = retainLast(1);
  for (let round = 0; round < 3; round += 1) {
    sender.disk.set(sender.random.bytes(CHUNK_BYTES), 0);
    sender.dirty.set(0, 0xffff);
    await sender.round();
  }
  sender.nowMs += 3 * 24 * 3_600_000;
  const target = await sender.open();
  const store = sender.store ?? assert.fail('it is open');
  const remove = store.remove.bind(store);
  let died: CrashWorld | null = null;
  store.remove = async (keys) => {
    await remove(keys);
    if (keys.some((key) => key.startsWith('points/')))
      died ??= sender.world.afterCrash('all', sender.random);
  };
  const done = await target.prune(false);
  await sender.close();
  assert.ok((done?.result.packs ?? 0) > 0 && died !== null);
  const [archive, last] = await reading(objects);
  const wanted = {
    resource: archive.identity.resource,
    from: last.to.id,
    archive: archive.identity.id,
  };
  const { journal } = await Journal.open(died, '/state/offsite.journal', wanted);
  assert.ok(journal.garbage.length > 0, 'they are noted');
  await journal.close();
});

test('a target that is closed under a prune has left the journal: it has one owner', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(10), objects, null, 12 * CHUNK_BYTES);
  sender.rule = retainLast(1);
  for (let round = 0; round < 3; round += 1) {
    sender.write();
    await sender.round();
  }
  sender.nowMs += 3 * 24 * 3_600_000;
  const target = await sender.open();
  const store = sender.store ?? assert.fail('it is open');
  const remove = store.remove.bind(store);
  const [reached, goOn] = [deferred<void>(), deferred<void>()];
  store.remove = async (keys) => {
    reached.resolve();
    await goOn.promise;
    await remove(keys);
  };
  const order: string[] = [];
  const pruning = target.prune(false).finally(() => order.push('pruned'));
  await reached.promise;
  // As a reload does: the next session opens the journal when this one is closed.
  const closing = sender.close().then(() => order.push('closed'));
  for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
  assert.deepEqual(order, []);
  goOn.resolve();
  await Promise.allSettled([pruning, closing]);
  assert.equal(order.at(-1), 'closed');
  await assert.rejects(target.prune(false), (error) => codeOf(error) === 'TARGET_LOST');
  sender.write();
  await sender.round();
});
