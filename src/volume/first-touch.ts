// Making intent bits durable before a first write to their extents (metaflush on, H10), by the
// means of a write section: generators that yield before each access to shared state. The proof
// stands in core.ts.
import type { ExtentIndex } from '../base/units.js';
import type { Core, Steps, WriteIntentPage } from './core.js';
import * as M from './memory.js';

/** metaflush on, first half: sets the bits of `extents` in image and file. Returns INTENT_CLEARS as
 * of then, for `confirmIntent` after a flush of the file; null: another thread has the lock. */
export function* touchIntent(
  core: Core,
  extents: readonly ExtentIndex[],
  writeIntent: WriteIntentPage,
): Steps<number | null> {
  yield;
  if (Atomics.compareExchange(core.control, M.INTENT_LOCK, 0, 1) !== 0) return null;
  try {
    const pages = new Set<number>();
    for (const extent of extents) {
      Atomics.or(core.intent, extent >>> 5, 1 << (extent & 31));
      pages.add(Math.floor(extent / (M.INTENT_PAGE_BYTES * 8)));
    }
    for (const page of pages) {
      const start = page * M.INTENT_PAGE_BYTES;
      writeIntent(page, new Uint8Array(core.memory.intent, start, M.INTENT_PAGE_BYTES));
      Atomics.add(core.control, M.INTENT_WRITES, 1);
    }
    return Atomics.load(core.control, M.INTENT_CLEARS);
  } finally {
    Atomics.store(core.control, M.INTENT_LOCK, 0);
  }
}

/** Second half, after an fdatasync of the file that began after `touchIntent`. Nothing is confirmed
 * when bits were cleared meanwhile: one of ours may be among them, the caller starts over. */
export function* confirmIntent(
  core: Core,
  extents: readonly ExtentIndex[],
  clears: number,
): Steps<'done' | 'busy'> {
  yield;
  if (Atomics.compareExchange(core.control, M.INTENT_LOCK, 0, 1) !== 0) return 'busy';
  try {
    if (Atomics.load(core.control, M.INTENT_CLEARS) === clears) {
      for (const extent of extents) {
        Atomics.or(core.intentWritten, extent >>> 5, 1 << (extent & 31));
      }
    }
  } finally {
    Atomics.store(core.control, M.INTENT_LOCK, 0);
  }
  return 'done';
}
