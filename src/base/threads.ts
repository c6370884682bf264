// Pools of threads for work that costs processor time, on piscina. Its threads would wait for their
// next task with Atomics.wait, and their event loops never turn: what native modules give back
// between turns (each digest is such memory) would stay until the thread ends: 0.55 KiB for each of
// 160,000 frames, measured. Here they wait for messages, which was as fast.
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
  /** Told when a thread dies that has no task. */
  readonly died?: (error: unknown) => void;
}

export interface ThreadPool<T, R> {
  /** Rejects with what the task throws, or with why its thread died. */
  run(task: T): Promise<R>;
  /** Ends what is under way. */
  close(): Promise<void>;
}

export function threadPool<T, R>(options: ThreadPoolOptions): ThreadPool<T, R> {
  let pool: Piscina<T, R> | null = null;
  const reasons = new WeakMap<Piscina<T, R>, unknown>();
  const start = (): Piscina<T, R> => {
    const made = newPool<T, R>(options);
    // A thread without a task has died, or could not begin. The tasks that wait for one reject, and
    // the next task has new threads.
    made.on('error', (error: unknown) => {
      reasons.set(made, error);
      options.died?.(error);
      if (pool === made) pool = null;
      void made.destroy();
    });
    return made;
  };
  pool = start();
  return {
    run: async (task) => {
      pool ??= start();
      const mine = pool;
      try {
        return await mine.run(task);
      } catch (error) {
        throw reasons.get(mine) ?? error;
      }
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
