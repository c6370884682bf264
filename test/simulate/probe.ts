// Crashes of copies: at any step of the files of a machine, a copy of what a crash would leave is
// opened by the real recovery and judged, aside; the machine itself goes on. Many more crash points
// are met than a run could survive.
import type { Log } from '../../src/base/log.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { Role } from '../../src/control/api.js';
import { committedName } from '../../src/receive/stage.js';
import type { Loss } from './acts.js';
import { Daemon } from './daemon.js';
import { droppedIsDurable, historyTrue, primaryTrue } from './judge.js';
import { Life } from './loop.js';
import { type Machine, RESOURCE, STATE } from './machine.js';
import { SimNetwork } from './network.js';
import { NO_STORES, type Run } from './run.js';
import { OFFSITE } from './setup.js';

/** A copy at one in so many steps, and no more than so many at the same time. */
const STEPS = 2;
const AT_ONCE_MAX = 12;
/** Of so many copies of a replica that has a committed file, in one that file has rotted. */
const ROTS = 4;
/** The whole history of one copy in so many. */
const HISTORIES = 4;
/** What of one copy in so many was in doubt, of those whose process died. */
const SETTLED = 3;
const LOSSES: readonly Loss[] = ['none', 'all', 'seeded', 'seeded', 'one'];

const quiet = (): void => {};
const SILENT: Log = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: quiet,
  child: () => SILENT,
};

/** ... also while it is being taken, or left: of that a crash may leave any part. `excused`: its
 * state may be made anew just then. */
function roleOf(daemon: Daemon | null, excused: boolean): Role {
  const role = daemon?.role ?? 'init';
  if (daemon === null || role !== 'init' || excused) return role;
  return daemon.replication.node(RESOURCE).file?.state.role ?? 'init';
}

export class Probes {
  readonly #run: Run;
  readonly #random: Random;
  #running = 0;

  constructor(run: Run) {
    this.#run = run;
    this.#random = seededRandom(run.setup.seed + 11);
  }

  /** Called at every step of the files of `machine`, before it happens. */
  stepped(machine: Machine): void {
    if (this.#running >= AT_ONCE_MAX || this.#random.below(STEPS) > 0) return;
    if (this.#run.broken !== null || machine.spared?.() === true) return;
    const loss = LOSSES[this.#random.below(LOSSES.length)] ?? 'all';
    this.#running += 1;
    const ended = (): void => {
      this.#running -= 1;
    };
    this.#run.beside(this.#probe(machine, loss).finally(ended));
  }

  /** Up to its first wait in the calling step. */
  async #probe(machine: Machine, loss: Loss): Promise<void> {
    const run = this.#run;
    const role = roleOf(run.daemonOf(machine), run.excused);
    if (role === 'init') return;
    const what = `copy of ${machine.name} at step ${machine.world.steps}, loss ${loss}`;
    const life = new Life();
    run.looks.note(machine);
    const copy = machine.afterCrash(run.lossOf(machine, loss, this.#random), this.#random, life);
    for (const block of machine.untracked) copy.untracked.add(block);
    const acknowledged = run.truth.lastAcknowledged(machine.name);
    const { view } = machine;
    const disk = copy.diskBytes;
    if (view !== null && disk !== null && role === 'primary') {
      const now = disk.subarray(0, view.sizeBytes);
      // A role that is being taken may have dropped from the cache what a failed sync gave up.
      const isSettled = run.daemonOf(machine)?.primary !== null || !run.troubled;
      if (loss === 'none' && isSettled) view.checkNow(now, what);
      else view.checkDurable(now, what);
    }
    run.counts.probes += 1;
    const random = seededRandom(this.#random.below(2 ** 31));
    const isLost = this.#rots(machine, copy, random);
    const ghost = new Daemon(copy, {
      loop: run.loop,
      random,
      network: new SimNetwork(run.loop, random).of(life),
      stores: run.archive?.bucket.copy() ?? NO_STORES,
      settings: run.settingsOf(machine),
      log: SILENT,
      changes: quiet,
      reads: quiet,
      taken: (at) => run.looks.judge(at, what, isLost ? null : acknowledged),
    });
    try {
      await ghost.replication.start();
      if (role === 'primary') {
        await ghost.becomePrimary(false);
        if (loss === 'none') await this.#settled(ghost, copy);
        await this.#archived(ghost, copy);
      } else {
        await ghost.order({ role: 'secondary' });
        await this.#history(ghost, copy, what);
      }
    } catch (error) {
      if (!run.troubled && !run.excused) throw new Error(`${what}: ${error}`, { cause: error });
    }
    life.end();
    copy.world.stop('probed');
  }

  /** Sometimes the committed file cannot be read any more: its point is lost, and the one before
   * stands whole (C1). True: it may be so. */
  #rots(machine: Machine, { world }: Machine, random: Random): boolean {
    const point = this.#run.daemonOf(machine)?.secondary?.parts.replica.point ?? null;
    if (point === null || !this.#run.busy) return false;
    const path = `${STATE}/${committedName(point.id)}`;
    const size = world.sizeNow(path) ?? 0;
    if (size === 0 || random.below(ROTS) > 0) return false;
    world.flip(path, random.below(size));
    return true;
  }

  /** D1, sometimes: what was in doubt is compared, and what is not marked then is durable. */
  async #settled(ghost: Daemon, copy: Machine): Promise<void> {
    if (this.#random.below(SETTLED) > 0) return;
    for (const driver of ghost.primary?.parts.drivers ?? []) await driver.exclusive(async () => {});
    droppedIsDurable(this.#run.truth, copy, ghost);
  }

  /** D1, D4: the archive as it stands is met, whatever had become of a round. */
  async #archived(ghost: Daemon, copy: Machine): Promise<void> {
    const driver = ghost.primary?.driver(OFFSITE);
    if (driver === undefined) return;
    const linked = await driver.parts.link.get().catch(() => null);
    if (linked === null) return;
    primaryTrue(this.#run.truth, copy, ghost);
  }

  /** Q1, sometimes: every point that the copy keeps. */
  async #history(ghost: Daemon, copy: Machine, what: string): Promise<void> {
    const run = this.#run;
    const replica = ghost.secondary?.parts.replica;
    if (replica === undefined || this.#random.below(HISTORIES) > 0) return;
    if (replica.record.suspect !== null || replica.applyError !== null) return;
    const mayBeLost = run.rotten || run.troubled;
    await historyTrue(run.truth, copy.world, what, replica, mayBeLost, 'at work');
  }
}
