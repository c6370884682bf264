// Time, handed in. Wall time is milliseconds since 1970 UTC and may step; monotonic time is
// milliseconds from an arbitrary start and never goes back. Only this folder touches Date.

export interface Clock {
  /** Wall time in milliseconds since the epoch. */
  wallMs(): number;
  /** Monotonic milliseconds. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` is aborted (it never rejects). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done);
    }),
};

/** Result of `within`: the value, or 'timeout'. The promise itself goes on. */
export async function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
): Promise<{ value: T } | 'timeout'> {
  const stop = new AbortController();
  try {
    return await Promise.race([
      promise.then((value) => ({ value })),
      clock.sleep(ms, stop.signal).then(() => 'timeout' as const),
    ]);
  } finally {
    stop.abort();
  }
}

/** ISO 8601 UTC of a wall time, without a fraction of zero: `2026-11-20T02:00:00.000Z`. */
export const isoTime = (wallMs: number): string => new Date(wallMs).toISOString();

/** Lets everything that is ready in this thread run first. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
