// The end of a run: faults stop, and what a sensible operator would do is done until every node has
// the same disk (a node is made anew only where that was asked for: C4). Then all that is kept must
// be true: disks, digests, history, and no file left over. Times are milliseconds of the run.
import { describeError } from '../../src/base/errors.js';
import { MIB } from '../../src/base/units.js';
import type { Replica } from '../../src/receive/replica.js';
import { archiveAtRest } from './archive-rest.js';
import { mendDrift } from './behind.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import { refusalOf } from './daemon.js';
import { atPoint, historyTrue, nothingStaged, primaryTrue, tableTrue } from './judge.js';
import { DISK, type Machine } from './machine.js';
import type { Run } from './run.js';
import { OFFSITE } from './setup.js';
import { same } from './truth.js';

const QUIET_MS = 90_000;
/** Why a node will never be primary by itself. */
const GONE: ReadonlySet<string | null> = new Set([
  ...['STATE_UNREADABLE', 'STATE_MISSING', 'DISK_MISSING'],
]);
/** A socket's buffers and the largest frame. */
const WAITING_BYTES_MAX = 2 * MIB;
const ATTEMPTS_MAX = 12;
const ATTEMPT_MS = 5000;
/** Attempts after which all daemons are restarted, where disks have failed. */
const RESTARTS = [0, 3, 6];

export async function settleDown(run: Run): Promise<void> {
  quieten(run);
  await run.loop.later(QUIET_MS, null);
  for (const machine of run.machines) {
    if (machine.leftOut.size === 0) continue;
    machine.leftOut.clear();
    await run.restart(machine, async () => {});
    await run.loop.later(QUIET_MS, null);
  }
  for (const machine of run.machines) if (run.daemonOf(machine) === null) run.start(machine);
  let [why, last] = ['', false];
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    await run.loop.later(ATTEMPT_MS, null);
    quieten(run);
    if (run.troubled && RESTARTS.includes(attempt)) await restartAll(run);
    const primary = await onePrimary(run);
    if (primary === null) {
      why = 'nobody can be primary';
      continue;
    }
    await secondaries(run, primary);
    why = (await synced(run, primary)) ?? '';
    run.say(`settling, attempt ${attempt}: ${why || 'all is there'}`);
    if (why !== '') continue;
    await mendDrift(run, primary);
    allTrue(run, primary);
    bounded(run);
    if (last) {
      await historiesTrue(run, primary);
      return archiveAtRest(run, primary);
    }
    // One round more: what is left of those that failed is taken over, or gone.
    last = true;
    await oneMore(run, primary);
  }
  throw new Broken(`it does not come to rest: ${why}`);
}

/** No more faults. */
function quieten(run: Run): void {
  run.network.heal();
  run.archive?.bucket.heal();
  for (const { world } of run.machines) {
    world.mend();
    world.limit(null);
    world.crashAt(Number.MAX_SAFE_INTEGER);
  }
}

async function restartAll(run: Run): Promise<void> {
  for (const machine of run.machines) {
    await run.restart(machine, async () => {});
  }
  await run.loop.later(QUIET_MS, null);
}

/** The one primary; where there are several, that of the newest epoch. */
async function onePrimary(run: Run): Promise<Daemon | null> {
  const daemons = run.machines.flatMap((machine) => run.daemonOf(machine) ?? []);
  const primaries = daemons.filter(({ role }) => role === 'primary');
  const number = ({ replication }: Daemon): number =>
    replication.node('vm1').file?.state.epochs.at(-1)?.number ?? 0;
  primaries.sort((one, other) => number(other) - number(one));
  const [first, ...others] = primaries;
  if (first !== undefined) {
    if (others.length > 0 && !run.excused) throw new Broken('C3: two primaries');
    for (const other of others) await other.order({ role: 'init' });
    return first;
  }
  const refusals: { readonly daemon: Daemon; readonly code: string | null }[] = [];
  for (const daemon of daemons.sort((one, other) => number(other) - number(one))) {
    try {
      const promotes = daemon.replication.node('vm1').file?.state.replica.point ?? null;
      if (promotes !== null && !run.troubled && !run.excused) throw new Broken('C3: no primary');
      run.excused ||= promotes !== null;
      await daemon.order({ role: 'primary', acceptLoss: true, acceptDrift: true, alone: true });
      return daemon;
    } catch (error) {
      if (error instanceof Broken) throw error;
      run.say(`${daemon.machine.name} cannot be primary: ${describeError(error)}`);
      refusals.push({ daemon, code: refusalOf(error) });
    }
  }
  // Both copies of its state have rotted, and nobody else has a state or a disk: the next attempt
  // takes it.
  const isGone = ({ code }: { readonly code: string | null }): boolean => GONE.has(code);
  const lost = refusals.find(({ code }) => code === 'STATE_UNREADABLE');
  if (lost !== undefined && run.rotten && refusals.every(isGone)) await stateAnew(run, lost.daemon);
  return null;
}

async function secondaries(run: Run, primary: Daemon): Promise<void> {
  for (const machine of run.machines) {
    const daemon = run.daemonOf(machine);
    if (daemon === null || daemon === primary || daemon.role === 'secondary') continue;
    try {
      await daemon.order({ role: 'secondary' });
    } catch (error) {
      run.say(`${machine.name} cannot be secondary: ${describeError(error)}`);
      const code = refusalOf(error);
      // Both copies of the state have rotted, or it crashed while it was made anew: the message
      // names this way out.
      const isLost =
        (code === 'STATE_UNREADABLE' && run.rotten) || (code === 'STATE_MISSING' && run.excused);
      run.excused ||= isLost;
      if (isLost || code === 'ROLE_WAS_PRIMARY') await anew(run, machine, daemon);
    }
  }
}

/** `hastctl create --force`, and the role. */
async function anew(run: Run, machine: Machine, daemon: Daemon): Promise<void> {
  if (!run.excused) throw new Broken(`C4: ${machine.name} has to be made anew, unasked`);
  await daemon.order({ role: 'init' });
  await stateAnew(run, daemon);
  await daemon.order({ role: 'secondary' });
}

/** `hastctl create --force`: the way out that STATE_UNREADABLE tells. */
async function stateAnew(run: Run, daemon: Daemon): Promise<void> {
  const { machine } = daemon;
  run.excused = true;
  await daemon.anew(() => run.create(machine, machine.world.sizeNow(DISK) ?? 0));
}

/** Null: every target has all of it; else why not. */
async function synced(run: Run, daemon: Daemon): Promise<string | null> {
  const { primary } = daemon;
  if (primary === null) return 'the primary is gone';
  await primary.pause(null, false);
  await primary.setRate(null, 0);
  const outcomes = await primary.sync(null, { wait: 'applied' });
  const bad = outcomes.filter(({ outcome }) => outcome !== 'applied' && outcome !== 'nothing');
  for (const { target } of bad) {
    const driver = primary.driver(target);
    if (target === OFFSITE && driver?.parts.link.diverged === true) {
      if (!run.excused) throw new Broken('C4: the archive has to be made anew, unasked');
      run.archive?.another();
      await restartAll(run);
      return 'the archive has another url';
    }
    const machine = run.machines.find(({ name }) => name === target);
    const other = machine === undefined ? null : run.daemonOf(machine);
    if (driver?.parts.link.diverged !== true || machine === undefined || other === null) continue;
    await anew(run, machine, other);
  }
  const worst = bad[0];
  return worst === undefined ? null : `${worst.target} ${worst.outcome}: ${worst.text}`;
}

/** Every disk is the same, and all that is said of it true. */
function allTrue(run: Run, daemon: Daemon): void {
  const { primary, machine } = daemon;
  if (primary === null) throw new Broken('the primary is gone');
  primaryTrue(run.truth, machine, daemon);
  const { sizeBytes } = primary.parts.resourceFile.state;
  const wanted = (machine.diskBytes ?? new Uint8Array(0)).subarray(0, sizeBytes);
  machine.view?.checkNow(wanted, `${machine.name} at the end`);
  for (const [other, replica] of replicas(run, machine)) {
    const found = (other.diskBytes ?? new Uint8Array(0)).subarray(0, sizeBytes);
    same(found, wanted, `D1: ${other.name} at the end`);
    const last = run.truth.lastAcknowledged(other.name);
    atPoint(run.truth, other.world, other.name, replica, last);
    tableTrue(run.truth, other.world, other.name, replica);
  }
}

/** W5: what was sent and not read was never more than the window and one piece. */
function bounded(run: Run): void {
  const { bytesWaitingMax } = run.network;
  if (bytesWaitingMax > WAITING_BYTES_MAX) throw new Broken(`W5: ${bytesWaitingMax} bytes waited`);
}

async function historiesTrue(run: Run, { machine }: Daemon): Promise<void> {
  await nothingStaged(machine.world, machine.name);
  const mayBeLost = run.rotten || run.troubled;
  for (const [other, replica] of replicas(run, machine)) {
    await replica.pruning.idle();
    await historyTrue(run.truth, other.world, other.name, replica, mayBeLost, 'at rest');
  }
}

function* replicas(run: Run, but: Machine): Generator<[Machine, Replica]> {
  for (const machine of run.machines) {
    const secondary = run.daemonOf(machine)?.secondary ?? null;
    if (machine !== but && secondary !== null) yield [machine, secondary.parts.replica];
  }
}

async function oneMore(run: Run, daemon: Daemon): Promise<void> {
  const { guests, machine } = daemon;
  if (guests === null || machine.view === null) throw new Broken('a primary without guests');
  await daemon.letsIn();
  await run.guests.some(guests, machine.view, 4, run.random, []);
}
