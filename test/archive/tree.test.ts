// Trees of an archive's index against a model: written in rounds, read laid over each other, merged
// in any way; always the newest place of every block, and a table that knows every pack.
// It is longer than 300 lines because all that is done to trees is done to one model.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeTrees } from '../../src/archive/merge-trees.js';
import { PackWriter } from '../../src/archive/pack-writer.js';
import { PointTrees, type Tree } from '../../src/archive/tree.js';
import { TreeWriter } from '../../src/archive/tree-writer.js';
import { equalBytes } from '../../src/base/digest.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import { bitCount, MASK_ALL } from '../../src/base/units.js';
import {
  LEAF_CHUNKS,
  type LeafEntry,
  type Piece,
  type RecordPlace,
  regionOf,
} from '../../src/format/archive-leaf.js';
import { packKey, type TreeRef } from '../../src/format/archive-objects.js';
import { recordKey } from '../../src/format/archive-record.js';
import { packer } from '../../src/format/pack.js';
import { MemoryStore } from '../store/memory-store.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_121);
const DATA_KEY = seededRandom(3).bytes(32);
const PACK_BYTES = 64 * 1024;

/** Of every block that is known: where it stands; null: zeroes. */
type Model = Map<number, { readonly place: RecordPlace | null; readonly digest: string }>;

interface World {
  readonly store: MemoryStore;
  readonly sealed: boolean;
  readonly model: Model;
  /** The most parts that a table has said of a pack. */
  readonly parts: Map<number, number>;
  trees: TreeRef[];
  nextPack: number;
  readonly random: Random;
}

const keyOf = (world: World) => (salt: Uint8Array) =>
  world.sealed ? recordKey(DATA_KEY, salt) : null;

function reading(world: World): PointTrees {
  return new PointTrees({ store: world.store, keyOf: keyOf(world) }, world.trees);
}

function packs(world: World): PackWriter {
  const salt = world.random.bytes(16);
  return new PackWriter({
    store: world.store,
    salt,
    key: keyOf(world)(salt),
    firstPack: world.nextPack,
    storageClass: null,
    packBytes: PACK_BYTES,
    journal: async () => {},
    put: async () => {},
  });
}

async function ended(world: World, writer: PackWriter, tree: TreeWriter): Promise<TreeRef> {
  const old = reading(world);
  const unnamed = await tree.end((pack) => old.nameOf(pack));
  await writer.flush();
  world.nextPack = writer.nextPack;
  const pack = writer.packs.find(({ number }) => number === unnamed.place.pack);
  assert.ok(pack !== undefined);
  return { ...unnamed, pack };
}

/** A round of random chunks: frames, leaves, tree. */
async function round(world: World, chunks: readonly number[]): Promise<void> {
  const { random, model } = world;
  const writer = packs(world);
  const entries: LeafEntry[] = [];
  for (const chunk of [...new Set(chunks)].sort((a, b) => a - b)) {
    const mask = random.below(3) === 0 ? MASK_ALL : 1 + random.below(MASK_ALL);
    const zero = random.below(4) === 0 ? mask : mask & random.below(MASK_ALL + 1);
    const digest = random.bytes(16);
    const place =
      mask === zero ? null : await writer.add('frame', random.bytes(200 + random.below(3000)), 512);
    const piece: Piece = { mask, zero, place };
    entries.push({ chunk, digest, pieces: [piece] });
    for (let block = 0; block < 16; block += 1) {
      if ((mask & (1 << block)) === 0) continue;
      const at = (zero & (1 << block)) !== 0 ? null : place;
      model.set(16 * chunk + block, { place: at, digest: '' });
    }
    for (let block = 0; block < 16; block += 1) {
      const known = model.get(16 * chunk + block);
      if (known) model.set(16 * chunk + block, { ...known, digest: hex(digest) });
    }
  }
  const tree = new TreeWriter(writer, packer({ codec: 'zstd' }));
  for (let at = 0; at < entries.length; ) {
    const region = regionOf(entries[at]?.chunk ?? 0);
    const leaf = entries.filter(({ chunk }) => regionOf(chunk) === region);
    await tree.leaf(leaf);
    at += leaf.length;
  }
  world.trees = [await ended(world, writer, tree), ...world.trees];
}

/** The newest `count` trees become one. */
async function merge(world: World, count: number): Promise<void> {
  const writer = packs(world);
  const { trees } = reading(world);
  const some = trees.slice(0, count);
  const tree = new TreeWriter(writer, packer({ codec: 'zstd' }), some.at(-1));
  await mergeTrees(tree, some);
  world.trees = [await ended(world, writer, tree), ...world.trees.slice(count)];
}

/** All trees become one, of which no node stands in some of the packs that they name. */
async function leave(world: World): Promise<void> {
  const { trees } = reading(world);
  const named = new Set<number>();
  for (const tree of trees) for (const pack of await nodePacks(tree)) named.add(pack);
  const leaving = new Set([...named].filter(() => world.random.below(2) === 0));
  const writer = packs(world);
  const tree = new TreeWriter(writer, packer({ codec: 'zstd' }), trees.at(-1));
  await mergeTrees(tree, trees, leaving);
  world.trees = [await ended(world, writer, tree)];
  for (const merged of reading(world).trees) {
    for (const pack of await nodePacks(merged)) assert.ok(!leaving.has(pack), `pack ${pack}`);
  }
}

/** Packs that nodes of the tree, and its table, are in. */
async function nodePacks(tree: Tree): Promise<readonly number[]> {
  const { pages, packPages } = await tree.root();
  const found = [tree.ref.place.pack, ...[...packPages.values()].map(({ ref }) => ref.place.pack)];
  for (const [number, { place }] of pages) {
    const leaves = [...((await tree.page(number))?.values() ?? [])];
    found.push(place.pack, ...leaves.map((leaf) => leaf.place.pack));
  }
  return found;
}

async function check(world: World): Promise<void> {
  const point = reading(world);
  const seen: Model = new Map();
  const needs = new Map<number, number>();
  let before = -1;
  for await (const region of point.regions()) {
    assert.ok(region > before);
    before = region;
    for (const { chunk, digest, pieces } of await point.leaf(region)) {
      for (const { mask, zero, place } of pieces) {
        if (place !== null) {
          needs.set(place.pack, (needs.get(place.pack) ?? 0) + bitCount(mask & ~zero));
        }
        for (let block = 0; block < 16; block += 1) {
          if ((mask & (1 << block)) === 0) continue;
          const isZero = (zero & (1 << block)) !== 0;
          seen.set(16 * chunk + block, { place: isZero ? null : place, digest: hex(digest) });
        }
      }
    }
  }
  const plain = (model: Model) =>
    [...model]
      .sort(([a], [b]) => a - b)
      .map(([block, { place, digest }]) => {
        const at = place === null ? '-' : `${place.pack} ${place.offset} ${place.bytes}`;
        return `${block} ${at} ${digest}`;
      });
  assert.deepEqual(plain(seen), plain(world.model));
  for (const pack of needs.keys()) {
    const { name, bytes } = await point.nameOf(pack);
    assert.equal(world.store.objects.get(packKey(name))?.bytes.length, bytes);
    await checkParts(world, point, pack);
  }
}

/** Whatever is merged, what was once needed of a pack is not forgotten. */
async function checkParts(world: World, { trees }: PointTrees, pack: number): Promise<void> {
  let most = 0;
  for (const tree of trees) {
    const found = await tree.partsOf(pack);
    assert.ok(found === null || found.liveParts <= found.parts);
    most = Math.max(most, found?.parts ?? 0);
  }
  assert.ok(most > 0 && most >= (world.parts.get(pack) ?? 0), `parts of pack ${pack}`);
  world.parts.set(pack, most);
}

/** Of one tree that has everything: what its table says is needed is what it needs. */
async function checkTable(world: World): Promise<void> {
  const point = reading(world);
  const [tree] = point.trees;
  if (tree === undefined || point.trees.length !== 1) return;
  const needs = new Map<number, number>();
  const need = (pack: number, parts: number) => needs.set(pack, (needs.get(pack) ?? 0) + parts);
  const root = await tree.root();
  for (const [number, ref] of root.pages) {
    need(ref.place.pack, 1);
    for (const [leaf, { place }] of (await tree.page(number)) ?? []) {
      need(place.pack, 1);
      for (const { pieces } of (await tree.leaf(256 * number + leaf)) ?? []) {
        for (const piece of pieces) {
          if (piece.place) need(piece.place.pack, bitCount(piece.mask & ~piece.zero));
        }
      }
    }
  }
  needs.delete(tree.ref.place.pack);
  const found = new Map<number, number>();
  for (const page of root.packPages.keys()) {
    for (const [number, { liveParts }] of (await tree.packPage(page)) ?? []) {
      found.set(1024 * page + number, liveParts);
    }
  }
  const rows = (map: Map<number, number>) => [...map].sort(([a], [b]) => a - b);
  assert.deepEqual(rows(found), rows(needs));
}

for (const sealed of [false, true]) {
  test(`rounds and merges of any kind, ${sealed ? 'sealed' : 'open'}`, async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    for (let story = 0; story < 5; story += 1) {
      const random = seededRandom(SEED + story);
      const world: World = {
        store: new MemoryStore(),
        sealed,
        model: new Map(),
        parts: new Map(),
        trees: [],
        nextPack: 0,
        random,
      };
      const places = [3, 300, 5 * LEAF_CHUNKS, 700 * LEAF_CHUNKS, 70_000 * LEAF_CHUNKS];
      for (let step = 0; step < 12; step += 1) {
        const chunks = Array.from({ length: 1 + random.below(200) }, () => {
          const limit = places[random.below(places.length)] ?? 3;
          return random.below(2) === 0 ? random.below(limit) : limit + random.below(40);
        });
        await round(world, chunks);
        if (random.below(3) === 0) await merge(world, 1 + random.below(world.trees.length));
        await check(world);
      }
      await merge(world, world.trees.length);
      await check(world);
      await checkTable(world);
      await round(world, [1, 2, 3]);
      await merge(world, 2);
      await check(world);
      await checkTable(world);
      for (let step = 0; step < 3; step += 1) {
        if (step > 0) await round(world, [1 + random.below(80_000)]);
        await leave(world);
        await check(world);
        await checkTable(world);
      }
    }
  });
}

test('a sealed archive shows nothing of what it holds, and only its key opens it', async () => {
  const world: World = {
    store: new MemoryStore(),
    sealed: true,
    model: new Map(),
    parts: new Map(),
    trees: [],
    nextPack: 0,
    random: seededRandom(9),
  };
  await round(world, [1, 2, 3]);
  const { pieces = [], digest } = (await reading(world).leaf(0))[0] ?? {};
  assert.ok(pieces.length > 0 && digest !== undefined);
  for (const { bytes } of world.store.objects.values()) {
    assert.equal(Buffer.from(bytes).indexOf(Buffer.from(digest)), -1);
  }
  const wrong = new PointTrees(
    { store: world.store, keyOf: (id) => recordKey(seededRandom(4).bytes(32), id) },
    world.trees,
  );
  await assert.rejects(wrong.leaf(0), /seal is broken/);
  const none = new PointTrees({ store: world.store, keyOf: () => null }, world.trees);
  await assert.rejects(none.leaf(0), /it is sealed, and there is no key/);
});

test('every flipped byte of an index is found', async () => {
  const world: World = {
    store: new MemoryStore(),
    sealed: false,
    model: new Map(),
    parts: new Map(),
    trees: [],
    nextPack: 0,
    random: seededRandom(10),
  };
  await round(world, [1, 2, 3, 100_000]);
  const good = await reading(world).leaf(0);
  const [key, pack] = [...world.store.objects][0] ?? ['', { bytes: new Uint8Array(0), timeMs: 0 }];
  const root = world.trees[0]?.place.offset ?? 0;
  let found = 0;
  for (let at = 0; at < pack.bytes.length; at += 1) {
    const bytes = pack.bytes.slice();
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    world.store.objects.set(key, { ...pack, bytes });
    const leaf = await reading(world)
      .leaf(0)
      .catch(() => null);
    if (leaf === null) found += 1;
    else {
      assert.deepEqual(leaf, good);
      assert.ok(at < root);
    }
  }
  assert.ok(found > 200 && equalBytes(pack.bytes, pack.bytes));
});
