// The digest table's order of writes (ladder step 7, H7): at whatever step the machine crashes, a
// table that names a point holds the entries of that point and no others; a bad page is unknown.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestOf } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, type ChunkIndex } from '../../src/base/units.js';
import { encodeTableHeader, TABLE_PAGE_BYTES } from '../../src/format/digest-table.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { DigestTable } from '../../src/tracking/digest-table.js';
import { CrashWorld } from '../world/memory-files.js';
import { eachCrash } from './crashes.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_715);
const PATH = '/state/b.digests';
const CHUNKS = 600; // three pages of 255
const facts = { resource: seededRandom(1).bytes(16), sizeBytes: CHUNKS * CHUNK_BYTES - 512 };
const point = (number: number): PointRef => ({
  id: new Uint8Array(16).fill(number),
  number,
  timeMs: number,
});
const [P1, P2] = [point(1), point(2)];
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
const zeroDigest = (bytes: number): Uint8Array => plain(digestOf(new Uint8Array(bytes)));
/** Digest of a chunk as of a point. */
const digest = (chunk: ChunkIndex, at: PointRef): Uint8Array =>
  plain(digestOf(Uint8Array.of(at.number, chunk & 255, chunk >> 8)));
/** Chunks changed between P1 and P2, on all three pages. */
const CHANGED = [0, 1, 254, 255, 300, 599];

async function withPoint(world: CrashWorld): Promise<void> {
  await world.makeDirectory('/state');
  await world.syncDirectory('/');
  const table = await DigestTable.create(world, PATH, facts, true);
  for (let chunk = 0; chunk < 520; chunk += 1) table.set(chunk, digest(chunk, P1));
  await table.finishChange(P1);
  await table.close();
}

async function change(world: CrashWorld, to = P2): Promise<void> {
  const table = await DigestTable.open(world, PATH, facts);
  await table.beginChange();
  for (const chunk of CHANGED) table.set(chunk, digest(chunk, to));
  await table.finishChange(to);
  await table.close();
}

/** Entries are those of the point the table names, all of them (H7). */
async function checkTrue(world: CrashWorld, where: string): Promise<number | null> {
  const table = await DigestTable.open(world, PATH, facts);
  const named = table.point?.number ?? null;
  if (named !== null) {
    for (let chunk = 0; chunk < 520; chunk += 1) {
      const at: PointRef = named === 2 && CHANGED.includes(chunk) ? P2 : P1;
      assert.deepEqual(table.get(chunk), digest(chunk, at), `chunk ${chunk} at ${named}; ${where}`);
    }
    const last = table.get(599);
    if (named === 2) assert.deepEqual(last, digest(599, P2), where);
    else assert.deepEqual(last, zeroDigest(CHUNK_BYTES - 512), where);
  }
  await table.close();
  return named;
}

describe('digest table', () => {
  test('entries are found again; an absent page means what the header says', async () => {
    for (const absentIsZero of [true, false]) {
      const world = new CrashWorld();
      await world.makeDirectory('/state');
      const table = await DigestTable.create(world, PATH, facts, absentIsZero);
      assert.equal(table.point, null);
      table.set(300, digest(300, P1));
      await table.finishChange(P1);
      await table.close();
      const again = await DigestTable.open(world, PATH, facts);
      assert.deepEqual(again.point, P1);
      assert.deepEqual(again.get(300), digest(300, P1));
      const zero = absentIsZero ? zeroDigest(CHUNK_BYTES) : null;
      assert.deepEqual(again.get(0), zero);
      assert.deepEqual(again.get(301), zero);
      const range = again.range(299, 3);
      assert.deepEqual(range.subarray(16, 32), digest(300, P1));
      assert.deepEqual(range.subarray(0, 16), zero ?? new Uint8Array(16));
    }
  });

  test('entries change only while no point is named', async () => {
    const world = new CrashWorld();
    await withPoint(world);
    const table = await DigestTable.open(world, PATH, facts);
    assert.throws(() => table.set(1, digest(1, P2)), /names no point/);
    await table.beginChange();
    assert.equal(table.point, null);
    table.set(1, digest(1, P2));
  });

  test('a page that is bad is unknown, alone, and can be written anew', async () => {
    const world = new CrashWorld();
    await withPoint(world);
    world.flip(PATH, TABLE_PAGE_BYTES * 2 + 777);
    const table = await DigestTable.open(world, PATH, facts);
    for (const [chunk, known] of [
      [254, true],
      [255, false],
      [509, false],
      [510, true],
    ] as const) {
      assert.deepEqual(table.get(chunk), known ? digest(chunk, P1) : null, `chunk ${chunk}`);
    }
    await table.beginChange();
    table.set(300, digest(300, P2));
    await table.finishChange(P2);
    assert.deepEqual(table.get(300), digest(300, P2));
    assert.equal(table.get(301), null);
  });

  test('a header that is damaged or of another disk: a new table without any entry', async () => {
    const other = { ...facts, resource: new Uint8Array(16) };
    for (const [flipped, asked] of [
      [100, facts],
      [null, other],
    ] as const) {
      const world = new CrashWorld();
      await withPoint(world);
      if (flipped !== null) world.flip(PATH, flipped);
      const table = await DigestTable.open(world, PATH, asked);
      assert.equal(table.point, null);
      for (const chunk of [0, 255, 519]) assert.equal(table.get(chunk), null);
    }
  });
});

describe('H7: a table that names a point has its entries only', () => {
  test('after a crash at every step of a change', async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    const named = new Set<number | null>();
    const crashes = await eachCrash(SEED, {
      prepare: withPoint,
      work: change,
      check: async (left, { done, where }) => {
        const found = await checkTrue(left, where);
        named.add(found);
        if (done) assert.equal(found, 2, where);
      },
    });
    t.diagnostic(`${crashes} crashes`);
    assert.deepEqual(named, new Set([1, null, 2]));
  });

  test('after a power failure in a change that follows a kill in a change', async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    // The process died between the write of the header and its fdatasync: the page cache has it.
    const prepare = async (world: CrashWorld): Promise<void> => {
      await withPoint(world);
      const handle = await world.open(PATH, 'write');
      const header = { ...facts, absentIsZero: true, point: null };
      await handle.write(encodeTableHeader(header), 0);
      await handle.close();
    };
    const check = async (left: CrashWorld, { where }: { where: string }): Promise<void> =>
      void (await checkTrue(left, where));
    await eachCrash(SEED, { prepare, work: change, check });
  });

  for (const failing of [0, 1, 2]) {
    test(`after a crash in a change after one whose fdatasync ${failing} failed`, async () => {
      const work = async (world: CrashWorld): Promise<void> => {
        const table = await DigestTable.open(world, PATH, facts);
        let syncs = 0;
        const attempt = async (): Promise<void> => {
          await table.beginChange();
          for (const chunk of CHANGED) table.set(chunk, digest(chunk, P2));
          await table.finishChange(P2);
        };
        // Let `failing` syncs through, then fail one, as a disk that errs once.
        const { enter } = world;
        world.enter = (operation, path, kind, note) => {
          const mine = operation === 'sync' && path === PATH;
          if (mine && syncs === failing) world.failNext({ operation, path }, 'EIO');
          if (mine) syncs += 1;
          enter.call(world, operation, path, kind, note);
        };
        await attempt().catch(() => {});
        await attempt().catch(() => {});
      };
      await eachCrash(SEED, {
        prepare: withPoint,
        work,
        check: async (left, { where }) => void (await checkTrue(left, where)),
      });
    });
  }

  test('a run of entries is what the entries are one by one', async () => {
    const random = seededRandom(SEED);
    for (const [first, count] of [
      [0, CHUNKS],
      [250, 10],
      [255, 255],
      [254, 257],
      [599, 1],
      [3, 0],
    ] as const) {
      const world = new CrashWorld();
      await world.makeDirectory('/state');
      const table = await DigestTable.create(world, PATH, facts, true);
      const digests = random.bytes(count * 16);
      table.setRun(first, digests);
      assert.deepEqual(plain(table.range(first, count)), digests, `${count} from ${first}`);
      for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
        const at = (chunk - first) * 16;
        const inRun = chunk >= first && chunk < first + count;
        const length = chunk === CHUNKS - 1 ? CHUNK_BYTES - 512 : CHUNK_BYTES;
        const wanted = inRun ? digests.slice(at, at + 16) : zeroDigest(length);
        assert.deepEqual(plain(table.get(chunk) ?? new Uint8Array(0)), wanted, `chunk ${chunk}`);
      }
      await table.close();
    }
  });
});
