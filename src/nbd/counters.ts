// What a guest did, counted by the thread that serves it; HAST's statistics (hast.md §2, "list
// output"). Errors are those of the local disk, never a client's malformed request. A plain object
// that the caller owns, reads and sums over connections and threads.

export interface Counters {
  reads: number;
  writes: number;
  /** TRIM and WRITE_ZEROES. */
  deletes: number;
  flushes: number;
  readErrors: number;
  writeErrors: number;
  deleteErrors: number;
  flushErrors: number;
  /** Payload of the writes counted above. */
  writtenBytes: number;
}

export const newCounters = (): Counters => ({
  reads: 0,
  writes: 0,
  deletes: 0,
  flushes: 0,
  readErrors: 0,
  writeErrors: 0,
  deleteErrors: 0,
  flushErrors: 0,
  writtenBytes: 0,
});
