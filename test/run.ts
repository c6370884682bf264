// Runs the compiled tests, each file in a process of its own (`npm test`, `npm run test:unit`).
//   node dist/test/run.js [--unit] [WORD...]
// `--unit` leaves out test/real (real tools, processes, kill -9). A WORD keeps only the files whose
// path contains one of the words. What is run is what has a source now: not a compiled test whose
// source is gone. Output: node's spec reporter, and at the very end node's own totals, a line
// `# name count` each. Status 0 only if something ran and nothing failed or was cancelled.
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

/** Files at once: the real ones wait half of their time, for daemons and for time-outs. */
const FILES_AT_ONCE = 3;
const FILE_MS_MAX = 15 * 60 * 1000;
const TOTAL = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

const compiled = dirname(fileURLToPath(import.meta.url));
const sources = join(compiled, '..', '..', 'test');

/** Paths below test/ of the tests to run, as compiled. */
function chosen(words: readonly string[]): string[] {
  const unit = words.includes('--unit');
  const wanted = words.filter((word) => !word.startsWith('--'));
  return readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .filter((name) => !(unit && name.startsWith('real/')))
    .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)))
    .sort();
}

/** The real ones spread evenly over the others, in order: what waits runs beside what computes. */
function spread(names: readonly string[]): readonly string[] {
  const real = names.filter((name) => name.startsWith('real/'));
  const others = names.filter((name) => !name.startsWith('real/'));
  const placed = [real, others].flatMap((some) =>
    some.map((name, at) => ({ name, at: (at + 0.5) / some.length })),
  );
  return placed.sort((one, other) => one.at - other.at).map(({ name }) => name);
}

const files = spread(chosen(process.argv.slice(2))).map((name) =>
  join(compiled, name.replace(/\.ts$/, '.js')),
);
const absent = files.filter((file) => !existsSync(file));
if (files.length === 0 || absent.length > 0) {
  const names = absent.map((file) => relative(compiled, file)).join(', ');
  console.error(absent.length > 0 ? `not compiled: ${names}` : 'no test has such a name');
  process.exit(1);
}

const totals: string[] = [];
let failed = false;
const stream = run({ files, concurrency: FILES_AT_ONCE, timeout: FILE_MS_MAX });
stream.on('test:fail', (event) => {
  if (event.todo === undefined || event.todo === false) failed = true;
});
stream.on('test:diagnostic', ({ nesting, message }) => {
  if (nesting === 0 && TOTAL.test(message)) totals.push(message);
});
const report = stream.compose<NodeJS.ReadWriteStream>(new spec());
report.pipe(process.stdout, { end: false });
await once(report, 'end');
for (const line of totals) console.log(`# ${line}`);
process.exitCode = failed || totals.length === 0 ? 1 : 0;
