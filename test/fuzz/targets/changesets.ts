// Changeset files: a whole one by its trailer, staged ones by walking their frames, as a replica
// takes them over after a restart. Every check of the file is put right after a change, the digest
// of the index too. Layout: hast-changeset(5).
import assert from 'node:assert/strict';
import { isoTime } from '../../../src/base/clock.js';
import { checkOf, equalBytes, runningDigest } from '../../../src/base/digest.js';
import type { Random } from '../../../src/base/random.js';
import { FRAME_BYTES_MAX } from '../../../src/format/changeset.js';
import {
  CHANGESET_HEADER_BYTES,
  CHANGESET_TRAILER_BYTES,
  encodeHeader,
  encodeTrailer,
} from '../../../src/format/changeset-file.js';
import { INDEX_ENTRY_BYTES, indexAccumulator } from '../../../src/format/changeset-index.js';
import {
  type ChangesetReader,
  openChangeset,
  readHeader,
  scanFrames,
} from '../../../src/format/changeset-reader.js';
import { ChangesetWriter } from '../../../src/format/changeset-writer.js';
import { decodeFrame, encodeFrame } from '../../../src/format/frame.js';
import { FRAME_HEADER_BYTES } from '../../../src/format/frame-header.js';
import { packer, packRaw, unpack } from '../../../src/format/pack.js';
import { HeldStages } from '../../../src/receive/held-stages.js';
import { allOf, HEADER, MemoryHandle, smallFrame } from '../../format/material.js';
import { CrashWorld } from '../../world/memory-files.js';
import { decided, oneBitOff, plain, pure, refusal, type Target } from '../target.js';
import { mendFrame } from './frames.js';

const STAGE = '/stage-fuzz';
const HEADER_CHECK_AT = CHANGESET_HEADER_BYTES - 8;

async function wholeFile(from: 'first' | 'later'): Promise<Uint8Array> {
  const handle = new MemoryHandle();
  const header = from === 'first' ? { ...HEADER, from: null } : HEADER;
  const writer = await ChangesetWriter.create(handle, header);
  const zeroes = { ...smallFrame(0), entries: smallFrame().entries.slice(1, 4) };
  await writer.append(encodeFrame({ ...zeroes, blocks: NONE }, packRaw), zeroes.entries);
  await writer.append(encodeFrame(smallFrame(1), packer({ codec: 'zstd' })), smallFrame(1).entries);
  await writer.finish();
  return handle.bytes;
}

const NONE = new Uint8Array(0);
/** Made once: seeds are asked for in the call. */
const FILES = [await wholeFile('later'), await wholeFile('first')];

function mendHeader(bytes: Uint8Array): void {
  if (bytes.length < CHANGESET_HEADER_BYTES) return;
  bytes.set(checkOf(bytes.subarray(0, HEADER_CHECK_AT)), HEADER_CHECK_AT);
}

/** Frames put right one after the other, as far as their lengths lead; returns where they end. */
function mendFrames(bytes: Uint8Array, from: number, to: number, random: Random): number {
  let at = from;
  for (let number = 0; at + FRAME_HEADER_BYTES <= to; number += 1) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    if (bytes[at] !== 0x48 || bytes[at + 1] !== 0x46) break;
    const stored = Math.min(view.getUint32(28), to - at - FRAME_HEADER_BYTES);
    if (random.below(8) > 0) view.setUint32(4, number);
    mendFrame(bytes.subarray(at, at + FRAME_HEADER_BYTES + stored), random);
    at += FRAME_HEADER_BYTES + stored;
  }
  return at;
}

export function mendFile(bytes: Uint8Array, random: Random): Uint8Array {
  const least = CHANGESET_HEADER_BYTES + CHANGESET_TRAILER_BYTES;
  if (bytes.length < least) return bytes;
  mendHeader(bytes);
  const trailerAt = bytes.length - CHANGESET_TRAILER_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = mendFrames(bytes, CHANGESET_HEADER_BYTES, trailerAt, random);
  if (random.below(4) > 0) {
    const entries = Math.floor((trailerAt - end) / INDEX_ENTRY_BYTES);
    view.setBigUint64(trailerAt + 8, BigInt(end));
    view.setBigUint64(trailerAt + 16, BigInt(entries));
    view.setBigUint64(trailerAt + 32, BigInt(end - CHANGESET_HEADER_BYTES));
  }
  const digest = runningDigest();
  digest.add(
    bytes.subarray(Math.min(Number(view.getBigUint64(trailerAt + 8)), trailerAt), trailerAt),
  );
  bytes.set(digest.done(), trailerAt + 48);
  bytes.set(checkOf(bytes.subarray(trailerAt, trailerAt + 88)), trailerAt + 88);
  return bytes;
}

/** All of an accepted file is read, as restoring does. Bodies may be refused, one by one. */
async function readThrough(reader: ChangesetReader, input: Uint8Array): Promise<void> {
  isoTime(reader.header.to.timeMs);
  const { totals, header } = reader;
  const stored = await allOf(reader.frames());
  assert.equal(stored.length, totals.frames);
  const offsets = await reader.frameOffsets();
  assert.deepEqual(
    offsets,
    stored.map((one) => one.offset),
  );
  const again = indexAccumulator();
  for (const { header: facts, bytes, offset } of stored) {
    const place = `memory at ${offset}`;
    const frame = decodeFrame(bytes, place, unpack, header.sizeBytes);
    again.add(facts, frame.entries);
  }
  await allOf(reader.index());
  const counted = again.totals();
  if (!equalBytes(counted.indexDigest, totals.indexDigest)) return; // the index lies: see `index`
  assert.equal(plain(counted), plain(totals), 'the totals are those of the frames');
  const bytes = Buffer.concat([
    encodeHeader(header),
    input.subarray(CHANGESET_HEADER_BYTES, input.length - CHANGESET_TRAILER_BYTES),
    encodeTrailer(totals, CHANGESET_HEADER_BYTES + totals.storedBytes),
  ]);
  assert.ok(equalBytes(bytes, input), 'one encoding');
}

const file: Target = {
  name: 'changeset',
  kind: 'bytes',
  inputBytesMax: 20_000,
  onceBytesMax: FRAME_BYTES_MAX,
  totalBytesMax: 32 * FRAME_BYTES_MAX,
  seeds: () => FILES,
  mend: mendFile,
  open: pure(async (input) => {
    let reader: ChangesetReader;
    try {
      reader = await openChangeset(new MemoryHandle(input));
    } catch (error) {
      return refusal(error, 'memory');
    }
    try {
      await readThrough(reader, input);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      refusal(error, 'memory');
    }
    const trailerAt = input.length - CHANGESET_TRAILER_BYTES;
    for (const [from, to] of [
      [0, CHANGESET_HEADER_BYTES],
      [CHANGESET_HEADER_BYTES + reader.totals.storedBytes, input.length],
      [trailerAt, input.length],
    ]) {
      const handle = new MemoryHandle(oneBitOff(input, from, to));
      await assert.rejects(openChangeset(handle), /memory/, 'one bit off');
    }
    return 'accepted';
  }),
};

/** A header and a frame without a trailer, in the place of an earlier round's stage. */
const staged: Target = {
  name: 'staged',
  kind: 'bytes',
  inputBytesMax: 20_000,
  onceBytesMax: 8 * FRAME_BYTES_MAX,
  totalBytesMax: 64 * FRAME_BYTES_MAX,
  seeds: () => FILES.map((whole) => whole.slice(0, whole.length - CHANGESET_TRAILER_BYTES)),
  mend: (bytes, random) => {
    mendHeader(bytes);
    mendFrames(bytes, CHANGESET_HEADER_BYTES, bytes.length, random);
    return bytes;
  },
  open: pure(async (input) => {
    const handle = new MemoryHandle(input);
    const verdict = await decided(
      'memory',
      () => readHeader(handle),
      async (header) => {
        assert.ok(equalBytes(encodeHeader(header), input.subarray(0, CHANGESET_HEADER_BYTES)));
        const broken = new MemoryHandle(oneBitOff(input, 0, CHANGESET_HEADER_BYTES));
        await assert.rejects(readHeader(broken), /memory/);
      },
    );
    await allOf(scanFrames(handle, CHANGESET_HEADER_BYTES, input.length));
    await takenOver(input);
    return verdict;
  }),
};

/** What is kept of it can be handed out: whole entries with their blocks, of this disk. */
async function takenOver(input: Uint8Array): Promise<void> {
  const world = new CrashWorld();
  world.plant(STAGE, input);
  const from = HEADER.from;
  assert.ok(from);
  const facts = { resource: HEADER.resource, from, sizeBytes: HEADER.sizeBytes };
  const held = await HeldStages.open(world, '/', facts, null);
  try {
    const entries = await held.entries(0, 10);
    assert.ok(entries.length <= held.chunks);
    for (const { chunk, digest } of entries) {
      const taken = await held.take([{ chunk, digest }]);
      assert.ok(taken, 'what is told is held');
      encodeFrame({ number: 0, ...taken }, packRaw);
    }
  } finally {
    await held.close();
  }
}

export const CHANGESET_TARGETS: readonly Target[] = [file, staged];
