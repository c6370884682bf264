// What befalls a round in its tender moments: just after its cut, and from before the target is
// asked to commit until the primary has written down that it did. What a run does to its machines
// and its network it also does then; acts drawn at any time meet these milliseconds rarely.
import { type Random, seededRandom } from '../../src/base/random.js';
import type { Act, ActKind } from './acts.js';
import type { Machine } from './machine.js';
import { begin } from './perform.js';
import type { Run } from './run.js';
import { OFFSITE } from './setup.js';

export type Moment = 'cut' | 'commit';

/** One in so many is met. */
const ONE_IN: Readonly<Record<Moment, number>> = { cut: 12, commit: 3 };
/** From the moment on: a commit and what follows it take that long. */
const WITHIN_MS = [1, 10, 40, 150];
const DOWNS = [0, 200, 8000, 40_000];

type Blow = Extract<ActKind, 'crash' | 'stop' | 'net' | 'order'>;
/** Those named twice are drawn twice as often. */
const BLOWS: readonly Blow[] = ['crash', 'crash', 'net', 'net', 'order', 'stop'];

export class Disturbances {
  readonly #run: Run;
  readonly #random: Random;

  constructor(run: Run) {
    this.#run = run;
    this.#random = seededRandom(run.setup.seed + 14);
  }

  /** A round of `primary` for the node `target` has come to `moment`. */
  meet(primary: Machine, target: string, moment: Moment): void {
    const run = this.#run;
    const random = this.#random;
    if (!run.busy || random.below(ONE_IN[moment]) > 0) return;
    const kind = BLOWS[random.below(BLOWS.length)];
    const withinMs = WITHIN_MS[random.below(WITHIN_MS.length)] ?? 0;
    const soonMs = (random.below(1000) / 1000) * withinMs;
    const name = random.below(2) === 0 || target === OFFSITE ? primary.name : target;
    const host = run.machines.findIndex((machine) => machine.name === name);
    const blow = blowOf(kind, host, random);
    if (blow === null || !run.setup.acts.some((act) => act.kind === kind)) return;
    run.loop.at(soonMs, null, () => begin(run, blow));
  }
}

function blowOf(kind: Blow | undefined, host: number, random: Random): Act | null {
  const common = { seed: random.below(2 ** 31), gapMs: 0 };
  const downMs = DOWNS[random.below(DOWNS.length)] ?? 0;
  switch (kind) {
    case 'crash': {
      const loss = (['none', 'all', 'seeded'] as const)[random.below(3)] ?? 'all';
      const steps = 1 + random.below(8);
      return { ...common, kind, host, loss, steps, downMs, quiet: random.below(3) === 0 };
    }
    case 'stop':
      return { ...common, kind, host, downMs };
    case 'net': {
      const what = (['cut', 'half cut', 'silence'] as const)[random.below(3)] ?? 'cut';
      return { ...common, kind, what, ms: downMs };
    }
    case 'order':
      return { ...common, kind, what: 'cancel' };
    default:
      return null;
  }
}
