// Findings of a review, of the journal: what is held is what stands in packs that are durable, in
// this store, under these numbers; and what is garbage stays so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldPieces } from '../../src/archive/held-pieces.js';
import { Journal, type NumberedPack } from '../../src/archive/journal.js';
import { digestOf, equalBytes, isZero } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount, DIGEST_BYTES, MASK_ALL, MIB } from '../../src/base/units.js';
import {
  encodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalRow,
  putJournalRow,
} from '../../src/format/archive-journal.js';
import { inlineCompute } from '../../src/format/compute.js';
import { zeroDigest } from '../../src/format/digest-table.js';
import { packRaw } from '../../src/format/pack.js';
import { Outflow } from '../../src/round/outflow.js';
import type { MemoryObjects } from '../store/memory-store.js';
import { CrashWorld } from '../world/memory-files.js';
import {
  begun,
  committed,
  JOURNAL,
  lastOf,
  MIB_CHUNKS,
  pointTo,
  RESOURCE,
  reads,
  senderOf,
  sent,
} from './review-world.js';
import { Sender } from './sender.js';

test('H31: pieces of a pack that was never closed are not those of its successor', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(103);
  const sender = senderOf(random, objects, 24);
  await sender.round();
  // A round of the second half fails: of its packs of three frames the last one is open.
  const half = 12 * MIB_CHUNKS;
  sender.disk.set(random.bytes(12 * MIB), 12 * MIB);
  await sender.open();
  await sent(sender, begun(sender, pointTo(sender)), half, 2 * half - MIB_CHUNKS);
  await sender.close();
  // The next one has the first half before it, in packs of the same numbers.
  sender.disk.set(random.bytes(12 * MIB), 0);
  const target = await sender.open();
  const begin = begun(sender, pointTo(sender));
  const totals = await sent(sender, begin, 0, 2 * half);
  assert.deepEqual(await committed(target, begin, totals), { outcome: 'committed' });
  await reads(objects, await lastOf(objects), sender.disk);
});

test('H31: what was put into another store is not held in this one', async () => {
  const random = seededRandom(104);
  const sender = senderOf(random, new Map(), 8);
  await sender.open();
  const fill = random.bytes(16);
  const first = begun(sender, pointTo(sender), { kind: 'pass', round: fill, fill });
  await sent(sender, first, 0, chunkCount(sender.disk.length));
  await sender.close();
  // The operator takes another bucket; name of the target and state directory stay.
  const objects: MemoryObjects = new Map();
  const moved = new Sender(random, objects, null, sender.disk.length);
  moved.packBytes = sender.packBytes;
  moved.world = sender.world;
  moved.disk = sender.disk;
  const target = await moved.open();
  const other = random.bytes(16);
  const to = pointTo(moved);
  await target.begin(begun(moved, to, { kind: 'pass', round: other, fill: other }));
  const { digests } = await target.digests(0, chunkCount(moved.disk.length));
  for (let at = 0; at < digests.length; at += DIGEST_BYTES) {
    const digest = digests.subarray(at, at + DIGEST_BYTES);
    assert.ok(equalBytes(digest, zeroDigest(CHUNK_BYTES)), 'an empty store holds no content');
  }
});

test('a first copy knows of zeroes where nothing is held, and goes on by that', async (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? 107);
  t.diagnostic(`HAST_SEED=${seed}`);
  const random = seededRandom(seed);
  const store: MemoryObjects = new Map();
  const sender = senderOf(random, store, 8);
  const count = chunkCount(sender.disk.length);
  const first = await sender.open();
  const fill = random.bytes(16);
  const before = (await first.digests(0, count)).digests;
  assert.ok(isZero(before), 'of a disk that was not named nothing is known');
  // A first copy stops in the middle; then the guest zeroes one chunk of it and half of the rest.
  const half = 4 * MIB_CHUNKS;
  await sent(sender, begun(sender, pointTo(sender), { kind: 'pass', round: fill, fill }), 0, half);
  await sender.close();
  sender.disk.fill(0, CHUNK_BYTES, 2 * CHUNK_BYTES);
  sender.disk.fill(0, 6 * MIB);
  const target = await sender.open();
  const again = random.bytes(16);
  const begin = begun(sender, pointTo(sender), { kind: 'pass', round: again, fill: again });
  await target.begin(begin);
  const { digests } = await target.digests(0, count);
  const theirs = (chunk: number): Uint8Array =>
    digests.subarray(chunk * DIGEST_BYTES, (chunk + 1) * DIGEST_BYTES);
  const zero = zeroDigest(CHUNK_BYTES);
  assert.ok(!equalBytes(theirs(1), zero), 'what has become zeroes is held with its content');
  for (let chunk = half; chunk < count; chunk += 1) assert.ok(equalBytes(theirs(chunk), zero));
  // What differs is sent, as a pass does, and the round ends it.
  const outflow = new Outflow(target, inlineCompute(packRaw));
  let passedOver = 0;
  for (let chunk = 0; chunk < count; chunk += 1) {
    const bytes = sender.disk.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    const digest = digestOf(bytes).slice();
    if (equalBytes(digest, theirs(chunk))) passedOver += 1;
    else await outflow.add(chunk, MASK_ALL, digest, bytes);
  }
  await outflow.finish();
  assert.ok(passedOver >= 2 * MIB_CHUNKS, 'zeroes cost nothing');
  const round = begun(sender, pointTo(sender), { fill: again });
  const totals = await sent(sender, round, 0, 0);
  assert.deepEqual(await committed(target, round, totals), { outcome: 'committed' });
  await reads(store, await lastOf(store), sender.disk);
});

test('of what a first copy holds in part no digest is known', async () => {
  const random = seededRandom(108);
  const world = new CrashWorld();
  const header = { resource: RESOURCE, from: null, archive: null };
  const { journal } = await Journal.open(world, '/j', header);
  const sizeBytes = 5 * CHUNK_BYTES + 512;
  const whole = random.bytes(DIGEST_BYTES);
  journal.newRun();
  const pieces = [
    { chunk: 1, mask: MASK_ALL, pack: 0, digest: whole },
    { chunk: 2, mask: 1, pack: 0, digest: random.bytes(DIGEST_BYTES) },
    { chunk: 3, mask: MASK_ALL, pack: 1, digest: random.bytes(DIGEST_BYTES) }, // never put
  ];
  for (const { chunk, mask, pack, digest } of pieces) {
    const piece = { mask, zero: 0, place: { pack, offset: 1000 * chunk, bytes: 1000 } };
    await journal.piece({ kind: 'piece', lane: 0, chunk, digest, piece });
  }
  await journal.pack({ number: 0, name: random.bytes(32), bytes: 4000 });
  await journal.put(0);
  const digests = await new HeldPieces(journal, true).digests(0, 7, sizeBytes);
  const zero = zeroDigest(CHUNK_BYTES);
  const unknown = new Uint8Array(DIGEST_BYTES);
  const wanted = [zero, whole, unknown, zero, zero, zeroDigest(512), unknown];
  for (const [chunk, digest] of wanted.entries()) {
    const found = digests.subarray(chunk * DIGEST_BYTES, (chunk + 1) * DIGEST_BYTES);
    assert.ok(equalBytes(found, digest), `chunk ${chunk}`);
  }
  await journal.close();
});

test('H31: a journal that was torn shows no rows of before behind those of after', async () => {
  const random = seededRandom(105);
  const world = new CrashWorld();
  const pieceOf = (chunk: number, pack: number, offset: number): JournalRow => ({
    kind: 'piece',
    lane: 0,
    chunk,
    digest: random.bytes(16),
    piece: { mask: MASK_ALL, zero: 0, place: { pack, offset, bytes: 1000 } },
  });
  const header = { resource: RESOURCE, from: null, archive: null };
  // Of rows that were never synced a power failure took a page and left the one behind it.
  const rows: readonly (JournalRow | 'torn')[] = [
    { kind: 'run' },
    pieceOf(1, 0, 0),
    ...Array.from({ length: 3 }, () => 'torn' as const),
    pieceOf(2, 0, 5000),
    pieceOf(3, 0, 6000),
  ];
  const file = new Uint8Array(JOURNAL_HEADER_BYTES + rows.length * JOURNAL_ROW_BYTES);
  file.set(encodeJournalHeader(header));
  rows.forEach((row, i) => {
    if (row !== 'torn') putJournalRow(file, JOURNAL_HEADER_BYTES + i * JOURNAL_ROW_BYTES, row);
  });
  world.plant('/j', file);
  // The next round puts pack 0 anew, with other records, and dies.
  const next = await Journal.open(world, '/j', header);
  next.journal.newRun();
  const piece = pieceOf(9, 0, 0);
  assert.ok(piece.kind === 'piece');
  await next.journal.piece(piece);
  const pack: NumberedPack = { number: 0, name: random.bytes(32), bytes: 2000 };
  await next.journal.pack(pack);
  await next.journal.close();
  const { journal } = await Journal.open(world, '/j', header);
  if (!journal.isPut(0)) await journal.put(0);
  const held = await new HeldPieces(journal, true).entries(0, 100);
  const chunks = held.map(({ chunk }) => chunk);
  assert.ok(!chunks.includes(2) && !chunks.includes(3), `held: ${chunks}`);
  await journal.close();
});

test('what is garbage is garbage after a restart', async () => {
  const random = seededRandom(115);
  const world = new CrashWorld();
  world.plant('/made', 0);
  const wanted = { resource: RESOURCE, from: null, archive: null };
  const first = (await Journal.open(world, '/j', wanted)).journal;
  const pack: NumberedPack = { number: 0, name: random.bytes(32), bytes: 2000 };
  await first.pack(pack);
  await first.close();
  // It is of a round that failed before a restart; the next one commits, and does not need it.
  const second = (await Journal.open(world, '/j', wanted)).journal;
  await second.committed(random.bytes(16), new Set());
  const before = second.garbage.map(({ number }) => number);
  await second.close();
  const { journal } = await Journal.open(world, '/j', wanted);
  assert.deepEqual([before, journal.garbage.map(({ number }) => number)], [[0], [0]]);
  assert.deepEqual(journal.packNumbers, []);
  await journal.close();
});

test('D3: two windows asked for at the same time both tell what is held', async () => {
  const random = seededRandom(112);
  const world = new CrashWorld();
  world.plant('/made', 0);
  const header = { resource: RESOURCE, from: null, archive: null };
  const { journal } = await Journal.open(world, '/j', header);
  for (let chunk = 0; chunk < 3000; chunk += 1) {
    const piece = { mask: MASK_ALL, zero: 0, place: { pack: 0, offset: 0, bytes: 1000 } };
    await journal.piece({ kind: 'piece', lane: 0, chunk, digest: random.bytes(16), piece });
  }
  await journal.pack({ number: 0, name: random.bytes(32), bytes: 2000 });
  await journal.put(0);
  const held = new HeldPieces(journal, true);
  // As fill.ts does, which prepares two windows ahead.
  const [one, other] = await Promise.all([held.entries(0, 1000), held.entries(1000, 1000)]);
  assert.deepEqual([one.length, other.length], [1000, 1000]);
  await journal.close();
});

test('W5: a journal does not grow with every round that fails', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(113);
  const sender = senderOf(random, objects, 4);
  await sender.round();
  sender.disk.set(random.bytes(4 * MIB), 0);
  const sizes: number[] = [];
  for (let failed = 0; failed < 12; failed += 1) {
    await sender.open();
    await sent(sender, begun(sender, pointTo(sender)), 0, 4 * MIB_CHUNKS);
    await sender.close();
    sizes.push(sender.world.peek(JOURNAL)?.length ?? 0);
  }
  const [, first = 0] = sizes;
  assert.ok((sizes.at(-1) ?? 0) <= 3 * first, `the journal has ${sizes.join(', ')} bytes`);
});

test('D3: what a round has put is held for the next one of the same session', async () => {
  const objects: MemoryObjects = new Map();
  const random = seededRandom(119);
  const sender = senderOf(random, objects, 12);
  await sender.round();
  sender.disk.set(random.bytes(12 * MIB), 0);
  const target = await sender.open();
  await sent(sender, begun(sender, pointTo(sender)), 0, 12 * MIB_CHUNKS);
  // The round is given up, its spill is full, say; the link to an archive stays.
  await target.abandon();
  await target.begin(begun(sender, pointTo(sender)));
  const held = await target.held(0, 12 * MIB_CHUNKS);
  assert.ok(held.length >= 6 * MIB_CHUNKS, `${held.length} chunks are held`);
  await sender.close();
});
