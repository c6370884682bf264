// Taking over what is staged: what is found is what was staged, the newest of each chunk, and no
// frame is read again for each of its chunks: it is the round thread that does it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestOf } from '../../src/base/digest.js';
import type { Files } from '../../src/base/files.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MASK_ALL } from '../../src/base/units.js';
import { FRAME_ENTRIES_MAX, type FrameEntry } from '../../src/format/changeset.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import { zeroDigest } from '../../src/format/digest-table.js';
import { encodeFrame } from '../../src/format/frame.js';
import { packRaw } from '../../src/format/pack.js';
import { HeldStages } from '../../src/receive/held-stages.js';

const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
const FROM = { id: id(1), number: 1, timeMs: 1 };
const RESOURCE = id(9);

/** Reads of all files so far. */
let reads = 0;

const counted = (files: Files): Files => ({
  ...files,
  open: async (path, how) => {
    const handle = await files.open(path, how);
    const read = handle.read.bind(handle);
    handle.read = (into, offset) => {
      reads += 1;
      return read(into, offset);
    };
    return handle;
  },
});

interface Staged {
  readonly entries: readonly FrameEntry[];
  readonly blocks: Uint8Array;
}

/** What is held of staged files of these frames, the oldest first. */
async function held(
  t: TestContext,
  sizeBytes: number,
  ...stages: readonly (readonly Staged[])[]
): Promise<HeldStages> {
  const directory = mkdtempSync(join(tmpdir(), 'hast-held-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const files = counted(nodeFiles(() => {}));
  for (const [at, frames] of stages.entries()) {
    const handle = await files.open(join(directory, `stage-${at}`), 'truncate');
    const to = { id: id(2 + at), number: 2 + at, timeMs: 2 };
    const facts = { kind: 'round', resource: RESOURCE, round: to.id, from: FROM, to } as const;
    const writer = await ChangesetWriter.create(handle, {
      ...facts,
      sizeBytes,
      consistency: 'crash',
    });
    for (const [number, frame] of frames.entries()) {
      await writer.append(encodeFrame({ number, ...frame }, packRaw), frame.entries);
    }
    await handle.close();
  }
  const facts = { resource: RESOURCE, from: FROM, sizeBytes };
  const found = await HeldStages.open(files, directory, facts, null);
  t.after(() => found.close());
  return found;
}

const itemsOf = (entries: readonly FrameEntry[]) =>
  entries.map(({ chunk, digest }) => ({ chunk, digest }));

test('chunks are found with their own blocks, the last one short, some of zeroes', async (t) => {
  const random = seededRandom(1);
  const sizeBytes = 5 * CHUNK_BYTES + 512;
  const entry = (chunk: number, mask: number, zero: number): FrameEntry => ({
    chunk,
    mask,
    zero,
    digest: new Uint8Array(digestOf(Uint8Array.of(chunk))),
  });
  const first = [entry(0, 0b111, 0b010), entry(2, MASK_ALL, MASK_ALL), entry(3, 0b1, 0)];
  const second = [entry(4, 0b1000, 0), entry(5, 0b1, 0)];
  const [one, two] = [random.bytes(3 * BLOCK_BYTES), random.bytes(BLOCK_BYTES + 512)];
  const stages = await held(t, sizeBytes, [
    { entries: first, blocks: one },
    { entries: second, blocks: two },
  ]);
  assert.equal(stages.chunks, 5);
  assert.deepEqual(await stages.entries(0, 6), [...first, ...second]);
  assert.deepEqual(await stages.entries(1, 2), [first[1]]);
  const some = [first[0], first[2], second[1]].filter((each) => each !== undefined);
  const taken = await stages.take(itemsOf(some));
  assert.deepEqual(taken?.entries, some);
  const wanted = [one, two.subarray(BLOCK_BYTES)];
  assert.deepEqual(Buffer.from(taken?.blocks ?? []), Buffer.concat(wanted));
  assert.equal(await stages.take([{ chunk: 1, digest: id(0) }]), null, 'it is not staged');
  assert.equal(await stages.take([{ chunk: 3, digest: id(0) }]), null, 'with another digest');
});

/** Zero chunks 0..chunks-1, every `step`th of them. */
const zeroes = (chunks: number, step: number): readonly Staged[] => {
  const facts = { mask: MASK_ALL, zero: MASK_ALL, digest: zeroDigest(CHUNK_BYTES) };
  const length = Math.ceil(chunks / step);
  const entries = Array.from({ length }, (_, at) => ({ chunk: at * step, ...facts }));
  return [{ entries, blocks: new Uint8Array(0) }];
};

test('a frame full of zero chunks, and files of which every other chunk is wanted', async (t) => {
  const chunks = FRAME_ENTRIES_MAX / 4;
  const stages = await held(t, chunks * CHUNK_BYTES, zeroes(chunks, 1), zeroes(chunks, 2));
  const found = await stages.entries(0, chunks);
  const before = reads;
  const taken = await stages.take(itemsOf(found));
  assert.deepEqual(taken?.entries, found);
  assert.ok(reads - before <= 8, `${reads - before} reads for two frames`);
});
