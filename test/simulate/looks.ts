// What is looked at while a run goes on: every cut, every write of a guest, every role that is
// taken, every point that is applied, every crash. What does not hold breaks the run.
import { describeError } from '../../src/base/errors.js';
import type { Log } from '../../src/base/log.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import type { Replica } from '../../src/receive/replica.js';
import { recordOf } from '../../src/round/contact.js';
import type { Volume } from '../../src/volume/volume.js';
import type { Act, ActKind, Loss } from './acts.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import type { Range } from './guests.js';
import {
  atPoint,
  droppedIsDurable,
  ofThisEpoch,
  primaryTrue,
  promotedWhole,
  tableTrue,
} from './judge.js';
import { DISK, type Machine } from './machine.js';
import { begin, guest } from './perform.js';
import type { Run } from './run.js';
import { Sectors } from './sectors.js';
import { type Cut, mayWrite } from './truth.js';

/** Guests that come when a round is reserved, and again when it is cut, and within how long. */
const GUESTS_AT_CUT_MAX = 4;
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

export class Looks {
  readonly #run: Run;
  /** Rounds that were reserved. */
  readonly #moments = new Set<string>();
  /** Swaps of the live maps, at the last look. */
  readonly #swaps = new WeakMap<Volume, number>();
  readonly #random: Random;
  readonly #badRandom: Random;

  constructor(run: Run) {
    this.#run = run;
    this.#random = seededRandom(run.setup.seed + 12);
    this.#badRandom = seededRandom(run.setup.seed + 17);
  }

  /** After every event. */
  look(): void {
    if (this.#run.broken !== null) return;
    for (const machine of this.#run.machines) {
      this.note(machine);
      this.#noteApply(machine);
    }
  }

  /** Before anything else writes its disk. */
  note(machine: Machine): void {
    const daemon = this.#run.daemonOf(machine);
    const primary = daemon?.primary;
    if (daemon === null || primary === null || primary === undefined) return;
    const { volume, rounds } = primary.parts.primary;
    const { state } = primary.parts.resourceFile;
    const disk = (): Uint8Array =>
      (machine.diskBytes ?? new Uint8Array(0)).subarray(0, state.sizeBytes);
    this.#run.truth.note(volume, rounds, disk);
    let isBad = false;
    for (const { slot, resourceFile, target } of rounds) {
      const { proposed } = recordOf(resourceFile, target);
      if (proposed === null) continue;
      const isCut = volume.core.slots[slot]?.active ?? false;
      const moment = `${hex(proposed.point.id)} ${isCut}`;
      if (this.#moments.has(moment)) continue;
      this.#moments.add(moment);
      if (isCut) isBad = this.#badBlocks(machine) || isBad;
      else this.#busy(daemon);
    }
    const isSwapped = this.#swaps.get(volume) !== volume.swaps;
    this.#swaps.set(volume, volume.swaps);
    if (!isSwapped) return;
    // Blocks that cannot be read are for the round, and not for guests.
    if (!isBad) this.#busy(daemon);
    if (volume.core.anyActive()) this.#strain(machine);
  }

  /** A replica that has committed, before the primary has been told. */
  #noteApply(machine: Machine): void {
    const replica = this.#run.daemonOf(machine)?.secondary?.parts.replica;
    if (replica?.work !== 'applying' || replica.point === null) return;
    const moment = `${hex(replica.point.id)} applied`;
    if (this.#moments.has(moment)) return;
    this.#moments.add(moment);
    this.#disturb(machine.name);
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
    run.beside(coming.then(() => guest(run, daemon, count, random, near)));
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
  #disturb(target: string): void {
    const run = this.#run;
    if (!run.busy || this.#random.below(DISTURBED_ONE_IN) > 0) return;
    const host = run.machines.findIndex(({ name }) => name === target);
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

  /** Just before bytes of its disk change. */
  changes(daemon: Daemon, guest: boolean, offset: number, length: number): void {
    const { machine, primary } = daemon;
    this.note(machine);
    if (!guest || primary === null || daemon.life.ended) return;
    try {
      mayWrite(primary.parts.primary.volume, offset, length);
    } catch (error) {
      this.#run.fail(error);
    }
  }

  /** A role was taken; of a primary before any guest is there. */
  async taken(daemon: Daemon): Promise<void> {
    const { machine, primary } = daemon;
    const { truth } = this.#run;
    await this.judge(daemon, machine.name, truth.lastAcknowledged(machine.name));
    if (primary === null) {
      machine.view = null;
      return;
    }
    const { sizeBytes } = primary.parts.resourceFile.state;
    const disk = (machine.diskBytes ?? new Uint8Array(0)).subarray(0, sizeBytes);
    if (machine.view === null) machine.view = new Sectors(disk);
    else {
      machine.view.killed();
      machine.view.grown(disk);
      if (this.#run.troubled) machine.view.evicted();
      machine.view.checkNow(disk, `${machine.name} takes up its role`);
    }
  }

  /** Whole disks; `acknowledged`: the newest point that it was said to have. */
  async judge(daemon: Daemon, what: string, acknowledged: Cut | null): Promise<void> {
    const { machine, secondary } = daemon;
    try {
      if (daemon.primary !== null) primaryTrue(this.#run.truth, machine, daemon);
      const isSound = !this.#run.troubled && !this.#run.rotten;
      if (isSound) promotedWhole(this.#run.truth, machine, daemon);
      if (secondary === null) return;
      const { replica } = secondary.parts;
      const failed = await replica.idle().then(
        () => false,
        () => true,
      );
      if (failed || replica.record.suspect !== null) {
        if (!this.#run.troubled && !this.#run.rotten && !this.#run.excused) {
          throw new Broken(`C1: ${what}: ${replica.applyError ?? replica.record.suspect}`);
        }
        return;
      }
      if (replica.comparing !== null) return;
      atPoint(this.#run.truth, machine.world, machine.name, replica, acknowledged);
    } catch (error) {
      this.#run.fail(new Broken(`${what}: ${describeError(error)}`));
    }
  }

  /** What a crash has left of a guest's disk. */
  afterCrash(machine: Machine, loss: Loss): void {
    const { view } = machine;
    const disk = machine.diskBytes;
    if (view === null || disk === null) return;
    const now = disk.subarray(0, view.sizeBytes);
    try {
      view.killed();
      if (loss === 'none') view.checkNow(now, `${machine.name} was killed`);
      else {
        view.checkDurable(now, `${machine.name} lost its power`);
        view.become(now);
      }
    } catch (error) {
      this.#run.fail(error);
    }
  }

  /** A log whose lines go into the trace, and some of which are moments to look. */
  logOf(machine: Machine): Log {
    const { life } = machine;
    const line = (sentence: string, fields: object = {}): void => {
      if (life.ended) return;
      this.#run.say(`${machine.name} ${sentence} ${JSON.stringify(fields)}`);
      this.#heard(machine, sentence, fields);
    };
    const log: Log = { debug: () => {}, info: line, warn: line, error: line, child: () => log };
    return log;
  }

  /** C1: what is committed is applied, or the machine has gone. */
  #notApplied({ name }: Machine, fields: object): void {
    if (this.#run.troubled || this.#run.rotten) return;
    throw new Broken(`C1: ${name} could not apply: ${JSON.stringify(fields)}`);
  }

  #applied({ world, name }: Machine, replica: Replica): void {
    const { truth } = this.#run;
    atPoint(truth, world, name, replica, truth.lastAcknowledged(name));
    tableTrue(truth, world, name, replica);
    ofThisEpoch(truth, name, replica);
    const { point } = replica.record;
    if (point !== null) truth.drifts.applied(name, truth.cut(point.id, `${name} applied it`));
  }

  #heard(machine: Machine, sentence: string, fields: object): void {
    const daemon = this.#run.daemonOf(machine);
    if (daemon === null) return;
    try {
      if (sentence === 'round committed' && 'id' in fields && typeof fields.id === 'string') {
        const cut = this.#run.truth.cut(fields.id, 'a round was committed');
        cut.acknowledged = true;
        this.#run.counts.rounds += 1;
        const damaged = 'damagedChunks' in fields && fields.damagedChunks !== 0;
        if (damaged && !this.#run.troubled)
          throw new Broken('H21: a damaged point of a whole disk');
        this.#disturb(cut.target);
        primaryTrue(this.#run.truth, machine, daemon);
        droppedIsDurable(this.#run.truth, machine, daemon);
      }
      if (sentence === 'what was in doubt is settled') {
        primaryTrue(this.#run.truth, machine, daemon);
        droppedIsDurable(this.#run.truth, machine, daemon);
      }
      const { secondary } = daemon;
      if (sentence === 'a committed point could not be applied') this.#notApplied(machine, fields);
      if (sentence === 'point applied' && secondary !== null) {
        const { replica } = secondary.parts;
        this.#applied(machine, replica);
      }
    } catch (error) {
      this.#run.fail(error);
    }
  }
}
