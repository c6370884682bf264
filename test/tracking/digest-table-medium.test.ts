// A digest table on a bad medium: a page that cannot be read is unknown, alone (H7), and no error
// to whoever asks; it can be written anew.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { tablePageOffset } from '../../src/format/digest-table.js';
import { DigestTable } from '../../src/tracking/digest-table.js';
import { BadMedium } from '../crash/bad-medium.js';
import { large, ready } from '../crash/ladder-material.js';
import { limited } from '../crash/limit.js';
import { CrashWorld } from '../world/memory-files.js';

const LIMIT = limited(20_000);
const PATH = '/state/b.digests';
const CHUNKS = 600; // three pages of 255
const facts = { resource: seededRandom(1).bytes(16), sizeBytes: CHUNKS * CHUNK_BYTES };
const POINT = { id: new Uint8Array(16).fill(1), number: 1, timeMs: 1 };
const digest = (of: number): Uint8Array => new Uint8Array(digestOf(Uint8Array.of(of % 251)));

/** A whole table whose last page was read before, on a medium that is about to fail. */
async function whole(): Promise<{ medium: BadMedium; table: DigestTable; world: CrashWorld }> {
  const world = new CrashWorld();
  await world.makeDirectory('/state');
  const made = await DigestTable.create(world, PATH, facts, true);
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) made.set(chunk, digest(chunk));
  await made.finishChange(POINT);
  await made.close();
  const medium = new BadMedium();
  const table = await DigestTable.open(medium.files(world), PATH, facts);
  assert.deepEqual(table.get(599), digest(599));
  return { medium, table, world };
}

test('a page that the medium cannot read is unknown, alone, and can be written anew', async () => {
  const { medium, table } = await whole();
  medium.places.push({ name: PATH, errno: 'EIO', from: tablePageOffset(2) });
  assert.deepEqual(table.get(0), digest(0));
  assert.equal(table.get(510), null);
  assert.deepEqual([...table.unknownRuns(facts.sizeBytes)], [{ first: 510, count: 90 }]);
  assert.deepEqual(table.range(509, 2).subarray(16), new Uint8Array(16), 'to the peer, too');
  await table.beginChange();
  table.set(511, digest(7));
  await table.finishChange(POINT);
  // A medium takes what is written to a bad sector, elsewhere.
  medium.places.length = 0;
  assert.deepEqual(table.get(0), digest(0));
  assert.deepEqual(table.get(511), digest(7));
  assert.equal(table.get(512), null);
});

test('a header that the medium cannot read: a new table without any entry', async () => {
  const { medium, world } = await whole();
  medium.places.push({ name: PATH, errno: 'EIO' });
  const table = await DigestTable.open(medium.files(world), PATH, facts);
  medium.places.length = 0;
  assert.equal(table.point, null);
  for (const chunk of [0, 255, 599]) assert.equal(table.get(chunk), null);
});

test('another error is none of the medium, and is thrown', async () => {
  const { medium, table, world } = await whole();
  medium.places.push({ name: PATH, errno: 'ENOMEM' });
  assert.throws(() => table.get(0), /ENOMEM/);
  await assert.rejects(DigestTable.open(medium.files(world), PATH, facts), /ENOMEM/);
  medium.places.length = 0;
  assert.deepEqual(table.get(0), digest(0), 'nothing was given up for it');
});

test('a table of the primary that cannot be read fails no round', LIMIT, async () => {
  const medium = new BadMedium();
  const pair = await ready(1, { primaryFiles: medium.files }, large);
  await pair.primaryNode.primary.closeClean();
  pair.link?.cut();
  await pair.startPrimary();
  pair.connect();
  await pair.contact();
  medium.places.push({ name: '.digests', errno: 'EIO', from: tablePageOffset(0) });
  for (const fill of [1, 2]) {
    await pair.primaryNode.disk.write(0, Buffer.alloc(4096, fill));
    await pair.wholeRound();
    assert.deepEqual(pair.replicaNode.bytes(), pair.primaryNode.bytes());
  }
});
