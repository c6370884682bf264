// Notices what does not move: a peer that answers its pings and takes nothing (H31). A look is what
// the watched thing says of itself; it stands still while no frame more is staged and no more bytes
// leave than pings are. Times are milliseconds.
import type { Clock } from '../base/clock.js';

/** Bytes that leave a session while nothing is going on. */
export const IDLE_BYTES_MAX = 1024;
const LOOKS = 4;

export interface Look {
  /** Frames that are durable at the other side. */
  readonly staged: number;
  /** Bytes that have left this side. */
  readonly upBytes: number;
}

/** Looks until nothing has moved for `stallMs` (true), or there is nothing to look at any more or
 * `signal` is aborted (false). At most a quarter of `stallMs` late. */
export async function stalls(
  clock: Clock,
  stallMs: number,
  signal: AbortSignal,
  look: () => Look | null,
): Promise<boolean> {
  let before = look();
  let sinceMs = clock.monotonicMs();
  while (before !== null && !signal.aborted) {
    await clock.sleep(stallMs / LOOKS, signal);
    const now = signal.aborted ? null : look();
    if (now === null) return false;
    if (now.staged !== before.staged || now.upBytes > before.upBytes + IDLE_BYTES_MAX) {
      before = now;
      sinceMs = clock.monotonicMs();
    } else if (clock.monotonicMs() - sinceMs >= stallMs) return true;
  }
  return false;
}
