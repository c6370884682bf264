// What is looked at while a run goes on: every cut, every write of a guest, every role that is
// taken, every point that is applied, every crash. What does not hold breaks the run.
import { describeError } from '../../src/base/errors.js';
import type { Log } from '../../src/base/log.js';
import type { Replica } from '../../src/receive/replica.js';
import type { Loss } from './acts.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import {
  atPoint,
  droppedIsDurable,
  ofThisEpoch,
  primaryTrue,
  promotedWhole,
  tableTrue,
} from './judge.js';
import type { Machine } from './machine.js';
import { Moments } from './moments.js';
import type { Run } from './run.js';
import { Sectors } from './sectors.js';
import { OFFSITE } from './setup.js';
import { type Cut, mayWrite } from './truth.js';

/** What a primary says when it finds out that a round whose answer it never got was committed. */
const ADOPTED = 'a round whose answer was lost is committed';

export class Looks {
  readonly #run: Run;
  readonly #moments: Moments;

  constructor(run: Run) {
    this.#run = run;
    this.#moments = new Moments(run);
  }

  /** After every event. */
  look(): void {
    if (this.#run.broken !== null) return;
    for (const machine of this.#run.machines) {
      this.note(machine);
      this.#moments.applies(machine);
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
    this.#moments.met(daemon);
  }

  /** A chunk is read for a target. */
  reads(daemon: Daemon, offset: number, length: number): void {
    this.#moments.reads(daemon, offset, length);
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
  logOf(machine: Machine, bound: { readonly target?: unknown } = {}): Log {
    const { life } = machine;
    const line = (sentence: string, fields: object = {}): void => {
      if (life.ended) return;
      this.#run.say(`${machine.name} ${sentence} ${JSON.stringify(fields)}`);
      this.#heard(machine, sentence, fields);
    };
    const debug = (_: string, { step }: { readonly step?: unknown } = {}): void => {
      const { target } = bound;
      // The next step of the ladder asks the target to commit.
      if (life.ended || step !== 'harden' || typeof target !== 'string') return;
      this.#moments.commits(machine, target);
    };
    const child = (more: object): Log => this.logOf(machine, { ...bound, ...more });
    return { debug, info: line, warn: line, error: line, child };
  }

  /** D4: from now on an archive has it; a replica is judged by what it says itself. */
  #adopted(fields: object): void {
    if (!('point' in fields) || typeof fields.point !== 'string') return;
    const cut = this.#run.truth.cut(fields.point, 'it is committed');
    if (cut.target !== OFFSITE) return;
    cut.acknowledged = true;
    this.#run.archive?.look('a lost answer was found', 'some');
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
        this.#moments.disturb(cut.target);
        if (cut.target === OFFSITE) this.#run.archive?.look('a round was committed', 'some');
        primaryTrue(this.#run.truth, machine, daemon);
        droppedIsDurable(this.#run.truth, machine, daemon);
      }
      if (sentence === 'what was in doubt is settled') {
        primaryTrue(this.#run.truth, machine, daemon);
        droppedIsDurable(this.#run.truth, machine, daemon);
      }
      // Its table names no point now, and still has what the target had before (H7).
      if (sentence === ADOPTED) {
        this.#adopted(fields);
        this.#moments.adopted(daemon);
      }
      if (sentence === 'the archive is pruned') this.#run.archive?.look('it was pruned', 'all');
      // Nobody writes a spill but those who keep chunks in it, and it does not outlive a daemon.
      if (sentence === 'round failed' && /kept chunk/.test(JSON.stringify(fields))) {
        throw new Broken('H16: what a round has kept of a chunk is something else');
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
