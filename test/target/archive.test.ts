// An archive as a target, in a store with bad weather and a state directory that crashes: after
// every commit each point reads as its cut, whatever happened on the way; a round that failed is
// taken over; of two writers one wins.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { ChunkReader } from '../../src/archive/chunk-reader.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount } from '../../src/base/units.js';
import type { Secret } from '../../src/format/archive-identity.js';
import { type PointPlace, packKey, pointKey } from '../../src/format/archive-objects.js';
import { TargetError } from '../../src/target/target.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_122);

async function reading(objects: MemoryObjects, secret: Secret | null): Promise<Archive> {
  const archive = await Archive.open(new MemoryStore(objects), secret);
  assert.ok(archive !== null);
  return archive;
}

async function contentOf(archive: Archive, place: PointPlace): Promise<Uint8Array> {
  const point = await archive.point(place);
  assert.ok(point !== null, pointKey(place));
  const reader = new ChunkReader(archive, new PointTrees(archive, point.trees), point.sizeBytes);
  const disk = new Uint8Array(point.sizeBytes);
  for (let chunk = 0; chunk < chunkCount(point.sizeBytes); chunk += 1) {
    const bytes = await reader.chunk(chunk);
    if (bytes !== null) disk.set(bytes, chunk * CHUNK_BYTES);
  }
  return disk;
}

const KEY: Secret = { kind: 'key', bytes: seededRandom(2).bytes(32) };

for (const secret of [null, KEY]) {
  const how = secret === null ? 'open' : 'sealed';
  test(`rounds, failures and crashes: every point reads as its cut, ${how}`, async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    for (let story = 0; story < 4; story += 1) {
      const random = seededRandom(SEED + story);
      const objects: MemoryObjects = new Map();
      const sender = new Sender(
        random,
        objects,
        secret,
        12 * CHUNK_BYTES + 512 * random.below(128),
      );
      const images: Uint8Array[] = [];
      let [failed, made] = [0, 0];
      for (let step = 0; images.length < 15; step += 1) {
        assert.ok(step < 400, 'it goes on');
        sender.write();
        sender.stormy = random.below(2) === 0 ? 0 : 8;
        try {
          made = (await sender.round()).number;
          images.push(sender.disk.slice());
        } catch (error) {
          assert.ok(
            error instanceof TargetError || /failed for now/.test(String(error)),
            String(error),
          );
          failed += 1;
          // Its answer may be lost and the point made all the same: found out by the next contact.
          sender.stormy = 0;
          if (random.below(2) === 0) {
            sender.world = sender.world.afterCrash('seeded', random);
            sender.target = null;
          } else await sender.close();
          const { state } = await sender.open();
          if (state.point !== null && state.point.number !== made) {
            made = state.point.number;
            images.push(sender.disk.slice());
            sender.dirty.clear();
          }
          await sender.close();
        }
      }
      const archive = await reading(objects, secret);
      const last = await archive.last();
      assert.equal(last?.place.sequence, images.length);
      for (const [at, image] of images.entries()) {
        const disk = await contentOf(archive, { epoch: 1, sequence: at + 1 });
        assert.ok(equalBytes(disk, image), `point ${at + 1}`);
      }
      t.diagnostic(`story ${story}: ${failed} rounds failed, ${objects.size} objects`);
    }
  });
}

test('what a failed round has put is taken over by the next one', async () => {
  const random = seededRandom(7);
  const objects: MemoryObjects = new Map();
  const sender = new Sender(random, objects, null, 64 * CHUNK_BYTES);
  sender.packBytes = 2 * 1024 * 1024;
  sender.disk.set(random.bytes(sender.disk.length));
  await sender.round();
  for (let chunk = 0; chunk < 40; chunk += 1) {
    sender.disk.set(random.bytes(CHUNK_BYTES), chunk * CHUNK_BYTES);
    sender.dirty.set(chunk, 0xffff);
  }
  const target = await sender.open();
  const commit = target.commit.bind(target);
  target.commit = async () => {
    throw new TargetError({ code: 'TARGET_LOST', target: 'offsite', text: 'of a test' });
  };
  await assert.rejects(sender.round());
  target.commit = commit;
  await sender.close();
  sender.world = sender.world.afterCrash('all', random);
  const upBytes = [...objects.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  await sender.round();
  const after = [...objects.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert.ok(after - upBytes < 1_700_000, `${after - upBytes} bytes more`);
  const archive = await reading(objects, null);
  assert.ok(equalBytes(await contentOf(archive, { epoch: 1, sequence: 2 }), sender.disk));
});

test('an idle contact costs few requests, a small round four, and nothing is listed', async () => {
  const random = seededRandom(8);
  const objects: MemoryObjects = new Map();
  const sender = new Sender(random, objects, null, 8 * CHUNK_BYTES);
  await sender.round();
  sender.write();
  await sender.open();
  const { store } = sender;
  assert.ok(store !== null);
  const before = { ...store.counts };
  await sender.round();
  assert.equal(store.counts.list, 0);
  assert.ok(store.counts.put - before.put <= 4, `${store.counts.put - before.put} puts`);
});

test('a first point tells of its passes, too', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(12), objects, null, 8 * CHUNK_BYTES);
  sender.disk.set(sender.random.bytes(sender.disk.length));
  await sender.round();
  const point = await (await reading(objects, null)).point({ epoch: 1, sequence: 1 });
  assert.ok((point?.blockBytes ?? 0) >= 8 * CHUNK_BYTES);
  assert.ok((point?.storedBytes ?? 0) > 8 * CHUNK_BYTES);
});

test('two writers of one archive: one wins, nothing is mixed (H35)', async () => {
  const random = seededRandom(9);
  const objects: MemoryObjects = new Map();
  const one = new Sender(random, objects, null, 8 * CHUNK_BYTES);
  one.write();
  await one.round();
  const other = new Sender(seededRandom(10), objects, null, 8 * CHUNK_BYTES);
  other.epoch = one.epoch;
  other.disk = one.disk.slice();
  other.dirty.clear();
  other.number = 100;
  await Promise.all([one.open(), other.open()]);
  one.write();
  other.write();
  await one.round();
  await assert.rejects(other.round(), /another node has written this archive/);
  const archive = await reading(objects, null);
  assert.ok(equalBytes(await contentOf(archive, { epoch: 1, sequence: 2 }), one.disk));
});

test('a promoted node has its turn from the beginning of its first round on (C3)', async () => {
  const objects: MemoryObjects = new Map();
  const old = new Sender(seededRandom(13), objects, null, 8 * CHUNK_BYTES);
  old.write();
  const at = await old.round();
  const promoted = new Sender(seededRandom(14), objects, null, 8 * CHUNK_BYTES);
  promoted.epoch = { ...old.epoch, id: promoted.random.bytes(16), number: 2, parent: at.id };
  promoted.number = 100;
  await old.open();
  promoted.write();
  const target = await promoted.open();
  // However long it sends: the old one comes when all is sent, and was there when it began.
  target.commit = async () => {
    old.write();
    await assert.rejects(old.round(), /another node has written this archive/);
    throw new TargetError({ code: 'TARGET_LOST', target: 'offsite', text: 'of a test' });
  };
  await assert.rejects(promoted.round(), /of a test/);
  await promoted.close();
  await old.close();
  const between = await (await reading(objects, null)).last();
  assert.deepEqual(between?.to.id, at.id, 'it stands where it stood');
  await promoted.round();
  const archive = await reading(objects, null);
  assert.ok(equalBytes(await contentOf(archive, { epoch: 2, sequence: 1 }), promoted.disk));
  assert.equal(await archive.point({ epoch: 1, sequence: 2 }), null, 'the place is taken');
});

test('a wrong key is told at once', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(11), objects, KEY, 8 * CHUNK_BYTES);
  await sender.round();
  const store = new MemoryStore(objects);
  const wrong: Secret = { kind: 'key', bytes: seededRandom(12).bytes(32) };
  await assert.rejects(Archive.open(store, wrong), /not the one that this archive is sealed with/);
  await assert.rejects(Archive.open(store, null), /is sealed; name its key/);
  await assert.rejects(Archive.open(store, { kind: 'passphrase', text: 'x' }), /not the one/);
  assert.ok(
    [...objects.keys()].some((key) => key.startsWith(packKey(new Uint8Array(32)).slice(0, 6))),
  );
});
