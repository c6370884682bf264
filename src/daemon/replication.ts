// The resources of this node as the round thread has them, and every change of role. Order of
// becoming primary (H39): the session is ended, the apply finished, the epoch published, the maps
// recovered and the clean mark removed (H8); only then does control open the export.
import { present } from '../base/assert.js';
import { codeOf } from '../base/errors.js';
import { humanSeconds } from '../base/units.js';
import { lossText, needsEpoch, promoted } from '../care/promote.js';
import { verifyTarget } from '../care/verify.js';
import { ControlError, type RoleAnswer, type VerifyAnswer } from '../control/api.js';
import { EMPTY_TARGET } from '../format/resource-state.js';
import { sameId } from '../lineage/lineage.js';
import { dialPeer } from '../net/connect.js';
import { greet } from '../peer/greet.js';
import { ReceiveError } from '../receive/parts.js';
import type { Replica } from '../receive/replica.js';
import { recordOf, updateTarget } from '../round/contact.js';
import { ResourceFile } from '../tracking/resource-file.js';
import { DaemonError } from './daemon-faults.js';
import { PeerDoor } from './peer-door.js';
import type { PrimaryResource } from './primary-resource.js';
import type { ResourceNode } from './resource-node.js';
import { factsOf, files, type Machinery, primaryOf, replicaOf } from './resource-parts.js';
import { SecondaryResource } from './secondary-resource.js';
import type { TargetDriver } from './target-driver.js';
import type {
  ControlThread,
  NodeFactsForRounds,
  OpenDisk,
  ServedVolume,
} from './thread-messages.js';

export interface ReplicationParts {
  readonly facts: NodeFactsForRounds;
  readonly machinery: Machinery;
  readonly control: Pick<ControlThread, 'openReplicaDisk'>;
}

export class Replication {
  readonly #parts: ReplicationParts;
  readonly #nodes = new Map<string, ResourceNode>();
  readonly #door: PeerDoor;

  constructor(parts: ReplicationParts) {
    this.#parts = parts;
    for (const settings of parts.facts.resources) {
      this.#nodes.set(settings.name, { settings, file: null, role: { kind: 'init' } });
    }
    this.#door = new PeerDoor(parts.machinery, this.#nodes);
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

  async becomePrimary(name: string, disk: OpenDisk): Promise<ServedVolume> {
    const node = this.node(name);
    const file = await this.#file(node);
    await this.#leaveRole(node);
    await this.#finishApply(node, file);
    const wantedBytes = file.state.sizeBytes;
    if (wantedBytes > disk.sizeBytes) {
      const { path, sizeBytes } = disk;
      throw new DaemonError({ code: 'DISK_TOO_SMALL', name, path, sizeBytes, wantedBytes });
    }
    const { machinery } = this.#parts;
    await file.update((state) => {
      const taken = needsEpoch(state, machinery.node)
        ? promoted(state, machinery.node, machinery.random)
        : { ...state, role: 'primary' as const };
      const sizeBytes = state.sizeBytes || disk.sizeBytes;
      return { ...taken, sizeBytes, targets: this.#targets(node, taken.targets) };
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
    const primary = node.settings.targets[0];
    const { clock, log } = machinery;
    const resource = new SecondaryResource({
      replica,
      primary: { name: primary?.name ?? 'primary', remote: primary?.remote ?? null },
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

  /** Null: nothing can be lost by promoting, or the peer agrees. */
  async promotionLoss(name: string): Promise<string | null> {
    const node = this.node(name);
    const file = await this.#file(node);
    const { state } = file;
    const { machinery } = this.#parts;
    if (state.resource === null || !needsEpoch(state, machinery.node)) return null;
    const point =
      node.role.kind === 'secondary' ? node.role.resource.parts.replica.point : state.replica.point;
    if (point === null) throw new ReceiveError({ code: 'REPLICA_INITIALISING', resource: name });
    const { suspect } = state.replica;
    if (suspect !== null) {
      throw new ReceiveError({ code: 'REPLICA_SUSPECT', resource: name, text: suspect });
    }
    if (node.role.kind === 'secondary') await node.role.resource.parts.replica.idle();
    const loss = lossText(point, machinery.clock.wallMs(), humanSeconds);
    const peer = await this.#askPeer(node, file);
    if (peer === null) return `${loss}; the primary does not answer`;
    if (peer.role === 'primary') return `${loss}; the primary answers and is still primary`;
    if (!peer.suspect && sameId(peer.point?.id, point.id)) return null;
    return `${loss}; the former primary answers and holds more than that`;
  }

  async markWritten(name: string): Promise<void> {
    const file = await this.#file(this.node(name));
    if (!file.state.written) await file.update((state) => ({ ...state, written: true }));
  }

  /** A data thread's flush failed: durable, so that the next start doubts everything (H18). */
  async doubt(name: string, why: string): Promise<void> {
    const file = await this.#file(this.node(name));
    await file.update((state) => ({ ...state, doubt: why }));
  }

  async verify(name: string, deep: boolean): Promise<VerifyAnswer> {
    const resource = this.primary(name, 'verify');
    const results: VerifyAnswer['results'][number][] = [];
    for (const driver of resource.parts.drivers) {
      results.push(await this.#verifyTarget(resource, driver, deep));
    }
    return { compared: deep ? 'disks' : 'tables', results };
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
    const { statedir } = this.#parts.facts;
    node.file ??= await ResourceFile.load(files, `${statedir}/${node.settings.name}`);
    return node.file;
  }

  async #leaveRole(node: ResourceNode): Promise<void> {
    const { role } = node;
    if (role.kind === 'init') return;
    node.role = { kind: 'init' };
    await role.resource.close();
    await node.file?.update((state) => ({ ...state, role: 'init' }));
  }

  /** A replica about to be promoted first ends up at a whole point (C1). */
  async #finishApply(node: ResourceNode, file: ResourceFile): Promise<void> {
    if (file.state.replica.point === null) return;
    if (!needsEpoch(file.state, this.#parts.machinery.node)) return;
    const replica = this.#replica(node, file);
    try {
      await replica.open();
      await replica.idle();
      const { suspect } = replica.record;
      if (suspect === null) return;
      const resource = node.settings.name;
      throw new ReceiveError({ code: 'REPLICA_SUSPECT', resource, text: suspect });
    } finally {
      await replica.close();
    }
  }

  #replica(node: ResourceNode, file: ResourceFile): Replica {
    const { machinery, control } = this.#parts;
    const { name } = node.settings;
    return replicaOf(node.settings, file, machinery, (size) => control.openReplicaDisk(name, size));
  }

  /** A record for every target in the file; a promoted replica knows nothing of its new target. */
  #targets(node: ResourceNode, targets: ResourceFile['state']['targets']) {
    return Object.fromEntries(
      node.settings.targets.map(({ name }) => [name, targets[name] ?? EMPTY_TARGET]),
    );
  }

  /** What the peer says of itself; null when it cannot be asked. */
  async #askPeer(node: ResourceNode, file: ResourceFile) {
    const { machinery } = this.#parts;
    const { settings } = node;
    const target = settings.targets[0];
    if (!target?.remote) return null;
    try {
      const { clock, random } = machinery;
      const stream = await dialPeer(
        {
          remote: target.remote,
          source: target.source,
          timeoutMs: settings.timeoutSeconds * 1000,
          security: this.#door.securityOf(settings),
        },
        { clock },
      );
      const facts = factsOf(machinery, settings, file, 'secondary');
      const session = await greet(stream, facts, { clock, random });
      session.start(() => undefined);
      await session.close();
      return session.facts.theirs;
    } catch {
      return null;
    }
  }

  async #verifyTarget(resource: PrimaryResource, driver: TargetDriver, deep: boolean) {
    const { round, link } = driver.parts;
    const { target } = await link.get();
    const verified = await resource.parts.order.run(() =>
      verifyTarget(
        {
          target,
          table: round.table,
          device: round.volume.device,
          compute: round.compute,
          dirty: (first, last) => round.volume.isDirty(round.slot, first, last),
        },
        deep,
        new AbortController().signal,
      ),
    );
    const { chunks, differing, dirtyChunks, examples } = verified;
    const verifiedMs = Math.floor(this.#parts.machinery.clock.wallMs());
    if (differing === 0) await updateTarget(round, (record) => ({ ...record, verifiedMs }));
    const point = recordOf(round.resourceFile, round.target).point;
    const what = deep ? 'disks, read past the page cache' : 'digest tables';
    const text =
      differing === 0
        ? `the ${what} agree at point ${point?.number ?? 'none'}`
        : `the ${what} differ in ${differing} chunks`;
    return { target: round.target, chunks, differing, dirtyChunks, examples, text };
  }
}
