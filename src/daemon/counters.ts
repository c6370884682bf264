// What guests did, as counters in the volume's shared memory: each data thread writes its own row,
// any thread sums them for status. Numbers, bytes where the name says so.
import type { ResourceCounters } from '../control/api.js';
import type { Counters } from '../nbd/counters.js';
import * as M from '../volume/memory.js';
import { COUNTERS, type Counter, THREADS_MAX, type VolumeMemory } from '../volume/memory.js';
import type { Volume } from '../volume/volume.js';

/** The counters of one data thread, as the object its connections count in. */
export function sharedCounters(memory: VolumeMemory, thread: number): Counters {
  const all = new Float64Array(memory.counters);
  const row = all.subarray(thread * COUNTERS.length, (thread + 1) * COUNTERS.length);
  const counters = {};
  for (const [at, name] of COUNTERS.entries()) {
    Object.defineProperty(counters, name, {
      enumerable: true,
      get: () => row[at] ?? 0,
      set: (value: number) => {
        row[at] = value;
      },
    });
  }
  return counters as Counters;
}

/** One counter summed over all threads. */
export function sumCounter(memory: VolumeMemory, name: Counter): number {
  const all = new Float64Array(memory.counters);
  const at = COUNTERS.indexOf(name);
  let sum = 0;
  for (let thread = 0; thread < THREADS_MAX; thread += 1) {
    sum += all[thread * COUNTERS.length + at] ?? 0;
  }
  return sum;
}

/** For `status` and `list`. */
export function resourceCounters(memory: VolumeMemory, volume: Volume): ResourceCounters {
  const sum = (name: Counter): number => sumCounter(memory, name);
  const control = new Int32Array(memory.control);
  return {
    reads: sum('reads'),
    writes: sum('writes'),
    deletes: sum('deletes'),
    flushes: sum('flushes'),
    activemapUpdates: Atomics.load(control, M.INTENT_WRITES),
    readErrors: sum('readErrors'),
    writeErrors: sum('writeErrors'),
    deleteErrors: sum('deleteErrors'),
    flushErrors: sum('flushErrors'),
    writtenBytes: sum('writtenBytes'),
    preservedChunks: Atomics.load(control, M.PRESERVED),
    gateHoldMicrosMax: volume.holds.maxMicros,
    gateHoldMicrosP99: volume.holds.quantileMicros(0.99),
  };
}
