// Ordered work with a bounded number of items under way: results come in the order of the items,
// at most `ahead` are being worked on (STYLE 8). An error ends it after the others have settled.

/** Maps `items` through `work`, keeping up to `ahead` calls running, yielding in order. */
export async function* mapAhead<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  ahead: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const next = work(item);
      next.catch(() => undefined);
      running.push(next);
      if (running.length >= ahead) {
        const first = running.shift();
        if (first !== undefined) yield await first;
      }
    }
    for (let first = running.shift(); first !== undefined; first = running.shift()) {
      yield await first;
    }
  } finally {
    await Promise.allSettled(running);
  }
}

/** Buffers of one size, made when none is free; the caller bounds how many are out at once. */
export class BufferPool {
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** A buffer in shared memory, so that compute workers can look at it; content is arbitrary. */
  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(this.#bytes));
  }

  give(buffer: Uint8Array): void {
    this.#free.push(buffer);
  }
}
