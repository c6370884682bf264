// The resources of this node as the round thread has them, and every change of role. Order of
// becoming primary (H39): the session is ended, the apply finished, the epoch published, the maps
// recovered and the clean mark removed (H8); only then does control open the export.
import { assert, present } from '../base/assert.js';
import { codeOf } from '../base/errors.js';
import type { ResourceSettings } from '../config/settings.js';
import {
  ControlError,
  type Role,
  type RoleAnswer,
  type RoleRequest,
  type VerifyAnswer,
} from '../control/api.js';
import type {
  PruneAnswer,
  PruneRequest,
  RepackAnswer,
  RepackRequest,
} from '../control/retention-api.js';
import type { Replica } from '../receive/replica.js';
import { ResourceFile } from '../tracking/resource-file.js';
import { takeEpoch } from './becoming-primary.js';
import { Consent } from './consent.js';
import { DaemonError } from './daemon-faults.js';
import type { Machinery } from './machinery.js';
import { PeerDoor } from './peer-door.js';
import type { PrimaryResource } from './primary-resource.js';
import { prunePrimary } from './prune-archives.js';
import { repackPrimary } from './repack-archives.js';
import { repairChunk } from './repair.js';
import { pruneReplica } from './replica-points.js';
import { newNode, type ResourceNode } from './resource-node.js';
import { primaryOf, replicaOf } from './resource-parts.js';
import { SecondaryResource } from './secondary-resource.js';
import type {
  ControlThread,
  NodeFactsForRounds,
  OpenDisk,
  RememberedRole,
  ServedVolume,
} from './thread-messages.js';
import { verifyPrimary } from './verification.js';

export interface ReplicationParts {
  readonly facts: NodeFactsForRounds;
  readonly machinery: Machinery;
  readonly control: Pick<ControlThread, 'openReplicaDisk'>;
}

export class Replication {
  readonly #parts: ReplicationParts;
  readonly #nodes = new Map<string, ResourceNode>();
  readonly #door: PeerDoor;
  readonly #consent: Consent;

  constructor(parts: ReplicationParts) {
    this.#parts = parts;
    for (const settings of parts.facts.resources) this.#nodes.set(settings.name, newNode(settings));
    const { machinery } = parts;
    this.#door = new PeerDoor(machinery, this.#nodes);
    const securityOf = (settings: ResourceSettings) => this.#door.securityOf(settings);
    this.#consent = new Consent({ machinery, securityOf });
  }

  /** Loads what states there are and listens for peers. */
  async start(): Promise<void> {
    for (const name of this.#nodes.keys()) await this.reload(name);
    await this.#door.open(this.#parts.facts.listen);
  }

  node(name: string): ResourceNode {
    return present(this.#nodes.get(name), 'control knows the resources');
  }

  /** Loads the state, after start or a `create`. */
  async reload(name: string): Promise<void> {
    const node = this.node(name);
    node.file = null;
    await this.#file(node).catch((error: unknown) => {
      if (codeOf(error) === 'STATE_MISSING') return;
      this.#parts.machinery.log.error('no usable state', { resource: name, why: String(error) });
    });
  }

  async becomePrimary(name: string, disk: OpenDisk, acceptDrift: boolean): Promise<ServedVolume> {
    const node = this.node(name);
    const file = await this.#file(node);
    await this.#leaveRole(node);
    const { machinery } = this.#parts;
    await takeEpoch({
      node: machinery.node,
      random: machinery.random,
      file,
      replica: () => this.#replica(node, file),
      targets: node.settings.targets.flatMap((each) => (each.remote === null ? [] : [each.name])),
      disk,
      acceptDrift,
    });
    const sized = { ...disk, sizeBytes: file.state.sizeBytes };
    const security = () => this.#door.securityOf(node.settings);
    const opened = await primaryOf(node.settings, file, machinery, sized, security);
    node.role = { kind: 'primary', resource: opened.resource };
    return opened.volume;
  }

  /** The state of a node that is no primary of the newest epoch; error ROLE_WAS_PRIMARY. */
  async mayBecomeSecondary(name: string): Promise<ResourceFile> {
    const file = await this.#file(this.node(name));
    if (file.state.epochs.at(-1)?.node === this.#parts.machinery.node) {
      throw new DaemonError({ code: 'ROLE_WAS_PRIMARY', name });
    }
    return file;
  }

  async becomeSecondary(name: string): Promise<RoleAnswer> {
    const node = this.node(name);
    if (node.role.kind === 'secondary') return { role: 'secondary', notes: [] };
    const file = await this.mayBecomeSecondary(name);
    const { machinery } = this.#parts;
    await file.update((state) => ({ ...state, role: 'secondary' }));
    const replica = this.#replica(node, file);
    try {
      await replica.open();
    } catch (error) {
      await replica.close();
      throw error;
    }
    const { clock, log } = machinery;
    const resource = new SecondaryResource({
      replica,
      settings: node.settings,
      clock,
      log: log.child({ resource: name }),
    });
    node.role = { kind: 'secondary', resource };
    const { point } = replica;
    const notes = [
      point === null
        ? `${name}: secondary, waiting for its first copy`
        : `${name}: secondary, at point ${point.number}`,
    ];
    return { role: 'secondary', notes };
  }

  async becomeInit(name: string): Promise<void> {
    await this.#leaveRole(this.node(name));
  }

  async promotionLoss(name: string, request: RoleRequest): Promise<string | null> {
    const node = this.node(name);
    return this.#consent.loss(node, await this.#file(node), request);
  }

  /** Never rejects for a state that is not there, or damaged: there is nothing to take up. */
  async remembered(name: string): Promise<RememberedRole> {
    const node = this.node(name);
    if (node.file === null) return { take: 'none', ordered: null, alone: false, text: '' };
    return this.#consent.remembered(node, node.file);
  }

  async remember(name: string, role: Role): Promise<void> {
    const node = this.node(name);
    if (node.file === null && role === 'init') return;
    const file = await this.#file(node);
    if (file.state.remembered === role) return;
    await file.update((state) => ({ ...state, remembered: role }));
  }

  /** H14: from now on the resource has this size; maps and tables are of the size they say and grow
   * when the role is taken. */
  async resized(name: string, sizeBytes: number): Promise<void> {
    const node = this.node(name);
    assert(node.role.kind === 'init', 'a resource grows while nobody has its disk');
    const file = await this.#file(node);
    const has = file.state.sizeBytes;
    if (sizeBytes < has) {
      const wantedBytes = sizeBytes;
      throw new ControlError({ code: 'RESIZE_SMALLER', name, sizeBytes: has, wantedBytes });
    }
    if (sizeBytes === has) return;
    await file.update((state) => ({ ...state, sizeBytes }));
  }

  /** Of these resources, from now on. Errors of readSecret: then nothing has changed. */
  readSecrets(resources: readonly ResourceSettings[]): Promise<void> {
    return this.#door.readSecrets(resources);
  }

  /** What a running role can take over it does now; the rest counts from the next role on. New
   * resources join. Errors of readSecret: then nothing has changed. */
  async applySettings(resources: readonly ResourceSettings[]): Promise<void> {
    await this.#door.readSecrets(resources);
    for (const settings of resources) {
      const node = this.#nodes.get(settings.name);
      if (node === undefined) {
        this.#nodes.set(settings.name, newNode(settings));
        await this.reload(settings.name);
        continue;
      }
      node.settings = settings;
      if (node.role.kind !== 'init') await node.role.resource.applySettings(settings);
    }
  }

  async repair(name: string, chunk: number, mask: number): Promise<Uint8Array | null> {
    const { role } = this.node(name);
    if (role.kind !== 'primary') return null;
    const sources = role.resource.parts.drivers.flatMap(({ parts: { round, link } }) =>
      link.current === null ? [] : [{ round, target: link.current }],
    );
    return repairChunk(sources, chunk, mask, this.#parts.machinery.clock);
  }

  async markWritten(name: string): Promise<void> {
    const file = await this.#file(this.node(name));
    if (!file.state.written) await file.update((state) => ({ ...state, written: true }));
  }

  /** A data thread has had trouble after which the next start doubts everything (H18). One that has
   * ended wrote its own doubt, or will be compared for having no clean mark. */
  async doubt(name: string, why: string): Promise<void> {
    const { role } = this.node(name);
    if (role.kind === 'primary') await role.resource.parts.primary.doubt.raise(why);
  }

  async verify(name: string, deep: boolean, signal: AbortSignal): Promise<VerifyAnswer> {
    const { clock } = this.#parts.machinery;
    return verifyPrimary(this.primary(name, 'verify'), deep, clock, signal);
  }

  async prune(name: string, request: PruneRequest): Promise<PruneAnswer> {
    const { role } = this.node(name);
    if (role.kind === 'secondary') return pruneReplica(name, role.resource.parts.replica, request);
    return prunePrimary(this.primary(name, 'prune'), request);
  }

  async repack(name: string, request: RepackRequest): Promise<RepackAnswer> {
    return repackPrimary(this.primary(name, 'repack'), request);
  }

  /** The resource in the primary role, or CONTROL_WRONG_ROLE. */
  primary(name: string, wanted: string): PrimaryResource {
    const { role } = this.node(name);
    if (role.kind === 'primary') return role.resource;
    const text = `the primary role (${wanted})`;
    throw new ControlError({ code: 'CONTROL_WRONG_ROLE', name, role: role.kind, wanted: text });
  }

  async stop(): Promise<void> {
    await this.#door.close();
    for (const node of this.#nodes.values()) await this.#leaveRole(node);
  }

  async #file(node: ResourceNode): Promise<ResourceFile> {
    const { facts, machinery } = this.#parts;
    const path = `${facts.statedir}/${node.settings.name}`;
    if (node.file !== null) return node.file;
    const loaded = await ResourceFile.load(machinery.files, path);
    // Another call may have been first: a state has one owner, or one would not see what the other
    // has published.
    node.file ??= loaded;
    return node.file;
  }

  async #leaveRole(node: ResourceNode): Promise<void> {
    const { role } = node;
    if (role.kind === 'init') return;
    node.role = { kind: 'init' };
    await role.resource.close();
    await node.file?.update((state) => ({ ...state, role: 'init' }));
  }

  #replica(node: ResourceNode, file: ResourceFile): Replica {
    const { machinery, control } = this.#parts;
    const { name } = node.settings;
    return replicaOf(
      () => node.settings,
      file,
      machinery,
      // One that has a point has a disk: where it is missing, a new one would hide that.
      (size) => control.openReplicaDisk(name, size, file.state.replica.point === null),
    );
  }
}
