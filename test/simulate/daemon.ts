// One incarnation of hastd on a simulated machine: the real replication of a node (roles, sessions,
// rounds, receive, apply: src/daemon/replication.ts and all below it) on the files, disk, network
// and clock of the run, and in place of the control thread what it does around that: takes up what
// is remembered, opens and closes the guests' side in the order of daemon/roles.ts.
import { codeOf, describeError, HastError } from '../../src/base/errors.js';
import type { Log } from '../../src/base/log.js';
import type { Random } from '../../src/base/random.js';
import type { ResourceSettings } from '../../src/config/settings.js';
import type { Role, RoleRequest } from '../../src/control/api.js';
import type { Network, Stores } from '../../src/daemon/machinery.js';
import type { PrimaryResource } from '../../src/daemon/primary-resource.js';
import { Replication } from '../../src/daemon/replication.js';
import type { SecondaryResource } from '../../src/daemon/secondary-resource.js';
import type { ServedVolume, Trouble } from '../../src/daemon/thread-messages.js';
import type { Device } from '../../src/disk/device.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import { syncFailed } from '../../src/round/doubt.js';
import { GuestDisks } from './guest-disks.js';
import { type Life, LifeClock, type Loop, TURN_MS, waiterOf } from './loop.js';
import { type Machine, RESOURCE, STATEDIR } from './machine.js';
import { watched } from './watched-device.js';

/** What a daemon is given of the run. */
export interface Around {
  readonly loop: Loop;
  readonly random: Random;
  readonly network: Network;
  readonly stores: Stores;
  readonly settings: ResourceSettings;
  readonly log: Log;
  /** Just before `device` changes in the range; `guest`: by a data thread. */
  readonly changes: (daemon: Daemon, guest: boolean, offset: number, length: number) => void;
  /** Just before a range of the disk is read for a target: by a pass, a round, or settle. */
  readonly reads: (daemon: Daemon, offset: number, length: number) => void;
  /** A role was taken; of a primary before any guest is there. */
  readonly taken: (daemon: Daemon) => Promise<void> | void;
}

const ASK_AGAIN_MS = 2000;
/** A thread between two of its accesses may be held off as long as any operation takes; one in so
 * many is. */
const HELD_OFF_MS_MAX = 3;
const HELD_OFF_ONE_IN = 4;

export class Daemon {
  readonly machine: Machine;
  readonly life: Life;
  readonly replication: Replication;
  /** The guests' side; null: no primary, or not yet. */
  guests: GuestDisks | null = null;
  readonly #around: Around;
  #written = false;
  /** What is remembered is asked for until an operator orders something. */
  #asks = true;
  /** Role changes, one after another. */
  #order: Promise<unknown> = Promise.resolve();

  constructor(machine: Machine, around: Around) {
    const { loop, random, network, stores, settings, log } = around;
    const { life } = machine;
    this.machine = machine;
    this.life = life;
    this.#around = around;
    const compute = { for: () => inlineCompute(packRaw), close: async () => {} };
    this.replication = new Replication({
      facts: {
        node: machine.name,
        statedir: STATEDIR,
        listen: [`tcp://${machine.name}:8457`],
        logLevel: 'info',
        resources: [settings],
      },
      machinery: {
        node: machine.name,
        compute,
        clock: new LifeClock(loop, life, () => machine.wallMs),
        random,
        log,
        files: machine.world,
        disks: machine.access((device) => this.#watched(device, false)),
        network,
        stores,
        waiter: waiterOf(loop, life),
      },
      control: {
        openReplicaDisk: (_, sizeBytes, makes) => machine.openDisk(sizeBytes, makes),
      },
    });
  }

  get role(): Role {
    return this.replication.node(RESOURCE).role.kind;
  }

  get primary(): PrimaryResource | null {
    const { role } = this.replication.node(RESOURCE);
    return role.kind === 'primary' ? role.resource : null;
  }

  get secondary(): SecondaryResource | null {
    const { role } = this.replication.node(RESOURCE);
    return role.kind === 'secondary' ? role.resource : null;
  }

  /** Loads, listens, and takes up what is remembered (daemon/take-up.ts). */
  start(): Promise<void> {
    const started = this.#start();
    this.#order = started;
    return started;
  }

  async #start(): Promise<void> {
    await this.replication.start();
    void this.#takeUp().catch((error: unknown) => {
      this.#around.log.error('no role is taken up', { why: describeError(error) });
    });
  }

  /** `hastctl role`. Errors of the real ones. */
  order(request: Partial<RoleRequest> & { readonly role: Role }): Promise<void> {
    const whole = { acceptLoss: false, acceptDrift: false, alone: false, ...request };
    return this.#oneByOne(async () => {
      this.#asks = false;
      await this.#change(whole);
      await this.replication.remember(RESOURCE, whole.role);
    });
  }

  /** `hastctl create --force`; `create` makes the state. False: it has a role. */
  anew(create: () => Promise<void>): Promise<boolean> {
    return this.#oneByOne(async () => {
      if (this.role !== 'init') return false;
      this.#asks = false;
      await create();
      await this.replication.reload(RESOURCE);
      return true;
    });
  }

  /** `hastctl resize` of a primary: `longer` makes the disk so, where it is not. */
  resize(sizeBytes: number, longer: () => Promise<void>): Promise<void> {
    return this.#oneByOne(async () => {
      if (this.role !== 'primary') return;
      await this.leave();
      await longer();
      await this.replication.resized(RESOURCE, sizeBytes);
      await this.becomePrimary(false);
    });
  }

  /** As a stop of hastd: leaves the role in good order, and is gone. */
  async stop(): Promise<void> {
    await this.#oneByOne(() => this.leave());
    await this.replication.stop();
    this.life.end();
  }

  /** Runs when no role changes. */
  #oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#order.catch(() => undefined).then(work);
    this.#order = done;
    return done;
  }

  async #takeUp(): Promise<void> {
    const { loop, log } = this.#around;
    for (;;) {
      const { take, text } = await this.replication.remembered(RESOURCE);
      if (!this.#asks || this.role !== 'init') return;
      if (take === 'init') {
        await loop.later(ASK_AGAIN_MS, this.life);
        continue;
      }
      log.info('remembered', { take, text });
      if (take === 'none') return;
      await this.#oneByOne(async () => {
        if (!this.#asks || this.role !== 'init') return;
        if (take === 'primary') await this.becomePrimary(false);
        else await this.#becomeSecondary();
      });
      return;
    }
  }

  async #change(request: RoleRequest): Promise<void> {
    const { replication } = this;
    if (this.role === request.role) return;
    if (request.role === 'init') return this.leave();
    if (request.role === 'secondary') {
      await replication.mayBecomeSecondary(RESOURCE);
      await this.leave();
      await this.#becomeSecondary();
      return;
    }
    const loss = await replication.promotionLoss(RESOURCE, request);
    if (loss !== null && !request.acceptLoss) throw new LossNotAccepted(loss);
    await this.leave();
    await this.becomePrimary(request.acceptDrift);
  }

  async #becomeSecondary(): Promise<void> {
    await this.replication.becomeSecondary(RESOURCE);
    await this.#around.taken(this);
  }

  async leave(): Promise<void> {
    if (this.role === 'init') return;
    const { guests } = this;
    this.guests = null;
    await guests?.close();
    await this.replication.becomeInit(RESOURCE);
  }

  async becomePrimary(acceptDrift: boolean): Promise<void> {
    const known = this.replication.node(RESOURCE).file?.state.sizeBytes ?? 0;
    const disk = await this.machine.openDisk(known === 0 ? null : known, false);
    try {
      const volume = await this.replication.becomePrimary(RESOURCE, disk, acceptDrift);
      await this.#around.taken(this);
      this.guests = await this.#openGuests(volume);
    } catch (error) {
      await this.replication.becomeInit(RESOURCE).catch(() => undefined);
      throw error;
    }
  }

  /** H37: durable before the first guest of this epoch can write; false: it could not be made so,
   * and the guest is not let in. */
  async letsIn(): Promise<boolean> {
    try {
      if (!this.#written) await this.replication.markWritten(RESOURCE);
      this.#written = true;
    } catch (error) {
      if (!(error instanceof HastError)) throw error;
    }
    return this.#written;
  }

  async #openGuests(volume: ServedVolume): Promise<GuestDisks> {
    const { loop, random } = this.#around;
    const { machine, life, replication } = this;
    this.#written = false;
    const turn = (): Promise<void> => {
      const isLong = random.below(HELD_OFF_ONE_IN) === 0;
      return loop.later(isLong ? (random.below(1000) / 1000) * HELD_OFF_MS_MAX : TURN_MS, life);
    };
    return GuestDisks.open({
      volume,
      files: machine.world,
      device: () => machine.access((device) => this.#watched(device, true)).deviceOf(volume.disk),
      waiter: waiterOf(loop, life),
      turn,
      nowMs: () => loop.nowMs,
      random,
      repair: (chunk, mask) => replication.repair(RESOURCE, chunk, mask),
      onTrouble: (what, error) => this.#trouble(what, error),
    });
  }

  /** RoundThread.trouble. */
  #trouble(what: Trouble, error: unknown): void {
    const text = describeError(error);
    this.#around.log.error('trouble on the write path', { what, why: text });
    if (what === 'preserve') return;
    const why = what === 'flush' ? syncFailed(text) : `intent map: ${text}`;
    void this.replication.doubt(RESOURCE, why);
  }

  #watched(device: Device, guest: boolean): Device {
    const { changes, reads } = this.#around;
    return watched(device, {
      changes: (offset, length) => changes(this, guest, offset, length),
      reads: (offset, length) => reads(this, offset, length),
    });
  }
}

export class LossNotAccepted extends Error {
  override readonly name = 'LossNotAccepted';
}

/** Code of a refusal that an operator can do something about. */
export const refusalOf = (error: unknown): string | null =>
  error instanceof LossNotAccepted ? 'LOSS_NOT_ACCEPTED' : codeOf(error);
