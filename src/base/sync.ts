// Small pieces of order between promises: a mutex, a counting gate, a hand-made promise.
// Everything that can grow has a limit, and someone waits when it is reached (STYLE 8).
import { assert } from './assert.js';

/** A promise with its handles outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Units that can be held at once; `take` waits in order of arrival. */
export class Semaphore {
  #free: number;
  readonly #total: number;
  readonly #waiting: { units: number; go: () => void }[] = [];

  constructor(total: number) {
    assert(total > 0, 'a semaphore has units');
    this.#free = total;
    this.#total = total;
  }

  get held(): number {
    return this.#total - this.#free;
  }

  /** Whoever takes a unit now waits. */
  get full(): boolean {
    return this.#free === 0 || this.#waiting.length > 0;
  }

  /** Waits until `units` (at most the total) are free and holds them. */
  async take(units = 1): Promise<void> {
    const wanted = Math.min(units, this.#total);
    if (this.#waiting.length === 0 && this.#free >= wanted) {
      this.#free -= wanted;
      return;
    }
    await new Promise<void>((go) => this.#waiting.push({ units: wanted, go }));
  }

  give(units = 1): void {
    this.#free += Math.min(units, this.#total);
    assert(this.#free <= this.#total, 'no more is given back than was taken');
    for (let next = this.#waiting[0]; next && this.#free >= next.units; next = this.#waiting[0]) {
      this.#free -= next.units;
      this.#waiting.shift();
      next.go();
    }
  }
}

/** One holder at a time, in order of arrival. */
export class Mutex {
  readonly #one = new Semaphore(1);

  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#one.take();
    try {
      return await work();
    } finally {
      this.#one.give();
    }
  }
}

/** The value, or 'aborted' once the signal is; the promise itself goes on. */
export async function unlessAborted<T>(
  signal: AbortSignal,
  promise: Promise<T>,
): Promise<T | 'aborted'> {
  const ended = deferred<'aborted'>();
  const abort = (): void => ended.resolve('aborted');
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, ended.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Runs all of `works`, one after the other, whatever fails; then throws the first failure. */
export async function allEnded(works: readonly (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const work of works) await work().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

export const isPromise = (value: unknown): value is Promise<unknown> => value instanceof Promise;
