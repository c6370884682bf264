// The runs of one target in order: one at a time; whoever asks while one waits to begin shares it;
// whoever asks while one runs gets the next, whose cut then comes after the request. What runs can
// be ended from outside. Guarantee: after `close` nothing runs and nothing begins undisturbed.
import { Mutex } from '../base/sync.js';

export class RunQueue<T> {
  readonly #order = new Mutex();
  /** Ends what runs now; null: nothing that can be ended does. */
  #running: AbortController | null = null;
  #waiting: Promise<T> | null = null;
  #requests = 0;
  #closed = false;

  /** A requested run has not ended yet. */
  get busy(): boolean {
    return this.#requests > 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Runs `work` while no other of this queue runs. */
  exclusive<R>(work: () => Promise<R>): Promise<R> {
    return this.#order.run(work);
  }

  /** As `exclusive`; `cancel` and `close` abort its signal. */
  alone<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R> {
    return this.exclusive(async () => {
      const running = new AbortController();
      this.#running = running;
      if (this.#closed) running.abort();
      try {
        return await work(running.signal);
      } finally {
        this.#running = null;
      }
    });
  }

  /** Joins the run that waits to begin, or queues one. */
  request(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#waiting !== null) return this.#waiting;
    this.#requests += 1;
    const next = this.alone((signal) => {
      this.#waiting = null;
      return work(signal);
    }).finally(() => {
      this.#requests -= 1;
    });
    this.#waiting = next;
    return next;
  }

  /** Aborts what runs now; false: nothing does. */
  cancel(): boolean {
    this.#running?.abort();
    return this.#running !== null;
  }

  /** Aborts what runs and what waits; resolves when all has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.cancel();
    await this.exclusive(async () => undefined);
  }
}
