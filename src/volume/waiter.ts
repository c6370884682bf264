// Waiting on words of shared memory without blocking a thread's event loop, handed in so that the
// simulator can own the order. The real one is Atomics.waitAsync.
import { isPromise } from '../base/sync.js';
import type { Steps, Wait } from './core.js';

export interface Waiter {
  /** Resolves when `control[word]` was notified or differs from `value`, or after `timeoutMs`. */
  wait(control: Int32Array, wait: Wait, timeoutMs?: number): Promise<'changed' | 'timeout'>;
  /** Lets other work of this thread run. */
  turn(): Promise<void>;
}

export const atomicsWaiter = (turn: () => Promise<void>): Waiter => ({
  wait: async (control, { word, value }, timeoutMs) => {
    const waiting = Atomics.waitAsync(control, word, value, timeoutMs);
    const result = waiting.async ? await waiting.value : waiting.value;
    return result === 'timed-out' ? 'timeout' : 'changed';
  },
  turn,
});

/** Runs steps to their end, waiting where they ask; 'timeout' when a wait exceeded `timeoutMs`
 * (the steps are then abandoned where they stand). */
export async function runWaiting<T>(
  steps: Steps<T>,
  control: Int32Array,
  waiter: Waiter,
  leftMs?: () => number,
): Promise<{ value: T } | 'timeout'> {
  for (;;) {
    const step = steps.next();
    if (step.done) return { value: step.value };
    if (step.value === undefined) continue;
    if (isPromise(step.value)) await step.value;
    else if ((await waiter.wait(control, step.value, leftMs?.())) === 'timeout') return 'timeout';
  }
}
