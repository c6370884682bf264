// Whether the next fdatasync of a device may be called in the thread that serves it. On the pool it
// costs two more changes of thread, as much as a quick fdatasync itself (measured: 15 to 30 % of
// the rate of write+flush). Guarantee: only after QUICK_MIN quick ones in a row; for every
// millisecond that a slow call held the thread, the next POOLED_PER_MS go to the pool; never while
// more than DIRTY_BYTES_MAX, of whatever thread, wait to be synced. Against H19 that is no new
// risk: the thread serves this device only, and its writes wait for the same disk. Pure; times are
// milliseconds.

/** A call that is shorter is quick; one on the pool is measured with the changes of thread. */
export const QUICK_MS_MAX = 0.5;
/** One that takes longer in the thread goes back to the pool. */
export const SLOW_MS_MIN = 1;
export const QUICK_MIN = 8;
export const POOLED_PER_MS = 8;
const POOLED_MAX = 10_000;
/** What a flush of a database has to bring to the disk; a copy has more. */
export const DIRTY_BYTES_MAX = 1024 * 1024;

export class SyncPace {
  #quickInARow = 0;
  #pooledLeft = 0;

  /** Called once for each sync, which has `dirtyBytes` to write; true: in the thread. */
  begin(dirtyBytes: number): boolean {
    if (this.#pooledLeft > 0) {
      this.#pooledLeft -= 1;
      return false;
    }
    return this.#quickInARow >= QUICK_MIN && dirtyBytes <= DIRTY_BYTES_MAX;
  }

  /** It took `ms`, in the thread or on the pool. */
  took(ms: number, inThread: boolean): void {
    const quick = ms < (inThread ? SLOW_MS_MIN : QUICK_MS_MAX);
    this.#quickInARow = quick ? this.#quickInARow + 1 : 0;
    if (!quick && inThread) this.#pooledLeft = Math.min(POOLED_MAX, Math.ceil(ms * POOLED_PER_MS));
  }
}
