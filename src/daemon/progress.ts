// Something long that runs for a target: its counts, its rate over the last seconds, and what it is
// doing now, for status. Bytes and milliseconds.
import type { Clock } from '../base/clock.js';
import type { RoundProgress, WorkState } from '../control/api.js';
import type { RoundCounts } from '../round/parts.js';
import { RateMeter } from './rate-meter.js';

const SAMPLE_MS = 500;

/** Bytes on the wire, and how many of those that left did so for a second time. */
export interface WireFacts {
  readonly upBytes: number;
  readonly downBytes: number;
  readonly resentBytes: number;
}

export class Progress {
  readonly id: string;
  /** Replaced when the passes are over and the round begins. */
  counts: RoundCounts;
  readonly #meter = new RateMeter();
  readonly #wire: () => WireFacts;

  constructor(id: string, counts: RoundCounts, wire: () => WireFacts) {
    this.id = id;
    this.counts = counts;
    this.#wire = wire;
  }

  get work(): Extract<WorkState, 'settling' | 'sending' | 'staged'> {
    const { kind, staged } = this.counts;
    return kind === 'settle' ? 'settling' : staged ? 'staged' : 'sending';
  }

  /** Runs `work` and measures its rate meanwhile. */
  async during<T>(clock: Clock, work: () => Promise<T>): Promise<T> {
    const ended = new AbortController();
    void this.#watch(clock, ended.signal);
    try {
      return await work();
    } finally {
      ended.abort();
    }
  }

  shown(): RoundProgress {
    const { counts, id } = this;
    const wire = this.#wire();
    return {
      id,
      kind: counts.kind,
      doneBytes: counts.doneBytes,
      totalBytes: counts.totalBytes,
      sentBytes: counts.sentBytes,
      wireUpBytes: wire.upBytes,
      bytesPerSecond: Math.round(this.#meter.bytesPerSecond),
      etaSeconds: this.#meter.etaSeconds(counts.totalBytes - counts.doneBytes),
      resentBytes: wire.resentBytes,
    };
  }

  async #watch(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#meter.sample(clock.monotonicMs(), this.counts.doneBytes);
      await clock.sleep(SAMPLE_MS, signal);
    }
  }
}
