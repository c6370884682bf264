// The simulator's command line (`npm run simulate`):
// Runs seeds N, N+1, ... until M runs or T minutes are over; prints what was tried, and of the
// first run that breaks a promise the seed, the step, and a history made as small as possible, as
// text and as a line that --replay takes (test/simulate/found). Status 1 then. Without --seed a
// fresh one is taken, and printed. --archive: every run has an archive, not only a share of them.
import { readHistory } from './found.js';
import { drawSetup } from './setup.js';
import { shrink } from './shrink.js';
import { catchStrays, simulate } from './simulate.js';

function option(name: string): number | null {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return null;
  const value = Number(process.argv[at + 1]);
  if (!Number.isFinite(value) || value < 0) {
    console.error(`--${name} wants a number`);
    process.exit(2);
  }
  return value;
}

const seed = option('seed') ?? Date.now() % 1_000_000_000;
const minutes = option('minutes') ?? Number.POSITIVE_INFINITY;
const runs = option('runs') ?? (Number.isFinite(minutes) ? Number.POSITIVE_INFINITY : 200);
const trace = process.argv.includes('--trace');
const archives = process.argv.includes('--archive');

catchStrays();
const replay = process.argv.indexOf('--replay');
if (replay > 0) {
  const ended = await simulate(readHistory(process.argv[replay + 1] ?? ''));
  for (const line of ended.trace) console.log(line);
  console.log(ended.broken === null ? 'every promise holds' : `VIOLATION ${ended.broken.stack}`);
  process.exit(ended.broken === null ? 0 : 1);
}
const beganMs = performance.now();
const cpuBefore = process.cpuUsage();
const sum = {
  runs: 0,
  crashes: 0,
  probes: 0,
  faults: 0,
  events: 0,
  rounds: 0,
  points: 0,
  repacks: 0,
};
const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage(cpuBefore);
  return (user + system) / 1e6;
};

function report(): void {
  const { crashes, probes } = sum;
  const perMinute = Math.round(((crashes + probes) * 60) / Math.max(cpuSeconds(), 0.001));
  console.log(
    `${sum.runs} runs from seed ${seed}: ${crashes + probes} crashes ` +
      `(${crashes} of the run itself, ${probes} of copies), ${sum.faults} other faults, ` +
      `${sum.rounds} rounds committed, ${sum.points} points of archives read, ` +
      `${sum.repacks} repacks, ` +
      `${sum.events} events; ` +
      `${perMinute} crashes per core-minute`,
  );
}

for (; sum.runs < runs && performance.now() - beganMs < minutes * 60_000; ) {
  const setup = drawSetup(seed + sum.runs, archives);
  const ended = await simulate(setup);
  if (process.argv.includes('--each')) {
    const heap = Math.round(process.memoryUsage().heapUsed / 2 ** 20);
    console.log(`seed ${setup.seed}: ${JSON.stringify(ended.counts)}, heap ${heap} MiB`);
  }
  sum.runs += 1;
  sum.crashes += ended.counts.crashes;
  sum.probes += ended.counts.probes;
  sum.faults += ended.counts.faults;
  sum.events += ended.counts.events;
  sum.rounds += ended.counts.rounds;
  sum.points += ended.counts.points;
  sum.repacks += ended.counts.repacks;
  if (ended.broken === null) {
    if (trace) for (const line of ended.trace) console.log(line);
    continue;
  }
  console.log(`VIOLATION seed ${setup.seed}: ${ended.broken.stack}`);
  const least = process.argv.includes('--no-shrink') ? setup : await shrink(setup, ended.broken);
  const again = await simulate(least);
  console.log(`HISTORY ${JSON.stringify(least)}`);
  console.log(`history of ${least.acts.length} acts (of ${setup.acts.length}):`);
  for (const line of (again.broken === null ? ended : again).trace) console.log(`  ${line}`);
  report();
  process.exit(1);
}
report();
