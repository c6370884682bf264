// Runs setups, one after the other, and says what became of each. A run that breaks a promise is
// made smaller by shrink.ts; everything that repeats it is in what is said.
import { Broken } from './broken.js';
import { perform } from './perform.js';
import { type Counts, Run } from './run.js';
import { settleDown } from './settle.js';
import type { Setup } from './setup.js';

/** Virtual time after which a run that has not ended hangs. */
const RUN_MS_MAX = 24 * 3600_000;
const WAIT_MS = 120_000;

export interface Ended {
  readonly broken: Error | null;
  readonly counts: Counts;
  readonly trace: readonly string[];
}

/** The run whose promises are broken by what nobody catches. */
let current: Run | null = null;

/** Call once in a process that simulates: our own mistakes end a run, not the process. */
export function catchStrays(): void {
  process.on('unhandledRejection', (error) => {
    if (current === null) throw error;
    current.fail(error);
  });
}

export async function simulate(setup: Setup): Promise<Ended> {
  const run = new Run(setup);
  current = run;
  const over = await run.until(story(run), RUN_MS_MAX);
  if (!over && run.broken === null) run.fail(new Broken('nothing happens any more: it hangs'));
  for (const machine of run.machines) {
    machine.life.end();
    machine.world.stop('over');
  }
  run.counts.events = run.loop.events;
  current = null;
  return { broken: run.broken, counts: run.counts, trace: run.trace };
}

async function story(run: Run): Promise<void> {
  await begin(run);
  for (const act of run.setup.acts) await perform(run, act);
  run.busy = false;
  await run.loop.later(WAIT_MS, null);
  await settleDown(run);
}

/** Every node has been created; the first is primary, the others are its replicas. */
async function begin(run: Run): Promise<void> {
  for (const [at, machine] of run.machines.entries()) {
    await run.create(machine, at === 0 ? run.setup.sizeBytes : 0);
    machine.world.settle();
    const daemon = run.start(machine);
    await run.loop.later(1, null);
    if (at > 0) await daemon.order({ role: 'secondary' });
  }
  const [first] = run.machines;
  if (first !== undefined) await run.daemonOf(first)?.order({ role: 'primary' });
}
