// The time of a simulated run: events in order of their virtual time, one after the other; between
// two of them everything that can go on goes on. Nothing waits for real time. Every event belongs
// to a life (an incarnation of a machine, or the run itself); those of a life that has ended never
// come. Milliseconds throughout; events of the same time come in the order they were made.
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/base/clock.js';
import type { Random } from '../../src/base/random.js';
import type { Waiter } from '../../src/volume/waiter.js';

/** Something that can end, and with it all it waits for. */
export class Life {
  #ended = false;
  readonly #ends: (() => void)[] = [];

  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const tell of this.#ends.splice(0)) tell();
  }

  onEnd(tell: () => void): void {
    if (this.#ended) tell();
    else this.#ends.push(tell);
  }
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly life: Life | null;
  readonly fire: () => void;
}

/** An operation of files or disks takes at most so long. */
export const IO_MS_MAX = 2;
/** Time is exact: who sleeps for what is left of a time wakes when that is over. */
const TICKS_PER_MS = 1024;
/** A run that has so many does not end. */
const EVENTS_MAX = 300_000;
/** One in so many takes time at all: the others are done before anything else happens. */
const IO_SLOW_ONE_IN = 3;

export class Loop {
  readonly #random: Random;
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #order = 0;
  #fired = 0;
  /** Called after every event, when all that could go on has gone on. */
  afterEvent: () => void = () => {};

  constructor(random: Random) {
    this.#random = random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events so far. */
  get events(): number {
    return this.#order;
  }

  at(delayMs: number, life: Life | null, fire: () => void): void {
    this.#order += 1;
    const ticks = Math.ceil(Math.max(0, delayMs) * TICKS_PER_MS);
    const event = { atMs: this.#nowMs + ticks / TICKS_PER_MS, order: this.#order, life, fire };
    push(this.#heap, event);
  }

  /** Resolves after `delayMs`; never, when `life` ends before. */
  later(delayMs: number, life: Life | null): Promise<void> {
    return new Promise((resolve) => this.at(delayMs, life, resolve));
  }

  /** How long an operation of files takes: mostly nothing. */
  io(life: Life, msMax = IO_MS_MAX): Promise<void> {
    if (this.#random.below(IO_SLOW_ONE_IN) > 0) return Promise.resolve();
    return this.later((this.#random.below(1000) / 1000) * msMax, life);
  }

  /** Runs events until `done`, or until none is left, `limitMs` is reached, or there were more than
   * EVENTS_MAX in all: then false. */
  async run(done: () => boolean, limitMs: number): Promise<boolean> {
    for (; this.#fired < EVENTS_MAX; this.#fired += 1) {
      await turn();
      this.afterEvent();
      if (done()) return true;
      const next = pop(this.#heap);
      if (next === undefined) return false;
      if (next.life?.ended) continue;
      if (next.atMs > limitMs) return false;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
    }
    return false;
  }
}

/** A clock of one life; its wall time may be set. */
export class LifeClock implements Clock {
  readonly #loop: Loop;
  readonly #life: Life;
  readonly #wallMs: () => number;

  /** `wallMs`: the machine's wall clock, which lives longer than a life. */
  constructor(loop: Loop, life: Life, wallMs: () => number) {
    this.#loop = loop;
    this.#life = life;
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs();
  }

  monotonicMs(): number {
    return this.#loop.nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const waiting = new Life();
      this.#life.onEnd(() => waiting.end());
      const done = (): void => {
        signal?.removeEventListener('abort', done);
        waiting.end();
        resolve();
      };
      signal?.addEventListener('abort', done);
      this.#loop.at(ms, waiting, done);
    });
  }
}

const before = (a: Event, b: Event): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

function push(heap: Event[], event: Event): void {
  heap.push(event);
  for (let at = heap.length - 1; at > 0; ) {
    const parent = (at - 1) >> 1;
    const [a, b] = [heap[at], heap[parent]];
    if (a === undefined || b === undefined || !before(a, b)) return;
    [heap[at], heap[parent]] = [b, a];
    at = parent;
  }
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (heap.length === 0 || last === undefined) return first;
  heap[0] = last;
  for (let at = 0; ; ) {
    const [left, right] = [2 * at + 1, 2 * at + 2];
    let least = at;
    for (const child of [left, right]) {
      const [a, b] = [heap[child], heap[least]];
      if (a !== undefined && b !== undefined && before(a, b)) least = child;
    }
    const [a, b] = [heap[at], heap[least]];
    if (least === at || a === undefined || b === undefined) return first;
    [heap[at], heap[least]] = [b, a];
    at = least;
  }
}

/** A turn takes time, or who takes one after the other would stop all clocks. */
export const TURN_MS = 0.01;

/** Waits in the time of the run: looks again and again. */
export const waiterOf = (loop: Loop, life: Life): Waiter => ({
  wait: async (control, { word, value }, timeoutMs = Number.POSITIVE_INFINITY) => {
    const untilMs = loop.nowMs + timeoutMs;
    for (let waitMs = TURN_MS; Atomics.load(control, word) === value; waitMs = 0.5) {
      if (loop.nowMs >= untilMs) return 'timeout';
      await loop.later(waitMs, life);
    }
    return 'changed';
  },
  turn: () => loop.later(TURN_MS, life),
});
