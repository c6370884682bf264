// A machine that gets back what it had some time ago: its state, its disk, or both, as from a
// backup or a snapshot of the whole host (H24).
import type { Random } from '../../src/base/random.js';
import type { CrashWorld } from '../world/memory-files.js';
import type { Act } from './acts.js';
import { Life } from './loop.js';
import { DISK, type Machine } from './machine.js';
import type { Run } from './run.js';

/** The machine gets back what it had some time ago: its state, its disk, or both. */
export async function setBack(
  run: Run,
  act: Act & { readonly kind: 'set back' },
  random: Random,
): Promise<void> {
  const machine = run.machine(act.host);
  const { saved } = machine;
  if (run.daemonOf(machine) === null) return;
  if (saved === null) {
    machine.saved = machine.world.afterCrash('none', random);
    return;
  }
  if (act.what !== 'disk' && run.setup.metaflush) return; // its intent map is not comparable
  await run.restart(machine, async () => setBackNow(run, machine, act.what, saved, random));
}

function setBackNow(
  run: Run,
  machine: Machine,
  what: 'state' | 'disk' | 'both',
  saved: CrashWorld,
  random: Random,
): void {
  run.counts.faults += 1;
  run.excused = true;
  run.rotten = true;
  run.lostState = true;
  const disk = (what === 'state' ? machine.world : saved).peek(DISK);
  const state = what === 'disk' ? machine.world : saved;
  const world = state.afterCrash('none', random);
  if (disk !== null) world.plant(DISK, disk);
  machine.replace(world, new Life());
  machine.boots += 1;
  machine.diskId += 1;
  machine.view = null;
  run.truth.forget(machine.name);
}
