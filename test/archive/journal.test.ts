// The journal of an archive's sender: whoever reads it finds every row that was added before, also
// when another call is writing, or a write has failed; numbers of packs are not used twice; a prune
// leaves the pieces of the round that runs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal, type PieceRow } from '../../src/archive/journal.js';
import { codeOf } from '../../src/base/errors.js';
import { CrashWorld } from '../world/memory-files.js';

const RESOURCE = new Uint8Array(16).fill(1);
const PATH = '/state/offsite.journal';

const piece = (chunk: number, pack: number): PieceRow => ({
  kind: 'piece',
  lane: 0,
  chunk,
  digest: new Uint8Array(16).fill(chunk),
  piece: { mask: 0xffff, zero: 0, place: { pack, offset: 0, bytes: 100 } },
});

const pack = (number: number) => ({ number, name: new Uint8Array(32).fill(number), bytes: 100 });

async function opened(world: CrashWorld): Promise<Journal> {
  return (await Journal.open(world, PATH, { resource: RESOURCE, from: null, archive: null }))
    .journal;
}

function newWorld(): CrashWorld {
  const world = new CrashWorld();
  world.plant('/state/.made', 0);
  return world;
}

async function chunksOf(journal: Journal, run = 0): Promise<number[]> {
  const chunks: number[] = [];
  for await (const { chunk } of journal.run(run, 0, () => true)) chunks.push(chunk);
  return chunks;
}

test('rows that another call is writing are read', async () => {
  const world = newWorld();
  const journal = await opened(world);
  let slow: (() => void) | null = null;
  for (const chunk of [1, 2, 3]) await journal.piece(piece(chunk, 0));
  world.takes(
    () =>
      new Promise((resolve) => {
        if (slow === null) slow = resolve;
        else resolve();
      }),
  );
  const packing = journal.pack(pack(0));
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  const go: (() => void) | null = slow;
  assert.ok(go !== null, 'the write is on its way');
  const reading = chunksOf(journal);
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  (go as () => void)();
  assert.deepEqual(await reading, [1, 2, 3]);
  await packing;
  await journal.close();
});

test('a write that failed leaves no hole', async () => {
  const world = newWorld();
  const journal = await opened(world);
  await journal.piece(piece(1, 0));
  world.failSoon({ operation: 'write', within: '/state' }, 'EIO', 1);
  await assert.rejects(journal.pack(pack(0)), (error) => codeOf(error) === 'FILE_FAILED');
  await journal.piece(piece(2, 0));
  await journal.pack(pack(1));
  assert.deepEqual(await chunksOf(journal), [1, 2]);
  await journal.close();
  const again = await opened(world);
  assert.deepEqual(await chunksOf(again), [1, 2]);
  assert.deepEqual(again.packNumbers, [0, 1]);
  await again.close();
});

test('the number of a pack that was never ended is not used again', async () => {
  const world = newWorld();
  const journal = await opened(world);
  await journal.piece(piece(1, 7));
  assert.equal(journal.nextPack, 8);
  await journal.close();
  const again = await opened(world);
  assert.equal(again.nextPack, 8);
  await again.close();
});

test('a prune that ends in a round leaves its pieces', async () => {
  const journal = await opened(newWorld());
  const garbage = { ...pack(3), keepUntilHour: 0 };
  await journal.addGarbage([garbage]);
  await journal.piece(piece(1, 4));
  await journal.forget([garbage]);
  assert.deepEqual(await chunksOf(journal), [1]);
  assert.deepEqual(journal.garbage, []);
  await journal.close();
});

test('a journal that cannot be read for a moment is not lost', async () => {
  const world = newWorld();
  const journal = await opened(world);
  await journal.pack(pack(2));
  await journal.close();
  world.failSoon({ operation: 'read', within: '/state' }, 'EIO', 1);
  await assert.rejects(opened(world));
  const again = await opened(world);
  assert.deepEqual(again.packNumbers, [2]);
  await again.close();
});

test('what is garbage after a restart is so after the next one', async () => {
  const world = newWorld();
  const journal = await opened(world);
  await journal.pack(pack(2));
  await journal.close();
  const again = await opened(world);
  await again.committed(new Uint8Array(16), new Set());
  await again.close();
  const third = await opened(world);
  assert.deepEqual(third.packNumbers, []);
  assert.deepEqual(
    third.garbage.map(({ number }) => number),
    [2],
  );
  await third.close();
});
