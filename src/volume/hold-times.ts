// How long something took: a histogram of powers of two, in microseconds, for status. Gate holds
// (H4) and guests' waits for a preserve. The counts may lie in shared memory: one writer each, any
// thread reads, and several rows are read as one.
const BUCKETS = 32;
/** Buckets, then the longest. */
const WORDS = BUCKETS + 1;
export const HISTOGRAM_BYTES = WORDS * 8;

export class HoldTimes {
  readonly #rows: readonly Float64Array[];

  /** Writes go to the first row. */
  constructor(rows: readonly Float64Array[] = [new Float64Array(WORDS)]) {
    this.#rows = rows;
  }

  /** Histogram number `row` of memory that has many. */
  static row(memory: SharedArrayBuffer, row: number): Float64Array {
    return new Float64Array(memory, row * HISTOGRAM_BYTES, WORDS);
  }

  /** All histograms of a memory, to be read as one. */
  static all(memory: SharedArrayBuffer): HoldTimes {
    const rows = memory.byteLength / HISTOGRAM_BYTES;
    return new HoldTimes(Array.from({ length: rows }, (_, row) => HoldTimes.row(memory, row)));
  }

  add(ms: number): void {
    const [row] = this.#rows;
    if (row === undefined) return;
    const micros = Math.max(1, Math.round(ms * 1000));
    const bucket = Math.min(BUCKETS - 1, Math.floor(Math.log2(micros)));
    row[bucket] = (row[bucket] ?? 0) + 1;
    row[BUCKETS] = Math.max(row[BUCKETS] ?? 0, micros);
  }

  get count(): number {
    let total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) total += this.#in(bucket);
    return total;
  }

  get maxMicros(): number {
    return this.#rows.reduce((max, row) => Math.max(max, row[BUCKETS] ?? 0), 0);
  }

  /** Upper edge of the bucket below which `share` (0..1) of the times lie; 0 without any. */
  quantileMicros(share: number): number {
    const total = this.count;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      seen += this.#in(bucket);
      if (total > 0 && seen >= share * total) return Math.min(2 ** (bucket + 1), this.maxMicros);
    }
    return 0;
  }

  #in(bucket: number): number {
    return this.#rows.reduce((sum, row) => sum + (row[bucket] ?? 0), 0);
  }
}
