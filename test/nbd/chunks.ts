// Structured replies as a client sees them, written from proto.md and not from src/nbd: splits,
// puts reads together, and is strict: chunks that overlap, lie outside or leave a gap fail the
// test.
import assert from 'node:assert/strict';

export const CHUNK_MAGIC = 0x668e33ef;
export const DONE = 1;
export const TYPE = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
};

export interface Chunk {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** The 20 bytes of a head. */
export function chunkHead(head: Buffer): { type: number; flags: number; bytes: number } {
  assert.equal(head.readUInt32BE(0), CHUNK_MAGIC);
  return {
    flags: head.readUInt16BE(4),
    type: head.readUInt16BE(6),
    bytes: head.readUInt32BE(16),
  };
}

/** Splits bytes that hold whole chunks only. */
export function splitChunks(bytes: Buffer): (Chunk & { readonly cookie: bigint })[] {
  const chunks: (Chunk & { cookie: bigint })[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { type, flags, bytes: length } = chunkHead(bytes.subarray(at, at + 20));
    const payload = bytes.subarray(at + 20, at + 20 + length);
    assert.equal(payload.length, length, 'a chunk is whole');
    chunks.push({ type, flags, payload, cookie: bytes.readBigUInt64BE(at + 8) });
    at += 20 + length;
  }
  return chunks;
}

/** The first error of a reply, or 0. */
export function errorOf(chunks: readonly Chunk[]): number {
  const found = chunks.find(({ type }) => type >= 0x8000);
  if (found === undefined) return 0;
  const text = found.payload.readUInt16BE(4);
  assert.equal(found.payload.length, (found.type === TYPE.ERROR ? 6 : 14) + text);
  const error = found.payload.readUInt32BE(0);
  assert.notEqual(error, 0);
  return error;
}

/** Where the errors with a place are. */
export const errorPlaces = (chunks: readonly Chunk[]): number[] =>
  chunks
    .filter(({ type }) => type === TYPE.ERROR_OFFSET)
    .map(({ payload }) => Number(payload.readBigUInt64BE(6 + payload.readUInt16BE(4))));

/** What was read; without an error every byte must be there, once. */
export function assemble(
  chunks: readonly Chunk[],
  offset: number,
  length: number,
  error: number,
): Buffer {
  const data = Buffer.alloc(length, 0xee);
  const covered: { from: number; to: number }[] = [];
  for (const { type, payload } of chunks) {
    if (type !== TYPE.OFFSET_DATA && type !== TYPE.OFFSET_HOLE) continue;
    const from = Number(payload.readBigUInt64BE(0)) - offset;
    const size = type === TYPE.OFFSET_HOLE ? payload.readUInt32BE(8) : payload.length - 8;
    assert.ok(size > 0 && from >= 0 && from + size <= length, 'a chunk lies in the request');
    assert.ok(!covered.some((one) => one.from < from + size && from < one.to), 'no overlap');
    covered.push({ from, to: from + size });
    if (type === TYPE.OFFSET_HOLE) data.fill(0, from, from + size);
    else payload.copy(data, from, 8);
  }
  const total = covered.reduce((sum, { from, to }) => sum + to - from, 0);
  if (error === 0) assert.equal(total, length, 'a read without error is whole');
  return data;
}

export interface Runs {
  readonly context: number;
  readonly runs: readonly [length: number, flags: number][];
}

/** The runs of each context of a BLOCK_STATUS reply. */
export const statusOf = (chunks: readonly Chunk[]): Runs[] =>
  chunks
    .filter(({ type }) => type === TYPE.BLOCK_STATUS)
    .map(({ payload }) => {
      assert.ok(payload.length >= 12 && (payload.length - 4) % 8 === 0);
      const runs: [number, number][] = [];
      for (let at = 4; at < payload.length; at += 8) {
        assert.notEqual(payload.readUInt32BE(at), 0, 'a run is not empty');
        runs.push([payload.readUInt32BE(at), payload.readUInt32BE(at + 4)]);
      }
      return { context: payload.readUInt32BE(0), runs };
    });
