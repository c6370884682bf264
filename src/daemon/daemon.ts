// The control thread: what an operator asks for, and who does it. Roles change one at a time per
// resource. Order of going down: export unlisted, guests' requests ended, maps published, disk
// unlocked (W3, H8). Order of going up is the reverse.
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import { Mutex } from '../base/sync.js';
import { createResource } from '../care/create.js';
import type { NodeSettings, ResourceSettings } from '../config/settings.js';
import {
  type ControlApi,
  ControlError,
  type CreateRequest,
  type Role,
  type RoleAnswer,
  type RoleRequest,
  type StatusAnswer,
  type SyncAnswer,
  type SyncRequest,
} from '../control/api.js';
import type { DataThreads } from './data-threads.js';
import type { Disks } from './disks.js';
import type { Exports } from './exports.js';
import { resourceStatus } from './resource-status.js';
import { startTimetable, type Timetable } from './scheduler.js';
import type { Peer } from './thread-calls.js';
import type { RoundThread } from './thread-messages.js';

const EXTENT_BYTES_DEFAULT = 2 * 1024 * 1024;
const KEEPDIRTY_DEFAULT = 64;

export interface DaemonParts {
  readonly settings: NodeSettings;
  readonly version: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly disks: Disks;
  readonly dataThreads: DataThreads;
  readonly exports: Exports;
  readonly rounds: Peer<RoundThread>;
  /** Asks the process to stop, after the answer has left. */
  readonly stop: () => void;
}

interface Resource {
  readonly settings: ResourceSettings;
  readonly order: Mutex;
  role: Role;
  error: string | null;
  timetables: Map<string, Timetable>;
}

export class Daemon implements ControlApi {
  readonly #parts: DaemonParts;
  readonly #resources: ReadonlyMap<string, Resource>;

  constructor(parts: DaemonParts) {
    this.#parts = parts;
    this.#resources = new Map(
      parts.settings.resources.map((settings) => [
        settings.name,
        { settings, order: new Mutex(), role: 'init', error: null, timetables: new Map() },
      ]),
    );
  }

  async status(names: readonly string[]): Promise<StatusAnswer> {
    const chosen =
      names.length > 0 ? names.map((name) => this.#find(name)) : this.#resources.values();
    const resources = await Promise.all(
      [...chosen].map(async ({ settings, role, error, timetables }) =>
        resourceStatus({
          settings,
          role,
          error,
          replication: await this.#parts.rounds.call('status', settings.name),
          nextRuns: new Map([...timetables].map(([target, table]) => [target, table.nextMs])),
          nbdUri: role === 'primary' ? this.#parts.exports.uriOf(settings.exportName) : null,
        }),
      ),
    );
    const { settings, version } = this.#parts;
    return { node: settings.node, version, pid: process.pid, resources };
  }

  create(name: string, request: CreateRequest): Promise<{ readonly notes: readonly string[] }> {
    const resource = this.#find(name);
    return resource.order.run(async () => {
      this.#want(resource, ['init'], 'the role init');
      const answer = await createResource(this.#parts.files, {
        statedir: this.#parts.settings.statedir,
        name,
        local: resource.settings.local,
        extentBytes: request.extentBytes ?? EXTENT_BYTES_DEFAULT,
        keepdirty: request.keepdirty ?? KEEPDIRTY_DEFAULT,
        mediaBytes: request.mediaBytes,
        force: request.force,
        nowMs: Math.floor(this.#parts.clock.wallMs()),
      });
      await this.#parts.rounds.call('reload', name);
      return answer;
    });
  }

  role(name: string, request: RoleRequest): Promise<RoleAnswer> {
    const resource = this.#find(name);
    return resource.order.run(async () => {
      if (resource.role === request.role) {
        return { role: request.role, notes: [`${name}: is ${request.role} already`] };
      }
      const answer = await this.#change(resource, request);
      this.#parts.log.info('role changed', { resource: name, role: resource.role });
      return answer;
    });
  }

  async sync(name: string, request: SyncRequest): Promise<SyncAnswer> {
    const resource = this.#find(name);
    this.#want(resource, ['primary'], 'the primary role');
    return { outcomes: await this.#parts.rounds.call('sync', name, null, request) };
  }

  async rounds(name: string) {
    this.#find(name);
    return { rounds: await this.#parts.rounds.call('rounds', name) };
  }

  async points(name: string) {
    this.#find(name);
    return { points: await this.#parts.rounds.call('points', name) };
  }

  async verify(name: string, deep: boolean) {
    this.#want(this.#find(name), ['primary'], 'the primary role');
    return this.#parts.rounds.call('verify', name, deep);
  }

  async stop(): Promise<void> {
    this.#parts.stop();
  }

  /** Every resource back to init, in good order. */
  async shutDown(): Promise<void> {
    // One that cannot end in good order (its state directory is full) must not hurry the others.
    const ended = await Promise.allSettled(
      [...this.#resources.values()].map((resource) =>
        resource.order.run(() => this.#leave(resource)),
      ),
    );
    await this.#parts.rounds.call('stop');
    for (const each of ended) if (each.status === 'rejected') throw each.reason;
  }

  /** A data thread had trouble; the round thread decides what it means. */
  async trouble(name: string, what: 'preserve' | 'flush', text: string): Promise<void> {
    await this.#parts.rounds.call('trouble', name, what, text);
  }

  async openReplicaDisk(name: string, sizeBytes: number) {
    return this.#parts.disks.open(name, this.#find(name).settings.local, sizeBytes);
  }

  async #change(resource: Resource, request: RoleRequest): Promise<RoleAnswer> {
    const { name } = resource.settings;
    if (request.role === 'init') {
      await this.#leave(resource);
      return { role: 'init', notes: [] };
    }
    if (request.role === 'secondary') return this.#becomeSecondary(resource);
    const loss = await this.#parts.rounds.call('promotionLoss', name);
    if (loss !== null && !request.acceptLoss) {
      throw new ControlError({ code: 'LOSS_NOT_ACCEPTED', name, text: loss });
    }
    await this.#leave(resource);
    await this.#becomePrimary(resource);
    return { role: 'primary', notes: loss === null ? [] : [`${name}: promoted; ${loss}`] };
  }

  async #becomePrimary(resource: Resource): Promise<void> {
    const { settings } = resource;
    const { name } = settings;
    const { disks, rounds, dataThreads, exports } = this.#parts;
    const disk = await disks.open(name, settings.local, null);
    try {
      const volume = await rounds.call('becomePrimary', name, disk);
      await dataThreads.open(volume, disks.deviceOf(name), settings.dataThreads);
      resource.role = 'primary';
      let written: Promise<void> | null = null;
      exports.offer(
        { name: settings.exportName, sizeBytes: volume.disk.sizeBytes, readOnly: false },
        async ({ fd, leftover, done }) => {
          // H37: durable before the first guest of this epoch can write.
          written ??= rounds.call('markWritten', name);
          await written.catch((error: unknown) => {
            written = null; // the next guest tries again: the state directory may have room then
            throw error;
          });
          dataThreads.connect(name, fd, leftover, done);
        },
      );
      await this.#startTimetables(resource);
    } catch (error) {
      await this.#undoPrimary(resource);
      throw error;
    }
  }

  async #undoPrimary(resource: Resource): Promise<void> {
    const { name, exportName } = resource.settings;
    this.#parts.exports.withdraw(exportName);
    await this.#parts.dataThreads.close(name);
    await this.#parts.rounds.call('becomeInit', name);
    this.#parts.disks.close(name);
    resource.role = 'init';
  }

  async #becomeSecondary(resource: Resource): Promise<RoleAnswer> {
    const { name } = resource.settings;
    // Looked at before anything is left: a command that is refused must not end the guests.
    await this.#parts.rounds.call('mayBecomeSecondary', name);
    await this.#leave(resource);
    try {
      const answer = await this.#parts.rounds.call('becomeSecondary', name);
      resource.role = 'secondary';
      return answer;
    } catch (error) {
      this.#parts.disks.close(name);
      throw error;
    }
  }

  async #leave(resource: Resource): Promise<void> {
    const { name, exportName } = resource.settings;
    for (const table of resource.timetables.values()) table.stop();
    resource.timetables.clear();
    if (resource.role === 'init') return;
    if (resource.role === 'primary') {
      this.#parts.exports.withdraw(exportName);
      await this.#parts.dataThreads.close(name);
    }
    await this.#parts.rounds.call('becomeInit', name);
    this.#parts.disks.close(name);
    resource.role = 'init';
  }

  async #startTimetables(resource: Resource): Promise<void> {
    const { settings, timetables } = resource;
    const { rounds, clock, log } = this.#parts;
    for (const target of settings.targets) {
      if (target.remote === null) continue;
      assert(!timetables.has(target.name), 'timetables stop with the role');
      const lastRunMs = await rounds.call('lastRunMs', settings.name, target.name);
      const fire = (nominalMs: number): void => {
        rounds.call('fire', settings.name, target.name, nominalMs).then(
          (what) => log.info('schedule', { resource: settings.name, target: target.name, what }),
          (error: unknown) => log.warn('firing failed', { error: String(error) }),
        );
      };
      timetables.set(target.name, startTimetable(target.schedule, lastRunMs, clock, fire));
    }
  }

  #find(name: string): Resource {
    const found = this.#resources.get(name);
    if (found !== undefined) return found;
    const known = [...this.#resources.keys()].join(', ') || 'none';
    throw new ControlError({ code: 'CONTROL_NO_RESOURCE', name, known });
  }

  #want(resource: Resource, roles: readonly Role[], wanted: string): void {
    if (roles.includes(resource.role)) return;
    const { name } = resource.settings;
    throw new ControlError({ code: 'CONTROL_WRONG_ROLE', name, role: resource.role, wanted });
  }
}
