// Results of the night benchmark as data, the bars they are held to, and the tables people read.
// CPU is of both sides and, for hast, of hastctl too, to applied: then the replica's disk holds the
// night, as rsync's target does at its end. Bytes are held to their bars by the worst pair, seconds
// by the medians. Seconds, bytes.
import { median } from './meters.js';
import {
  type Bar,
  type Carried,
  type CarriedRound,
  type Change,
  printTable,
} from './round-report.js';

export interface NightPair {
  readonly load: number;
  readonly guestSeconds: number;
  readonly hast: CarriedRound;
  readonly rsync: Carried;
  readonly tuned: Carried;
}

const WIRE_UP_LIMIT = 1.05;
const BOTH_WAYS_LIMIT = 0.9;
const CPU_LIMIT = 0.25;
const WALL_LIMIT = 0.15;

const bothWays = ({ upBytes, downBytes }: Carried): number => upBytes + downBytes;
const cpuOf = ({ cpuSeconds }: Carried): number => cpuSeconds.near + cpuSeconds.far;
const cpuToApplied = (one: CarriedRound): number =>
  cpuOf(one) + one.applied.cpuSeconds + one.applied.nearCpuSeconds;
const toApplied = (one: CarriedRound): number => one.seconds + one.applied.seconds;

export function nightBars(pairs: readonly NightPair[], change: Change): readonly Bar[] {
  const held = (name: string, value: number, limit: number): Bar => ({
    name,
    value,
    limit,
    verdict: value <= limit ? 'PASS' : 'FAIL',
  });
  const worst = (of: (pair: NightPair) => number): number => Math.max(...pairs.map(of));
  const ofMedians = (ours: (pair: NightPair) => number, theirs: (pair: NightPair) => number) =>
    median(pairs.map(ours)) / median(pairs.map(theirs));
  const tunedSeconds = ({ tuned }: NightPair): number => tuned.seconds;
  const tunedCpu = ({ tuned }: NightPair): number => cpuOf(tuned);
  return [
    held(
      'wire up / bound',
      worst(({ hast }) => hast.upBytes / change.boundBytes),
      WIRE_UP_LIMIT,
    ),
    held(
      'both ways / tuned rsync',
      worst(({ hast, tuned }) => bothWays(hast) / bothWays(tuned)),
      BOTH_WAYS_LIMIT,
    ),
    held(
      'CPU of both sides to applied / tuned rsync',
      ofMedians(({ hast }) => cpuToApplied(hast), tunedCpu),
      CPU_LIMIT,
    ),
    held(
      'wall to committed / tuned rsync',
      ofMedians(({ hast }) => hast.seconds, tunedSeconds),
      WALL_LIMIT,
    ),
    held(
      'wall to applied / tuned rsync',
      ofMedians(({ hast }) => toApplied(hast), tunedSeconds),
      WALL_LIMIT,
    ),
  ];
}

const HEAD = ['', 'wall s', 'up MB', 'down MB', 'CPU s, sender + receiver'];
const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
const fixed = (value: number): string => value.toFixed(2);

const row = (name: string, one: Carried): readonly string[] => [
  name,
  fixed(one.seconds),
  mb(one.upBytes),
  mb(one.downBytes),
  `${fixed(one.cpuSeconds.near)} + ${fixed(one.cpuSeconds.far)}`,
];

/** hast up to the end of applying. */
const wholeOf = (one: CarriedRound): Carried => ({
  ...one,
  seconds: toApplied(one),
  cpuSeconds: {
    near: one.cpuSeconds.near + one.applied.nearCpuSeconds,
    far: one.cpuSeconds.far + one.applied.cpuSeconds,
  },
});

const rowsOf = (hast: CarriedRound, rsync: Carried, tuned: Carried) => [
  HEAD,
  row('hast, to committed', hast),
  row('hast, to applied', wholeOf(hast)),
  row('rsync', rsync),
  row('rsync, tuned', tuned),
];

export function printNightPair(number: number, pair: NightPair): void {
  const { hast, rsync, tuned, load, guestSeconds } = pair;
  console.log(`\npair ${number} (load ${load}; the guest wrote in ${fixed(guestSeconds)} s)`);
  printTable(rowsOf(hast, rsync, tuned));
  const { dirtyBytes, readBytes, sentBytes } = hast.reported;
  console.log(
    `hast says: ${mb(dirtyBytes)} MB dirty, ${mb(readBytes)} MB read, ${mb(sentBytes)} MB raw sent`,
  );
}

export function printNight(pairs: readonly NightPair[]): void {
  const middle = (all: readonly Carried[]): Carried => {
    const at = (of: (one: Carried) => number): number => median(all.map(of));
    const [near, far] = [at((one) => one.cpuSeconds.near), at((one) => one.cpuSeconds.far)];
    return {
      seconds: at((one) => one.seconds),
      upBytes: at((one) => one.upBytes),
      downBytes: at((one) => one.downBytes),
      cpuSeconds: { near, far },
      readBytes: { near: 0, far: 0 },
      storageBytes: { near: 0, far: 0 },
    };
  };
  console.log(`\nmedians of ${pairs.length} pairs; every copy was equal to the morning`);
  printTable([
    HEAD,
    row('hast, to committed', middle(pairs.map(({ hast }) => hast))),
    row('hast, to applied', middle(pairs.map(({ hast }) => wholeOf(hast)))),
    row('rsync', middle(pairs.map(({ rsync }) => rsync))),
    row('rsync, tuned', middle(pairs.map(({ tuned }) => tuned))),
  ]);
}
