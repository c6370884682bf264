// One simulated run: machines with the real replication of a node on each, guests, operators and
// faults, in the order that its setup says; every promise is looked at on the way, and at the end
// the faults stop, an operator puts things in order, and all disks must become equal. A run is
// repeated exactly by its setup. What it has done is in `trace`.
import { present } from '../../src/base/assert.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { freshState } from '../../src/care/create.js';
import type { ResourceSettings } from '../../src/config/settings.js';
import type { Stores } from '../../src/daemon/machinery.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import type { LossClass } from '../world/memory-files.js';
import type { Loss } from './acts.js';
import { ArchiveLooks } from './archive-looks.js';
import { Broken } from './broken.js';
import { Bucket } from './bucket.js';
import { Daemon } from './daemon.js';
import { Guests } from './guests.js';
import { Looks } from './looks.js';
import { Life, Loop } from './loop.js';
import { Machine, STATE, STATEDIR } from './machine.js';
import { SimNetwork } from './network.js';
import { Probes } from './probe.js';
import { contentOf } from './sectors.js';
import { type Setup, settingsOf } from './setup.js';
import { Truth } from './truth.js';

const TRACE_MAX = 400;

const none = (): Promise<never> => Promise.reject(new Broken('there is no archive'));
export const NO_STORES: Stores = { open: none, secret: none };

export interface Counts {
  crashes: number;
  /** Crashes of copies: the run went on as if nothing had been. */
  probes: number;
  /** Repacks of archives that had something to do. */
  repacks: number;
  faults: number;
  events: number;
  rounds: number;
  /** Points of archives that were read and compared. */
  points: number;
}

/** How a machine crashes. */
export interface Crash {
  readonly loss: Loss;
  readonly downMs: number;
  /** Nobody hears that its connections are gone. */
  readonly quiet: boolean;
  /** What happens to its files while it is down. */
  readonly rots: () => Promise<void>;
}

export class Run {
  readonly setup: Setup;
  readonly random: Random;
  readonly loop: Loop;
  readonly network: SimNetwork;
  /** Null: no archive. */
  readonly archive: ArchiveLooks | null;
  readonly truth = new Truth();
  readonly guests = new Guests();
  readonly looks: Looks;
  readonly machines: readonly Machine[];
  readonly daemons = new Map<string, Daemon>();
  readonly counts: Counts = {
    crashes: 0,
    probes: 0,
    repacks: 0,
    faults: 0,
    events: 0,
    rounds: 0,
    points: 0,
  };
  readonly trace: string[] = [];
  readonly #stopping = new WeakSet<Daemon>();
  /** The first promise that did not hold. */
  broken: Error | null = null;
  /** Guests write around every cut; not when the run comes to rest. */
  busy: boolean;
  /** Things were done after which a replica may have to be made anew. */
  excused = false;
  /** Disks or files have failed: a restart may be needed. */
  troubled = false;
  /** Content of replicas was changed, or could not be read. */
  rotten = false;
  /** A node has not the state any more that it had: its journals are among it. */
  lostState = false;

  constructor(setup: Setup) {
    this.setup = setup;
    this.busy = setup.busy;
    this.random = seededRandom(setup.seed + 7);
    this.loop = new Loop(seededRandom(setup.seed + 8));
    this.network = new SimNetwork(this.loop, seededRandom(setup.seed + 9));
    const bucket =
      setup.archive && new Bucket(setup.archive, this.loop, seededRandom(setup.seed + 22));
    this.archive = bucket ? new ArchiveLooks(this, bucket) : null;
    this.machines = setup.hosts.map((name, at) => {
      const first = at === 0 ? firstDisk(setup.sizeBytes, this.random) : null;
      return new Machine(name, this.loop, new Life(), first, setup.hardware?.[at]);
    });
    this.looks = new Looks(this);
    const probes = new Probes(this);
    for (const machine of this.machines) {
      machine.stepped = () => probes.stepped(machine);
      // What failed could not be written down, for that failed too (round/doubt.ts).
      machine.spared = () => this.daemonOf(machine)?.primary?.parts.primary.doubt.owed === true;
    }
    this.loop.afterEvent = () => this.looks.look();
  }

  fail(error: unknown): void {
    if (this.broken !== null) return;
    this.broken = error instanceof Error ? error : new Broken(String(error));
    this.say(`BROKEN ${this.broken.message}`);
  }

  say(line: string): void {
    this.trace.push(`${this.loop.nowMs.toFixed(1)} ${line}`);
    if (this.trace.length > 2 * TRACE_MAX) this.trace.splice(0, TRACE_MAX);
  }

  /** `work` goes on beside the run; what it throws breaks the run. */
  beside(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.fail(error));
  }

  machine(at: number): Machine {
    return present(this.machines[at], 'the act names a machine');
  }

  daemonOf(machine: Machine): Daemon | null {
    const daemon = this.daemons.get(machine.name) ?? null;
    return daemon?.life.ended === false ? daemon : null;
  }

  /** Daemons with guests, now. */
  serving(): Daemon[] {
    return [...this.daemons.values()].filter(({ life, guests }) => !life.ended && guests !== null);
  }

  /** Runs the loop until `work` has ended. False: it did not within `limitMs`. */
  async until(work: Promise<unknown>, limitMs: number): Promise<boolean> {
    let over = false;
    const ended = (): void => {
      over = true;
    };
    work.then(ended, (error: unknown) => {
      ended();
      this.fail(error);
    });
    await this.loop.run(() => over || this.broken !== null, this.loop.nowMs + limitMs);
    return over;
  }

  // Machines and daemons.

  /** The state of a resource that was just created; `hastctl create`. */
  async create(machine: Machine, sizeBytes: number): Promise<void> {
    const { extentBytes, keepdirty } = this.setup;
    const { world } = machine;
    for (const file of await world.list(STATE)) {
      await world.remove(`${STATE}/${file}`);
      this.lostState = true;
    }
    await world.makeDirectory(STATE);
    await ResourceFile.create(world, STATE, {
      ...freshState('vm1'),
      sizeBytes,
      extentBytes,
      keepdirty,
    });
    await world.syncDirectory(STATEDIR);
    // `create` flushes the disk that it takes up.
    world.settle();
    this.truth.forget(machine.name);
    machine.view = null;
  }

  start(machine: Machine): Daemon {
    const { loop } = this;
    const daemon = new Daemon(machine, {
      loop,
      random: seededRandom(this.random.below(2 ** 31)),
      network: this.network.of(machine.life),
      stores: this.archive?.bucket.storesOf(machine) ?? NO_STORES,
      settings: this.settingsOf(machine),
      log: this.looks.logOf(machine),
      changes: (at, guest, offset, length) => this.looks.changes(at, guest, offset, length),
      reads: (at, offset, length) => this.looks.reads(at, offset, length),
      taken: (at) => this.looks.taken(at),
    });
    this.daemons.set(machine.name, daemon);
    this.beside(daemon.start());
    return daemon;
  }

  settingsOf({ name, leftOut }: Machine): ResourceSettings {
    return settingsOf(this.setup, name, leftOut, this.archive?.generation);
  }

  /** The machine is gone in this moment, and comes back with what `loss` leaves. */
  crashed(machine: Machine, how: Crash, random: Random): void {
    const { life } = machine;
    if (life.ended) return;
    const { loss, downMs, quiet } = how;
    this.looks.note(machine);
    life.end();
    this.network.lost(life, quiet);
    this.counts.crashes += 1;
    this.say(`${machine.name} CRASH ${loss} at ${machine.world.stoppedAt}`);
    const left = this.lossOf(machine, loss, random);
    this.loop.at(0, null, () => {
      machine.crash(left, random, new Life());
      this.looks.afterCrash(machine, loss);
      this.loop.at(downMs, null, () => this.beside(this.#back(machine, how)));
    });
  }

  async #back(machine: Machine, { rots }: Crash): Promise<void> {
    if (this.daemonOf(machine) !== null || machine.life.ended) return;
    await rots();
    this.start(machine);
  }

  /** Ends the daemon in good order, and starts another one after `between`. */
  async restart(machine: Machine, between: () => Promise<void>): Promise<void> {
    const daemon = this.daemonOf(machine);
    if (daemon === null || this.#stopping.has(daemon)) return;
    this.#stopping.add(daemon);
    await daemon.stop();
    this.network.lost(machine.life, false);
    this.say(`${machine.name} stopped`);
    machine.next(new Life());
    await between();
    this.start(machine);
  }

  lossOf(machine: Machine, loss: Loss, random: Random): LossClass {
    if (loss !== 'one') return loss;
    const { world } = machine;
    const places = [...world.unsyncedFiles(), ...world.unsyncedDirectories()];
    const only = places[random.below(places.length || 1)];
    return only === undefined ? 'all' : { only };
  }
}

/** Chunks of data and holes. */
function firstDisk(sizeBytes: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 65_536) {
    const length = Math.min(4096, sizeBytes - at);
    if (random.below(3) > 0) bytes.set(contentOf(at, length, 1), at);
  }
  return bytes;
}
