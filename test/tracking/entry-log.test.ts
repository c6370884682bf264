// The log of digests that a round will write into the table: what went in comes out, in its order,
// across the buffer's borders; a new round begins empty.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { EntryLog } from '../../src/tracking/entry-log.js';
import { CrashWorld } from '../world/memory-files.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_717);
const PATH = '/entries';

async function newLog(world = new CrashWorld()): Promise<EntryLog> {
  return new EntryLog(await world.open(PATH, 'truncate'));
}

async function replayed(log: EntryLog): Promise<string[]> {
  const found: string[] = [];
  await log.replay((chunk, digest) => {
    assert.equal(digest.length, 16);
    found.push(`${chunk}:${Buffer.from(digest).toString('hex')}`);
  });
  return found;
}

function fill(log: EntryLog, count: number, seed: number): string[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const [chunk, digest] = [random.below(2 ** 32), random.bytes(16)];
    log.add(chunk, digest);
    const said = `${chunk}:${Buffer.from(digest).toString('hex')}`;
    digest.fill(0); // the log has copied it
    return said;
  });
}

describe('entry log', () => {
  for (const count of [0, 1, 4095, 4096, 4097, 3 * 4096, 3 * 4096 + 5]) {
    test(`${count} entries come back in their order, twice`, async () => {
      const log = await newLog();
      const added = fill(log, count, SEED);
      assert.deepEqual(await replayed(log), added);
      assert.deepEqual(await replayed(log), added);
      added.push(...fill(log, 3, SEED + 1));
      assert.deepEqual(await replayed(log), added);
    });
  }

  test('a new round begins empty', async () => {
    const log = await newLog();
    fill(log, 5000, SEED);
    await log.empty();
    assert.deepEqual(await replayed(log), []);
    const added = fill(log, 2, SEED + 2);
    assert.deepEqual(await replayed(log), added);
  });

  test('a full disk is an error of add or replay, never a missing entry', async () => {
    const world = new CrashWorld();
    const log = await newLog(world);
    world.failNext({ operation: 'write', path: PATH }, 'ENOSPC');
    await assert.rejects(async () => {
      fill(log, 10, SEED);
      await replayed(log);
    });
  });

  test('a file that has lost its end is an error, never a missing entry', async () => {
    const world = new CrashWorld();
    const log = await newLog(world);
    fill(log, 5000, SEED);
    await replayed(log);
    await (await world.open(PATH, 'write')).truncate(4000 * 20);
    await assert.rejects(replayed(log));
  });
});
