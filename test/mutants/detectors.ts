// What may find a mutant: the simulator, and groups of tests. Each runs compiled files of a work
// folder in a process of its own and is ended at its first complaint, or when its time is up: that
// is no complaint, for the machine may be busy. Seconds are of real time.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Limits {
  readonly seed: number;
  /** Of the simulator. */
  readonly runs: number;
  readonly secondsMax: number;
}

export interface Found {
  /** The complaint; null: it had none. */
  readonly what: string | null;
  readonly seconds: number;
  /** Runs with a complaint, and all; of the simulator only. */
  readonly runs: { readonly caught: number; readonly all: number } | null;
}

export interface Detector {
  readonly name: string;
  /** True when the folder has what it runs. */
  readonly isThere: (folder: string) => boolean;
  readonly run: (folder: string, limits: Limits) => Promise<Found>;
}

/** Compiled tests of a folder of test/ whose names do not match `but`. */
function testsOf(top: string, folder: string, but: RegExp): string[] {
  const place = join('dist', 'test', folder);
  if (!existsSync(join(top, place))) return [];
  return readdirSync(join(top, place))
    .filter((name) => name.endsWith('.test.js') && !but.test(name))
    .map((name) => join(place, name));
}

const named =
  (...names: string[]) =>
  (): string[] =>
    names.map((name) => join('dist', 'test', `${name}.test.js`));

const UNIT = ['volume', 'tracking', 'history', 'receive', 'target', 'lineage', 'care', 'daemon'];
const ORDERS = ['interleave', 'metaflush-interleave', 'intent-interleave'];
/** Long, or tests of mutants. */
const LONG = /^(walk|teeth|targets|undo-room|growth-begun)\./;

/** Those that find most first. */
export const detectors: readonly Detector[] = [
  { name: 'simulate', isThere: (folder) => existsSync(simulator(folder)), run: simulate },
  tests('walk', named('crash/walk')),
  tests('orders', named(...ORDERS.map((name) => `volume/${name}`))),
  tests('targets', named('crash/targets')),
  tests('ladders', (top) => testsOf(top, 'crash', LONG)),
  tests('units', (top) => [
    ...UNIT.flatMap((folder) => testsOf(top, folder, /interleave/)),
    ...testsOf(top, 'nbd', /clients/),
  ]),
];

function tests(name: string, files: (folder: string) => readonly string[]): Detector {
  return {
    name,
    isThere: (folder) => files(folder).every((file) => existsSync(join(folder, file))),
    run: async (folder, limits) => {
      const beganMs = performance.now();
      const seconds = (): number => (performance.now() - beganMs) / 1000;
      for (const file of files(folder)) {
        const left = limits.secondsMax - seconds();
        const what = left > 0 ? await complaintOf(folder, file, limits.seed, left) : null;
        if (what !== null) return { what: `${file.slice(10, -8)}: ${what}`, ...over() };
      }
      return { what: null, ...over() };

      function over() {
        return { seconds: seconds(), runs: null };
      }
    },
  };
}

/** The first test of a file that fails, with what it says; null: none. */
async function complaintOf(
  folder: string,
  file: string,
  seed: number,
  secondsMax: number,
): Promise<string | null> {
  const said: string[] = [];
  const told = (line: string): string | null => {
    const failed = line.match(/^\s*not ok \d+ - (?!.*# (?:SKIP|TODO))(.*)$/)?.[1];
    if (failed === undefined && said.length === 0) return null;
    if (/^\s*\.\.\.$/.test(line)) return said.join(' ');
    if (failed !== undefined || !FRAME.test(line)) said.push(failed ?? line.trim());
    return null;
  };
  const end = await runUntil(folder, ['--test-reporter=tap', file], { seed, secondsMax }, told);
  if (end.told !== null || end.status === 0 || end.status === 'time') return end.told;
  return said[0] ?? `ended with status ${end.status}`;
}

/** Of a failure as TAP has it, what says nothing about it. */
const FRAME =
  /^\s*(---|duration_ms:.*|location:.*|failureType:.*|error: \|-|\+ actual.*|[+-]? *\[|)$/;

/** A run that takes as much longer hangs. */
const RUN_SECONDS_MAX = 60;

const simulator = (folder: string): string => join(folder, 'dist', 'test', 'simulate', 'main.js');

/** Runs of seeds `seed`, `seed` + 1, ...: all of them, or until the time is up. A process does one
 * after another and ends at a complaint; the next one goes on behind it. */
async function simulate(folder: string, limits: Limits): Promise<Found> {
  const beganMs = performance.now();
  const seconds = (): number => (performance.now() - beganMs) / 1000;
  let [caught, all] = [0, 0];
  let what: string | null = null;
  while (all < limits.runs && seconds() < limits.secondsMax) {
    const seed = limits.seed + all;
    const left = limits.secondsMax - seconds();
    const options = { seed, runs: limits.runs - all, minutes: left / 60 };
    const words = Object.entries(options).flatMap(([name, n]) => [`--${name}`, String(n)]);
    const say = /^(VIOLATION seed \d+.*|\d+ runs from seed .*)$/;
    const told = (line: string): string | null => line.match(say)?.[1] ?? null;
    const start = [simulator(folder), '--no-shrink', ...words];
    const end = await runUntil(folder, start, { seed, secondsMax: left + RUN_SECONDS_MAX }, told);
    const [, ended] = end.told?.match(/^(\d+) runs/) ?? [];
    if (ended !== undefined)
      return { what, seconds: seconds(), runs: { caught, all: all + Number(ended) } };
    // One that dies, or hangs, without a word does so in its first run, as far as anybody knows.
    const [, broken] = end.told?.match(/^VIOLATION seed (\d+)/) ?? [];
    all = Number(broken ?? seed) - limits.seed + 1;
    caught += 1;
    what ??= `run ${all}: ${end.told?.slice('VIOLATION '.length) ?? `status ${end.status}`}`;
  }
  return { what, seconds: seconds(), runs: { caught, all } };
}

/** A process of node until a line of it tells something, or its end, or its time is up. */
async function runUntil(
  folder: string,
  words: readonly string[],
  { seed, secondsMax }: { readonly seed: number; readonly secondsMax: number },
  told: (line: string) => string | null,
): Promise<{ readonly told: string | null; readonly status: number | null | 'time' }> {
  const child = spawn(process.execPath, words, {
    cwd: folder,
    env: { ...process.env, HAST_SEED: String(seed), NODE_TEST_CONTEXT: undefined },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, secondsMax * 1000);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  let said: string | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    said ??= told(line);
    if (said !== null) child.kill('SIGKILL');
  }
  const status = await ended;
  clearTimeout(timer);
  return { told: said, status: isLate ? 'time' : status };
}
