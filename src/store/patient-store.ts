// A store whose requests are tried again while it cannot be reached: a round goes on where a link
// was lost for a moment (D3), and only what fails for `keepMs` fails for good. Each operation may
// be repeated: what is put is the same bytes, and 'exists' of a put that was answered late is what
// every caller has to expect anyway (H35). Milliseconds.
import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { isStoreTransient, type ObjectStore, StoreError } from './store.js';

const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 15_000;

export interface PatientOptions {
  /** Asked at each failure: how long an operation is tried again. */
  readonly keepMs: () => number;
  readonly clock: Clock;
  readonly random: Random;
}

/** `store`, which is closed with what is returned. A close ends all waiting. */
export function patientStore(store: ObjectStore, options: PatientOptions): ObjectStore {
  const stop = new AbortController();
  const tried = <T>(work: () => Promise<T>): Promise<T> => again(work, options, stop.signal);
  return {
    url: store.url,
    putsAtOnce: store.putsAtOnce,
    counts: store.counts,
    put: (...args) => tried(() => store.put(...args)),
    read: (...args) => tried(() => store.read(...args)),
    readWhole: (...args) => tried(() => store.readWhole(...args)),
    head: (key) => tried(() => store.head(key)),
    list: (prefix) => store.list(prefix),
    remove: (keys) => tried(() => store.remove(keys)),
    close: () => {
      stop.abort();
      return store.close();
    },
  };
}

async function again<T>(
  work: () => Promise<T>,
  { keepMs, clock, random }: PatientOptions,
  signal: AbortSignal,
): Promise<T> {
  const beganMs = clock.monotonicMs();
  for (let waitMs = WAIT_MS_MIN; ; waitMs = Math.min(WAIT_MS_MAX, 2 * waitMs)) {
    try {
      return await work();
    } catch (error) {
      const mayPass = error instanceof StoreError && isStoreTransient(error.fault);
      if (!mayPass || signal.aborted) throw error;
      const jitter = 0.5 + random.below(1000) / 1000;
      if (clock.monotonicMs() - beganMs + waitMs * jitter > keepMs()) throw error;
      await clock.sleep(waitMs * jitter, signal);
      if (signal.aborted) throw error;
    }
  }
}
