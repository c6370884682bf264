// H14: a digest table that grows with its disk. At whatever step the machine crashes the table is
// the old one or the new one, and never has a digest that is not true: what is new is unknown, the
// old last chunk too if it was short, every other entry is as it was.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestOf } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, type ChunkIndex, chunkCount, chunkLength } from '../../src/base/units.js';
import { decodeTableHeader, TABLE_PAGE_BYTES } from '../../src/format/digest-table.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { DigestTable } from '../../src/tracking/digest-table.js';
import { CrashWorld } from '../world/memory-files.js';
import { eachCrash } from './crashes.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_123);
const PATH = '/state/b.digests';
const resource = seededRandom(1).bytes(16);
const P1: PointRef = { id: new Uint8Array(16).fill(1), number: 1, timeMs: 1 };
const P2: PointRef = { id: new Uint8Array(16).fill(2), number: 2, timeMs: 2 };
const plain = (bytes: Uint8Array | null): Uint8Array | null => bytes && new Uint8Array(bytes);
const zeroDigest = (bytes: number): Uint8Array => new Uint8Array(digestOf(new Uint8Array(bytes)));
const digest = (chunk: ChunkIndex): Uint8Array =>
  new Uint8Array(digestOf(Uint8Array.of(1, chunk & 255, chunk >> 8)));

/** The first chunks, some of them on the second page. */
const SET_END = 260;
/** Entries that have been set; the others are as absent pages are. */
const isSet = (chunk: ChunkIndex): boolean => chunk % 3 !== 0;

/** Old and new size: a short last chunk; whole chunks; a page that ends with the disk; one page to
 * three; within a chunk. */
const SIZES: readonly (readonly [number, number])[] = [
  [300 * CHUNK_BYTES - 512, 400 * CHUNK_BYTES],
  [300 * CHUNK_BYTES, 300 * CHUNK_BYTES + 512],
  [255 * CHUNK_BYTES, 256 * CHUNK_BYTES - 512],
  [10 * CHUNK_BYTES + 512, 700 * CHUNK_BYTES],
  [254 * CHUNK_BYTES + 4096, 255 * CHUNK_BYTES - 512],
];

interface Case {
  readonly before: number;
  readonly after: number;
  readonly absentIsZero: boolean;
}
const CASES: readonly Case[] = SIZES.flatMap(([before, after]) =>
  [true, false].map((absentIsZero) => ({ before, after, absentIsZero })),
);
const titleOf = ({ before, after, absentIsZero }: Case): string =>
  `${before} to ${after} bytes, holes are ${absentIsZero ? 'zero' : 'unknown'}`;

/** The table of the smaller disk, durable; pages where nothing was set are holes. */
async function made(world: CrashWorld, { before, absentIsZero }: Case): Promise<void> {
  await world.makeDirectory('/state');
  await world.syncDirectory('/');
  const facts = { resource, sizeBytes: before };
  const table = await DigestTable.create(world, PATH, facts, absentIsZero);
  for (let chunk = 0; chunk < Math.min(chunkCount(before), SET_END); chunk += 1) {
    if (isSet(chunk)) table.set(chunk, digest(chunk));
  }
  await table.finishChange(P1);
  await table.close();
}

/** What a chunk that was not grown over has. */
const wantedOf = ({ before, absentIsZero }: Case, chunk: ChunkIndex): Uint8Array | null => {
  if (chunk < SET_END && isSet(chunk)) return digest(chunk);
  return absentIsZero ? zeroDigest(chunkLength(chunk, before)) : null;
};

/** All entries of a table that has grown. */
function check(table: DigestTable, it: Case, where: string): void {
  const firstNew = Math.floor(it.before / CHUNK_BYTES);
  for (let chunk = 0; chunk < chunkCount(it.after); chunk += 1) {
    const wanted = chunk < firstNew ? wantedOf(it, chunk) : null;
    assert.deepEqual(plain(table.get(chunk)), wanted, `chunk ${chunk}; ${where}`);
  }
}

describe('H14: a digest table grows', () => {
  for (const it of CASES) {
    test(titleOf(it), async () => {
      const world = new CrashWorld();
      await made(world, it);
      const facts = { resource, sizeBytes: it.after };
      const table = await DigestTable.open(world, PATH, facts);
      assert.deepEqual(table.point, P1, 'what it says of the old chunks is still true');
      check(table, it, 'in memory');
      await table.close();
      const again = await DigestTable.open(world.afterCrash('all', seededRandom(1)), PATH, facts);
      check(again, it, 'durable');
      await again.beginChange();
      const last = chunkCount(it.after) - 1;
      again.set(last, digest(last));
      await again.finishChange(P2);
      assert.deepEqual(plain(again.get(last)), digest(last));
    });

    test(`after a crash at every step: ${titleOf(it)}`, async (t) => {
      t.diagnostic(`HAST_SEED=${SEED}`);
      const seen = new Set<boolean | null>();
      const crashes = await eachCrash(SEED, {
        prepare: (world) => made(world, it),
        work: async (world) => {
          const table = await DigestTable.open(world, PATH, { resource, sizeBytes: it.before });
          await table.growTo(it.after);
          await table.close();
        },
        check: async (left, { done, where }) => {
          const size = headerSize(left);
          const grown = size === null ? null : size === it.after;
          seen.add(grown);
          if (done) assert.equal(grown, true, where);
          // As the next start does it.
          const table = await DigestTable.open(left, PATH, { resource, sizeBytes: it.after });
          // A header that was torn is no header: an empty table, as of any damage.
          const torn = grown === null;
          assert.deepEqual(table.point, torn ? null : P1, where);
          for (let chunk = 0; chunk < chunkCount(it.after); chunk += 1) {
            const found = plain(table.get(chunk));
            if (found === null) continue;
            const what = `chunk ${chunk}; ${where}`;
            assert.ok(!torn, what);
            assert.ok(chunk < Math.floor(it.before / CHUNK_BYTES), `H14: a wrong digest, ${what}`);
            assert.deepEqual(found, wantedOf(it, chunk), what);
          }
          await table.close();
        },
      });
      t.diagnostic(`${crashes} crashes`);
      assert.ok(seen.has(true) && seen.has(false));
    });
  }

  test('what was changed and not yet stored is kept', async () => {
    const world = new CrashWorld();
    const it = { before: 20 * CHUNK_BYTES, after: 600 * CHUNK_BYTES, absentIsZero: false };
    await made(world, it);
    const table = await DigestTable.open(world, PATH, { resource, sizeBytes: it.before });
    await table.beginChange();
    table.set(3, digest(77));
    await table.growTo(it.after);
    table.set(599, digest(599));
    await table.finishChange(P2);
    assert.deepEqual(plain(table.get(3)), digest(77));
    assert.deepEqual(plain(table.get(599)), digest(599));
    assert.deepEqual([...table.unknownRuns(it.after)].at(-1), { first: 20, count: 579 });
  });

  test('to what it has or less: nothing is written', async () => {
    const world = new CrashWorld();
    const it = { before: 300 * CHUNK_BYTES, after: 300 * CHUNK_BYTES, absentIsZero: true };
    await made(world, it);
    const table = await DigestTable.open(world, PATH, { resource, sizeBytes: it.before });
    const { steps } = world;
    await table.growTo(it.before);
    await table.growTo(it.before - 512);
    assert.equal(world.steps, steps);
  });

  test('of a larger disk (a growth that was rolled back): it serves', async () => {
    const world = new CrashWorld();
    const it = { before: 300 * CHUNK_BYTES, after: 290 * CHUNK_BYTES, absentIsZero: false };
    await made(world, it);
    const table = await DigestTable.open(world, PATH, { resource, sizeBytes: it.after });
    assert.deepEqual(table.point, P1);
    assert.deepEqual(plain(table.get(1)), digest(1));
  });

  test('a bad page is unknown, also where the disk grew', async () => {
    const world = new CrashWorld();
    const it = { before: 300 * CHUNK_BYTES, after: 400 * CHUNK_BYTES, absentIsZero: true };
    await made(world, it);
    world.flip(PATH, TABLE_PAGE_BYTES * 2 + 100);
    const table = await DigestTable.open(world, PATH, { resource, sizeBytes: it.after });
    for (const chunk of [255, 256, 299, 300, 399]) assert.equal(table.get(chunk), null);
    assert.deepEqual(plain(table.get(254)), digest(254));
  });
});

/** Of the header as it stands; null: it was torn. */
function headerSize(world: CrashWorld): number | null {
  const bytes = world.peek(PATH)?.subarray(0, TABLE_PAGE_BYTES) ?? new Uint8Array(0);
  try {
    return decodeTableHeader(bytes, PATH).sizeBytes;
  } catch {
    return null;
  }
}
