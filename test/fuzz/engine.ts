// The engine: takes inputs that are known, changes them, runs them, keeps those that reach blocks
// of src/ no other reached, and stops at the first that breaks a demand, which it then makes small.
// Without coverage one seed gives one sequence of inputs; with it, on one machine and one build.
// Demands kept here: only a verdict comes back (a typed error is the target's `refused`; anything
// thrown is a failure), within RUN_MS_MAX, with no allocation above the target's limits, and
// nothing is thrown later, when nobody listens any more. Milliseconds, bytes.

import { digestOf } from '../../src/base/digest.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import * as allocations from './allocations.js';
import type { Coverage } from './coverage.js';
import { mutated } from './mutate.js';
import { smallest } from './shrink.js';
import type { Opened, Target } from './target.js';
import type { Watchdog } from './watchdog.js';

/** For one input; the machine may be busy, so a slow one is tried again. */
const RUN_MS_MAX = 2000;
const SLOW_TRIES = 3;
/** Inputs between two looks at the coverage. */
const BATCH = 24;
const SHRINK_MS_MAX = 20_000;

export interface Budget {
  readonly runs: number;
  readonly ms: number;
}

export interface Failure {
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface Outcome {
  readonly runs: number;
  readonly ms: number;
  readonly accepted: number;
  /** Inputs that reached something new, in order. */
  readonly found: readonly Uint8Array[];
  readonly failure: Failure | null;
}

export interface Parts {
  readonly watchdog: Watchdog;
  readonly coverage: Coverage | null;
}

/** Name of an input in a corpus. */
export const nameOf = (input: Uint8Array): string => hex(digestOf(input)).slice(0, 16);

export class BrokenDemand extends Error {
  override readonly name = 'BrokenDemand';
}

/** One opened target, run with all demands looked at. */
export class Bench {
  readonly target: Target;
  readonly #opened: Opened;
  readonly #watchdog: Watchdog;
  /** Thrown where nobody waits: an assertion in a callback, a rejection without a handler. */
  #late: unknown = null;
  readonly #onLate = (error: unknown): void => {
    this.#late ??= error ?? new BrokenDemand('something was thrown that is nothing');
  };

  private constructor(target: Target, opened: Opened, watchdog: Watchdog) {
    this.target = target;
    this.#opened = opened;
    this.#watchdog = watchdog;
    process.on('uncaughtException', this.#onLate);
    process.on('unhandledRejection', this.#onLate);
  }

  static async open(target: Target, watchdog: Watchdog): Promise<Bench> {
    return new Bench(target, await target.open(), watchdog);
  }

  async close(): Promise<void> {
    await this.#opened.close();
    await new Promise((resolve) => setImmediate(resolve));
    process.off('uncaughtException', this.#onLate);
    process.off('unhandledRejection', this.#onLate);
  }

  /** True: accepted. Throws what broke a demand. */
  async run(input: Uint8Array): Promise<boolean> {
    for (let tried = 1; ; tried += 1) {
      const begun = performance.now();
      const verdict = await this.#once(input);
      const ms = performance.now() - begun;
      if (ms <= RUN_MS_MAX) return verdict === 'accepted';
      if (tried === SLOW_TRIES) throw new BrokenDemand(`one input took ${Math.round(ms)} ms`);
    }
  }

  async #once(input: Uint8Array): Promise<'accepted' | 'refused'> {
    const { name, onceBytesMax, totalBytesMax } = this.target;
    this.#watchdog.busy(name, input);
    allocations.begin();
    let allocated: allocations.Allocated;
    let verdict: 'accepted' | 'refused';
    try {
      verdict = await this.#opened.run(new Uint8Array(input));
    } finally {
      allocated = allocations.end();
      this.#watchdog.idle();
    }
    if (this.#late !== null) {
      const late = this.#late;
      this.#late = null;
      throw late;
    }
    if (allocated.once > onceBytesMax + input.length) {
      throw new BrokenDemand(`${allocated.once} bytes at once; ${onceBytesMax} are allowed`);
    }
    if (allocated.total > totalBytesMax + 16 * input.length) {
      throw new BrokenDemand(`${allocated.total} bytes in all; ${totalBytesMax} are allowed`);
    }
    return verdict;
  }
}

/** Fuzzes one target from `corpus` and its seeds until the budget is spent, or to a failure. */
export async function fuzz(
  target: Target,
  corpus: readonly Uint8Array[],
  seed: number,
  budget: Budget,
  parts: Parts,
): Promise<Outcome> {
  const bench = await Bench.open(target, parts.watchdog);
  try {
    return await new Run(bench, corpus, seed, budget, parts.coverage).all();
  } finally {
    await bench.close();
  }
}

class Run {
  readonly #bench: Bench;
  readonly #random: Random;
  readonly #budget: Budget;
  readonly #coverage: Coverage | null;
  readonly #known: Uint8Array[];
  readonly #found: Uint8Array[] = [];
  readonly #begun = performance.now();
  #runs = 0;
  #accepted = 0;

  constructor(
    bench: Bench,
    corpus: readonly Uint8Array[],
    seed: number,
    budget: Budget,
    coverage: Coverage | null,
  ) {
    this.#bench = bench;
    this.#random = seededRandom(seed);
    this.#budget = budget;
    this.#coverage = coverage;
    const { target } = bench;
    this.#known = [...target.seeds(seededRandom(seed)), ...corpus];
    if (this.#known.length === 0) this.#known.push(new Uint8Array(0));
    coverage?.reset();
  }

  async all(): Promise<Outcome> {
    const first = await this.#batch([...this.#known]);
    this.#coverage?.look(); // what is known already is nothing new
    const failure = first ?? (await this.#search());
    return {
      runs: this.#runs,
      ms: performance.now() - this.#begun,
      accepted: this.#accepted,
      found: this.#found,
      failure,
    };
  }

  async #search(): Promise<Failure | null> {
    const { runs, ms } = this.#budget;
    while (this.#runs < runs && performance.now() - this.#begun < ms) {
      const batch = Array.from({ length: Math.min(BATCH, runs - this.#runs) }, () => this.#next());
      const mark = this.#coverage?.mark();
      const failure = await this.#batch(batch);
      if (failure !== null) return failure;
      if (!this.#coverage?.look()) continue;
      this.#coverage.reset(mark);
      for (const input of batch) {
        await this.#bench.run(input);
        if (this.#coverage.look()) this.#keep(input);
      }
    }
    return null;
  }

  #keep(input: Uint8Array): void {
    this.#known.push(input);
    this.#found.push(input);
  }

  /** Newer ones are changed more often: they are what reached something new. */
  #next(): Uint8Array {
    const known = this.#known;
    const random = this.#random;
    const recent = random.below(2) === 0 ? Math.min(known.length, 8) : known.length;
    const { target } = this.#bench;
    const from = known[known.length - 1 - random.below(recent)] ?? new Uint8Array(0);
    const { kind, words = [], inputBytesMax: bytesMax } = target;
    const changed = mutated(from, { kind, words, others: known, bytesMax }, random);
    if (target.mend === undefined || random.below(4) === 0) return changed;
    return target.mend(changed, random).slice(0, bytesMax);
  }

  async #batch(inputs: readonly Uint8Array[]): Promise<Failure | null> {
    for (const input of inputs) {
      this.#runs += 1;
      try {
        if (await this.#bench.run(input)) this.#accepted += 1;
      } catch (error) {
        return { input: await this.#small(input, error), error };
      }
    }
    return null;
  }

  #small(input: Uint8Array, error: unknown): Promise<Uint8Array> {
    const wanted = kindOf(error);
    const failsAlike = async (smaller: Uint8Array): Promise<boolean> => {
      try {
        await this.#bench.run(smaller);
        return false;
      } catch (again) {
        return kindOf(again) === wanted;
      }
    };
    return smallest(input, failsAlike, this.#bench.target.mend, SHRINK_MS_MAX);
  }
}

/** What makes two failures the same one: class, message without numbers, first place in src/. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = error.stack?.split('\n').find((line) => line.includes('/src/')) ?? '';
  return `${error.name} ${error.message.replaceAll(/\d+/g, '').slice(0, 60)} ${place}`;
}
