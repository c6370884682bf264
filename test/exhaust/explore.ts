// Exhaustive crashes of one act: the pair is brought to the moment before, and one side crashes
// before each step of the act and after its last. At each of these points every way in which a
// power failure may treat the un-synced changes (losses.ts) is tried, and the death of the process
// alone. States that are equal, at both ends, are judged once: what follows is a function of them.
// At each point some states more are judged with the other end alive, each in a run of its own.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describeError } from '../../src/base/errors.js';
import { hex, seededRandom } from '../../src/base/random.js';
import type { Knobs, Shape } from '../crash/nodes.js';
import { Pair, type Side } from '../crash/pair.js';
import { isLost } from '../crash/story.js';
import type { CrashWorld, LossClass } from '../world/memory-files.js';
import { lossesOf, told } from './losses.js';

/** Files that are emptied when a role is taken, before anybody reads them. */
const SCRATCH = /\.(spill|entries)$/;

/** Where the crashes of an act begin and end; without a call: with the act. */
export interface Edge {
  open(): void;
  close(): void;
}

export interface Act {
  readonly name: string;
  readonly shape: Shape;
  readonly sides: readonly Side[];
  before(pair: Pair): Promise<void>;
  run(pair: Pair, edge: Edge): Promise<void>;
  /** Steps of the crashing side that count, of those between the edges; default all. */
  readonly steps?: (what: string, side: Side) => boolean;
  /** All that must hold after a crash. `compare` as of story.ts's recover. */
  judge(pair: Pair, side: Side, compare: boolean): Promise<void>;
}

export interface ExploreOptions {
  readonly seed: number;
  readonly knobs?: Knobs;
  /** Only every `stride`-th crash point, from `first` on. */
  readonly stride?: number;
  readonly first?: number;
  /** Begin at this share of the crash points. */
  readonly from?: number;
  /** Only one of so many of the distinct states is judged; default all. */
  readonly share?: number;
  /** Subsets by seed where there are too many for all. */
  readonly seeded: number;
  /** States at each point that are judged with the other end alive. */
  readonly live: number;
  /** Each state is judged with and without `compare`, instead of one of both. */
  readonly both?: boolean;
  /** Stop after so many faults; default 3. */
  readonly enough?: number;
}

export interface Explored {
  readonly points: number;
  readonly states: number;
  readonly distinct: number;
  /** Judgements, those with the other end alive among them. */
  readonly judged: number;
  readonly live: number;
  readonly wrong: readonly string[];
}

interface Run {
  readonly pair: Pair;
  readonly world: CrashWorld;
  readonly place: string;
  readonly error: string | null;
}

const worldOf = (pair: Pair, side: Side): CrashWorld =>
  side === 'sender' ? pair.senderWorld : pair.receiverWorld;
const otherOf = (pair: Pair, side: Side): CrashWorld =>
  side === 'sender' ? pair.receiverWorld : pair.senderWorld;

/** Crashes `side` at every step of the act. */
export function explore(act: Act, side: Side, options: ExploreOptions): Promise<Explored> {
  return new Explorer(act, side, options).all();
}

class Explorer {
  readonly #act: Act;
  readonly #side: Side;
  readonly #options: ExploreOptions;
  readonly #seen = new Set<string>();
  readonly #wrong: string[] = [];
  #states = 0;
  #live = 0;
  #judged = 0;

  constructor(act: Act, side: Side, options: ExploreOptions) {
    this.#act = act;
    this.#side = side;
    this.#options = options;
  }

  async all(): Promise<Explored> {
    const { stride = 1, first = 0, from = 0, enough = 3 } = this.#options;
    const places = await this.#places().catch((error: unknown) => {
      this.#wrong.push(`without a crash: ${says(error)}`);
      return [];
    });
    let points = 0;
    for (let at = Math.floor(places.length * from) + first; at < places.length; at += stride) {
      const step = places[at];
      assert.ok(step !== undefined, 'there is such a place');
      points += 1;
      await this.#at(step);
      for (let run = 0; run < this.#options.live; run += 1) await this.#withLive(step, run);
      if (this.#wrong.length >= enough) break;
    }
    const counts = { points, states: this.#states, distinct: this.#seen.size };
    return { ...counts, judged: this.#judged, live: this.#live, wrong: this.#wrong };
  }

  /** Steps before which to crash, of a run without a crash; the last is past the end. */
  async #places(): Promise<readonly number[]> {
    const pair = this.#newPair();
    const { steps } = this.#act;
    await this.#act.before(pair);
    const world = worldOf(pair, this.#side);
    let [from, to] = [world.steps, Number.POSITIVE_INFINITY];
    const places = new Set<number>();
    world.onStep = (step, what) => {
      if (steps !== undefined && !steps(what, this.#side)) return;
      places.add(step).add(step + 1);
    };
    const edge = {
      open: () => {
        from = world.steps;
      },
      close: () => {
        to = world.steps;
      },
    };
    await this.#act.run(pair, edge);
    await turn();
    if (steps === undefined) places.add(from);
    return [...places].filter((step) => step >= from && step <= to).sort((a, b) => a - b);
  }

  /** Every loss at one crash point, the other process dead too. */
  async #at(step: number): Promise<void> {
    const { pair, world, place, error } = await this.#crashed(step);
    if (error !== null) this.#wrong.push(`${this.#side} ${place}: ${error}`);
    const beside = otherOf(pair, this.#side).afterCrash('none', seededRandom(0));
    const others = `${beside.fingerprint(SCRATCH)} ${cutsOf(pair)}`;
    for (const { loss, text } of this.#losses(world, step)) {
      this.#states += 1;
      const survivor = world.afterCrash(loss, seededRandom(0));
      // After a power failure the machine has booted anew.
      const boot = loss === 'none' ? 'same' : 'new';
      const key = `${survivor.fingerprint(SCRATCH)} ${others} ${boot}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      const { seed, share = 1 } = this.#options;
      if ((this.#seen.size + seed) % share !== 0) continue;
      const what = `${this.#side} ${place}, ${text}, other killed`;
      const modes = this.#options.both ? [true, false] : [(this.#judged + seed) % 2 === 0];
      for (const compare of modes) await this.#judge(pair, loss, 'killed', compare, what);
    }
  }

  /** One of the losses at a crash point, the other end alive: it is changed by what follows. */
  async #withLive(step: number, run: number): Promise<void> {
    const { pair, world, place } = await this.#crashed(step);
    const losses = [...this.#losses(world, step)];
    // The death of the process, everything lost, everything kept, and others by seed.
    const wanted = seededRandom(this.#options.seed + 31 * step + run);
    const first = losses.findIndex(({ isAll }) => isAll);
    const at = run === 0 ? first : run === 1 ? 0 : wanted.below(losses.length);
    const chosen = losses[at];
    assert.ok(chosen !== undefined, 'there is such a loss');
    this.#live += 1;
    const what = `${this.#side} ${place}, ${chosen.text}, other live`;
    await this.#judge(pair, chosen.loss, 'live', run % 2 === 0, what);
  }

  *#losses(
    world: CrashWorld,
    step: number,
  ): Generator<{ loss: LossClass; text: string; isAll: boolean }> {
    yield { loss: 'none', text: 'the process died', isAll: false };
    const changes = world.unsynced();
    const { seeded, seed } = this.#options;
    const random = seededRandom(seed * 7919 + step);
    for (const fates of lossesOf(changes, { seeded, random, scratch: SCRATCH })) {
      const isAll = changes.every(({ sequence }) => fates.get(sequence) === 'lost');
      yield { loss: { fates }, text: told(changes, fates), isAll };
    }
  }

  /** A run up to the crash; the other end has come to rest. */
  async #crashed(step: number): Promise<Run> {
    const pair = this.#newPair();
    await this.#act.before(pair);
    const world = worldOf(pair, this.#side);
    world.crashAt(step);
    const edge = { open: () => {}, close: () => {} };
    const run = this.#act.run(pair, edge).then(
      () => null,
      (error: unknown) => (isLost(error) ? null : says(error)),
    );
    const error = await Promise.race([run, world.stopped.then(() => null)]);
    await turn();
    world.stop('after the last step');
    await turn();
    await turn();
    pair.during = null;
    pair.onCommitted = null;
    return { pair, world, place: world.stoppedAt ?? '', error };
  }

  #newPair(): Pair {
    const { seed, knobs = {} } = this.#options;
    return new Pair(this.#act.shape, seed, knobs);
  }

  async #judge(
    pair: Pair,
    loss: LossClass,
    other: 'live' | 'killed',
    compare: boolean,
    what: string,
  ): Promise<void> {
    this.#judged += 1;
    const seed = this.#options.seed * 1_000_003 + this.#judged;
    const fork = pair.fork(this.#side, loss, seed, other);
    try {
      await this.#act.judge(fork, this.#side, compare);
    } catch (error) {
      this.#wrong.push(`${what}: ${says(error)}`);
    }
  }
}

/** Which points were cut so far, and of which the sender has been told. */
const cutsOf = (pair: Pair): string =>
  pair.cuts.map(({ to, answered }) => `${hex(to.id).slice(0, 8)}${answered ? '!' : ''}`).join(' ');

function says(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const at = stack.split('\n').filter((line) => line.includes('dist'));
  return [describeError(error), ...at.slice(0, 6)].join('\n');
}
