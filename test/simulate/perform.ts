// Performs the acts of a run, one beginning after the other, each on its own from then on. An order
// that is refused is an answer, not a fault; what breaks a promise is for run.ts.
import { HastError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { SECTOR_BYTES } from '../../src/base/units.js';
import { setName } from '../../src/receive/pins.js';
import { growDisk } from '../crash/nodes.js';
import type { Act } from './acts.js';
import { drift } from './behind.js';
import { type Daemon, LossNotAccepted } from './daemon.js';
import type { Range } from './guests.js';
import { DISK, type Machine, STATE } from './machine.js';
import { outside } from './outsiders.js';
import { olderImages, revert } from './revert.js';
import type { Run } from './run.js';
import { setBack } from './set-back.js';

/** A crash that met no step of the files comes all the same. */
const CRASH_WAIT_MS = 3000;

export async function perform(run: Run, act: Act): Promise<void> {
  begin(run, act);
  if (run.setup.named === true) nameOne(run, seededRandom(act.seed + 1));
  await run.loop.later(act.gapMs, null);
}

/** Begins an act, which goes on beside the run. */
export function begin(run: Run, act: Act): void {
  run.say(`ACT ${JSON.stringify(act)}`);
  run.beside(refusable(run, doAct(run, act, seededRandom(act.seed))));
}

/** An operator gives a point of a replica a name, or takes it away. */
function nameOne(run: Run, random: Random): void {
  for (const machine of run.machines) {
    const replica = run.daemonOf(machine)?.secondary?.parts.replica ?? null;
    const chain = replica?.record.chain ?? [];
    const entry = chain[random.below(chain.length || 1)];
    if (replica === null || entry === undefined || random.below(2) === 0) continue;
    const { number } = entry.point;
    const name = entry.name === undefined ? `kept-${number}` : null;
    run.say(`${machine.name}: point ${number} is named ${name ?? 'no more'}`);
    run.beside(
      refusable(
        run,
        setName(replica, entry, name).then(() => undefined),
      ),
    );
  }
}

/** What an operator is told no to, and what a failing disk or network makes of an order. */
async function refusable(run: Run, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof HastError) && !(error instanceof LossNotAccepted)) throw error;
    run.say(`  refused: ${error.message}`);
  }
}

function oneServing(run: Run, random: Random): Daemon | null {
  const serving = run.serving();
  return serving[random.below(serving.length || 1)] ?? null;
}

async function doAct(run: Run, act: Act, random: Random): Promise<void> {
  switch (act.kind) {
    case 'guest':
      return guest(run, oneServing(run, random), act.requests, random);
    case 'revert':
      return revert(run, oneServing(run, random), random);
    case 'sync': {
      const daemon = oneServing(run, random);
      return void (await daemon?.primary?.sync(null, { wait: act.wait }));
    }
    case 'order':
      return order(run, act.what, random);
    case 'rate':
      return void (await oneServing(run, random)?.primary?.setRate(null, act.bits));
    case 'crash':
      return crash(run, act, random);
    case 'stop':
      return run.restart(run.machine(act.host), () => run.loop.later(act.downMs, null));
    case 'net':
      run.counts.faults += 1;
      if (act.what === 'silence') run.network.silence(act.ms);
      else run.network.cut(act.what === 'half cut');
      return;
    case 'corrupt':
      run.counts.faults += 1;
      return run.network.corrupt(act.how);
    case 'fail':
      return failing(run, act);
    case 'full':
      return full(run, act);
    case 'clock':
      run.machine(act.host).skewMs += act.ms;
      return;
    case 'touched':
      return run.restart(run.machine(act.host), async () => {
        await touch(run, run.machine(act.host), random);
        await run.loop.later(act.downMs, null);
      });
    case 'rot':
      return run.restart(run.machine(act.host), async () => {
        await rot(run, run.machine(act.host), random);
        await run.loop.later(act.downMs, null);
      });
    case 'drift':
      return drift(run, random);
    case 'set back':
      return setBack(run, act, random);
    case 'promote':
      return promote(run, act, random);
    case 'role':
      run.excused ||= act.role === 'primary';
      return void (await run.daemonOf(run.machine(act.host))?.order({
        role: act.role,
        alone: random.below(2) === 0,
      }));
    case 'rejoin':
      return rejoin(run, run.machine(act.host));
    case 'left out':
      return leftOut(run, run.machine(act.host), run.machine(act.target).name);
    case 'grow':
      return grow(run, act.sectors, random);
    case 'wait':
      return;
    default:
      return outside(run, act, random);
  }
}

/** `count` requests of one guest of `daemon`, one after another; `near`: where they begin. */
export async function guest(
  run: Run,
  daemon: Daemon | null,
  count: number,
  random: Random,
  near: Range | null = null,
): Promise<void> {
  if (daemon === null || !(await daemon.letsIn())) return;
  const { guests, machine } = daemon;
  if (guests === null || machine.view === null) return;
  await run.guests.some(guests, machine.view, count, random, olderImages(run), near);
}

async function order(
  run: Run,
  what: 'fire' | 'pause' | 'resume' | 'cancel' | 'verify',
  random: Random,
): Promise<void> {
  const daemon = oneServing(run, random);
  const primary = daemon?.primary ?? null;
  if (daemon === null || primary === null) return;
  if (what === 'pause' || what === 'resume') await primary.pause(null, what === 'pause');
  else if (what === 'cancel') await primary.cancel(null);
  else if (what === 'verify') {
    const stop = new AbortController();
    await daemon.replication.verify('vm1', random.below(2) === 0, stop.signal);
  } else {
    for (const { name } of primary.parts.drivers) {
      await primary.driver(name)?.fire(daemon.machine.wallMs);
    }
  }
}

function crash(run: Run, act: Act & { readonly kind: 'crash' }, random: Random): void {
  const machine = run.machine(act.host);
  if (run.daemonOf(machine) === null) return;
  const { world, life } = machine;
  const downMs = act.downMs;
  world.crashAt(world.steps + act.steps);
  const rots = act.rots === true ? () => rot(run, machine, random) : async () => {};
  world.onStop(() => run.crashed(machine, { ...act, downMs, rots }, random));
  const atLast = (): void => {
    if (world.spares?.() === true) run.loop.at(CRASH_WAIT_MS, life, atLast);
    else world.stop('no step came');
  };
  run.loop.at(act.now === true ? 0 : CRASH_WAIT_MS, life, atLast);
}

/** Somebody writes the disk while no daemon has it. Not while a committed point is half in it: what
 * the disk should be is not known then, and its lock is the only guard (H41). */
async function touch(run: Run, machine: Machine, random: Random): Promise<void> {
  const { world } = machine;
  const size = world.sizeNow(DISK) ?? 0;
  const files = await world.list(STATE);
  if (size === 0 || files.some((name) => name.startsWith('committed-'))) return;
  // Only the background pass would find it, some day (H11).
  if (machine.hardware.blind) return;
  run.counts.faults += 1;
  run.rotten = true;
  // With an fdatasync, and what a dead process had left in the cache is on the disk too.
  world.settle();
  for (let left = 1 + random.below(3); left > 0; left -= 1) world.flip(DISK, random.below(size));
  machine.view = null;
}

/** A byte of any one file of the state is not what was written. */
async function rot(run: Run, machine: Machine, random: Random): Promise<void> {
  const { world } = machine;
  const files = await world.list(STATE);
  // What is half done is rare, and the most delicate.
  const half = files.filter((name) => /^(committed|undo|stage)-/.test(name));
  const among = half.length > 0 && random.below(4) > 0 ? half : files;
  const path = `${STATE}/${among[random.below(among.length || 1)]}`;
  const size = world.sizeNow(path) ?? 0;
  if (size === 0) return;
  run.counts.faults += 1;
  run.rotten = true;
  run.lostState = true;
  run.say(`${machine.name} ROT in ${path}`);
  run.truth.forget(machine.name);
  run.truth.rotted.add(`${machine.name} ${path}`);
  world.flip(path, random.below(size));
}

/** Operations of the disk, or of any state file, fail so many times. */
function failing(run: Run, act: Act & { readonly kind: 'fail' }): void {
  const machine = run.machine(act.host);
  run.counts.faults += 1;
  run.troubled = true;
  const { operation, times } = act;
  const within = act.on === 'disk' ? DISK : STATE;
  machine.world.failSoon({ operation, within }, 'EIO', times);
}

function full(run: Run, act: Act & { readonly kind: 'full' }): void {
  const { world, life } = run.machine(act.host);
  run.counts.faults += 1;
  run.troubled = true;
  world.limit(world.usedBytes() + act.bytes);
  run.loop.at(act.ms, life, () => world.limit(null));
}

/** A replica becomes primary; in good order, the primary leaves its role before. */
async function promote(
  run: Run,
  act: Act & { readonly kind: 'promote' },
  random: Random,
): Promise<void> {
  const machine = run.machine(act.host);
  const daemon = run.daemonOf(machine);
  if (daemon === null || daemon.role !== 'secondary') return;
  run.excused = true;
  if (act.orderly) for (const other of run.serving()) await other.order({ role: 'init' });
  const force = random.below(3) > 0;
  await daemon.order({ role: 'primary', acceptLoss: force, acceptDrift: force, alone: force });
}

/** A node that has no role is made anew, as a replica of the one that is primary now. */
async function rejoin(run: Run, machine: Machine): Promise<void> {
  const daemon = run.daemonOf(machine);
  const primary = run.serving().find((other) => other !== daemon);
  if (daemon === null || daemon.role !== 'init' || primary === undefined) return;
  run.excused = true;
  const create = () => run.create(machine, machine.world.sizeNow(DISK) ?? 0);
  if (await daemon.anew(create)) await daemon.order({ role: 'secondary' });
}

/** The configuration leaves a target out, or names it again; a restart takes that over. */
function leftOut(run: Run, machine: Machine, target: string): Promise<void> {
  return run.restart(machine, async () => {
    if (!machine.leftOut.delete(target)) machine.leftOut.add(target);
  });
}

/** `hastctl resize`, with the disk made longer before. */
async function grow(run: Run, sectors: number, random: Random): Promise<void> {
  const daemon = oneServing(run, random);
  if (daemon === null) return;
  const { machine } = daemon;
  const has = daemon.primary?.parts.resourceFile.state.sizeBytes ?? 0;
  const sizeBytes = has + sectors * SECTOR_BYTES;
  if (sizeBytes > 2 * run.setup.sizeBytes + 65_536) return;
  const longer = async (): Promise<void> => {
    if ((machine.world.sizeNow(DISK) ?? 0) >= sizeBytes) return;
    await growDisk(machine.world, sizeBytes, random.below(2) === 0 ? 0 : 3);
  };
  if (random.below(3) > 0) await longer();
  await daemon.resize(sizeBytes, longer);
}
