// The compute workers of the process, behind the Compute interface of the rounds: they pack and
// seal frames. Digests are made at once: BLAKE3 does 5 GB/s, handing a MiB over costs as much
// (measured: 150 ms of a round of 640 MB). One pool for all resources; as many threads as
// processors, four at most, started when first needed.
import { availableParallelism } from 'node:os';
import { BufferPool } from '../base/ahead.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { threadPool } from '../base/threads.js';
import { FRAME_BYTES_MAX } from '../format/changeset.js';
import { type Compute, chunkDigests } from '../format/compute.js';
import { frameBody } from '../format/frame.js';
import type { Compression } from '../format/pack.js';
import type { ComputeTask } from './compute-thread.js';

const THREADS_MAX = 4;
const IDLE_MS = 10 * 60_000;
/** Of a worker's heap: it keeps nothing. */
const YOUNG_MIB = 2;

export interface ComputePool {
  for(compression: Compression): Compute;
  close(): Promise<void>;
}

export function startComputePool(log: Log): ComputePool {
  const pool = threadPool<ComputeTask, ArrayBuffer>({
    module: new URL('./compute-thread.js', import.meta.url),
    threadsMin: 0,
    threadsMax: Math.min(THREADS_MAX, availableParallelism()),
    idleMs: IDLE_MS,
    youngMib: YOUNG_MIB,
    died: (error) => log.error('a compute thread has died', { why: describeError(error) }),
  });
  const rooms = new BufferPool(FRAME_BYTES_MAX);
  return {
    for: (compression) => ({
      digests: async (bytes, lengths) => chunkDigests(bytes, lengths),
      frame: async (number, entries, blocks) => {
        // Shared, and used again: a collector leaves 64 MiB of such memory alone before it looks.
        const memory = rooms.take();
        const { facts, raw } = frameBody(number, entries, blocks, { raw: memory });
        const frame = await pool.run({ facts, raw, compression });
        rooms.give(memory);
        return new Uint8Array(frame);
      },
    }),
    close: () => pool.close(),
  };
}
