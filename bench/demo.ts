// `npm start`: the main job of hast, shown on this machine in under two minutes. Real programs,
// real NBD, TLS over loopback; nothing is written outside one new folder, and no process is left
// behind. Exit status: 0 all is as promised; 1 something differs or a step failed; 64 wrong
// options; 66 the image cannot be used, or no room; 130 interrupted.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.js';
import { codeOf, describeError } from '../src/base/errors.js';
import { seededRandom, systemRandom } from '../src/base/random.js';
import { humanBytes } from '../src/base/units.js';
import { Acknowledged } from './demo-acknowledged.js';
import { Content } from './demo-content.js';
import { DemoError } from './demo-fault.js';
import { Guest } from './demo-guest.js';
import { checkRoom, copyImage, makeImage } from './demo-image.js';
import { Nodes } from './demo-nodes.js';
import { type DemoOptions, readOptions } from './demo-options.js';
import { Show, table } from './demo-show.js';
import { INTERVAL_SECONDS, tellStory } from './demo-story.js';

const STATUS = { good: 0, wrong: 1, usage: 64, noInput: 66, interrupted: 130 } as const;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const show = new Show(systemClock, process.stdout.isTTY === true, (text) => {
  process.stdout.write(text);
});

/** Makes the disk and the guest's knowledge of it, runs the story; true when all is good. */
async function run(
  options: DemoOptions,
  sizeBytes: number,
  folder: string,
  stop: AbortSignal,
): Promise<boolean> {
  const random = seededRandom(options.seed);
  const content = new Content(random);
  const disk = join(folder, 'a.img');
  let what = `a copy of ${options.image}`;
  if (options.image !== null) await copyImage(options.image, disk, stop);
  else what = await makeImage(disk, sizeBytes, { content, random, signal: stop });
  show.line(`the disk: ${humanBytes(sizeBytes)}, ${what}`);
  await copyImage(disk, join(folder, 'acknowledged.img'), stop);
  stop.throwIfAborted();
  const acknowledged = await Acknowledged.open(join(folder, 'acknowledged.img'));
  const nodes = await Nodes.prepare(folder, `interval ${INTERVAL_SECONDS}s`);
  const guest = new Guest({ acknowledged, content, random, clock: systemClock });
  const killAll = (): void => nodes.killAll();
  process.on('exit', killAll);
  try {
    const story = tellStory({ nodes, guest, acknowledged, options, show, clock: systemClock });
    const rows = await Promise.race([story, aborted(stop)]);
    show.plain(`\n${table(rows)}\n`);
    return rows.every(({ good }) => good);
  } finally {
    guest.destroy();
    await nodes.end();
    process.off('exit', killAll);
    await acknowledged.close();
  }
}

/** Rejects with the reason of the signal. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const end = (): void => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });

function interruptible(): AbortSignal {
  const stop = new AbortController();
  for (const signal of SIGNALS) {
    process.on(signal, () => stop.abort(new DemoError({ code: 'DEMO_INTERRUPTED', signal })));
  }
  return stop.signal;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), systemRandom);
  if (options === null) return STATUS.good;
  const sizeBytes = await checkRoom(options.image, options.sizeBytes, tmpdir());
  const stop = interruptible();
  const folder = mkdtempSync(join(tmpdir(), 'hast-demo-'));
  show.plain(`hast, shown: nodes a and b on this machine; everything is in ${folder}`);
  show.plain(`seed ${options.seed} (--seed ${options.seed} repeats the guest's choices)\n`);
  let status: number = STATUS.wrong;
  try {
    if (await run(options, sizeBytes, folder, stop)) {
      status = STATUS.good;
      show.plain("Good: b's disk holds exactly what the guest was answered before the cut.");
    } else show.plain('WRONG: see the table.');
  } catch (error) {
    const reason: unknown = stop.aborted ? stop.reason : error;
    if (stop.aborted) status = STATUS.interrupted;
    show.plain(`Failed: ${describeError(reason)}`);
  }
  if (options.keep || status === STATUS.wrong) {
    show.plain(`Everything is kept in ${folder} (logs: a.log, b.log).`);
  } else {
    rmSync(folder, { recursive: true, force: true });
    show.plain(`${folder} is removed${status === STATUS.good ? ' (--keep keeps it)' : ''}.`);
  }
  return status;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`hast demo: ${describeError(error)}\n`);
  process.exitCode = codeOf(error) === 'DEMO_USAGE' ? STATUS.usage : STATUS.noInput;
}
