// A clock that a test owns. Time stands still until `advance`, which wakes sleepers in order of
// their time and, for the same time, of their arrival; what a woken one does (and the sleeps it
// begins) happens before the next is woken. With `autoAdvance`, time jumps to the next sleeper
// whenever nothing else has run for some turns of the event loop: for worlds that are wholly in
// memory, where nothing outside is waited for. Milliseconds throughout.
import { assert } from '../../src/base/assert.js';
import type { Clock } from '../../src/base/clock.js';

type Sleeper = { readonly atMs: number; readonly order: number; readonly wake: () => void };

export interface FakeClockOptions {
  /** Wall time at the start; default 2026-11-20T00:00:00Z. */
  readonly wallMs?: number;
  readonly autoAdvance?: boolean;
}

const START_WALL_MS = Date.UTC(2026, 10, 20);
/** Turns of the event loop without a new sleeper after which the world counts as idle. */
const IDLE_TURNS = 3;

export class FakeClock implements Clock {
  #nowMs = 0;
  #wallAheadMs: number;
  #order = 0;
  #sleepers: Sleeper[] = [];
  #auto: boolean;
  #pumping = false;

  constructor(options: FakeClockOptions = {}) {
    this.#wallAheadMs = options.wallMs ?? START_WALL_MS;
    this.#auto = options.autoAdvance ?? false;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallAheadMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = (): void => {
        signal?.removeEventListener('abort', wake);
        this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
        resolve();
      };
      this.#order += 1;
      const sleeper = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order, wake };
      this.#sleepers.push(sleeper);
      this.#sleepers.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      signal?.addEventListener('abort', wake);
      if (this.#auto) void this.#pump();
    });
  }

  /** Sleepers that wait. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Moves on by `ms` and returns when all who were due have been woken and have run. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await turn();
    for (let next = this.#sleepers[0]; next && next.atMs <= untilMs; next = this.#sleepers[0]) {
      this.#wakeFirst();
      await turn();
    }
    this.#nowMs = untilMs;
  }

  /** Wakes the next sleeper, whenever it is due; false when nobody sleeps. */
  async advanceToNext(): Promise<boolean> {
    const next = this.#sleepers[0];
    if (next) await this.advance(next.atMs - this.#nowMs);
    return next !== undefined;
  }

  /** The wall clock is set forward or back; monotonic time and sleepers do not notice. */
  stepWall(ms: number): void {
    this.#wallAheadMs += ms;
  }

  set autoAdvance(on: boolean) {
    this.#auto = on;
    if (on) void this.#pump();
  }

  #wakeFirst(): void {
    const first = this.#sleepers[0];
    if (!first) return;
    assert(first.atMs >= this.#nowMs, 'nobody overslept');
    this.#nowMs = first.atMs;
    first.wake();
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#auto && this.#sleepers.length > 0) {
      let quiet = 0;
      for (let seen = this.#order; quiet < IDLE_TURNS; seen = this.#order) {
        await turn();
        quiet = this.#order === seen ? quiet + 1 : 0;
      }
      this.#wakeFirst();
    }
    this.#pumping = false;
  }
}

/** One turn of the event loop: every promise that can go on has gone on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
