// What tests of the running program do with disks: seeded content, writes by qemu-io, and the
// comparison that counts, every byte of primary and replica. Sizes and offsets are bytes.
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { type Finished, finish } from './nodes.js';

export const MIB = 1024 * 1024;
const PIECE_BYTES = 4 * MIB;

/** Runs a program that must succeed. */
export async function succeed(program: string, ...args: string[]): Promise<Finished> {
  const finished = await finish(program, args);
  const { status, stdout, stderr } = finished;
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${status}\n${stdout}${stderr}`);
  return finished;
}

/** `lengthBytes` bytes that look random and are the same for the same seed (xorshift32). */
export function seededBytes(seed: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil(lengthBytes / 4) * 4);
  let x = seed * 2_654_435_761 || 1;
  for (let at = 0; at < bytes.length; at += 4) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes.writeInt32LE(x, at);
  }
  return bytes.subarray(0, lengthBytes);
}

/** A raw image: `dataBytes` of seeded content in front, a hole behind. */
export function makeImage(path: string, sizeBytes: number, dataBytes: number, seed = 1): void {
  const fd = openSync(path, 'wx');
  try {
    writeSync(fd, seededBytes(seed, dataBytes));
    ftruncateSync(fd, sizeBytes);
  } finally {
    closeSync(fd);
  }
}

/** Writes through the export with qemu-io: `write -P 7 0 4k`, `discard 0 1M`, `flush`, ... */
export function qemuIo(uri: string, ...commands: string[]): Promise<Finished> {
  const each = commands.flatMap((command) => ['-c', command]);
  return succeed('qemu-io', '-f', 'raw', ...each, uri);
}

/** Fails unless both files have the same bytes over the length of the first. */
export function assertSameImages(first: string, second: string): void {
  const [a, b] = [openSync(first, 'r'), openSync(second, 'r')];
  try {
    const [one, two] = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)];
    for (let at = 0; ; at += PIECE_BYTES) {
      const got = readSync(a, one, 0, PIECE_BYTES, at);
      const other = readSync(b, two, 0, got, at);
      const same = other === got && one.subarray(0, got).equals(two.subarray(0, got));
      assert.ok(same, `${first} and ${second} differ within 4 MiB of byte ${at}`);
      if (got < PIECE_BYTES) return;
    }
  } finally {
    closeSync(a);
    closeSync(b);
  }
}

/** True where the file holds only `value` from `offset` on for `length` bytes. */
export function holds(path: string, value: number, offset: number, length: number): boolean {
  const bytes = readFileSync(path).subarray(offset, offset + length);
  return bytes.length === length && bytes.every((byte) => byte === value);
}
