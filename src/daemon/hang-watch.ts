// Which disks hang (H19): every thread of a device is asked for a sign of life every five seconds.
// A thread that is stuck in a system call on its disk cannot give one; after ten seconds without,
// the device is said to hang, in status and once in the log, and once more when it answers again.
// One question at a time is open for each thread. Times are milliseconds; `sinceMs` is wall time.
import type { Clock } from '../base/clock.js';
import { within } from '../base/clock.js';
import type { Log } from '../base/log.js';

export const PING_EVERY_MS = 5000;
export const HANGS_AFTER_MS = 10_000;

export interface HangWatchParts {
  readonly clock: Clock;
  readonly log: Log;
}

export class HangWatch {
  readonly #parts: HangWatchParts;
  readonly #stop = new AbortController();
  /** When the oldest unanswered question of each device was put. */
  readonly #hanging = new Map<string, number>();
  readonly #watches: Promise<void>[] = [];
  readonly #stuckThreads = new Map<string, number>();

  constructor(parts: HangWatchParts) {
    this.#parts = parts;
  }

  /** Wall time of the first question that a hanging device has not answered; null: it answers. */
  sinceMs(device: string): number | null {
    return this.#hanging.get(device) ?? null;
  }

  /** Watches one thread of `device` until `stop`; a question that is rejected was answered. */
  watch(device: string, ping: () => Promise<unknown>): void {
    this.#watches.push(this.#watch(device, ping));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#watches);
  }

  async #watch(device: string, ping: () => Promise<unknown>): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stop;
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    while (!signal.aborted) {
      const askedMs = clock.wallMs();
      const answered = ping().then(
        () => undefined,
        () => undefined,
      );
      const first = within(clock, HANGS_AFTER_MS, answered);
      const result = await Promise.race([first, stopped.then(() => null)]);
      if (result === 'timeout') {
        this.#stuck(device, askedMs);
        await Promise.race([answered, stopped]);
        this.#free(device);
      }
      await clock.sleep(PING_EVERY_MS, signal);
    }
  }

  #stuck(device: string, sinceMs: number): void {
    const stuck = (this.#stuckThreads.get(device) ?? 0) + 1;
    this.#stuckThreads.set(device, stuck);
    if (stuck > 1) return;
    this.#hanging.set(device, sinceMs);
    const seconds = HANGS_AFTER_MS / 1000;
    this.#parts.log.error('a disk answers nothing', { device, seconds });
  }

  #free(device: string): void {
    const stuck = (this.#stuckThreads.get(device) ?? 1) - 1;
    this.#stuckThreads.set(device, stuck);
    const sinceMs = this.#hanging.get(device);
    if (stuck > 0 || sinceMs === undefined || this.#stop.signal.aborted) return;
    this.#hanging.delete(device);
    const seconds = Math.round((this.#parts.clock.wallMs() - sinceMs) / 1000);
    this.#parts.log.warn('a disk answers again', { device, seconds });
  }
}
