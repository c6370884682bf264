// What happens in a simulated run, drawn from its seed before it begins: requests of guests, orders
// of operators, faults. Each act has a number of its own to draw from, so that a run from which
// acts were left out (shrink.ts) does the others as before. Times are milliseconds.
import type { Random } from '../../src/base/random.js';
import type { Role } from '../../src/control/api.js';
import type { StoreTrouble } from './bucket.js';
import type { Corruption } from './network.js';

export type Loss = 'none' | 'all' | 'seeded' | 'one';

export type Act = { readonly seed: number; readonly gapMs: number } & (
  | { readonly kind: 'guest'; readonly requests: number }
  | { readonly kind: 'revert' }
  | { readonly kind: 'sync'; readonly wait: 'applied' | 'commit' | null }
  | { readonly kind: 'order'; readonly what: 'fire' | 'pause' | 'resume' | 'cancel' | 'verify' }
  | { readonly kind: 'rate'; readonly bits: number | null }
  | {
      readonly kind: 'crash';
      readonly host: number;
      readonly loss: Loss;
      /** Of its files, from now on. */
      readonly steps: number;
      readonly downMs: number;
      readonly quiet: boolean;
      /** While it is down, a byte of a file of its state rots. */
      readonly rots?: boolean;
      /** It waits for no step. */
      readonly now?: boolean;
    }
  | { readonly kind: 'stop'; readonly host: number; readonly downMs: number }
  | { readonly kind: 'net'; readonly what: 'cut' | 'half cut' | 'silence'; readonly ms: number }
  | { readonly kind: 'corrupt'; readonly how: Corruption }
  | {
      readonly kind: 'fail';
      readonly host: number;
      readonly operation: 'sync' | 'read' | 'write' | 'rename' | 'syncDirectory';
      readonly on: 'disk' | 'state';
      readonly times: number;
    }
  | { readonly kind: 'full'; readonly host: number; readonly ms: number; readonly bytes: number }
  | { readonly kind: 'clock'; readonly host: number; readonly ms: number }
  | { readonly kind: 'touched'; readonly host: number; readonly downMs: number }
  | { readonly kind: 'rot'; readonly host: number; readonly downMs: number }
  | { readonly kind: 'drift' }
  | { readonly kind: 'set back'; readonly host: number; readonly what: 'state' | 'disk' | 'both' }
  | { readonly kind: 'promote'; readonly host: number; readonly orderly: boolean }
  | { readonly kind: 'role'; readonly host: number; readonly role: Role }
  | { readonly kind: 'rejoin'; readonly host: number }
  | { readonly kind: 'left out'; readonly host: number; readonly target: number }
  | { readonly kind: 'grow'; readonly sectors: number }
  | { readonly kind: 'store'; readonly what: StoreTrouble; readonly ms: number }
  /** `key`: of the pin, for a point that somebody looks at just then. */
  | { readonly kind: 'pin'; readonly key?: string }
  | { readonly kind: 'unpin' | 'restore' | 'prune' }
  | { readonly kind: 'wait' }
);

export type ActKind = Act['kind'];

/** What a run is about: how often each kind is drawn. */
export type Profile = Partial<Record<ActKind, number>>;

const CALM: Profile = { guest: 40, revert: 5, sync: 22, order: 4, wait: 4 };
const CRASHES: Profile = { crash: 22, stop: 4 };
const NETWORK: Profile = { net: 16, corrupt: 6 };
const DISKS: Profile = { fail: 8, full: 3, touched: 2, rot: 2, rate: 1 };
/** Not where a replica may be promoted: its drift is then its disk. */
const DRIFT: Profile = { drift: 20 };
const OPERATORS: Profile = {
  promote: 6,
  role: 4,
  grow: 3,
  'left out': 2,
  rejoin: 6,
  clock: 3,
  order: 6,
  rate: 2,
};

/** Roles that change more often than anybody can follow. */
const FAILOVERS: Profile = { promote: 14, role: 14, rejoin: 4 };

export const PROFILES: readonly Profile[] = [
  { ...CALM, ...CRASHES },
  { ...CALM, ...NETWORK },
  { ...CALM, ...CRASHES, ...NETWORK },
  { ...CALM, ...CRASHES, ...DISKS },
  { ...CALM, ...CRASHES, ...OPERATORS },
  { ...CALM, ...NETWORK, ...OPERATORS },
  { ...CALM, ...CRASHES, ...NETWORK, ...DISKS, ...OPERATORS, 'set back': 2 },
  { ...CALM, ...NETWORK, ...DRIFT },
  { ...CALM, ...DRIFT },
  { ...CALM, fail: 8 },
  { ...CALM, crash: 22, rot: 4 },
  { ...CALM, ...FAILOVERS },
  { ...CALM, stop: 3, 'set back': 20 },
];

/** What comes to a run that has an archive, beside its own. */
const ARCHIVE: Profile = { store: 6, pin: 4, unpin: 2, restore: 4, prune: 4, sync: 5, clock: 1 };

/** Of a wait: also longer than what a primary does every minute. */
const WAITS = [3000, 20_000, 70_000];
const GAPS = [0, 1, 5, 20, 100, 500, 3000];
const DOWNS = [0, 10, 200, 4000, 30_000];
/** After a machine was down, mostly until it is there again and rounds go on: else all
 * that follows would meet nobody. */
const BACK = [1000, 8000, 20_000];
const CORRUPTIONS: readonly Corruption[] = ['flip', 'twice', 'swapped', 'missing', 'cut short'];

const ROLES: readonly Role[] = ['init', 'primary', 'secondary', 'secondary'];

const SEEDS = 2 ** 31;

export function drawActs(random: Random, profile: Profile, hosts: number, count: number): Act[] {
  const kinds = Object.entries(profile) as [ActKind, number][];
  const isRotten = (profile.rot ?? 0) > 0;
  const total = kinds.reduce((sum, [, weight]) => sum + weight, 0);
  return Array.from({ length: count }, () => {
    let left = random.below(total);
    const found = kinds.find(([, weight]) => {
      left -= weight;
      return left < 0;
    });
    const seed = random.below(SEEDS);
    const gapMs = oneOf(GAPS, random);
    const act = { seed, gapMs, ...drawOne(found?.[0] ?? 'wait', random, hosts, isRotten) };
    const isAwaited = 'downMs' in act && random.below(4) > 0;
    return (isAwaited ? { ...act, gapMs: Number(act.downMs) + oneOf(BACK, random) } : act) as Act;
  });
}

/** Acts of an archive, one to every two of the others, each at any place among them. */
export function withArchiveActs(random: Random, acts: readonly Act[], hosts: number): Act[] {
  const all = [...acts];
  for (const act of drawActs(random, ARCHIVE, hosts, Math.ceil(acts.length / 2))) {
    all.splice(random.below(all.length + 1), 0, act);
  }
  return all;
}

const oneOf = <T>(list: readonly T[], random: Random): T => list[random.below(list.length)] as T;

function drawOne(kind: ActKind, random: Random, hosts: number, isRotten: boolean): object {
  const host = random.below(hosts);
  const downMs = oneOf(DOWNS, random);
  switch (kind) {
    case 'guest':
      return { kind, requests: 1 + random.below(10) };
    case 'sync':
      return { kind, wait: oneOf(['applied', 'commit', 'commit', null] as const, random) };
    case 'order': {
      const whats = ['fire', 'pause', 'resume', 'cancel', 'verify'] as const;
      return { kind, what: oneOf(whats, random) };
    }
    case 'rate':
      return { kind, bits: oneOf([null, 100_000, 10_000_000], random) };
    case 'crash': {
      const loss = oneOf(['none', 'none', 'all', 'seeded', 'seeded', 'one'] as const, random);
      const steps = random.below(oneOf([1, 10, 60], random)) + 1;
      const rots = isRotten && random.below(6) === 0;
      return { kind, host, loss, steps, downMs, quiet: random.below(3) === 0, rots };
    }
    case 'stop':
    case 'touched':
    case 'rot':
      return { kind, host, downMs };
    case 'net': {
      const what = oneOf(['cut', 'cut', 'half cut', 'silence'] as const, random);
      return { kind, what, ms: oneOf([50, 1000, 8000, 40_000], random) };
    }
    case 'corrupt':
      return { kind, how: oneOf(CORRUPTIONS, random) };
    case 'fail': {
      const operation = oneOf(
        ['sync', 'sync', 'read', 'write', 'rename', 'syncDirectory'] as const,
        random,
      );
      const on = operation.startsWith('r') && operation !== 'read' ? 'state' : 'disk';
      const chosen = random.below(2) === 0 || operation === 'syncDirectory' ? 'state' : on;
      return { kind, host, operation, on: chosen, times: 1 + random.below(2) };
    }
    case 'full':
      return { kind, host, ms: oneOf([200, 5000], random), bytes: random.below(300_000) };
    case 'clock':
      return { kind, host, ms: oneOf([-7_200_000, -1000, 1000, 86_400_000], random) };
    case 'set back':
      return { kind, host, what: oneOf(['state', 'disk', 'both', 'both'] as const, random) };
    case 'promote':
      return { kind, host, orderly: random.below(2) === 0 };
    case 'role':
      return { kind, host, role: oneOf(ROLES, random) };
    case 'rejoin':
      return { kind, host };
    case 'left out':
      return { kind, host, target: random.below(hosts) };
    case 'grow':
      return { kind, sectors: 1 + random.below(300) };
    case 'wait':
      return { kind, gapMs: oneOf(WAITS, random) };
    case 'store': {
      const what = oneOf(['outage', 'storm', 'storm', 'lost answers'] as const, random);
      return { kind, what, ms: oneOf([100, 2000, 20_000, 90_000], random) };
    }
    case 'drift':
    case 'revert':
    case 'pin':
    case 'unpin':
    case 'restore':
    case 'prune':
      return { kind };
  }
}
