// How long the gate was held: a histogram of powers of two, in microseconds, for status (H4).
const BUCKETS = 32;

export class HoldTimes {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;
  #maxMicros = 0;

  add(ms: number): void {
    const micros = Math.max(1, Math.round(ms * 1000));
    const bucket = Math.min(BUCKETS - 1, 31 - Math.clz32(micros));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total += 1;
    this.#maxMicros = Math.max(this.#maxMicros, micros);
  }

  get maxMicros(): number {
    return this.#maxMicros;
  }

  /** Upper edge of the bucket below which `share` (0..1) of the holds lie; 0 without holds. */
  quantileMicros(share: number): number {
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      seen += this.#counts[bucket] ?? 0;
      if (this.#total > 0 && seen >= share * this.#total) {
        return Math.min(2 ** (bucket + 1), this.#maxMicros);
      }
    }
    return 0;
  }
}
