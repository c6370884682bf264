// Merging undos against what a reader of all of them finds: random masks, digests, zero blocks,
// chunks in two frames, a disk that grew in between, its last block short; and what is lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, isZero } from '../../src/base/digest.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
  chunkMask,
  MIB,
} from '../../src/base/units.js';
import type { FrameEntry } from '../../src/format/changeset.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import { encodeFrame } from '../../src/format/frame.js';
import { packRaw } from '../../src/format/pack.js';
import { Held } from '../../src/history/held.js';
import { mergedName, mergeUndos } from '../../src/history/merge.js';
import { UndoIndex } from '../../src/history/undo-index.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { CrashWorld } from '../world/memory-files.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_261_122);
const DIRECTORY = '/state';

const pointOf = (number: number): PointRef => ({
  id: new Uint8Array(16).fill(number),
  number,
  timeMs: number,
});

/** An undo from point `number` + 1 back to `number`; some chunks stand in two frames. */
async function undoOf(world: CrashWorld, random: Random, number: number, sizeBytes: number) {
  const name = `undo-${number}`;
  const handle = await world.open(`${DIRECTORY}/${name}`, 'truncate');
  const [from, to] = [pointOf(number), pointOf(number + 1)];
  const writer = await ChangesetWriter.create(handle, {
    ...{ kind: 'undo', resource: random.bytes(16), round: to.id, from, to, sizeBytes },
    consistency: 'crash',
  });
  // The same content, whichever frame a block stands in.
  const disk = Buffer.from(random.bytes(sizeBytes));
  for (let at = 0; at < sizeBytes; at += BLOCK_BYTES) {
    if (random.below(4) === 0) disk.fill(0, at, Math.min(sizeBytes, at + BLOCK_BYTES));
  }
  const frame = async (chunks: readonly number[]): Promise<void> => {
    const entries: FrameEntry[] = [];
    const blocks: Uint8Array[] = [];
    for (const chunk of chunks) {
      const mask = (1 + random.below(0xffff)) & chunkMask(chunk, sizeBytes);
      if (mask === 0) continue;
      const at = chunk * CHUNK_BYTES;
      let zero = 0;
      for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
        if ((mask & (1 << block)) === 0) continue;
        const from = at + block * BLOCK_BYTES;
        const bytes = disk.subarray(from, from + BLOCK_BYTES);
        if (isZero(bytes)) zero |= 1 << block;
        else blocks.push(bytes);
      }
      const digest = digestOf(disk.subarray(at, at + CHUNK_BYTES)).slice();
      entries.push({ chunk, mask, zero, digest });
    }
    if (entries.length === 0) return;
    const body = { number: writer.frames, entries, blocks: Buffer.concat(blocks) };
    await writer.append(encodeFrame(body, packRaw), entries);
  };
  let left = [...Array(chunkCount(sizeBytes)).keys()].filter(() => random.below(2) === 0);
  const again = left.filter(() => random.below(6) === 0);
  while (left.length > 0) {
    const count = 1 + random.below(12);
    await frame(left.slice(0, count));
    left = left.slice(count);
  }
  await frame(again.filter((_, at) => at % 2 === 0));
  await frame(again.filter((_, at) => at % 2 === 1));
  await writer.finish();
  await handle.close();
  return name;
}

/** What a reader finds of a chunk: digest, which blocks, and their content. */
async function found(indexes: readonly UndoIndex[], chunk: number, sizeBytes: number) {
  const bytes = new Uint8Array(chunkLength(chunk, sizeBytes));
  let missing = chunkMask(chunk, sizeBytes);
  let digest: Uint8Array | null = null;
  for (const index of indexes) {
    const entries = await index.find(chunk);
    for (const entry of entries) {
      digest ??= entry.digest;
      await index.lay(entry, entry.mask & missing, bytes);
      missing &= ~entry.mask;
    }
  }
  return { digest, missing, bytes };
}

test('a merged undo has what a reader of all of them finds', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const random = seededRandom(SEED);
  for (let run = 0; run < 30; run += 1) {
    const world = new CrashWorld();
    world.plant(`${DIRECTORY}/.made`, 0);
    const count = 2 + random.below(5);
    let sizeBytes = 512 * (1 + random.below(20_000));
    const oldestBytes = sizeBytes;
    const names: string[] = [];
    for (let number = 1; number <= count; number += 1) {
      names.push(await undoOf(world, random, number, sizeBytes));
      if (random.below(3) === 0) sizeBytes += 512 * random.below(2000);
    }
    let turns = 0;
    const turn = async (): Promise<void> => {
      turns += 1;
    };
    const parts = { files: world, directory: DIRECTORY, pack: packRaw, turn };
    const name = mergedName(pointOf(1), pointOf(count + 1));
    const undos = names.map((each) => ({ name: each, lost: [] }));
    assert.deepEqual(await mergeUndos(parts, name, undos), []);
    assert.ok(turns >= count);
    const open = (each: string): Promise<UndoIndex> =>
      UndoIndex.open(world, `${DIRECTORY}/${each}`, new Held(MIB));
    const all: UndoIndex[] = [];
    for (const each of names) all.push(await open(each));
    const merged = await open(name);
    const { header } = merged;
    assert.equal(header.sizeBytes, oldestBytes);
    assert.deepEqual([header.from, header.to], [pointOf(1), pointOf(count + 1)]);
    for (let chunk = 0; chunk < chunkCount(oldestBytes); chunk += 1) {
      const [wanted, got] = [
        await found(all, chunk, oldestBytes),
        await found([merged], chunk, oldestBytes),
      ];
      assert.deepEqual(got, wanted, `run ${run}, chunk ${chunk}`);
    }
    let before = -1;
    for await (const { chunk } of merged.ascending()) {
      assert.ok(chunk > before, 'each chunk once, ascending');
      before = chunk;
    }
    assert.ok(before < chunkCount(oldestBytes));
    assert.ok(
      world.unsyncedFiles().every((path) => !path.includes(name)),
      'it is durable',
    );
  }
});

test('what an older undo has wholly is not lost any more', async () => {
  const world = new CrashWorld();
  world.plant(`${DIRECTORY}/.made`, 0);
  const sizeBytes = 4 * CHUNK_BYTES;
  const write = async (number: number, masks: readonly number[]): Promise<string> => {
    const name = `undo-${number}`;
    const handle = await world.open(`${DIRECTORY}/${name}`, 'truncate');
    const [from, to] = [pointOf(number), pointOf(number + 1)];
    const header = { kind: 'undo', resource: from.id, round: to.id, from, to, sizeBytes } as const;
    const writer = await ChangesetWriter.create(handle, { ...header, consistency: 'crash' });
    const entries = masks
      .map((mask, chunk) => ({ chunk, mask, zero: mask, digest: new Uint8Array(16).fill(chunk) }))
      .filter(({ mask }) => mask !== 0);
    const frame = { number: 0, entries, blocks: new Uint8Array(0) };
    await writer.append(encodeFrame(frame, packRaw), entries);
    await writer.finish();
    await handle.close();
    return name;
  };
  const all = 2 ** BLOCKS_PER_CHUNK - 1;
  assert.equal(BLOCKS_PER_CHUNK * BLOCK_BYTES, CHUNK_BYTES);
  const older = { name: await write(1, [all, 1, 0, 1]), lost: [3] };
  const newer = { name: await write(2, [all, all, all, 0]), lost: [0, 1, 2] };
  const turn = async (): Promise<void> => {};
  const parts = { files: world, directory: DIRECTORY, pack: packRaw, turn };
  assert.deepEqual(await mergeUndos(parts, 'undo-merged', [older, newer]), [1, 2, 3]);
});

test('told to end, it leaves nothing', async () => {
  const random = seededRandom(SEED + 1);
  const world = new CrashWorld();
  world.plant(`${DIRECTORY}/.made`, 0);
  const undos: { name: string; lost: number[] }[] = [];
  for (const number of [1, 2]) {
    undos.push({ name: await undoOf(world, random, number, 16 * MIB), lost: [] });
  }
  for (let stop = 1; stop < 7; stop += 1) {
    let turns = 0;
    const turn = async (): Promise<void> => {
      turns += 1;
      if (turns === stop) throw new DOMException('told to', 'AbortError');
    };
    const parts = { files: world, directory: DIRECTORY, pack: packRaw, turn };
    await assert.rejects(mergeUndos(parts, 'undo-merged', undos), { name: 'AbortError' });
    assert.deepEqual(
      (await world.list(DIRECTORY)).filter((name) => name.includes('merged')),
      [],
    );
  }
});
