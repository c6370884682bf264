// The compute workers of the process, behind the Compute interface of the rounds. One pool for all
// resources; as many threads as processors, four at most, started when first needed.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { type Compute, chunkDigests } from '../format/compute.js';
import { frameBody } from '../format/frame.js';
import type { Compression } from '../format/pack.js';
import type { ComputeTask } from './compute-thread.js';

const THREADS_MAX = 4;
/** A task of fewer chunks is done at once: handing it over would cost more. */
const CHUNKS_HANDED_OVER_MIN = 4;
const IDLE_MS = 30_000;

export interface ComputePool {
  for(compression: Compression): Compute;
  close(): Promise<void>;
}

export function startComputePool(): ComputePool {
  const pool = new Piscina<ComputeTask, Uint8Array>({
    filename: fileURLToPath(new URL('./compute-thread.js', import.meta.url)),
    minThreads: 0,
    maxThreads: Math.min(THREADS_MAX, availableParallelism()),
    idleTimeout: IDLE_MS,
  });
  return {
    for: (compression) => ({
      digests: async (bytes, lengths) =>
        lengths.length < CHUNKS_HANDED_OVER_MIN
          ? chunkDigests(bytes, lengths)
          : pool.run({ kind: 'digests', bytes, lengths }),
      frame: async (number, entries, blocks) => {
        const { facts, raw } = frameBody(number, entries, blocks);
        return pool.run({ kind: 'frame', facts, raw, compression });
      },
    }),
    close: () => pool.destroy(),
  };
}
