// TARGET.dirty: what was published is what is loaded, whatever a crash does (H9): the old union or
// the new one, whole, at every step and with every loss.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { codeOf } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, blockCount, MIB } from '../../src/base/units.js';
import { allocateMap, BLOCKS_PER_PAGE, BlockMap } from '../../src/tracking/block-map.js';
import { loadDirty, publishDirty } from '../../src/tracking/dirty-map.js';
import { CrashWorld } from '../world/memory-files.js';
import { eachCrash } from './crashes.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_714);
const PATH = '/state/vm1/b.dirty';
const RESOURCE = seededRandom(1).bytes(16);
const SIZES = [512, 10 * MIB + 512, 3 * BLOCKS_PER_PAGE * BLOCK_BYTES + 512];
const facts = { resource: RESOURCE, generation: 7 };

function randomMap(sizeBytes: number, random: Random): BlockMap {
  const map = new BlockMap(allocateMap(sizeBytes));
  const blocks = blockCount(sizeBytes);
  for (let run = random.below(20); run > 0; run -= 1) {
    const first = random.below(blocks);
    map.mark(first, Math.min(blocks - 1, first + random.below(100)));
  }
  for (let page = 0; page < map.pages; page += 1) if (random.below(4) === 0) map.markPage(page);
  return map;
}

const marks = (map: BlockMap): string => {
  const chunks: string[] = [];
  for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
    chunks.push(`${chunk}:${map.chunkMask(chunk)}`);
  }
  return chunks.join();
};

async function newWorld(): Promise<CrashWorld> {
  const world = new CrashWorld();
  await world.makeDirectory('/state/vm1');
  world.settle();
  return world;
}

async function loaded(world: CrashWorld, sizeBytes: number): Promise<string | null> {
  const into = new BlockMap(allocateMap(sizeBytes));
  return (await loadDirty(world, PATH, RESOURCE, into)) ? marks(into) : null;
}

describe('TARGET.dirty', () => {
  for (const sizeBytes of SIZES) {
    test(`a round trip gives the union of the maps, ${sizeBytes} bytes`, async (t) => {
      t.diagnostic(`HAST_SEED=${SEED}`);
      const property = fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 1, max: 3 }),
        async (n, count) => {
          const random = seededRandom(SEED + n);
          const maps = Array.from({ length: count }, () => randomMap(sizeBytes, random));
          const world = await newWorld();
          await publishDirty(world, PATH, facts, maps);
          const union = new BlockMap(allocateMap(sizeBytes));
          for (const map of maps) union.merge(map);
          assert.equal(await loaded(world, sizeBytes), marks(union));
          assert.equal(await loaded(world.afterCrash('all', random), sizeBytes), marks(union));
        },
      );
      await fc.assert(property, { seed: SEED, numRuns: 25 });
    });
  }

  test('what is loaded is added to what is there', async () => {
    const world = await newWorld();
    const [one, two] = [1, 2].map(() => new BlockMap(allocateMap(MIB)));
    assert.ok(one && two);
    one.mark(3, 4);
    two.mark(200, 200);
    await publishDirty(world, PATH, facts, [one]);
    assert.equal(await loadDirty(world, PATH, RESOURCE, two), true);
    assert.deepEqual(two.count(), { blocks: 3, chunks: 2 });
  });

  test('absent, of another resource or of a larger disk: not loaded', async () => {
    const world = await newWorld();
    const into = new BlockMap(allocateMap(MIB));
    assert.equal(await loadDirty(world, PATH, RESOURCE, into), false);
    await publishDirty(world, PATH, facts, [new BlockMap(allocateMap(2 * MIB))]);
    assert.equal(await loadDirty(world, PATH, RESOURCE, into), false);
    await publishDirty(world, PATH, { ...facts, resource: new Uint8Array(16) }, [into]);
    assert.equal(await loadDirty(world, PATH, RESOURCE, into), false);
    assert.equal(into.count().blocks, 0);
  });

  test('H14: of a smaller disk: its last chunk and all that is new are marked too', async () => {
    // Old size in bytes, new size, then what is marked beside block 3.
    const MAP_BYTES = BLOCKS_PER_PAGE * BLOCK_BYTES;
    for (const [before, after, first] of [
      [MIB + 512, 2 * MIB, 256],
      [MIB, MIB + 512, 240],
      [MIB - 4096 - 512, MIB, 240],
      [512, MAP_BYTES + MIB, 0],
      // Within its last block, and to the end of it.
      [MIB + 512, MIB + 1024, 256],
      [MIB - 512, MIB, 240],
      [MAP_BYTES, 2 * MAP_BYTES + 512, BLOCKS_PER_PAGE - 16],
    ] as const) {
      const world = await newWorld();
      const old = new BlockMap(allocateMap(before));
      old.mark(3 % blockCount(before), 3 % blockCount(before));
      await publishDirty(world, PATH, facts, [old]);
      const wanted = new BlockMap(allocateMap(after));
      wanted.merge(old);
      wanted.mark(first, blockCount(after) - 1);
      assert.equal(await loaded(world, after), marks(wanted), `${before} to ${after}`);
    }
  });

  test('H14: a full page of a smaller disk', async () => {
    const world = await newWorld();
    const old = new BlockMap(allocateMap(10 * MIB + 512));
    old.markAll();
    await publishDirty(world, PATH, facts, [old]);
    const all = new BlockMap(allocateMap(20 * MIB));
    all.markAll();
    assert.equal(await loaded(world, 20 * MIB), marks(all));
  });

  test('any flipped bit and any cut is an error, never a map', async () => {
    const world = await newWorld();
    const map = new BlockMap(allocateMap(10 * MIB + 512));
    map.mark(5, 100);
    await publishDirty(world, PATH, facts, [map]);
    const whole = world.peek(PATH);
    assert.ok(whole);
    const random = seededRandom(SEED);
    for (let turn = 0; turn < 60; turn += 1) {
      const bytes = whole.slice(0, turn % 2 === 0 ? whole.length : random.below(whole.length));
      const at = random.below(whole.length);
      if (turn % 2 === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      world.plant(PATH, bytes);
      await assert.rejects(loaded(world, 10 * MIB + 512), (error) => {
        assert.match(String(codeOf(error)), /^FORMAT_(BAD|VERSION)$/, `byte ${at}`);
        return true;
      });
    }
  });

  test('a crash at any step leaves the old union or the new one, whole', async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    const sizeBytes = 10 * MIB + 512;
    const [before, after] = [1, 2].map((n) => randomMap(sizeBytes, seededRandom(SEED + n)));
    assert.ok(before && after);
    const crashes = await eachCrash(SEED, {
      prepare: async (world) => {
        await world.makeDirectory('/state/vm1');
        world.settle();
        await publishDirty(world, PATH, facts, [before]);
      },
      work: (world) => publishDirty(world, PATH, facts, [after]),
      check: async (world, { done }) => {
        const found = await loaded(world, sizeBytes);
        assert.ok(found === marks(after) || (!done && found === marks(before)));
      },
    });
    t.diagnostic(`${crashes} crashes`);
  });
});
