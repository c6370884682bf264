// What a reader finds in one undo, against all of its frames decoded one after the other: frames in
// any order, chunks in several, runs of zeroes, short ends; and what is held of it in memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, equalBytes, isZero } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkLength, chunkMask } from '../../src/base/units.js';
import type { FrameEntry } from '../../src/format/changeset.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import { encodeFrame } from '../../src/format/frame.js';
import { packer } from '../../src/format/pack.js';
import { Held } from '../../src/history/held.js';
import { UndoIndex } from '../../src/history/undo-index.js';
import { coded } from '../crash/ladder-material.js';
import { CrashWorld } from '../world/memory-files.js';

const PATH = '/state/undo';
/** The last chunk has two blocks, the last one of 512 bytes. */
const CHUNKS = 40;
const SIZE = (CHUNKS - 1) * CHUNK_BYTES + BLOCK_BYTES + 512;
const point = (fill: number) => ({ id: new Uint8Array(16).fill(fill), number: fill, timeMs: 0 });

/** The disk that the undo leads back to; some chunks and blocks are zeroes. */
function oldDisk(seed: number): Uint8Array {
  const random = seededRandom(seed);
  const disk = random.bytes(SIZE);
  for (let at = 0; at < SIZE; at += BLOCK_BYTES) {
    const zero = random.below(3) === 0 || Math.floor(at / CHUNK_BYTES) % 5 === 0;
    if (zero) disk.fill(0, at, at + BLOCK_BYTES);
  }
  return disk;
}

/** An undo of `frames` frames over that disk; the masks by chunk that it has. */
async function undoOf(world: CrashWorld, disk: Uint8Array, seed: number, frames: number) {
  const random = seededRandom(seed);
  world.plant('/state/.made', 0);
  const handle = await world.open(PATH, 'truncate');
  const writer = await ChangesetWriter.create(handle, {
    ...{ kind: 'undo', resource: point(1).id, round: point(2).id, from: point(3), to: point(2) },
    ...{ sizeBytes: SIZE, consistency: 'crash' },
  });
  const masks = new Map<number, number>();
  for (let number = 0; number < frames; number += 1) {
    const entries: FrameEntry[] = [];
    const blocks: Uint8Array[] = [];
    const first = random.below(CHUNKS - 1);
    for (let chunk = first; chunk < CHUNKS && entries.length < 12; chunk += 1 + random.below(4)) {
      const mask = (chunk % 5 === 0 ? 0xffff : 1 + random.below(0xffff)) & chunkMask(chunk, SIZE);
      if (mask === 0) continue;
      entries.push(entryOf(disk, chunk, mask, blocks));
      masks.set(chunk, (masks.get(chunk) ?? 0) | mask);
    }
    if (entries.length === 0) entries.push(entryOf(disk, first, 1, blocks));
    const frame = { number, entries, blocks: Buffer.concat(blocks) };
    await writer.append(encodeFrame(frame, packer({ codec: 'zstd', level: 1 })), entries);
    for (const { chunk, mask } of entries) masks.set(chunk, (masks.get(chunk) ?? 0) | mask);
  }
  await writer.finish();
  await handle.close();
  return masks;
}

function entryOf(disk: Uint8Array, chunk: number, mask: number, blocks: Uint8Array[]): FrameEntry {
  const start = chunk * CHUNK_BYTES;
  const content = disk.subarray(start, start + chunkLength(chunk, SIZE));
  let zero = 0;
  for (let block = 0; block < 16; block += 1) {
    if ((mask & (1 << block)) === 0) continue;
    const bytes = content.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    if (isZero(bytes)) zero |= 1 << block;
    else blocks.push(bytes);
  }
  return { chunk, mask, zero, digest: new Uint8Array(digestOf(content)) };
}

test('every chunk is found with all it has, wherever its frames stand', async (t) => {
  for (let seed = 1; seed < 25; seed += 1) {
    t.diagnostic(`seed ${seed}`);
    const world = new CrashWorld();
    const disk = oldDisk(seed);
    const masks = await undoOf(world, disk, seed, 1 + (seed % 9));
    // Next to nothing is held: what was dropped is read again.
    for (const heldBytes of [1, 64 * 1024 * 1024]) {
      const index = await UndoIndex.open(world, PATH, new Held(heldBytes));
      for (let chunk = CHUNKS - 1; chunk >= 0; chunk -= 1) {
        const entries = await index.find(chunk);
        const found = entries.reduce((all, { mask }) => all | mask, 0);
        assert.equal(found, masks.get(chunk) ?? 0, `chunk ${chunk}`);
        const start = chunk * CHUNK_BYTES;
        const content = disk.subarray(start, start + chunkLength(chunk, SIZE));
        const into = new Uint8Array(content.length).fill(0xa5);
        for (const entry of entries) {
          assert.ok(equalBytes(entry.digest, digestOf(content)));
          await index.lay(entry, entry.mask, into);
        }
        expectLaid(into, content, found);
      }
    }
  }
});

/** Blocks of `mask` are there, the others untouched. */
function expectLaid(into: Uint8Array, content: Uint8Array, mask: number): void {
  for (let at = 0; at < content.length; at += 512) {
    const has = (mask & (1 << Math.floor(at / BLOCK_BYTES))) !== 0;
    const wanted = has ? content.subarray(at, at + 512) : new Uint8Array(512).fill(0xa5);
    assert.deepEqual(into.subarray(at, at + 512), wanted, `byte ${at}`);
  }
}

test('only the blocks that are asked for are laid, clipped to a smaller disk', async () => {
  const world = new CrashWorld();
  const disk = oldDisk(30);
  await undoOf(world, disk, 30, 9);
  const index = await UndoIndex.open(world, PATH, new Held(1));
  for (let chunk = 0; chunk < CHUNKS - 1; chunk += 1) {
    for (const entry of await index.find(chunk)) {
      const length = 3 * BLOCK_BYTES + 512;
      const into = new Uint8Array(length).fill(0xa5);
      const mask = entry.mask & 0xaaaa;
      await index.lay(entry, mask, into);
      const start = chunk * CHUNK_BYTES;
      expectLaid(into, disk.subarray(start, start + length), mask);
    }
  }
});

test('a file that has changed since it was opened is an error', async () => {
  const world = new CrashWorld();
  await undoOf(world, oldDisk(31), 31, 9);
  const index = await UndoIndex.open(world, PATH, new Held(1));
  const found = (await Promise.all([...Array(CHUNKS).keys()].map((chunk) => index.find(chunk))))
    .flat()
    .find(({ mask, zero }) => (mask & ~zero) !== 0);
  assert.ok(found !== undefined);
  const size = world.sizeNow(PATH) ?? 0;
  const before = world.peek(PATH)?.slice();
  assert.ok(before !== undefined);
  for (let at = 256; at < size - 96; at += 997) world.flip(PATH, at);
  await assert.rejects(
    index.lay(found, found.mask, new Uint8Array(CHUNK_BYTES)),
    coded('FORMAT_BAD'),
  );
  await assert.rejects(UndoIndex.open(world, PATH, new Held(1)), coded('FORMAT_BAD'));
  world.plant(PATH, before);
  await index.lay(found, found.mask, new Uint8Array(CHUNK_BYTES));
});

test('held: least recently used goes first; failures are not kept', async () => {
  const held = new Held(100);
  const made: string[] = [];
  const get = (key: string): Promise<string> =>
    held.get(key, 40, async () => {
      made.push(key);
      return key;
    });
  await Promise.all([get('a'), get('a'), get('b')]);
  await get('a');
  await get('c');
  await get('a');
  assert.deepEqual(made, ['a', 'b', 'c'], 'b went, a was used');
  await get('b');
  assert.deepEqual(made, ['a', 'b', 'c', 'b']);
  await held.get('large', 1000, async () => 1);
  await get('a');
  assert.deepEqual(made.slice(4), ['a'], 'the large one left no room, and went');
  let tries = 0;
  const failing = () =>
    held.get('x', 1, async () => {
      tries += 1;
      throw new TypeError('no');
    });
  await assert.rejects(failing());
  await assert.rejects(failing());
  assert.equal(tries, 2);
});
