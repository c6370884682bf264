// An AbortSignal of one thread as another one sees it: a word of shared memory that goes with a
// call (thread-calls.ts carries values only).

/** 0: go on. */
export type StopWord = Int32Array<SharedArrayBuffer>;

const newStopWord = (): StopWord => new Int32Array(new SharedArrayBuffer(4));

function stop(word: StopWord): void {
  Atomics.store(word, 0, 1);
  Atomics.notify(word, 0);
}

/** Runs `work` with a word that stops when `signal` does; afterwards nobody waits on it. */
export async function withStopWord<T>(
  signal: AbortSignal,
  work: (word: StopWord) => Promise<T>,
): Promise<T> {
  const word = newStopWord();
  const abort = (): void => stop(word);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await work(word);
  } finally {
    signal.removeEventListener('abort', abort);
    stop(word);
  }
}

/** The other end's. */
export function signalOf(word: StopWord): AbortSignal {
  const stopped = new AbortController();
  const waiting = Atomics.waitAsync(word, 0, 0);
  if (waiting.async) void waiting.value.then(() => stopped.abort());
  else stopped.abort();
  return stopped.signal;
}
