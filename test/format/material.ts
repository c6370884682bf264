// Material of the format tests: a file in memory, a seed that can be repeated, frames of any legal
// shape, and the flip of every byte. Nothing here knows a layout.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../../src/base/digest.js';
import type { FileHandle } from '../../src/base/files.js';
import { hex } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount, chunkLength, chunkMask, MASK_ALL } from '../../src/base/units.js';
import {
  type ChangesetHeader,
  FormatError,
  type Frame,
  type FrameEntry,
} from '../../src/format/changeset.js';
import { entryBytes } from '../../src/format/frame-spans.js';

/** Parameters of fc.assert; HAST_SEED repeats a failure. */
export function seeded(t: TestContext, numRuns = 100): { seed: number; numRuns: number } {
  const given = process.env['HAST_SEED'];
  const seed = given === undefined ? Date.now() % 2 ** 31 : Number(given);
  t.diagnostic(`HAST_SEED=${seed}`);
  return { seed, numRuns };
}

/** A FileHandle on memory. `bytes` is its content. */
export class MemoryHandle implements FileHandle {
  readonly path = 'memory';
  bytes: Uint8Array;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.bytes = bytes;
  }

  size = async () => this.bytes.length;
  read = async (into: Uint8Array, offset: number) => this.readNow(into, offset);
  write = async (bytes: Uint8Array, offset: number) => this.writeNow(bytes, offset);
  sync = async () => {};
  reserve = async () => {};
  close = async () => {};

  readNow(into: Uint8Array, offset: number): number {
    const part = this.bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  writeNow(bytes: Uint8Array, offset: number): void {
    const size = Math.max(this.bytes.length, offset + bytes.length);
    const grown = new Uint8Array(size);
    grown.set(this.bytes);
    grown.set(bytes, offset);
    this.bytes = grown;
  }

  async truncate(bytes: number): Promise<void> {
    this.bytes = this.bytes.slice(0, bytes);
  }
}

/** `length` bytes that follow from `seed`; they compress well when `seed` is even. */
export function content(length: number, seed: number): Uint8Array {
  let state = (seed + 1) >>> 0;
  return Uint8Array.from({ length }, (_, at) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return seed % 2 === 0 ? 1 + ((at >>> 6) & 7) : state >>> 24;
  });
}

/** A legal frame and the disk size it belongs to: gaps, runs of zero chunks, a short last block. */
export const frames: fc.Arbitrary<{ frame: Frame; sizeBytes: number }> = fc
  .record({
    number: fc.integer({ min: 0, max: 0xffff_ffff }),
    shapes: fc.array(
      fc.record({
        gap: fc.integer({ min: 0, max: 3 }),
        mask: fc.oneof(fc.constant(MASK_ALL), fc.integer({ min: 1, max: MASK_ALL })),
        zero: fc.oneof(fc.constant(MASK_ALL), fc.constant(0), fc.integer({ max: MASK_ALL })),
        digest: fc.integer({ min: 0, max: 2 }),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    start: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** 31 })),
    missingSectors: fc.integer({ min: 0, max: 127 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  })
  .map(({ number, shapes, start, missingSectors, seed }) => {
    let chunk = start;
    const places = shapes.map(({ gap }) => {
      chunk += gap + 1;
      return chunk;
    });
    const sizeBytes = (chunk + 1) * CHUNK_BYTES - missingSectors * 512;
    const entries = shapes.map(({ mask, zero, digest }, i) =>
      entryOf(places[i] ?? 0, mask, zero, digest, sizeBytes),
    );
    const length = entries.reduce((sum, entry) => sum + entryBytes(entry, sizeBytes), 0);
    return { frame: { number, entries, blocks: content(length, seed) }, sizeBytes };
  });

function entryOf(chunk: number, mask: number, zero: number, digest: number, sizeBytes: number) {
  const there = chunkMask(chunk, sizeBytes);
  const own = (mask & there) === 0 ? 1 : mask & there;
  const shared = new Uint8Array(16).fill(digest);
  return { chunk, mask: own, zero: zero & own, digest: shared } satisfies FrameEntry;
}

/** A small frame by hand: a partial chunk, three zero chunks, and the short end of the disk. */
export const SMALL_SIZE_BYTES = 9 * CHUNK_BYTES + 4096 + 512;
export function smallFrame(number = 0): Frame {
  const zero = digestOf(new Uint8Array(CHUNK_BYTES));
  const entry = (chunk: number, mask: number, zeroMask: number, digest: Uint8Array) => ({
    chunk,
    mask,
    zero: zeroMask,
    digest,
  });
  const entries = [
    entry(2, 0b101, 0b100, new Uint8Array(16).fill(0xaa)),
    ...[4, 5, 6].map((chunk) => entry(chunk, MASK_ALL, MASK_ALL, zero)),
    entry(9, 0b11, 0, new Uint8Array(16).fill(0xbb)),
  ];
  assert.equal(chunkCount(SMALL_SIZE_BYTES), 10);
  assert.equal(chunkLength(9, SMALL_SIZE_BYTES), 4608);
  return { number, entries, blocks: content(4096 + 4608, 2) };
}

export const HEADER: ChangesetHeader = {
  kind: 'round',
  resource: new Uint8Array(16).fill(1),
  round: new Uint8Array(16).fill(3),
  from: { id: new Uint8Array(16).fill(2), number: 41, timeMs: 1_795_000_000_000 },
  to: { id: new Uint8Array(16).fill(3), number: 42, timeMs: 1_795_003_600_000 },
  sizeBytes: SMALL_SIZE_BYTES,
  consistency: 'crash',
};

/** Entries without views, to be compared. */
export const plain = (entries: readonly FrameEntry[]) =>
  entries.map(({ chunk, mask, zero, digest }) => ({ chunk, mask, zero, digest: hex(digest) }));

/** Everything that comes (Array.fromAsync is of Node 22). */
export async function allOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const one of source) out.push(one);
  return out;
}

/** FORMAT_BAD, or FORMAT_VERSION where a flip made another version digit of it. */
export const isFormatError = (error: unknown): boolean => error instanceof FormatError;

/** FORMAT_BAD with `why` in its sentence. */
export const badBecause = (why: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FormatError, `FormatError expected, got ${String(error)}`);
  assert.equal(error.fault.code, 'FORMAT_BAD');
  assert.match(error.message, why);
  return true;
};

/** `bytes` with every single byte changed in turn, in two ways: one bit, all bits. */
export function* flips(bytes: Uint8Array): Generator<{ at: number; bytes: Uint8Array }> {
  for (let at = 0; at < bytes.length; at += 1) {
    for (const change of [1 << (at % 8), 0xff]) {
      const copy = Uint8Array.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ change;
      yield { at, bytes: copy };
    }
  }
}
