// Undo changesets over the crash world: what they take back, how large their frames are, that one
// that stands is never written again (H26), and that rotten content is named lost (H27).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import {
  BLOCK_BYTES,
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
  chunkMask,
} from '../../src/base/units.js';
import { FRAME_BLOCK_BYTES_MAX, type FrameEntry } from '../../src/format/changeset.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import { zeroDigest } from '../../src/format/digest-table.js';
import { encodeFrame } from '../../src/format/frame.js';
import { blockBytesOf } from '../../src/format/frame-header.js';
import { packRaw } from '../../src/format/pack.js';
import {
  recordEntries,
  rollBack,
  undoName,
  writeBlocks,
  writeUndo,
} from '../../src/history/undo.js';
import { DigestTable } from '../../src/tracking/digest-table.js';
import { CrashWorld } from '../world/memory-files.js';
import { openWorldDevice } from '../world/world-device.js';

const SIZE_BYTES = 40 * CHUNK_BYTES + 512;
const DIRECTORY = '/state';
const resource = new Uint8Array(16).fill(7);
const from = { id: new Uint8Array(16).fill(1), number: 1, timeMs: 1 };
const to = { id: new Uint8Array(16).fill(2), number: 2, timeMs: 2 };

/** A disk of random bytes with a true table, and a changeset that zeroes all of it in one frame. */
async function made() {
  const seed = Number(process.env['HAST_SEED'] ?? 41);
  console.log(`HAST_SEED=${seed}`);
  const world = new CrashWorld();
  const before = seededRandom(seed).bytes(SIZE_BYTES);
  world.plant('/disk', before);
  await world.makeDirectory(DIRECTORY);
  const device = openWorldDevice(world, '/disk');
  const facts = { resource, sizeBytes: SIZE_BYTES };
  const table = await DigestTable.create(world, `${DIRECTORY}/disk.digests`, facts, false);
  const entries: FrameEntry[] = [];
  for (let chunk = 0; chunk < chunkCount(SIZE_BYTES); chunk += 1) {
    const length = chunkLength(chunk, SIZE_BYTES);
    table.set(chunk, digestOf(before.subarray(chunk * CHUNK_BYTES, chunk * CHUNK_BYTES + length)));
    const mask = chunkMask(chunk, SIZE_BYTES);
    entries.push({ chunk, mask, zero: mask, digest: zeroDigest(length) });
  }
  await table.finishChange(from);
  const path = `${DIRECTORY}/committed`;
  const handle = await world.open(path, 'exclusive');
  const header = {
    kind: 'round',
    resource,
    round: to.id,
    from,
    to,
    sizeBytes: SIZE_BYTES,
  } as const;
  const writer = await ChangesetWriter.create(handle, { ...header, consistency: 'crash' });
  const frame = { number: 0, entries, blocks: new Uint8Array(0) };
  await writer.append(encodeFrame(frame, packRaw), entries);
  await writer.finish();
  const parts = { files: world, directory: DIRECTORY, device, table, pack: packRaw };
  return { world, before, device, table, parts, path, changeset: await openChangeset(handle) };
}

/** writeUndo, and the chunks that it says are lost. */
async function lostBy(
  ...args: Parameters<typeof writeUndo> extends [...infer A, unknown] ? A : never
) {
  let told: readonly number[] = [];
  await writeUndo(...args, async (lost) => {
    told = lost;
  });
  return told;
}

test('zeroes that came in one frame are undone in frames of at most 1 MiB, and back', async () => {
  const { world, before, device, parts, path, changeset } = await made();
  assert.deepEqual(await lostBy(parts, changeset, from, SIZE_BYTES), []);
  const undo = await openChangeset(await world.open(`${DIRECTORY}/${undoName(from)}`, 'read'));
  let frames = 0;
  for await (const stored of undo.frames()) {
    frames += 1;
    assert.ok(blockBytesOf(stored.header) <= FRAME_BLOCK_BYTES_MAX);
  }
  assert.equal(frames, 3);
  await writeBlocks(device, changeset, path);
  assert.ok(world.peek('/disk')?.every((byte) => byte === 0));
  await rollBack(parts, from);
  assert.ok(Buffer.from(before).equals(world.peek('/disk') ?? Buffer.alloc(0)));
  assert.equal(parts.table.point?.number, 1);
});

/** A changeset of the frames given, one each, of a disk of `sizeBytes`. */
async function changesetOf(
  world: CrashWorld,
  sizeBytes: number,
  frames: readonly (readonly [chunk: number, mask: number, value: number])[],
  digest: (chunk: number) => Uint8Array,
) {
  const path = `${DIRECTORY}/grown`;
  const handle = await world.open(path, 'exclusive');
  const header = { kind: 'round', resource, round: to.id, from, to, sizeBytes } as const;
  const writer = await ChangesetWriter.create(handle, { ...header, consistency: 'crash' });
  for (const [number, [chunk, mask, value]] of frames.entries()) {
    const bytes = [...Array(16).keys()]
      .filter((block) => (mask & (1 << block)) !== 0)
      .map((block) => Math.min(BLOCK_BYTES, chunkLength(chunk, sizeBytes) - block * BLOCK_BYTES))
      .reduce((sum, length) => sum + length, 0);
    const entries: FrameEntry[] = [{ chunk, mask, zero: 0, digest: digest(chunk) }];
    const blocks = new Uint8Array(bytes).fill(value);
    await writer.append(encodeFrame({ number, entries, blocks }, packRaw), entries);
  }
  await writer.finish();
  return { path, changeset: await openChangeset(handle) };
}

test('H14: the undo of a growth has the older size, and masks within it', async () => {
  const { world, before, table, parts } = await made();
  const grownBytes = 43 * CHUNK_BYTES + 4096;
  const larger = await world.open('/disk', 'write');
  await larger.truncate(grownBytes);
  const device = openWorldDevice(world, '/disk');
  const last = chunkMask(40, SIZE_BYTES);
  assert.equal(last, 1, 'the old last chunk is short');
  const { path, changeset } = await changesetOf(
    world,
    grownBytes,
    [
      [3, 0b101, 9],
      [40, 0xffff, 9],
      [41, 0xffff, 9],
      [43, 1, 9],
    ],
    (chunk) => new Uint8Array(16).fill(chunk),
  );
  const grown = { ...parts, device };
  assert.deepEqual(await lostBy(grown, changeset, from, SIZE_BYTES), [], 'nothing is lost');
  const undo = await openChangeset(await world.open(`${DIRECTORY}/${undoName(from)}`, 'read'));
  assert.equal(undo.header.sizeBytes, SIZE_BYTES);
  const entries: [number, number, Uint8Array][] = [];
  for await (const { chunk, mask, digest } of undo.index()) entries.push([chunk, mask, digest]);
  const old = (chunk: number): Uint8Array => {
    const length = chunkLength(chunk, SIZE_BYTES);
    const at = chunk * CHUNK_BYTES;
    return new Uint8Array(digestOf(before.subarray(at, at + length)));
  };
  const plain = entries.map(([chunk, mask, digest]) => [chunk, mask, new Uint8Array(digest)]);
  assert.deepEqual(plain, [
    [3, 0b101, old(3)],
    [40, 1, old(40)],
  ]);

  await writeBlocks(device, changeset, path);
  await recordEntries(table, changeset, to);
  assert.deepEqual(new Uint8Array(table.get(43) ?? []), new Uint8Array(16).fill(43));
  assert.equal(table.get(42), null, 'new, and not in the changeset');
  await rollBack(grown, from);
  const now = world.peek('/disk') ?? new Uint8Array(0);
  assert.ok(Buffer.from(before).equals(now.subarray(0, SIZE_BYTES)));
  assert.equal(table.point?.number, 1);
  for (const chunk of [3, 40]) assert.deepEqual(new Uint8Array(table.get(chunk) ?? []), old(chunk));
});

test('H28: a chunk that stands twice: the later, whole entry counts', async () => {
  const { world, before, device, table, parts } = await made();
  const frames = [
    [5, 0b1, 1],
    [6, 0b1, 1],
    [5, 0xffff, 2],
  ] as const;
  let asked = 0;
  const { path, changeset } = await changesetOf(world, SIZE_BYTES, frames, () =>
    new Uint8Array(16).fill(++asked),
  );
  assert.deepEqual(await lostBy(parts, changeset, from, SIZE_BYTES), []);
  await writeBlocks(device, changeset, path);
  const at = 5 * CHUNK_BYTES;
  assert.ok(
    world
      .peek('/disk')
      ?.subarray(at, at + CHUNK_BYTES)
      .every((byte) => byte === 2),
  );
  await recordEntries(table, changeset, to);
  assert.deepEqual(new Uint8Array(table.get(5) ?? []), new Uint8Array(16).fill(3));
  assert.deepEqual(new Uint8Array(table.get(6) ?? []), new Uint8Array(16).fill(2));
  await rollBack(parts, from);
  assert.ok(Buffer.from(before).equals(world.peek('/disk') ?? Buffer.alloc(0)));
});

test('H26: an undo that stands is not written again over a half-applied disk', async () => {
  const { world, device, parts, path, changeset } = await made();
  await lostBy(parts, changeset, from, SIZE_BYTES);
  const stands = world.peek(`${DIRECTORY}/${undoName(from)}`);
  await writeBlocks(device, changeset, path);
  assert.deepEqual(await lostBy(parts, changeset, from, SIZE_BYTES), []);
  assert.deepEqual(world.peek(`${DIRECTORY}/${undoName(from)}`), stands);
});

test('H27: content that is not the table s is lost, and its digest stays the table s', async () => {
  const { world, device, table, parts, changeset } = await made();
  const digest = table.get(3)?.slice();
  device.writeNow(3 * CHUNK_BYTES + 100, new Uint8Array([1, 2, 3, 4]));
  assert.deepEqual(await lostBy(parts, changeset, from, SIZE_BYTES), [3]);
  const undo = await openChangeset(await world.open(`${DIRECTORY}/${undoName(from)}`, 'read'));
  for await (const entry of undo.index()) {
    if (entry.chunk === 3) assert.deepEqual(Buffer.from(entry.digest), Buffer.from(digest ?? []));
  }
});
