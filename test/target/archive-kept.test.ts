// What a prune or a settled journal may take for garbage, and what not: packs of points that are
// pinned in the last moment, of points that only an older kept one needs. Pins and places are not
// taken from others. What a first copy has sent in its passes is in its point.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { Journal } from '../../src/archive/journal.js';
import { pin, pinAt, unpin } from '../../src/archive/pins.js';
import { settleJournal } from '../../src/archive/settle.js';
import { digestOf, equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import { type KeptPoint, packKey, pinKey, pointKey } from '../../src/format/archive-objects.js';
import { encodePin, nameKey } from '../../src/format/archive-pin.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packer } from '../../src/format/pack.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { Outflow } from '../../src/round/outflow.js';
import { Sender } from '../archive/sender.js';
import { contentOf } from '../simulate/archive-judge.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const CHUNKS = 8;

/** Tells of objects just before they are made. */
class TellingObjects extends Map<string, { readonly bytes: Uint8Array; readonly timeMs: number }> {
  tell: (key: string) => void = () => {};

  override set(key: string, value: { readonly bytes: Uint8Array; readonly timeMs: number }): this {
    this.tell(key);
    return super.set(key, value);
  }
}

const place = (sequence: number) => ({ epoch: 1, sequence });
const kept = (number: number): KeptPoint => ({ place: place(number), number, timeMs: number });

async function isWhole(objects: MemoryObjects, sequence: number, image: Uint8Array | undefined) {
  const archive = await Archive.open(new MemoryStore(objects), null);
  const point = await archive?.point(place(sequence));
  assert.ok(archive && point && image, `point ${sequence} is there`);
  const found = await contentOf(archive, point, 'regions');
  assert.ok(equalBytes(found, image), `point ${sequence} reads as its cut`);
}

function writes(sender: Sender, chunk: number): void {
  const at = chunk * CHUNK_BYTES;
  sender.disk.set(sender.random.bytes(CHUNK_BYTES), at);
  sender.dirty.set(chunk, 0xffff);
}

function pinned(objects: MemoryObjects, point: KeptPoint): void {
  const bytes = encodePin({ name: 'mine', point });
  objects.set(nameKey('mine'), { bytes, timeMs: 0 });
  objects.set(pinKey(point.place), { bytes, timeMs: 0 });
}

test('a point pinned while the next is made keeps what older ones that go have', async () => {
  const objects = new TellingObjects();
  const sender = new Sender(seededRandom(21), objects, null, CHUNKS * CHUNK_BYTES);
  const images: Uint8Array[] = [];
  sender.rule = retainLast(3);
  for (let round = 1; round <= 3; round += 1) {
    // Only point 2 writes chunk 5, and point 3 has it.
    writes(sender, round === 2 ? 5 : 1);
    await sender.round();
    images[round] = sender.disk.slice();
  }
  sender.rule = retainLast(1);
  writes(sender, 5);
  objects.tell = (key) => {
    // The sender has looked, and found no pin; who pins sees it kept by the newest point.
    if (key === pointKey(place(4))) pinned(objects, kept(3));
  };
  await sender.round();
  await (await sender.open()).prune(false);
  await sender.close();
  assert.ok(!objects.has(pointKey(place(2))), 'point 2 is gone');
  await isWhole(objects, 3, images[3]);
});

test('a pin that is left of a point that is gone brings it not back', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(22), objects, null, CHUNKS * CHUNK_BYTES);
  sender.rule = retainLast(1);
  for (let round = 1; round <= 2; round += 1) {
    writes(sender, round);
    await sender.round();
  }
  await (await sender.open()).prune(false);
  await sender.close();
  assert.ok(!objects.has(pointKey(place(1))), 'point 1 is gone');
  pinned(objects, kept(1));
  const target = await sender.open();
  const result = await target.prune(false);
  assert.deepEqual(result?.pinned, []);
  await sender.close();
});

test('what only an older kept point needs is no garbage when the node comes back', async () => {
  const objects = new TellingObjects();
  const size = CHUNKS * CHUNK_BYTES;
  const one = new Sender(seededRandom(23), objects, null, size);
  writes(one, 1);
  await one.round();
  let died = one.world;
  objects.tell = (key) => {
    if (key === pointKey(place(2))) died = one.world.afterKill();
  };
  writes(one, 5);
  await one.round();
  const image = one.disk.slice();
  one.world = died;
  const other = new Sender(seededRandom(24), objects, null, size);
  other.disk = one.disk.slice();
  other.number = one.number;
  other.epoch = { ...other.epoch, number: 2 };
  writes(other, 5);
  await other.round();
  one.disk = other.disk.slice();
  one.number = other.number;
  one.dirty.clear();
  one.epoch = { id: one.random.bytes(16), number: 3, parent: null, node: 'a' };
  writes(one, 2);
  await one.round();
  await (await one.open()).prune(false);
  await one.close();
  await isWhole(objects, 2, image);
});

test('what the passes of a first copy have sent is in its point, full pack or not', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(25), objects, null, CHUNKS * CHUNK_BYTES);
  sender.disk.set(sender.random.bytes(sender.disk.length));
  const target = await sender.open();
  const fill = sender.random.bytes(16);
  const to: PointRef = { id: sender.random.bytes(16), number: 1, timeMs: 1 };
  const begin = {
    resource: seededRandom(1).bytes(16),
    epoch: sender.epoch,
    from: null,
    to,
    sizeBytes: sender.disk.length,
    spaceBytes: 0,
    resumeAt: 0,
    fill,
    again: false,
  };
  await target.begin({ ...begin, kind: 'pass', round: fill });
  const outflow = new Outflow(target, inlineCompute(packer({ codec: 'zstd' })));
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
    const bytes = sender.disk.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    await outflow.add(chunk, 0xffff, digestOf(bytes).slice(), bytes);
  }
  await outflow.finish();
  await target.begin({ ...begin, kind: 'round', round: to.id });
  const totals = await new Outflow(target, inlineCompute(packer({ codec: 'zstd' }))).finish();
  const commit = { round: to.id, from: null, to, ...totals, damaged: [] };
  const answer = await target.commit({ ...commit, consistency: 'crash' });
  assert.deepEqual(answer, { outcome: 'committed' });
  await sender.close();
  await isWhole(objects, 1, sender.disk);
});

test('a place that a prune has freed is not the next one of an epoch (C3)', async () => {
  const objects: MemoryObjects = new Map();
  const size = CHUNKS * CHUNK_BYTES;
  const one = new Sender(seededRandom(26), objects, null, size);
  one.rule = retainLast(1);
  writes(one, 1);
  await one.round();
  const other = new Sender(seededRandom(27), objects, null, size);
  other.epoch = { ...other.epoch, number: 2 };
  other.number = 10;
  await other.open();
  for (let round = 2; round <= 3; round += 1) {
    writes(one, round);
    await one.round();
  }
  await (await one.open()).prune(false);
  await one.close();
  assert.ok(!objects.has(pointKey(place(2))), 'the place behind point 1 is free');
  await assert.rejects(other.round(), /another node has written this archive/);
  await other.close();
  const archive = await Archive.open(new MemoryStore(objects), null);
  assert.equal((await archive?.last())?.to.number, 3);
  assert.ok(!objects.has(pointKey(place(2))), 'nothing is left there');
});

test('unpinning a name that a broken-off pin has left keeps the pin of another name', async () => {
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(28), objects, null, CHUNKS * CHUNK_BYTES);
  await sender.round();
  const archive = await Archive.open(new MemoryStore(objects), null);
  assert.ok(archive !== null);
  const point = { ...kept(1), timeMs: 1 };
  await pin(archive, 'mine', point);
  const left = encodePin({ name: 'left', point });
  objects.set(nameKey('left'), { bytes: left, timeMs: 0 });
  await unpin(archive, 'left');
  assert.equal((await pinAt(archive, point.place))?.name, 'mine');
});

test('nothing is garbage by an error of the store', async () => {
  const objects = new TellingObjects();
  const sender = new Sender(seededRandom(29), objects, null, CHUNKS * CHUNK_BYTES);
  for (let chunk = 0; chunk < 4; chunk += 1) writes(sender, chunk);
  let died = sender.world;
  objects.tell = (key) => {
    if (key === pointKey(place(1))) died = sender.world.afterKill();
  };
  await sender.round();
  const names = [...objects.keys()].filter((key) => key.startsWith('packs/'));
  const archive = await Archive.open(
    new MemoryStore(objects, { fails: (_, key) => (key.startsWith('packs/') ? 'before' : null) }),
    null,
  );
  const last = await archive?.last();
  assert.ok(archive && last && names.length > 1);
  const wanted = { resource: seededRandom(1).bytes(16), from: null };
  const { journal } = await Journal.open(died, '/state/offsite.journal', wanted);
  assert.ok(journal.packNumbers.length > 0);
  // The pack of the root is known without a request; the others are not.
  await settleJournal(journal, archive, last).catch(() => undefined);
  const garbage = journal.garbage.map(({ name }) => packKey(name));
  assert.deepEqual(garbage, []);
  await journal.close();
});
