// The control thread: what an operator asks for, and who does it. Roles change in roles.ts, one at
// a time per resource; rounds are the round thread's.
import { describeError } from '../base/errors.js';
import type { Files } from '../base/files.js';
import { EXTENT_BYTES_DEFAULT } from '../base/units.js';
import { createResource } from '../care/create.js';
import type { NodeSettings } from '../config/settings.js';
import {
  type ControlApi,
  ControlError,
  type CreateRequest,
  type NotesAnswer,
  type PointEvent,
  type PointRequest,
  type ResizeRequest,
  type ResourceStatus,
  type Role,
  type RoleAnswer,
  type RoleRequest,
  type SetRequest,
  type StatusAnswer,
  type SyncAnswer,
  type SyncRequest,
} from '../control/api.js';
import type {
  PinRequest,
  PruneRequest,
  RepackRequest,
  TargetRequest,
} from '../control/retention-api.js';
import { probeDisk } from '../disk/probe.js';
import { PointStreams } from './point-streams.js';
import { Reloading, type ReloadingParts } from './reloading.js';
import { newSize, resizeNotes } from './resize.js';
import { newResource, type Resource } from './resource.js';
import { resourceStatus } from './resource-status.js';
import { Roles, type RolesParts } from './roles.js';
import { withStopWord } from './stop-word.js';
import type { Trouble } from './thread-messages.js';

const KEEPDIRTY_DEFAULT = 64;

export interface DaemonParts extends RolesParts, ReloadingParts {
  readonly version: string;
  readonly files: Files;
  /** Asks the process to stop, after the answer has left. */
  readonly stop: () => void;
}

export class Daemon implements ControlApi {
  readonly #parts: DaemonParts;
  readonly #roles: Roles;
  readonly #resources: Map<string, Resource>;
  readonly #reloading: Reloading;
  readonly #points: PointStreams;

  constructor(parts: DaemonParts) {
    this.#parts = parts;
    this.#roles = new Roles(parts);
    this.#points = new PointStreams(parts);
    const nowMs = parts.clock.wallMs();
    this.#resources = new Map(
      parts.settings.resources.map((settings) => [settings.name, newResource(settings, nowMs)]),
    );
    this.#reloading = new Reloading(parts, this.#roles, this.#resources);
  }

  /** What is in force. */
  get settings(): NodeSettings {
    const resources = [...this.#resources.values()].map(({ settings }) => settings);
    return { ...this.#parts.settings, resources };
  }

  /** Takes up the remembered roles; what has to wait for a peer goes on in the background. */
  async takeUpRoles(): Promise<void> {
    await this.#reloading.takeUp([...this.#resources.values()]);
  }

  async status(names: readonly string[]): Promise<StatusAnswer> {
    const chosen =
      names.length > 0 ? names.map((name) => this.#find(name)) : this.#resources.values();
    const resources = await Promise.all([...chosen].map((resource) => this.#statusOf(resource)));
    const { settings, version } = this.#parts;
    return { node: settings.node, version, pid: process.pid, resources };
  }

  create(name: string, request: CreateRequest): Promise<{ readonly notes: readonly string[] }> {
    return this.#inOrder(name, async (resource) => {
      this.#want(resource, ['init'], 'the role init');
      resource.asking.abort();
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
      resource.ordered = 'init';
      resource.error = null;
      return answer;
    });
  }

  role(name: string, request: RoleRequest): Promise<RoleAnswer> {
    return this.#inOrder(name, async (resource) => {
      resource.asking.abort();
      return this.#roles.order(resource, request);
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

  async verify(name: string, deep: boolean, signal: AbortSignal) {
    this.#want(this.#find(name), ['primary'], 'the primary role');
    const { rounds } = this.#parts;
    return withStopWord(signal, (stop) => rounds.call('verify', name, deep, stop));
  }

  point(name: string, request: PointRequest, signal: AbortSignal): AsyncIterable<PointEvent> {
    const { exportName } = this.#find(name).settings;
    return this.#points.events(name, exportName, request, signal);
  }

  pause(name: string, request: TargetRequest): Promise<NotesAnswer> {
    return this.#ofTargets(name, (rounds) => rounds.call('pause', name, request.target, true));
  }

  resume(name: string, request: TargetRequest): Promise<NotesAnswer> {
    return this.#ofTargets(name, (rounds) => rounds.call('pause', name, request.target, false));
  }

  cancel(name: string, request: TargetRequest): Promise<NotesAnswer> {
    return this.#ofTargets(name, (rounds) => rounds.call('cancel', name, request.target));
  }

  set(name: string, { target, rateBitsPerSecond }: SetRequest): Promise<NotesAnswer> {
    return this.#ofTargets(name, async (rounds) => {
      if (rateBitsPerSecond === undefined) return [];
      return rounds.call('setRate', name, target, rateBitsPerSecond);
    });
  }

  async prune(name: string, request: PruneRequest) {
    this.#want(this.#find(name), ['primary', 'secondary'], 'a role');
    return this.#parts.rounds.call('prune', name, request);
  }

  async pin(name: string, request: PinRequest) {
    this.#want(this.#find(name), ['secondary'], 'the secondary role');
    return { point: await this.#parts.rounds.call('pin', name, request) };
  }

  async repack(name: string, request: RepackRequest) {
    this.#want(this.#find(name), ['primary'], 'the primary role');
    return this.#parts.rounds.call('repack', name, request);
  }

  async estimate(name: string) {
    this.#want(this.#find(name), ['primary'], 'the primary role');
    return this.#parts.rounds.call('estimate', name);
  }

  /** Leaves the role in good order, says the new size, takes the role again: a crash in between
   * leaves the old size or the new one, and the role is remembered (H14). */
  resize(name: string, request: ResizeRequest): Promise<NotesAnswer> {
    return this.#inOrder(name, async (resource) => {
      const { rounds, log, settings } = this.#parts;
      const { local: path } = resource.settings;
      const { role, guests } = resource;
      const known = await rounds.call('known', name);
      const sizeBytes = known?.sizeBytes ?? 0;
      const last = known?.lastPrimary ?? null;
      const follows = last === settings.node ? null : last;
      const diskBytes = probeDisk(path, { formatCheck: false }).sizeBytes;
      const wanted = newSize({ name, path, role, follows, sizeBytes, diskBytes, guests }, request);
      if (wanted === null) return { notes: [`${name}: has ${sizeBytes} bytes already`] };
      await this.#roles.leave(resource);
      try {
        await rounds.call('resized', name, wanted);
        log.info('resized', { resource: name, before: sizeBytes, after: wanted });
      } finally {
        if (role === 'primary') await this.#backToPrimary(resource);
      }
      return { notes: resizeNotes(name, sizeBytes, wanted) };
    });
  }

  async reload(): Promise<NotesAnswer> {
    return { notes: await this.#reloading.reload() };
  }

  async stop(): Promise<void> {
    this.#parts.stop();
  }

  /** Every resource back to init, in good order. What it was is remembered. */
  async shutDown(): Promise<void> {
    for (const { asking } of this.#resources.values()) asking.abort();
    // One that cannot end in good order (its state directory is full) must not hurry the others.
    const ended = await Promise.allSettled(
      [...this.#resources.values()].map((resource) =>
        resource.order.run(() => this.#roles.leave(resource)),
      ),
    );
    await this.#parts.rounds.call('stop');
    for (const each of ended) if (each.status === 'rejected') throw each.reason;
  }

  /** A data thread had trouble; the round thread decides what it means. */
  async trouble(name: string, what: Trouble, text: string): Promise<void> {
    await this.#parts.rounds.call('trouble', name, what, text);
  }

  async openReplicaDisk(name: string, sizeBytes: number, makes: boolean) {
    const { disks } = this.#parts;
    const { local } = this.#find(name).settings;
    return makes ? disks.open(name, local, sizeBytes) : disks.openExisting(name, local, sizeBytes);
  }

  async pointGuestGone(connection: number): Promise<void> {
    this.#points.guestGone(connection);
  }

  /** `work` after what was begun with the resource before, and if it is there then. */
  async #inOrder<T>(name: string, work: (resource: Resource) => Promise<T>): Promise<T> {
    const resource = this.#find(name);
    return resource.order.run(() =>
      this.#find(name) === resource ? work(resource) : this.#inOrder(name, work),
    );
  }

  async #statusOf(resource: Resource): Promise<ResourceStatus> {
    const { settings, role, error, ordered, sinceMs, timetables, guests, offered } = resource;
    const { rounds, exports, dataThreads, clock } = this.#parts;
    return resourceStatus({
      settings,
      role,
      error,
      replication: await rounds.call('status', settings.name),
      nextRuns: new Map([...timetables].map(([target, table]) => [target, table.nextMs])),
      nbdUri: offered === null ? null : exports.uriOf(offered.name),
      guests,
      hangsSinceMs: dataThreads.hangsSinceMs(settings.name),
      orderedRole: ordered,
      sinceMs,
      nowMs: clock.wallMs(),
    });
  }

  async #backToPrimary(resource: Resource): Promise<void> {
    try {
      await this.#roles.becomePrimary(resource, false);
    } catch (error) {
      resource.error = `the primary role could not be taken again: ${describeError(error)}`;
      throw error;
    }
  }

  async #ofTargets(
    name: string,
    work: (rounds: RolesParts['rounds']) => Promise<readonly string[]>,
  ): Promise<NotesAnswer> {
    this.#want(this.#find(name), ['primary'], 'the primary role');
    return { notes: await work(this.#parts.rounds) };
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
