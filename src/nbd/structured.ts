// Structured replies (proto.md, "Structured reply chunk message", "Structured reply types"): the
// bytes of each chunk, and into which chunks a read is cut. Pure. Offsets and lengths are bytes;
// offsets are exact below 2^53, where all disks are.
import type { StatusRun } from '../disk/disk.js';
import { STATE_ZERO } from './meta-context.js';
import { CHUNK, CHUNK_DONE, CHUNK_HEAD_BYTES, CHUNK_MAGIC, DATA_HEAD_BYTES } from './protocol.js';

/** Shorter holes are sent as zeroes: a chunk of their own costs more than the copy. */
export const HOLE_BYTES_MIN = 32 * 1024;

export const HOLE_CHUNK_BYTES = CHUNK_HEAD_BYTES + 12;
export const ERROR_CHUNK_BYTES = CHUNK_HEAD_BYTES + 6;
export const ERROR_OFFSET_CHUNK_BYTES = CHUNK_HEAD_BYTES + 14;
const RUN_BYTES = 8;

export const statusChunkBytes = (runs: number): number => CHUNK_HEAD_BYTES + 4 + runs * RUN_BYTES;

/** A part of a read: bytes of the disk, or nothing but zeroes. */
export interface ReadPart {
  readonly offset: number;
  readonly length: number;
  readonly hole: boolean;
}

/**
 * Parts that cover `length` bytes from `offset` once and in order. `runs` are those of READ_CONTEXT
 * from `offset` on; what they do not reach is data, as are holes shorter than HOLE_BYTES_MIN.
 */
export function readParts(offset: number, length: number, runs: readonly StatusRun[]): ReadPart[] {
  const parts: ReadPart[] = [];
  const end = offset + length;
  let [dataFrom, at] = [offset, offset];
  const endData = (to: number): void => {
    if (to > dataFrom) parts.push({ offset: dataFrom, length: to - dataFrom, hole: false });
  };
  for (const run of runs) {
    const next = Math.min(end, at + run.length);
    if ((run.flags & STATE_ZERO) !== 0 && next - at >= HOLE_BYTES_MIN) {
      endData(at);
      parts.push({ offset: at, length: next - at, hole: true });
      dataFrom = next;
    }
    at = next;
  }
  endData(end);
  return parts;
}

/** Writes chunks of one reply one after the other; `at` moves. One per thread is enough. */
export class ChunkWriter {
  into: Buffer = Buffer.alloc(0);
  at = 0;
  cookieHigh = 0;
  cookieLow = 0;

  /** "Valid as a reply to any request": nothing to say but that it is done. */
  none(): void {
    this.#head(CHUNK.NONE, 0, true);
  }

  /** The head of `length` bytes of data, which the caller puts behind it. */
  dataHead(offset: number, length: number, done: boolean): void {
    this.#head(CHUNK.OFFSET_DATA, DATA_HEAD_BYTES - CHUNK_HEAD_BYTES + length, done);
    this.#long(offset);
  }

  hole(offset: number, length: number, done: boolean): void {
    this.#head(CHUNK.OFFSET_HOLE, HOLE_CHUNK_BYTES - CHUNK_HEAD_BYTES, done);
    this.#long(offset);
    this.#word(length);
  }

  /** Without a place (null) the whole request is doubtful. */
  error(error: number, offset: number | null, done: boolean): void {
    const bytes = offset === null ? ERROR_CHUNK_BYTES : ERROR_OFFSET_CHUNK_BYTES;
    const type = offset === null ? CHUNK.ERROR : CHUNK.ERROR_OFFSET;
    this.#head(type, bytes - CHUNK_HEAD_BYTES, done);
    this.#word(error);
    this.at = this.into.writeUInt16BE(0, this.at); // no text
    if (offset !== null) this.#long(offset);
  }

  status(context: number, runs: readonly StatusRun[], done: boolean): void {
    this.#head(CHUNK.BLOCK_STATUS, statusChunkBytes(runs.length) - CHUNK_HEAD_BYTES, done);
    this.#word(context);
    for (const { length, flags } of runs) {
      this.#word(length);
      this.#word(flags);
    }
  }

  #head(type: number, payloadBytes: number, done: boolean): void {
    const { into } = this;
    let at = into.writeUInt32BE(CHUNK_MAGIC, this.at);
    at = into.writeUInt16BE(done ? CHUNK_DONE : 0, at);
    at = into.writeUInt16BE(type, at);
    at = into.writeUInt32BE(this.cookieHigh, at);
    at = into.writeUInt32BE(this.cookieLow, at);
    this.at = into.writeUInt32BE(payloadBytes, at);
  }

  #word(value: number): void {
    this.at = this.into.writeUInt32BE(value, this.at);
  }

  #long(value: number): void {
    this.#word(Math.floor(value / 2 ** 32));
    this.#word(value % 2 ** 32);
  }
}
