// What a crash may leave, enumerated: for a list of un-synced changes, the fates that are tried.
// - Few changes: every subset of them. Where that is no more than WHOLE_MAX, in every combination
//   with every way in which each write may be torn.
// - Else each write torn in each way, while all others are kept, all are lost, those before it are
//   kept, or those after it.
// - Many changes: all and none, each alone lost, each alone kept, each pair lost, each pair kept,
//   every prefix, every suffix, and some subsets by seed.
// Changes of scratch files, which nobody reads after a start, are kept or lost together.
import type { Random } from '../../src/base/random.js';
import type { Fate, Fates, Torn } from '../world/changes.js';
import type { Unsynced } from '../world/tree.js';

/** Up to so many changes every subset is tried. */
export const SUBSETS_OF_MAX = 8;
/** Up to so many combinations each change is tried in each of its ways. */
const WHOLE_MAX = 512;
const SEED_MAX = 1_000_000;

/** Changes that are kept or lost together, and how they can be torn. */
interface Unit {
  readonly sequences: readonly number[];
  readonly torn: readonly Torn[];
}

export interface LossOptions {
  /** Subsets by seed, where there are too many for all of them. */
  readonly seeded: number;
  readonly random: Random;
  /** Paths of files that are emptied before anybody reads them. */
  readonly scratch: RegExp | null;
}

/** Each of the fates to be tried; some may come to the same. */
export function* lossesOf(changes: readonly Unsynced[], options: LossOptions): Generator<Fates> {
  const units = unitsOf(changes, options);
  const combinations = units.reduce((count, { torn }) => count * (2 + torn.length), 1);
  if (combinations <= WHOLE_MAX) {
    yield* product(units);
    return;
  }
  for (const lost of subsets(units.length, options)) {
    yield fatesOf(units, (at) => (lost(at) ? 'lost' : 'kept'));
  }
  yield* tornOnes(units);
}

function unitsOf(changes: readonly Unsynced[], { scratch, random }: LossOptions): Unit[] {
  const isScratch = (change: Unsynced): boolean =>
    change.what !== 'entry' && scratch !== null && scratch.test(change.path);
  const units = changes
    .filter((change) => !isScratch(change))
    .map(({ sequence, sectors, grows }) => {
      const some: Torn[] = ['first', 'second', 'alternate', random.below(SEED_MAX)];
      const torn = [...(sectors > 1 ? some : []), ...(grows ? ['size' as const] : [])];
      return { sequences: [sequence], torn };
    });
  const together = changes.filter(isScratch).map(({ sequence }) => sequence);
  return together.length === 0 ? units : [...units, { sequences: together, torn: [] }];
}

/** Each unit in each of its ways. */
function* product(units: readonly Unit[]): Generator<Fates> {
  const ways = units.map(({ torn }): Fate[] => [
    'kept',
    'lost',
    ...torn.map((one) => ({ torn: one })),
  ]);
  const total = ways.reduce((count, each) => count * each.length, 1);
  for (let number = 0; number < total; number += 1) {
    let rest = number;
    const chosen = ways.map((each) => {
      const way = each[rest % each.length];
      rest = Math.floor(rest / each.length);
      return way ?? 'kept';
    });
    yield fatesOf(units, (at) => chosen[at] ?? 'kept');
  }
}

type Lost = (at: number) => boolean;

function* subsets(count: number, { seeded, random }: LossOptions): Generator<Lost> {
  if (count <= SUBSETS_OF_MAX) {
    for (let mask = 0; mask < 1 << count; mask += 1) yield (at) => (mask & (1 << at)) !== 0;
    return;
  }
  yield () => true;
  yield () => false;
  for (let one = 0; one < count; one += 1) {
    yield (at) => at === one;
    yield (at) => at !== one;
    yield (at) => at > one;
    yield (at) => at < one;
    for (let two = one + 1; two < count; two += 1) {
      yield (at) => at === one || at === two;
      yield (at) => at !== one && at !== two;
    }
  }
  for (let run = 0; run < seeded; run += 1) {
    const lost = Array.from({ length: count }, () => random.below(2) === 0);
    yield (at) => lost[at] === true;
  }
}

/** Each unit torn in each of its ways. */
function* tornOnes(units: readonly Unit[]): Generator<Fates> {
  for (const [one, { torn }] of units.entries()) {
    for (const each of torn) {
      const way: Fate = { torn: each };
      const others: Lost[] = [() => false, () => true, (at) => at > one, (at) => at < one];
      for (const lost of others) {
        yield fatesOf(units, (at) => (at === one ? way : lost(at) ? 'lost' : 'kept'));
      }
    }
  }
}

function fatesOf(units: readonly Unit[], fateOf: (at: number) => Fate): Fates {
  const fates = new Map<number, Fate>();
  for (const [at, { sequences }] of units.entries()) {
    const fate = fateOf(at);
    if (fate !== 'kept') for (const sequence of sequences) fates.set(sequence, fate);
  }
  return fates;
}

/** What was lost or torn, for a message. */
export function told(changes: readonly Unsynced[], fates: Fates): string {
  const gone = changes.flatMap(({ sequence, path, what }) => {
    const fate = fates.get(sequence) ?? 'kept';
    if (fate === 'kept') return [];
    return [`${what} ${path} ${fate === 'lost' ? 'lost' : `torn (${fate.torn})`}`];
  });
  return gone.length === 0 ? 'nothing lost' : gone.join(', ');
}
