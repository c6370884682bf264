// What is looked at while a run goes on: every cut, every write of a guest, every role that is
// taken, every point that is applied, every crash. What does not hold breaks the run.
import { describeError } from '../../src/base/errors.js';
import type { Log } from '../../src/base/log.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import { recordOf } from '../../src/round/contact.js';
import type { Act, Loss } from './acts.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import { Disturbances } from './disturb.js';
import { atPoint, droppedIsDurable, ofThisEpoch, primaryTrue, tableTrue } from './judge.js';
import type { Machine } from './machine.js';
import { begin, guest } from './perform.js';
import { revert } from './revert.js';
import type { Run } from './run.js';
import { Sectors } from './sectors.js';
import { type Cut, mayWrite } from './truth.js';

/** Guests that come when a round is reserved, and again when it is cut, and within how long. */
const GUESTS_AT_CUT_MAX = 4;
/** What a primary says when it finds out that a round whose answer it never got was committed. */
const ADOPTED = 'a round whose answer was lost is committed';
const REVERTS_ONE_IN = 6;
const AT_CUT_MS = [1, 5, 30, 150, 600];

const DISTURBED_ONE_IN = 4;
const APPLYING_MS_MAX = 30;
const DISTURBANCES = ['crash', 'stop', 'promote'] as const;

export class Looks {
  readonly #run: Run;
  /** Rounds that were reserved, or cut. */
  readonly #moments = new Set<string>();
  readonly #random: Random;
  readonly #disturbances: Disturbances;

  constructor(run: Run) {
    this.#run = run;
    this.#disturbances = new Disturbances(run);
    this.#random = seededRandom(run.setup.seed + 12);
  }

  /** After every event. */
  look(): void {
    if (this.#run.broken !== null) return;
    for (const machine of this.#run.machines) this.note(machine);
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
    for (const { slot, resourceFile, target } of rounds) {
      const { proposed } = recordOf(resourceFile, target);
      if (proposed === null) continue;
      const isCut = volume.core.slots[slot]?.active ?? false;
      const moment = `${hex(proposed.point.id)} ${isCut}`;
      if (this.#moments.has(moment)) continue;
      this.#moments.add(moment);
      this.#busy(daemon);
      if (isCut) this.#disturbances.meet(machine, target, 'cut');
    }
  }

  /** Guests write when it matters: from just before a cut until its chunks have been read. */
  #busy(daemon: Daemon): void {
    const run = this.#run;
    if (!run.busy) return;
    for (let left = this.#random.below(GUESTS_AT_CUT_MAX + 1); left > 0; left -= 1) {
      const random = seededRandom(this.#random.below(2 ** 31));
      const withinMs = AT_CUT_MS[random.below(AT_CUT_MS.length)] ?? 0;
      const begun = run.loop.later((random.below(1000) / 1000) * withinMs, daemon.life);
      const reverts = random.below(REVERTS_ONE_IN) === 0;
      const work = (): Promise<void> =>
        reverts ? revert(run, daemon, random) : guest(run, daemon, 1 + random.below(4), random);
      run.beside(begun.then(work));
    }
  }

  /** Something happens to a target that has just committed, and applies now: what a run does to
   * its machines it also does in this moment. */
  #disturb(target: string): void {
    const run = this.#run;
    if (!run.busy || this.#random.below(DISTURBED_ONE_IN) > 0) return;
    const kinds = new Set(run.setup.acts.map(({ kind }) => kind));
    const host = run.machines.findIndex(({ name }) => name === target);
    const [seed, gapMs] = [this.#random.below(2 ** 31), 0];
    const soonMs = this.#random.below(APPLYING_MS_MAX);
    const kind = DISTURBANCES[this.#random.below(DISTURBANCES.length)];
    if (kind === undefined || !kinds.has(kind)) return;
    const steps = 1 + this.#random.below(40);
    const act = { kind, seed, gapMs, host, steps, loss: 'seeded', downMs: 10, quiet: false };
    const whole = { ...act, orderly: false } as unknown as Act;
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
      this.#disturbances.meet(machine, target, 'commit');
    };
    const child = (more: object): Log => this.logOf(machine, { ...bound, ...more });
    return { debug, info: line, warn: line, error: line, child };
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
      // Its table names no point now, and still has what the target had before (H7).
      if (sentence === ADOPTED && this.#run.busy && this.#random.below(2) === 0) {
        const random = seededRandom(this.#random.below(2 ** 31));
        this.#run.beside(revert(this.#run, daemon, random));
      }
      // Nobody writes a spill but those who keep chunks in it, and it does not outlive a daemon.
      if (sentence === 'round failed' && /kept chunk/.test(JSON.stringify(fields))) {
        throw new Broken('H16: what a round has kept of a chunk is something else');
      }
      const { secondary } = daemon;
      if (sentence === 'point applied' && secondary !== null) {
        const { replica } = secondary.parts;
        const last = this.#run.truth.lastAcknowledged(machine.name);
        atPoint(this.#run.truth, machine.world, machine.name, replica, last);
        tableTrue(machine.world, machine.name, replica);
        ofThisEpoch(this.#run.truth, machine.name, replica);
      }
    } catch (error) {
      this.#run.fail(error);
    }
  }
}
