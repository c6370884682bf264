// What to keep: the last `retain` points. Pure. A point that goes takes only its own undo with it;
// dropping the oldest first never needs a merge (H32).
import { assert } from '../base/assert.js';

/** The oldest entries of `chain` (oldest first) beyond the last `retain`; retain >= 1. */
export function pointsToDrop<T>(chain: readonly T[], retain: number): readonly T[] {
  assert(retain >= 1, 'the newest point is always kept');
  return chain.slice(0, Math.max(0, chain.length - retain));
}
