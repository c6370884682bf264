// What guests did, as counters in the volume's shared memory: each data thread writes its own row,
// any thread sums them for status. Numbers, bytes where the name says so.
import type { ResourceCounters } from '../control/api.js';
import type { Counters } from '../nbd/counters.js';
import { HoldTimes } from '../volume/hold-times.js';
import * as M from '../volume/memory.js';
import { COUNTERS, type Counter, THREADS_MAX, type VolumeMemory } from '../volume/memory.js';
import type { Volume } from '../volume/volume.js';
import type { WriteCounters } from '../volume/write-sections.js';

/** The counters of one data thread, as the object its connections and their writes count in. */
export function sharedCounters(memory: VolumeMemory, thread: number): Counters & WriteCounters {
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
  return counters as Counters & WriteCounters;
}

/** One counter of every thread. */
function rowsOf(memory: VolumeMemory, name: Counter): readonly number[] {
  const all = new Float64Array(memory.counters);
  const at = COUNTERS.indexOf(name);
  return Array.from(
    { length: THREADS_MAX },
    (_, thread) => all[thread * COUNTERS.length + at] ?? 0,
  );
}

/** One counter summed over all threads. */
export function sumCounter(memory: VolumeMemory, name: Counter): number {
  return rowsOf(memory, name).reduce((sum, each) => sum + each, 0);
}

/** For `status` and `list`. */
export function resourceCounters(memory: VolumeMemory, volume: Volume): ResourceCounters {
  const sum = (name: Counter): number => sumCounter(memory, name);
  const control = new Int32Array(memory.control);
  const waits = HoldTimes.all(memory.preserveWaits);
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
    gateHoldMicrosP999: volume.holds.quantileMicros(0.999),
    preserveWaits: waits.count,
    preserveWaitMicrosP99: waits.quantileMicros(0.99),
    firstTouches: sum('firstTouches'),
    firstTouchMicros: sum('firstTouchMicros'),
    firstTouchMicrosMax: Math.max(...rowsOf(memory, 'firstTouchMicrosMax')),
    repairedBlocks: volume.repairedBlocks,
  };
}
