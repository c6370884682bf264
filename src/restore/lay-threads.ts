// Threads that lay the frames of one archive (lay-frames.ts), beside the one that asks the store
// and writes: that one keeps a processor busy. Jobs of few chunks, as disks of scattered blocks
// have them, are done sooner than handed over. Memory: each 14 MiB, and what lay-frames.ts keeps.
import { availableParallelism } from 'node:os';
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
    lay: (job) => (job.wanted.length <= HERE_CHUNKS_MAX ? here(job) : pool.run(job)),
    close: () => pool.destroy(),
  };
}
