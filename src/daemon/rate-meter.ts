// Rate of work over the last ten seconds, and from it the time left. Bytes and milliseconds.
const WINDOW_MS = 10_000;

export class RateMeter {
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  /** Notes that `bytes` are done in all; `bytes` going back (a new pass) starts over. */
  sample(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples.length = 0;
    this.#samples.push({ atMs, bytes });
    while ((this.#samples[0]?.atMs ?? atMs) < atMs - WINDOW_MS) this.#samples.shift();
  }

  get bytesPerSecond(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs <= first.atMs) return 0;
    return ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs);
  }

  /** Seconds left for `leftBytes`; null when nothing moves. */
  etaSeconds(leftBytes: number): number | null {
    const rate = this.bytesPerSecond;
    return rate > 0 ? Math.ceil(leftBytes / rate) : null;
  }
}
