// Explorer: runs actors (generators that yield before each access to shared state) in every order,
// or in many. A schedule is replayed from the start, for generators cannot be copied; states seen
// before are not gone into again. Guarantee of `exploreAll`: every schedule with at most
// `preemptionsMax` switches away from an actor that could have gone on has been looked at, up to
// states that agree in `state()` and in what each actor has seen.
// Waiting is as with Atomics.waitAsync: an actor that waits on a word goes on if the word differs
// when it begins to wait, or after a notify; a change without notify leaves it asleep for ever.
import type { Random } from '../../src/base/random.js';
import type { Step } from '../../src/volume/core.js';

export interface Actor {
  readonly name: string;
  readonly steps: Generator<Step, void, void>;
  /** Hash of all it has read, hence of its variables; it sets a number of its own where it stands
   * at a place without variables. What it reads without Atomics it tells `saw`. */
  seen: number;
}

/** One schedule's world; a new one is made for each. */
export interface World {
  readonly actors: readonly Actor[];
  readonly control: Int32Array;
  /** All that the future and the checks depend on, but what actors hold in their variables. */
  readonly state: () => string;
  /** Throws when a promise is broken; after every step, and when all actors have ended. */
  readonly check: () => void;
  readonly checkEnd: () => void;
}

export interface Explored {
  /** Schedules that ran to their end. */
  schedules: number;
  states: number;
  steps: number;
}

/** A broken promise with the schedule that breaks it. */
export class Broken extends Error {
  constructor(schedule: readonly string[], cause: unknown) {
    super(`${cause instanceof Error ? cause.message : cause}\nafter ${schedule.join(' ')}`, {
      cause,
    });
  }
}

/** A schedule to look at: actor index by step, and the switches it has cost. */
interface Prefix {
  readonly taken: Uint8Array;
  readonly preemptions: number;
}

class Running {
  readonly #world: World;
  readonly #waits: (number | null)[];
  readonly #ended: boolean[];
  readonly taken: number[] = [];
  preemptions = 0;

  constructor(world: World) {
    this.#world = world;
    this.#waits = world.actors.map(() => null);
    this.#ended = world.actors.map(() => false);
  }

  runnable(): number[] {
    const all = this.#world.actors.map((_, index) => index);
    return all.filter((index) => !this.#ended[index] && this.#waits[index] === null);
  }

  get allEnded(): boolean {
    return this.#ended.every((ended) => ended);
  }

  /** `bounded`: who ran last matters, for it costs a switch to run another. */
  key(bounded: boolean): string {
    const waits = this.#waits.map((wait) => wait ?? '-').join();
    const seen = this.#world.actors.map((actor) => actor.seen).join();
    return `${this.#world.state()}|${seen}|${waits}|${bounded ? this.taken.at(-1) : ''}`;
  }

  /** Whom to run if nobody is preempted. */
  natural(runnable: readonly number[]): number {
    const last = this.taken.at(-1) ?? 0;
    return runnable.includes(last) ? last : (runnable[0] ?? 0);
  }

  /** Runs a prefix again; all but its last step were checked when they were run first. */
  replay(prefix: Prefix): void {
    const last = prefix.taken.length - 1;
    prefix.taken.forEach((index, at) => {
      this.step(index, at < last);
    });
    this.preemptions = prefix.preemptions;
  }

  step(index: number, unchecked = false): void {
    const actor = this.#world.actors[index];
    if (actor === undefined) throw new Broken(this.names(), 'no such actor');
    this.taken.push(index);
    notified.length = 0;
    try {
      stepping = actor;
      const result = actor.steps.next();
      saw(1);
      stepping = null;
      if (result.done) this.#ended[index] = true;
      else if (result.value && 'word' in result.value) {
        const { word, value } = result.value;
        if (Atomics.load(this.#world.control, word) === value) this.#waits[index] = word;
      }
      if (!unchecked) this.#world.check();
    } catch (cause) {
      throw new Broken(this.names(), cause);
    } finally {
      stepping = null;
    }
    for (const word of notified) {
      this.#waits.forEach((waits, other) => {
        if (other !== index && waits === word) this.#waits[other] = null;
      });
    }
  }

  end(): void {
    if (!this.allEnded) {
      const asleep = this.#waits.map((word, at) => `${this.#world.actors[at]?.name}:${word}`);
      throw new Broken(this.names(), `nobody can go on: ${asleep.join(' ')}`);
    }
    try {
      this.#world.checkEnd();
    } catch (cause) {
      throw new Broken(this.names(), cause);
    }
  }

  names(): string[] {
    const names: string[] = [];
    let [before, count] = [-1, 0];
    for (const index of [...this.taken, -1]) {
      if (index !== before && before >= 0) {
        names.push(`${this.#world.actors[before]?.name}x${count}`);
      }
      count = index === before ? count + 1 : 1;
      before = index;
    }
    return names;
  }
}

/** Depth first through all schedules within the bound; throws Broken. */
export function exploreAll(
  make: () => World,
  { preemptionsMax = Number.POSITIVE_INFINITY, statesMax = 2_000_000 } = {},
): Explored {
  const count: Explored = { schedules: 0, states: 0, steps: 0 };
  const seen = new Map<string, number>();
  const bounded = Number.isFinite(preemptionsMax);
  const todo: Prefix[] = [{ taken: new Uint8Array(0), preemptions: 0 }];
  for (let prefix = todo.pop(); prefix !== undefined; prefix = todo.pop()) {
    const running = new Running(make());
    running.replay(prefix);
    count.steps += prefix.taken.length;
    for (;;) {
      const runnable = running.runnable();
      if (runnable.length === 0) {
        running.end();
        count.schedules += 1;
        break;
      }
      if (runnable.length > 1) {
        const key = running.key(bounded);
        const before = seen.get(key);
        if (before !== undefined && (!bounded || before <= running.preemptions)) break;
        seen.set(key, running.preemptions);
      }
      if (seen.size > statesMax) throw new Broken(running.names(), `more than ${statesMax} states`);
      const natural = running.natural(runnable);
      if (running.preemptions < preemptionsMax) {
        const preemptions = running.preemptions + 1;
        for (const other of runnable) {
          const taken = Uint8Array.of(...running.taken, other);
          if (other !== natural) todo.push({ taken, preemptions });
        }
      }
      running.step(natural);
      count.steps += 1;
    }
  }
  count.states = seen.size;
  return count;
}

/** `schedules` schedules, each step drawn; long runs of one actor are as likely as short ones. */
export function exploreSome(make: () => World, schedules: number, random: Random): Explored {
  const count: Explored = { schedules: 0, states: 0, steps: 0 };
  for (; count.schedules < schedules; count.schedules += 1) {
    const running = new Running(make());
    const switchOneIn = 1 + random.below(12);
    for (;;) {
      const runnable = running.runnable();
      if (runnable.length === 0) break;
      const natural = running.natural(runnable);
      const drawn = runnable[random.below(runnable.length)] ?? natural;
      running.step(random.below(switchOneIn) === 0 ? drawn : natural);
      count.steps += 1;
    }
    running.end();
  }
  return count;
}

/** The actor whose step runs, and the words it has notified. */
let stepping: Actor | null = null;
const notified: number[] = [];

/** Tells the explorer that the running actor has read `value`. */
export function saw(value: number): void {
  if (stepping) stepping.seen = mix(stepping.seen, value);
}

/** Listens to what actors read and notify while `work` runs. */
export function listening<T>(control: () => Int32Array, work: () => T): T {
  const { load, compareExchange, add, notify } = Atomics;
  // Written out: they run tens of millions of times.
  type Access = (array: Int32Array, at: number, one?: number, two?: number) => number;
  const tap = (real: Access): Access => {
    return (array, at, one, two) => {
      const value = real(array, at, one, two);
      if (stepping) saw(value);
      return value;
    };
  };
  Object.assign(Atomics, {
    load: tap(load as Access),
    compareExchange: tap(compareExchange as Access),
    add: tap(add as Access),
    notify: (array: Int32Array, word: number) => {
      if (array.buffer === control().buffer) notified.push(word);
      return 0;
    },
  });
  try {
    return work();
  } finally {
    Object.assign(Atomics, { load, compareExchange, add, notify });
  }
}

/** A hash of 53 bits. */
export function mix(hash: number, value: number): number {
  const low = Math.imul((hash | 0) ^ (value | 0), 0x9e3779b1) >>> 0;
  const high = Math.imul((Math.floor(hash / 2 ** 32) | 0) + low + 1, 0x85ebca6b) >>> 11;
  return high * 2 ** 32 + ((low ^ (low >>> 15)) >>> 0);
}
