// Threads that lay the frames of one archive (lay-frames.ts), beside the one that asks the store
// and writes: that one keeps a processor busy. Jobs of few chunks, as disks of scattered blocks
// have them, are done sooner than handed over. Memory: each 14 MiB, and what lay-frames.ts keeps,
// there and in the calling thread.
import { availableParallelism } from 'node:os';
import { assert } from '../base/assert.js';
import { threadPool } from '../base/threads.js';
import { keysOf } from '../format/archive-record.js';
import { type Laid, type Lay, type LayJob, layHere } from './lay-frames.js';
import type { LayThreadData } from './lay-thread.js';

const THREADS_MAX = 2;
/** Chunks of a job that is done in the calling thread. */
const HERE_CHUNKS_MAX = 8;
/** Of a thread's heap: it keeps little. */
const YOUNG_MIB = 4;

export interface LayThreads {
  readonly lay: Lay;
  /** Ends what is under way. */
  close(): Promise<void>;
}

/** `dataKey`: of the archive (Archive.dataKey). */
export function startLayThreads(dataKey: Uint8Array | null): LayThreads {
  const threads = Math.max(1, Math.min(THREADS_MAX, availableParallelism() - 1));
  const workerData: LayThreadData = { dataKey };
  const pool = threadPool<LayJob, Laid>({
    module: new URL('./lay-thread.js', import.meta.url),
    threadsMin: threads,
    threadsMax: threads,
    youngMib: YOUNG_MIB,
    workerData,
  });
  const here = layHere(keysOf(dataKey));
  return {
    lay: (job) => {
      if (job.wanted.length <= HERE_CHUNKS_MAX) return here(job);
      // Of other memory a thread would fill a copy, and nobody would know.
      const isShared = job.wanted.every(({ bytes }) => bytes.buffer instanceof SharedArrayBuffer);
      assert(isShared, 'what threads lay together is in shared memory');
      return pool.run(job);
    },
    close: () => pool.close(),
  };
}
