// The night as a guest's writes: the blocks in which two images differ, merged into runs of at most
// 256 KiB in disk order; runs of zeroes as WRITE_ZEROES, a FLUSH after every 64. Sizes are bytes.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { isZero } from '../src/base/digest.js';
import { BLOCK_BYTES, MIB } from '../src/base/units.js';
import { NbdClient } from './nbd-client.js';

export interface Run {
  readonly offset: number;
  readonly length: number;
  readonly zero: boolean;
}

const RUN_BYTES_MAX = 256 * 1024;
const RUNS_PER_FLUSH = 64;
const DEPTH = 16;

/** What turns `before` into `after`, two images of one size. */
export function runsBetween(before: string, after: string, diskBytes: number): readonly Run[] {
  const [fdBefore, fdAfter] = [openSync(before, 'r'), openSync(after, 'r')];
  const [old, now] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
  const runs: Run[] = [];
  const add = (offset: number, zero: boolean): void => {
    const last = runs.at(-1);
    const joins =
      last !== undefined &&
      last.zero === zero &&
      last.offset + last.length === offset &&
      last.length < RUN_BYTES_MAX;
    if (joins) runs[runs.length - 1] = { ...last, length: last.length + BLOCK_BYTES };
    else runs.push({ offset, length: BLOCK_BYTES, zero });
  };
  try {
    for (let at = 0; at < diskBytes; at += MIB) {
      readSync(fdBefore, old, 0, MIB, at);
      readSync(fdAfter, now, 0, MIB, at);
      if (old.equals(now)) continue;
      for (let block = 0; block < MIB; block += BLOCK_BYTES) {
        const bytes = now.subarray(block, block + BLOCK_BYTES);
        if (!bytes.equals(old.subarray(block, block + BLOCK_BYTES))) add(at + block, isZero(bytes));
      }
    }
  } finally {
    closeSync(fdBefore);
    closeSync(fdAfter);
  }
  return runs;
}

/** Writes the runs, with the content of `image`, through the export; returns seconds. */
export async function replay(
  socketPath: string,
  runs: readonly Run[],
  image: string,
  name = 'vm1',
): Promise<number> {
  const fd = openSync(image, 'r');
  const client = await NbdClient.open(socketPath, name);
  try {
    const began = performance.now();
    let next = 0;
    const one = async ({ offset, length, zero }: Run): Promise<void> => {
      if (zero) return client.zero(offset, length);
      const bytes = Buffer.alloc(length);
      readSync(fd, bytes, 0, length, offset);
      return client.write(offset, bytes);
    };
    const oneAfterAnother = async (): Promise<void> => {
      for (let at = next++; at < runs.length; at = next++) {
        const run = runs[at];
        if (run !== undefined) await one(run);
        if (at % RUNS_PER_FLUSH === RUNS_PER_FLUSH - 1) await client.flush();
      }
    };
    await Promise.all(Array.from({ length: DEPTH }, oneAfterAnother));
    await client.flush();
    return (performance.now() - began) / 1000;
  } finally {
    await client.close();
    closeSync(fd);
  }
}

/** Writes the runs, with the content of `image`, into another image. */
export function writeRuns(path: string, runs: readonly Run[], image: string): void {
  const [from, to] = [openSync(image, 'r'), openSync(path, 'r+')];
  const bytes = Buffer.alloc(RUN_BYTES_MAX);
  try {
    for (const { offset, length } of runs) {
      readSync(from, bytes, 0, length, offset);
      writeSync(to, bytes, 0, length, offset);
    }
  } finally {
    closeSync(from);
    closeSync(to);
  }
}
