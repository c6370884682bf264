// Repack of an archive: what the newest point leaves goes with the last older point that needs it,
// and not before; every point reads as its cut at every moment, whatever fails or crashes on the
// way; nothing that is stored is changed; what is said beforehand is what happens.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { PackTables } from '../../src/archive/pack-tables.js';
import { PointTrees } from '../../src/archive/tree.js';
import { present } from '../../src/base/assert.js';
import { equalBytes } from '../../src/base/digest.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import { LEAF_CHUNKS } from '../../src/format/archive-leaf.js';
import type { ArchivePoint } from '../../src/format/archive-objects.js';
import { keptOf } from '../../src/restore/archive-source.js';
import { Sender } from '../archive/sender.js';
import { contentOf } from '../simulate/archive-judge.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_122);
const CHUNKS = 24;
const DAY_MS = 24 * 3_600_000;
const HALF = { belowPercent: 50, dryRun: false };

async function reading(objects: MemoryObjects): Promise<[Archive, ArchivePoint]> {
  const archive = await Archive.open(new MemoryStore(objects), null);
  const last = await archive?.last();
  assert.ok(archive && last);
  return [archive, last];
}

const packsIn = (objects: MemoryObjects): Set<string> =>
  new Set([...objects.keys()].flatMap((key) => (key.startsWith('packs/') ? [key.slice(-64)] : [])));

async function neededBy(objects: MemoryObjects): Promise<Set<string>> {
  const [archive, last] = await reading(objects);
  return new Set((await new PackTables(archive).packsOf(last)).keys());
}

async function namesOf(objects: MemoryObjects, numbers: ReadonlySet<number>): Promise<string[]> {
  const [archive, last] = await reading(objects);
  const packs = [...(await new PackTables(archive).packsOf(last)).values()];
  return packs.flatMap(({ number, name }) => (numbers.has(number) ? [hex(name)] : []));
}

/** Every point that is kept reads as `images` has it. */
async function allWhole(objects: MemoryObjects, images: ReadonlyMap<number, Uint8Array>) {
  const [archive, last] = await reading(objects);
  for (const { place, number } of keptOf(last)) {
    const point = await archive.point(place);
    const image = images.get(number);
    assert.ok(point && image, `point ${number} is there`);
    const found = await contentOf(archive, point, 'regions');
    assert.ok(equalBytes(found, image), `point ${number} reads as its cut`);
  }
}

function overwrite(sender: Sender, chunk: number, blocks = 16): void {
  sender.disk.set(sender.random.bytes(blocks * 4096), chunk * CHUNK_BYTES);
  sender.dirty.set(chunk, (sender.dirty.get(chunk) ?? 0) | ((1 << blocks) - 1));
}

interface Story {
  readonly sender: Sender;
  readonly objects: MemoryObjects;
  readonly images: Map<number, Uint8Array>;
  readonly round: () => Promise<number>;
}

/** An archive whose first packs are mostly dead: of every four chunks one is as it was. */
async function mostlyDead(seed: number): Promise<Story> {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(seed), objects, null, CHUNKS * CHUNK_BYTES - 512);
  const images = new Map<number, Uint8Array>();
  const round = async (): Promise<number> => {
    const { number } = await sender.round();
    images.set(number, sender.disk.slice());
    sender.nowMs += 2 * DAY_MS;
    return number;
  };
  // Of seven chunks each.
  sender.packBytes = 512 * 1024;
  sender.rule = retainLast(1);
  for (let chunk = 0; chunk < CHUNKS - 1; chunk += 1) overwrite(sender, chunk);
  await round();
  for (let chunk = 0; chunk < CHUNKS - 1; chunk += 1) if (chunk % 4 !== 0) overwrite(sender, chunk);
  await round();
  await (await sender.open()).prune(false);
  await sender.close();
  return { sender, objects, images, round };
}

test('packs that are mostly dead go when the points before the repack have gone', async () => {
  const { sender, objects, images, round } = await mostlyDead(41);
  const shown = await (await sender.open()).repack({ ...HALF, dryRun: true });
  const before = new Map(objects);
  assert.equal(sender.target?.state.moves, false);
  const plan = await sender.target?.repack(HALF);
  assert.ok(plan && plan.leaving.size > 0);
  assert.deepEqual(plan, shown);
  assert.deepEqual(
    plan.holders.map(({ number }) => number),
    [2],
  );
  assert.ok(plan.neededBytes < plan.packBytes / 2);
  const left = await namesOf(objects, plan.leaving);
  assert.equal(left.length, plan.leaving.size);
  assert.equal(sender.target?.state.moves, true);
  await round();
  for (const [key, { bytes }] of before) {
    if (key !== 'head') assert.ok(equalBytes(objects.get(key)?.bytes ?? new Uint8Array(0), bytes));
  }
  const [, last] = await reading(objects);
  // Six chunks, whole: no part of an index is among them.
  assert.equal(last.blockBytes, (CHUNKS / 4) * CHUNK_BYTES);
  assert.ok(Math.abs(plan.sendBytes - last.blockBytes) <= 8 * 4096, `${plan.sendBytes}`);
  const needed = await neededBy(objects);
  assert.ok(left.every((name) => !needed.has(name) && packsIn(objects).has(name)));
  await allWhole(objects, images);
  // Nothing is left to do, so that it ends.
  assert.equal((await (await sender.open()).repack(HALF))?.leaving.size, 0);
  await sender.target?.prune(false);
  await sender.close();
  const there = packsIn(objects);
  assert.ok(
    left.every((name) => !there.has(name)),
    'they went with point 2',
  );
  assert.deepEqual([...there].sort(), [...(await neededBy(objects))].sort());
  await allWhole(objects, images);
});

test('only the blocks that stand there are sent; a chunk that changed is sent whole', async () => {
  const { sender, objects, images, round } = await mostlyDead(42);
  overwrite(sender, 0, 6);
  await round();
  await (await sender.open()).prune(false);
  const plan = await sender.target?.repack(HALF);
  assert.ok(plan && plan.leaving.size > 0);
  // After it was asked for, and before the cut.
  overwrite(sender, 4, 1);
  await round();
  const [, last] = await reading(objects);
  assert.equal(last.blockBytes, (10 + 5 * 16) * 4096);
  const needed = await neededBy(objects);
  await sender.close();
  await allWhole(objects, images);
  assert.ok([...plan.leaving].length > 0 && needed.size > 0);
});

test('of a pack that has only a part of the index left, that is written anew', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(45), objects, null, 3 * LEAF_CHUNKS * CHUNK_BYTES);
  const images = new Map<number, Uint8Array>();
  const round = async (): Promise<void> => {
    const { number } = await sender.round();
    images.set(number, sender.disk.slice());
    sender.nowMs += 2 * DAY_MS;
  };
  sender.packBytes = 512 * 1024;
  sender.rule = retainLast(1);
  const [middle, last] = [LEAF_CHUNKS, 2 * LEAF_CHUNKS];
  for (let chunk = 0; chunk < 2 * 7; chunk += 1) overwrite(sender, middle + chunk);
  // These stand in the pack that has the index.
  for (let chunk = 0; chunk < 4; chunk += 1) overwrite(sender, last + chunk);
  await round();
  for (let chunk = 0; chunk < 4; chunk += 1) overwrite(sender, last + chunk);
  await round();
  await (await sender.open()).prune(false);
  const leafPlace = async () => {
    const [archive, point] = await reading(objects);
    const [tree] = new PointTrees(archive, point.trees).trees;
    const page = await tree?.page(0);
    return present(page?.get(1), 'the leaf of the middle').place.pack;
  };
  const before = await leafPlace();
  const plan = present(await sender.target?.repack(HALF), 'there is something to do');
  assert.ok(plan.leaving.has(before), 'the leaf stands in a pack that is left');
  assert.equal(plan.sendBytes, 4096, 'and nothing else does');
  const left = await namesOf(objects, plan.leaving);
  await round();
  assert.ok(!plan.leaving.has(await leafPlace()));
  await sender.close();
  await allWhole(objects, images);
  const needed = await neededBy(objects);
  assert.ok(left.every((name) => !needed.has(name)));
});

test('a pack that an older kept point needs is not mostly dead', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(43), objects, null, CHUNKS * CHUNK_BYTES);
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) overwrite(sender, chunk);
  await sender.round();
  for (let chunk = 1; chunk < CHUNKS; chunk += 1) overwrite(sender, chunk);
  await sender.round();
  sender.nowMs += 2 * DAY_MS;
  const target = await sender.open();
  assert.equal((await target.repack(HALF))?.leaving.size, 0);
  assert.equal(target.state.moves, false);
  await sender.close();
});

test('a repack that fails is forgotten; asked for again it takes over what was sent', async () => {
  const { sender, objects, images, round } = await mostlyDead(44);
  const target = await sender.open();
  const plan = await target.repack(HALF);
  assert.ok(plan && plan.leaving.size > 0);
  const store = sender.store ?? assert.fail('it is open');
  const put = store.put.bind(store);
  let puts = 0;
  store.put = (key, ...rest) => {
    puts += 1;
    if (puts > 1) return Promise.reject(new Error('the line is cut'));
    return put(key, ...rest);
  };
  await assert.rejects(sender.round(), /line is cut/);
  const { world } = sender;
  sender.world = world.afterKill();
  world.stop('killed');
  sender.target = null;
  await allWhole(objects, images);
  const again = await sender.open();
  assert.equal(again.state.moves, false);
  const same = await again.repack(HALF);
  assert.deepEqual([...(same?.leaving ?? [])], [...plan.leaving]);
  const left = await namesOf(objects, plan.leaving);
  const upBefore = again.wireBytes().up;
  await round();
  const up = (sender.store?.counts.upBytes ?? 0) - upBefore;
  assert.ok(up < plan.sendBytes / 4, `${up} of ${plan.sendBytes} bytes`);
  const needed = await neededBy(objects);
  assert.ok(left.every((name) => !needed.has(name)));
  await allWhole(objects, images);
});

test('rounds, prunes and repacks in bad weather: each kept point reads as its cut', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  let repacked = 0;
  for (let story = 0; story < 4; story += 1) {
    const random = seededRandom(SEED + story);
    const objects: MemoryObjects = new Map();
    const sender = new Sender(random, objects, null, 40 * CHUNK_BYTES + 512 * random.below(128));
    sender.rule = { ...retainLast(1 + random.below(3)), daily: random.below(3) };
    const images = new Map<number, Uint8Array>();
    for (let step = 0; images.size < 25; step += 1) {
      assert.ok(step < 600, 'it goes on');
      sender.write();
      sender.nowMs += 6 * 3_600_000;
      sender.stormy = random.below(2) === 0 ? 0 : 12;
      try {
        if (random.below(2) === 0 && images.size > 0) {
          const request = { belowPercent: 30 + random.below(71), dryRun: random.below(4) === 0 };
          const plan = await (await sender.open()).repack(request);
          if (!request.dryRun && plan !== null && plan.leaving.size > 0) repacked += 1;
        }
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
        const [, last] = await reading(objects).catch(() => [null, null] as const);
        // An answer that was lost: the point may be made.
        if (last !== null && !images.has(last.to.number) && last.to.number === sender.number) {
          images.set(last.to.number, sender.disk.slice());
          sender.dirty.clear();
        }
      }
      if (images.size > 0) await allWhole(objects, images);
    }
    sender.stormy = 0;
    const target = await sender.open();
    await target.prune(false);
    await sender.close();
    await allWhole(objects, images);
    const [archive, last] = await reading(objects);
    const needed = new Set<string>();
    const tables = new PackTables(archive);
    for (const { place } of keptOf(last)) {
      for (const name of (await tables.of(place, last)).keys()) needed.add(name);
    }
    const orphans = [...packsIn(objects)].filter((name) => !needed.has(name));
    assert.deepEqual(orphans, [], `${story}: nothing is left that nobody needs`);
  }
  t.diagnostic(`${repacked} repacks`);
  assert.ok(repacked > 10);
});
