// Moments that matter, and what comes to a run in them: guests at cuts, checkpoints and at what is
// being read; disks that fail, machines that crash or are promoted while a round is committed or
// applied. Acts that are drawn at any time meet these milliseconds rarely. Kinds of faults are
// those of the run's own acts.
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import { recordOf } from '../../src/round/contact.js';
import type { Volume } from '../../src/volume/volume.js';
import type { Act, ActKind } from './acts.js';
import type { Daemon } from './daemon.js';
import { Disturbances } from './disturb.js';
import type { Range } from './guests.js';
import { DISK, type Machine } from './machine.js';
import { begin, guest } from './perform.js';
import { revert } from './revert.js';
import type { Run } from './run.js';

/** Guests that come when a round is reserved, and again when it is cut, and within how long. */
const GUESTS_AT_CUT_MAX = 4;
const REVERTS_ONE_IN = 6;
const AT_CUT_MS = [1, 5, 30, 150, 600];

/** Reads of chunks for a target that a guest meets. */
const READS_MET_ONE_IN = 4;

/** How often a guest looks whether it is let in, in the time of one operation. */
const LET_IN_LOOKS_MAX = 30;

/** Cuts after which the disk fails. */
const STRAINED_ONE_IN = 10;

const DISTURBED_ONE_IN = 2;
const APPLYING_MS = [0, 0, 2, 10, 30];
const DISTURBANCES = ['crash', 'stop', 'promote'] as const;

/** One cut in so many meets a disk of which so many reads fail: of whole chunks, then of blocks. */
const BAD_BLOCKS_ONE_IN = 2;
const BAD_READS_MAX = [4, 12, 40];

export class Moments {
  readonly #run: Run;
  /** Rounds that were reserved. */
  readonly #seen = new Set<string>();
  /** Swaps of the live maps, at the last look. */
  readonly #swaps = new WeakMap<Volume, number>();
  readonly #random: Random;
  readonly #badRandom: Random;
  readonly #disturbances: Disturbances;

  constructor(run: Run) {
    this.#run = run;
    this.#disturbances = new Disturbances(run);
    this.#random = seededRandom(run.setup.seed + 12);
    this.#badRandom = seededRandom(run.setup.seed + 17);
  }

  /** Rounds of a primary that were reserved or cut since the last look. */
  met(daemon: Daemon): void {
    const { machine, primary } = daemon;
    if (primary === null) return;
    const { volume, rounds } = primary.parts.primary;
    let isBad = false;
    for (const { slot, resourceFile, target } of rounds) {
      const { proposed } = recordOf(resourceFile, target);
      if (proposed === null) continue;
      const isCut = volume.core.slots[slot]?.active ?? false;
      const moment = `${hex(proposed.point.id)} ${isCut}`;
      if (this.#seen.has(moment)) continue;
      this.#seen.add(moment);
      if (isCut) {
        isBad = this.#badBlocks(machine) || isBad;
        this.#disturbances.meet(machine, target, 'cut');
      } else this.#busy(daemon);
    }
    const isSwapped = this.#swaps.get(volume) !== volume.swaps;
    this.#swaps.set(volume, volume.swaps);
    if (!isSwapped) return;
    // Blocks that cannot be read are for the round, and not for guests.
    if (!isBad) this.#busy(daemon);
    if (volume.core.anyActive()) this.#strain(machine);
  }

  /** A replica that has committed, before the primary has been told. */
  applies(machine: Machine): void {
    const replica = this.#run.daemonOf(machine)?.secondary?.parts.replica;
    if (replica?.work !== 'applying' || replica.point === null) return;
    const moment = `${hex(replica.point.id)} applied`;
    if (this.#seen.has(moment)) return;
    this.#seen.add(moment);
    this.disturb(machine.name);
  }

  /** The next step of a round of `machine` asks the target to commit. */
  commits(machine: Machine, target: string): void {
    this.#disturbances.meet(machine, target, 'commit');
  }

  /** A round was found to be committed: the table names no point now, and still has what the
   * target had before (H7). */
  adopted(daemon: Daemon): void {
    if (!this.#run.busy || this.#random.below(2) > 0) return;
    this.#run.beside(revert(this.#run, daemon, seededRandom(this.#random.below(2 ** 31))));
  }

  /** Guests write when it matters: from just before a cut or a checkpoint on. */
  #busy(daemon: Daemon): void {
    if (!this.#run.busy) return;
    for (let left = this.#random.below(GUESTS_AT_CUT_MAX + 1); left > 0; left -= 1) {
      this.#soon(daemon, AT_CUT_MS[this.#random.below(AT_CUT_MS.length)] ?? 0, 4, null);
    }
  }

  /** The next fdatasync of the disk fails: that after a cut, or of a guest. */
  #strain(machine: Machine): void {
    const run = this.#run;
    if (!run.busy || !this.#mayHappen('fail') || this.#random.below(STRAINED_ONE_IN) > 0) return;
    const host = run.machines.indexOf(machine);
    const seed = this.#random.below(2 ** 31);
    begin(run, { kind: 'fail', seed, gapMs: 0, host, operation: 'sync', on: 'disk', times: 1 });
  }

  /** A chunk is read for a target: guests write just there, before or after its bytes are taken.
   */
  reads(daemon: Daemon, offset: number, length: number): void {
    if (!this.#run.busy || this.#random.below(READS_MET_ONE_IN) > 0) return;
    const { ioMsMax, asideMsMax = ioMsMax } = daemon.machine.hardware;
    const withinMs = [0, ioMsMax, asideMsMax][this.#random.below(3)] ?? 0;
    this.#soon(daemon, withinMs, 2, { offset, length });
  }

  #soon(daemon: Daemon, withinMs: number, requestsMax: number, near: Range | null): void {
    const run = this.#run;
    const random = seededRandom(this.#random.below(2 ** 31));
    const begun = run.loop.later((random.below(1000) / 1000) * withinMs, daemon.life);
    const count = 1 + random.below(requestsMax);
    const coming = begun.then(() => this.#letIn(daemon));
    const reverts = near === null && random.below(REVERTS_ONE_IN) === 0;
    const work = (): Promise<void> =>
      reverts ? revert(run, daemon, random) : guest(run, daemon, count, random, near);
    run.beside(coming.then(work));
  }

  /** A role that has just been taken has no guests for a moment: they come as soon as they can. */
  async #letIn(daemon: Daemon): Promise<void> {
    const { ioMsMax } = daemon.machine.hardware;
    for (let looks = 0; daemon.guests === null && looks < LET_IN_LOOKS_MAX; looks += 1) {
      await this.#run.loop.later(1 + ioMsMax / LET_IN_LOOKS_MAX, daemon.life);
    }
  }

  /** The disk cannot read what a round is about to read, and can later (H21). */
  #badBlocks({ world }: Machine): boolean {
    const run = this.#run;
    const isTried = run.busy && this.#mayHappen('fail');
    const random = this.#badRandom;
    if (!isTried || random.below(BAD_BLOCKS_ONE_IN) > 0) return false;
    run.counts.faults += 1;
    run.troubled = true;
    const most = BAD_READS_MAX[random.below(BAD_READS_MAX.length)] ?? 1;
    const times = 2 + random.below(most);
    world.failSoon({ operation: 'read', within: DISK }, 'EIO', times);
    run.say(`${times} reads of the disk fail`);
    return true;
  }

  /** Faults of other kinds than the run's are none of its. */
  #mayHappen(kind: ActKind): boolean {
    return this.#run.setup.acts.some((act) => act.kind === kind);
  }

  /** Something happens to a target that has just committed, and applies now: what a run does to
   * its machines it also does in this moment. */
  disturb(target: string): void {
    const run = this.#run;
    const host = run.machines.findIndex(({ name }) => name === target);
    // An archive applies nothing.
    if (host < 0 || !run.busy || this.#random.below(DISTURBED_ONE_IN) > 0) return;
    const [seed, gapMs] = [this.#random.below(2 ** 31), 0];
    const soonMs = APPLYING_MS[this.#random.below(APPLYING_MS.length)] ?? 0;
    const kinds = DISTURBANCES.filter((kind) => this.#mayHappen(kind));
    const kind = kinds[this.#random.below(kinds.length || 1)];
    if (kind === undefined) return;
    const steps = 1 + this.#random.below(40);
    const rots = this.#mayHappen('rot') && this.#random.below(2) === 0;
    const act = { kind, seed, gapMs, host, steps, loss: 'seeded', downMs: 10, quiet: false };
    const whole = { ...act, rots, orderly: false } as unknown as Act;
    run.loop.at(soonMs, null, () => begin(run, whole));
  }
}
