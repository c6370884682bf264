// The thread pool as one device may use it (H19): a hanging disk takes only its share of the
// process's pool threads. Guarantees: at most `max` operations of one DevicePool are on the pool,
// and no more than a PoolShare has units, however many devices share it; the others wait in order;
// `ended` comes after all of them.
import { Semaphore } from '../base/sync.js';

/** What all resources on one device (st_dev) may have on the pool at once, in one thread. */
export type PoolShare = Semaphore;

/** `operations`: at least 1. */
export const poolShare = (operations: number): PoolShare => new Semaphore(operations);

export class DevicePool {
  readonly #max: number;
  readonly #own: Semaphore;
  readonly #share: PoolShare | null;

  /** `share`: null where no other device counts. */
  constructor(max: number, share: PoolShare | null) {
    this.#max = max;
    this.#own = new Semaphore(max);
    this.#share = share;
  }

  /** One more would wait. */
  get full(): boolean {
    return this.#own.held === this.#max || (this.#share?.full ?? false);
  }

  /** One operation of this device is on the pool, or waits for it. */
  get alone(): boolean {
    return this.#own.held === 1;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#own.take();
    try {
      await this.#share?.take();
      try {
        return await work();
      } finally {
        this.#share?.give();
      }
    } finally {
      this.#own.give();
    }
  }

  /** Every operation asked for before is over; no other may follow. */
  ended(): Promise<void> {
    return this.#own.take(this.#max);
  }
}
