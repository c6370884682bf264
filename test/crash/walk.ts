// The walk: crashes a story at every step of one side, once per class of loss, and lets `recover`
// judge what follows. One run per step; each class goes on from a fork of it.
import { setImmediate as turn } from 'node:timers/promises';
import { describeError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { LossClass } from '../world/memory-files.js';
import type { Knobs, Shape } from './nodes.js';
import { newWorld, Pair, type Side } from './pair.js';
import { isLost, recover, story } from './story.js';

export interface WalkOptions {
  readonly shape: Shape;
  readonly seed: number;
  readonly knobs?: Knobs;
  /** Seeded losses at each step. */
  readonly seeded: number;
  /** Of the classes beside 'none' and 'all' only so many at each step, turned by seed and step. */
  readonly others?: number;
  /** Only every `stride`-th step, from `first` on. */
  readonly stride?: number;
  readonly first?: number;
  /** Begin at this share of the steps. */
  readonly from?: number;
  /** Stop after so many faults; default 5. */
  readonly enough?: number;
  readonly tale?: (pair: Pair) => Promise<void>;
}

export interface Walked {
  readonly steps: number;
  readonly crashes: number;
  /** What was wrong, with all that repeats it. */
  readonly wrong: readonly string[];
}

const WRONG_MAX = 5;

/** Steps of a run without a crash. */
export async function countSteps(options: WalkOptions, side: Side): Promise<number> {
  const pair = new Pair(options.shape, options.seed, options.knobs);
  await (options.tale ?? story)(pair);
  await turn();
  return (side === 'sender' ? pair.senderWorld : pair.receiverWorld).steps;
}

/** Crashes `side` at every step. */
export async function walk(options: WalkOptions, side: Side): Promise<Walked> {
  const steps = await countSteps(options, side);
  const wrong: string[] = [];
  let crashes = 0;
  const stride = options.stride ?? 1;
  const first = Math.floor(steps * (options.from ?? 0)) + (options.first ?? 0);
  for (let step = first; step < steps; step += stride) {
    const { pair, place, error } = await crashed(options, side, step);
    if (error !== null) wrong.push(`${side} ${place}: ${error}`);
    const classes = lossesOf(pair, side, step, options);
    for (const [index, loss] of classes.entries()) {
      // One class each step goes on with the other end alive: the last, it is changed by it.
      const other = index === classes.length - 1 ? 'live' : 'killed';
      const seed = options.seed * 1_000_003 + step * 101 + index;
      const fork = pair.fork(side, loss, seed, other);
      crashes += 1;
      const what = `${side} ${place}, ${JSON.stringify(loss)}, other ${other}`;
      await judge(fork, side, seed, what, wrong);
    }
    if (wrong.length >= (options.enough ?? WRONG_MAX)) break;
  }
  return { steps: Math.ceil((steps - first) / stride), crashes, wrong };
}

/** Cuts the link, and nothing else, at every turn of the receiver; both ends go on at once. */
export async function walkLink(options: WalkOptions): Promise<Walked> {
  const wrong: string[] = [];
  const stride = options.stride ?? 1;
  let crashes = 0;
  for (let at = options.first ?? 0; ; at += stride) {
    const pair = new Pair(options.shape, options.seed, options.knobs);
    let turns = 0;
    let isCut = false;
    pair.receiverWorld = newWorld(null, async () => {
      turns += 1;
      if (turns !== at || pair.link === null) return;
      isCut = true;
      pair.link.cut();
    });
    const place = `link cut at turn ${at} of the receiver`;
    const error = await endOf((options.tale ?? story)(pair), options.knobs?.resumes ?? false);
    if (error !== null) wrong.push(`${place}: ${error}`);
    if (!isCut && turns < at) return { steps: turns, crashes, wrong };
    pair.during = null;
    if (isCut) crashes += 1;
    if (isCut) await judge(pair, null, options.seed + at, place, wrong);
    if (wrong.length >= (options.enough ?? WRONG_MAX)) return { steps: at, crashes, wrong };
  }
}

/** A run up to the crash; the other end has come to rest. */
async function crashed(options: WalkOptions, side: Side, step: number) {
  const pair = new Pair(options.shape, options.seed, options.knobs);
  const world = side === 'sender' ? pair.senderWorld : pair.receiverWorld;
  world.crashAt(step);
  const told = endOf((options.tale ?? story)(pair));
  const error = await Promise.race([told, world.stopped.then(() => null)]);
  await turn();
  await turn();
  pair.during = null;
  return { pair, place: world.stoppedAt ?? `step ${step} not reached`, error };
}

/** Null when a story ended, or (unless it `resumes`) ended because its other end was lost; else
 * what went wrong. */
async function endOf(tale: Promise<void>, resumes = false): Promise<string | null> {
  try {
    await tale;
    return null;
  } catch (error) {
    return isLost(error) && !resumes ? null : says(error);
  }
}

async function judge(
  pair: Pair,
  side: Side | null,
  seed: number,
  what: string,
  wrong: string[],
): Promise<void> {
  try {
    await recover(pair, side, seed % 2 === 0);
  } catch (error) {
    wrong.push(`${what}: ${says(error)}`);
  }
}

function lossesOf(pair: Pair, side: Side, step: number, options: WalkOptions): LossClass[] {
  const world = side === 'sender' ? pair.senderWorld : pair.receiverWorld;
  const alone = [...world.unsyncedFiles(), ...world.unsyncedDirectories()];
  const others: LossClass[] = alone.map((only) => ({ only }));
  for (let count = 0; count < options.seeded; count += 1) others.push('seeded');
  const some = turned(others, options.seed + step).slice(0, options.others ?? others.length);
  // Turned again, so that each class meets the live end now and then.
  return turned(['none', 'all', ...some], options.seed + 2 * step);
}

function turned<T>(list: readonly T[], seed: number): T[] {
  const by = list.length === 0 ? 0 : seededRandom(seed).below(list.length);
  return [...list.slice(by), ...list.slice(0, by)];
}

function says(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const at = stack
    .split('\n')
    .filter((line) => line.includes('dist'))
    .slice(0, 6);
  return [describeError(error), ...at].join('\n');
}
