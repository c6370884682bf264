// Pools of threads for work that costs processor time, on piscina. Its threads would wait for their
// next task with Atomics.wait, and their event loops never turn: what native modules give back
// between turns (each digest is such memory) would stay until the thread ends, half a KiB a task
// (measured: 2 GiB for the first copy of 1 TiB). Here they wait for messages, which costs nothing
// that could be measured.
import { Piscina } from 'piscina';

export interface ThreadPoolOptions {
  /** URL of a module whose default export does a task. */
  readonly module: URL;
  readonly threadsMin: number;
  readonly threadsMax: number;
  /** Of a thread without a task; none: it stays. */
  readonly idleMs?: number;
  /** Of a thread's heap. */
  readonly youngMib: number;
  /** What the threads are told when they begin. */
  readonly workerData?: unknown;
}

export interface ThreadPool<T, R> {
  /** Rejects with what the task throws, or with why its thread died. */
  run(task: T): Promise<R>;
  /** Ends what is under way. */
  close(): Promise<void>;
}

export function threadPool<T, R>(options: ThreadPoolOptions): ThreadPool<T, R> {
  let pool: Piscina<T, R> | null = null;
  const start = (): Piscina<T, R> => {
    const made = newPool<T, R>(options);
    // A thread without a task has died, or could not begin: nobody would ever be told. Whose task
    // waits here is, and the next task has new threads.
    made.on('error', () => {
      if (pool === made) pool = null;
      void made.destroy();
    });
    return made;
  };
  pool = start();
  return {
    run: (task) => {
      pool ??= start();
      return pool.run(task);
    },
    close: async () => pool?.destroy(),
  };
}

function newPool<T, R>(options: ThreadPoolOptions): Piscina<T, R> {
  const { module, threadsMin, threadsMax, idleMs, youngMib, workerData } = options;
  return new Piscina<T, R>({
    filename: module.href,
    minThreads: threadsMin,
    maxThreads: threadsMax,
    ...(idleMs === undefined ? {} : { idleTimeout: idleMs }),
    ...(workerData === undefined ? {} : { workerData }),
    resourceLimits: { maxYoungGenerationSizeMb: youngMib },
    atomics: 'disabled',
  });
}
