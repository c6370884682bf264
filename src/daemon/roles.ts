// Changes of role, one at a time for each resource (the caller holds its `order`). Order of going
// down: export unlisted, guests' requests ended, maps published, disk unlocked (W3, H8). Order of
// going up is the reverse. What an operator gives is remembered (H38); what hastd does by itself is
// not. A change that fails half way leaves no role: the guests were ended, and status says why.
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { NodeSettings } from '../config/settings.js';
import { ControlError, type Role, type RoleAnswer, type RoleRequest } from '../control/api.js';
import type { HandedConnection } from '../nbd/listener.js';
import { contextsOf } from '../volume/extents.js';
import type { DataThreads } from './data-threads.js';
import type { Disks } from './disks.js';
import { ExportError, type Exports } from './exports.js';
import { planReload, type ReloadPlan } from './reload.js';
import type { Resource } from './resource.js';
import { startTimetable } from './scheduler.js';
import type { Peer } from './thread-calls.js';
import type { RoundThread } from './thread-messages.js';

export interface RolesParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly disks: Disks;
  readonly dataThreads: DataThreads;
  readonly exports: Exports;
  readonly rounds: Peer<RoundThread>;
}

export class Roles {
  readonly #parts: RolesParts;

  constructor(parts: RolesParts) {
    this.#parts = parts;
  }

  /** What an operator orders. */
  async order(resource: Resource, request: RoleRequest): Promise<RoleAnswer> {
    const { name } = resource.settings;
    const { role, ordered } = resource;
    const has = role === request.role;
    const already = { role, notes: [`${name}: is ${role} already`] };
    // One that waits to be primary again may be told not to: that is to be remembered.
    if (has && ordered === role) return already;
    const answer = has ? already : await this.#change(resource, request);
    await this.#parts.rounds.call('remember', name, request.role);
    resource.ordered = request.role;
    resource.error = null;
    this.#parts.log.info('role changed', { resource: name, role: resource.role });
    return answer;
  }

  /** A role that was remembered and may be taken up. */
  async takeUp(resource: Resource, role: Exclude<Role, 'init'>): Promise<void> {
    await this.#takeOverPending(resource);
    if (role === 'primary') await this.becomePrimary(resource, false);
    else await this.#becomeSecondary(resource);
    resource.error = null;
  }

  async becomePrimary(resource: Resource, acceptDrift: boolean): Promise<void> {
    assert(resource.role === 'init', 'the role before has been left');
    const { settings } = resource;
    const { name } = settings;
    const { disks, rounds, dataThreads } = this.#parts;
    const known = await rounds.call('known', name);
    // A disk that has a size has been there: it is missing, not unknown.
    const disk =
      (known?.sizeBytes ?? null) === null
        ? await disks.open(name, settings.local, null)
        : await disks.openExisting(name, settings.local, null);
    try {
      const volume = await rounds.call('becomePrimary', name, disk, acceptDrift);
      await dataThreads.open(volume, disks.deviceOf(name), settings.dataThreads);
      this.#is(resource, 'primary');
      this.#export(resource, volume.disk.sizeBytes, volume.targets);
      await this.#startTimetables(resource);
    } catch (error) {
      await this.#end(resource, 'primary').catch((failure: unknown) => {
        const fields = { resource: name, why: describeError(failure) };
        this.#parts.log.error('a role that was not taken did not end in good order', fields);
      });
      throw error;
    }
  }

  /** Back to init, in good order; no-op there. Where the order fails (the state directory is full)
   * it is init all the same, and the resource's error. */
  async leave(resource: Resource): Promise<void> {
    const { role } = resource;
    if (role === 'init') return;
    try {
      await this.#end(resource, role);
    } catch (error) {
      resource.error = lostText(resource, role, error);
      throw error;
    }
  }

  async #end(resource: Resource, role: Role): Promise<void> {
    const { name } = resource.settings;
    const { exports, dataThreads, rounds, disks } = this.#parts;
    stopTimetables(resource);
    if (resource.offered !== null) exports.withdraw(resource.offered.name);
    resource.offered = null;
    // While a guest may still write, nothing is closed and nothing called clean (H8).
    if (role === 'primary') await dataThreads.close(name);
    try {
      await rounds.call('becomeInit', name);
    } finally {
      disks.close(name);
      this.#is(resource, 'init');
    }
  }

  /** A configuration was read (the caller holds the resource's order; `after` has no other): some
   * settings are in force, others wait for the next role that is ordered. Errors of readSecret. */
  async reload(resource: Resource, before: NodeSettings, after: NodeSettings): Promise<ReloadPlan> {
    const { name } = resource.settings;
    const plan = planReload({ ...before, resources: [resource.settings] }, after, resource.role);
    const [settings] = plan.now;
    if (settings === undefined || plan.gone.has(name)) return plan;
    await this.#parts.rounds.call('applySettings', [settings]);
    resource.settings = settings;
    resource.pending = plan.pending.get(name) ?? null;
    if (resource.role === 'primary') await this.#startTimetables(resource);
    return plan;
  }

  /** Schedules anew, after the role was taken or the configuration has changed. */
  async #startTimetables(resource: Resource): Promise<void> {
    stopTimetables(resource);
    const { settings, timetables } = resource;
    const { rounds, clock, log } = this.#parts;
    for (const target of settings.targets) {
      if (target.remote === null) continue;
      const lastRunMs = await rounds.call('lastRunMs', settings.name, target.name);
      const fire = (nominalMs: number): void => {
        const fields = { resource: settings.name, target: target.name };
        rounds.call('fire', settings.name, target.name, nominalMs).then(
          (what) => log.info('schedule', { ...fields, what }),
          (error: unknown) => log.warn('firing failed', { ...fields, why: describeError(error) }),
        );
      };
      timetables.set(target.name, startTimetable(target.schedule, lastRunMs, clock, fire));
    }
  }

  async #change(resource: Resource, request: RoleRequest): Promise<RoleAnswer> {
    const { role } = resource;
    try {
      return await this.#changeTo(resource, request);
    } catch (error) {
      if (resource.role !== role) resource.error ??= lostText(resource, role, error);
      throw error;
    }
  }

  async #changeTo(resource: Resource, request: RoleRequest): Promise<RoleAnswer> {
    const { name } = resource.settings;
    if (request.role === 'init') {
      await this.leave(resource);
      return { role: 'init', notes: [] };
    }
    if (request.role === 'secondary') return this.#becomeSecondary(resource);
    const loss = await this.#parts.rounds.call('promotionLoss', name, request);
    if (loss !== null && !request.acceptLoss) {
      throw new ControlError({ code: 'LOSS_NOT_ACCEPTED', name, text: loss });
    }
    await this.leave(resource);
    await this.#takeOverPending(resource);
    await this.becomePrimary(resource, request.acceptDrift);
    return { role: 'primary', notes: loss === null ? [] : [`${name}: promoted; ${loss}`] };
  }

  async #becomeSecondary(resource: Resource): Promise<RoleAnswer> {
    const { name } = resource.settings;
    // Looked at before anything is left: a command that is refused must not end the guests.
    await this.#parts.rounds.call('mayBecomeSecondary', name);
    await this.leave(resource);
    await this.#takeOverPending(resource);
    try {
      const answer = await this.#parts.rounds.call('becomeSecondary', name);
      this.#is(resource, 'secondary');
      return answer;
    } catch (error) {
      this.#parts.disks.close(name);
      throw error;
    }
  }

  #export(resource: Resource, sizeBytes: number, targets: readonly string[]): void {
    const { name, exportName } = resource.settings;
    const { exports, rounds } = this.#parts;
    let written: Promise<void> | null = null;
    const contexts = contextsOf(targets);
    const offer = { name: exportName, sizeBytes, readOnly: false, contexts };
    resource.offered = offer;
    exports.offer(offer, async (connection) => {
      // H37: durable before the first guest of this epoch can write.
      written ??= rounds.call('markWritten', name);
      await written.catch((error: unknown) => {
        written = null; // the next guest tries again: the state directory may have room then
        throw error;
      });
      if (resource.offered !== offer)
        throw new ExportError({ code: 'EXPORT_GONE', name: offer.name });
      this.#connect(resource, connection);
    });
  }

  #connect(resource: Resource, connection: HandedConnection): void {
    const done = (): void => {
      resource.guests -= 1;
      connection.done();
    };
    this.#parts.dataThreads.connect(resource.settings.name, { ...connection, done });
    // Not before: one that was not taken has no end to be counted down by.
    resource.guests += 1;
  }

  /** Settings that a reload left for the next role that is ordered. */
  async #takeOverPending(resource: Resource): Promise<void> {
    if (resource.pending === null) return;
    await this.#parts.rounds.call('applySettings', [resource.pending]);
    resource.settings = resource.pending;
    resource.pending = null;
  }

  #is(resource: Resource, role: Role): void {
    resource.role = role;
    resource.sinceMs = this.#parts.clock.wallMs();
  }
}

const lostText = ({ settings: { name } }: Resource, role: Role, error: unknown): string =>
  `${name}: was ${role} and has no role now: ${describeError(error)} ` +
  `(mend that and give it a role again: hastctl role ${role} ${name})`;

function stopTimetables({ timetables }: Resource): void {
  for (const table of timetables.values()) table.stop();
  timetables.clear();
}
