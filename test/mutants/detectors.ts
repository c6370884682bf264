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
  /** No more of them once one has a complaint. */
  readonly first: boolean;
  readonly secondsMax: number;
  /** Every run of the simulator has an archive. */
  readonly archives: boolean;
}

export interface Found {
  /** The complaint; null: it had none. */
  readonly what: string | null;
  /** What there is to say beside; null: nothing. */
  readonly note: string | null;
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

const UNIT = [
  'archive',
  'target',
  'volume',
  'tracking',
  'history',
  'receive',
  'lineage',
  'care',
  'daemon',
];
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
        return { note: null, seconds: seconds(), runs: null };
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
  let isSlow = false;
  const told = (line: string): string | null => {
    const failed = line.match(/^\s*not ok \d+ - (?!.*# (?:SKIP|TODO))(.*)$/)?.[1];
    if (SLOW.test(line)) {
      said.length = 0;
      isSlow = true;
    }
    if (failed === undefined && said.length === 0) return null;
    if (/^\s*\.\.\.$/.test(line)) return said.join(' ');
    if (failed !== undefined || !FRAME.test(line)) said.push(failed ?? line.trim());
    return null;
  };
  const end = await runUntil(folder, ['--test-reporter=tap', file], { seed, secondsMax }, told);
  if (end.told !== null || end.status === 0 || end.status === 'time' || isSlow) return end.told;
  return `ended with status ${end.status}`;
}

/** Slow is not wrong: the machine may be busy. */
const SLOW = /^\s*failureType: '(testTimeoutFailure|cancelledByParent|subtestsFailed)'/;

/** Of a failure as TAP has it, what says nothing about it. */
const FRAME =
  /^\s*(---|duration_ms:.*|location:.*|failureType:.*|error: \|-|\+ actual.*|[+-]? *\[|)$/;

const simulator = (folder: string): string => join(folder, 'dist', 'test', 'simulate', 'main.js');

/** Runs of one process, and how long they may take: a run takes a quarter of a second. */
const BATCH_RUNS = 10;
const BATCH_SECONDS_MAX = 90;

/** Runs of seeds `seed`, `seed` + 1, ...: all of them, or until the time is up. A process does one
 * after another and ends at a complaint; the next one goes on behind it. Runs that hang say nothing
 * of a promise, and do not count. */
async function simulate(folder: string, limits: Limits): Promise<Found> {
  const beganMs = performance.now();
  const seconds = (): number => (performance.now() - beganMs) / 1000;
  let [caught, all, hung, next] = [0, 0, 0, 0];
  let what: string | null = null;
  const say = /^(VIOLATION seed \d+.*|\d+ runs from seed .*)$/;
  const told = (line: string): string | null => line.match(say)?.[1] ?? null;
  const over = (): boolean => seconds() > limits.secondsMax || (limits.first && caught > 0);
  while (next < limits.runs && !over()) {
    const seed = limits.seed + next;
    const runs = Math.min(BATCH_RUNS, limits.runs - next);
    const words = ['--no-shrink', '--seed', String(seed), '--runs', String(runs)];
    if (limits.archives) words.push('--archive');
    const time = { seed, secondsMax: BATCH_SECONDS_MAX };
    const end = await runUntil(folder, [simulator(folder), ...words], time, told);
    const [, broken] = end.told?.match(/^VIOLATION seed (\d+)/) ?? [];
    const done = broken === undefined ? runs : Number(broken) - seed + 1;
    next += done;
    if (end.status === 'time') hung += runs;
    else all += done;
    if (end.status === 'time' || (broken === undefined && end.told !== null)) continue;
    caught += 1;
    what ??= `run ${next}: ${end.told?.slice('VIOLATION '.length) ?? `status ${end.status}`}`;
  }
  const late = hung > 0 ? `${hung} more runs took longer than ${BATCH_SECONDS_MAX} s` : null;
  return { what, note: late, seconds: seconds(), runs: { caught, all } };
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
