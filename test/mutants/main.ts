// Makes each mutant of this folder and asks who finds it (`npm run mutants`).
//   npm run mutants -- [NAME...] [--seed N] [--runs M] [--minutes T] [--first]
//                          [--detectors A,B] [--all]
// NAME: only mutants whose name contains it. --seed: of every detector, the same repeats it.
// --runs: of the simulator, which makes them all; with --first it ends with the one that finds the
// mutant. --minutes: for one detector and one mutant, at most. Detectors are asked one after
// another until one finds the mutant; --all asks every one.
// The simulator's runs for mutants called archive-... all have an archive.
// Without names the unbroken source is asked first: it must not be complained of.
// Status 0 only if every mutant was found.
import { parseArgs } from 'node:util';
import { type Detector, detectors, type Found, type Limits } from './detectors.js';
import type { Mutant } from './patch.js';
import { mutants } from './patches.js';
import { WorkFolder } from './work-folder.js';

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    runs: { type: 'string', default: '100' },
    minutes: { type: 'string', default: '3' },
    detectors: { type: 'string', default: detectors.map(({ name }) => name).join() },
    first: { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
  },
});

const limits: Limits = {
  seed: Number(values.seed),
  runs: Number(values.runs),
  first: values.first,
  secondsMax: 60 * Number(values.minutes),
  archives: false,
};
const numbers = [limits.seed, limits.runs, limits.secondsMax];
const wanted = values.detectors.split(',');
const unknown = wanted.filter((name) => !detectors.some((each) => each.name === name));
const chosen = mutants().filter(
  ({ name }) => names.length === 0 || names.some((word) => name.includes(word)),
);
if (unknown.length > 0 || chosen.length === 0 || !numbers.every((n) => n > 0)) {
  const known = detectors.map(({ name }) => name).join(', ');
  console.error(`nothing to do, or no such detector or number (detectors: ${known})`);
  process.exit(2);
}

const folder = new WorkFolder();
process.once('SIGINT', () => {
  folder.remove();
  process.exit(130);
});
try {
  process.exitCode = await work(folder);
} finally {
  folder.remove();
}

async function work({ path }: WorkFolder): Promise<number> {
  const broken = folder.compile();
  if (broken !== null) {
    console.error(`the source does not compile:\n${broken}`);
    return 1;
  }
  const there = detectors.filter(({ name, isThere }) => wanted.includes(name) && isThere(path));
  console.log(`seed ${limits.seed}, ${chosen.length} mutants, ${there.map((d) => d.name).join()}`);
  if (names.length === 0 && !(await isQuiet(there))) return 1;
  const alive: Mutant[] = [];
  for (const mutant of chosen) {
    if (!(await isFound(mutant, there))) alive.push(mutant);
  }
  for (const { name, rule, breaks, shows } of alive) {
    console.log(`\nNOT FOUND ${name} (${rule}): ${breaks}\n  it shows when ${shows}`);
  }
  console.log(`\n${chosen.length - alive.length} of ${chosen.length} mutants were found`);
  return alive.length === 0 ? 0 : 1;
}

/** Nobody complains of the source as it is. */
async function isQuiet(there: readonly Detector[]): Promise<boolean> {
  let quiet = true;
  for (const { name, run } of there) {
    const found = await run(folder.path, limits);
    console.log(row('(unbroken)', name, told(found)));
    quiet &&= found.what === null;
  }
  return quiet;
}

async function isFound(mutant: Mutant, there: readonly Detector[]): Promise<boolean> {
  const error = folder.make(mutant);
  folder.restore();
  if (error !== null) {
    console.log(row(mutant.name, mutant.rule, `does not compile: ${error}`));
    return false;
  }
  const by: string[] = [];
  const archives = mutant.name.startsWith('archive-');
  for (const { name, run } of there) {
    const found = await run(folder.path, { ...limits, archives });
    if (found.what !== null || found.runs !== null) {
      console.log(row(mutant.name, mutant.rule, `${name}: ${told(found)}`));
    }
    if (found.what !== null) by.push(name);
    if (by.length > 0 && !values.all) break;
  }
  if (by.length === 0) console.log(row(mutant.name, mutant.rule, 'NOT FOUND'));
  return by.length > 0;
}

function told({ what, note, seconds, runs }: Found): string {
  const count = runs === null ? '' : `${runs.caught} of ${runs.all} runs, `;
  const beside = note === null ? '' : ` (${note})`;
  return `${count}${seconds.toFixed(1)} s${beside}: ${(what ?? 'no complaint').slice(0, 160)}`;
}

function row(name: string, rule: string, text: string): string {
  return `${name.padEnd(26)} | ${rule.padEnd(16)} | ${text}`;
}
