// Threads that lay the frames of one archive (lay-frames.ts), beside the one that asks the store
// and writes: that one keeps a processor busy. Memory: each 14 MiB, and what lay-frames.ts keeps.
import { availableParallelism } from 'node:os';
import { threadPool } from '../base/threads.js';
import type { Laid, Lay, LayJob } from './lay-frames.js';
import type { LayThreadData } from './lay-thread.js';

const THREADS_MAX = 2;
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
  return { lay: (job) => pool.run(job), close: () => pool.destroy() };
}
