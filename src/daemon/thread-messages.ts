// What the threads of the daemon say to each other. Control opens and locks disks once and hands
// the fd numbers out; data threads serve guests; the round thread replicates (DESIGN.md §4).

import type { ResourceSettings } from '../config/settings.js';
import type {
  PointRecord,
  ResourceCounters,
  RoleAnswer,
  RoundRecord,
  SyncAnswer,
  SyncRequest,
  TargetStatus,
  VerifyAnswer,
} from '../control/api.js';
import type { DiskKind } from '../disk/probe.js';
import type { VolumeMemory } from '../volume/memory.js';

/** An open, locked disk. The fd number is shared by all threads; control closes it. */
export interface OpenDisk {
  readonly fd: number;
  readonly path: string;
  readonly kind: DiskKind;
  /** Of the replicated part. */
  readonly sizeBytes: number;
}

/** What a data thread needs of a primary. */
export interface ServedVolume {
  readonly name: string;
  readonly memory: VolumeMemory;
  readonly disk: OpenDisk;
  readonly intentPath: string;
  readonly spillPath: string;
}

export interface NodeFactsForRounds {
  readonly node: string;
  readonly statedir: string;
  readonly listen: readonly string[];
  readonly logLevel: string;
  readonly resources: readonly ResourceSettings[];
}

/** A resource as the round thread sees it. */
export interface ReplicationStatus {
  readonly sizeBytes: number | null;
  readonly extentBytes: number | null;
  readonly keepdirty: number | null;
  readonly spillBytes: number;
  readonly error: string | null;
  readonly counters: ResourceCounters | null;
  readonly targets: readonly TargetStatus[];
}

export type SyncOutcome = SyncAnswer['outcomes'][number];

/** Methods of the round thread. */
export interface RoundThread {
  start(facts: NodeFactsForRounds): Promise<void>;
  /** Takes the role; control then starts the export. */
  becomePrimary(name: string, disk: OpenDisk): Promise<ServedVolume>;
  /** ROLE_WAS_PRIMARY, or no usable state: what `becomeSecondary` would refuse. */
  mayBecomeSecondary(name: string): Promise<void>;
  becomeSecondary(name: string): Promise<RoleAnswer>;
  /** What promotion would lose: null when the peer agrees, or when it never was a replica. */
  promotionLoss(name: string): Promise<string | null>;
  /** After the export is closed: maps published, clean mark. */
  becomeInit(name: string): Promise<void>;
  /** The state on disk changed (create). */
  reload(name: string): Promise<void>;
  /** Durable "a guest may have written in this epoch" (H37). */
  markWritten(name: string): Promise<void>;
  trouble(name: string, what: 'preserve' | 'flush', text: string): Promise<void>;
  status(name: string): Promise<ReplicationStatus>;
  sync(name: string, target: string | null, request: SyncRequest): Promise<readonly SyncOutcome[]>;
  /** A firing of the schedule; 'running': a round of it was running. */
  fire(name: string, target: string, nominalMs: number): Promise<'started' | 'running'>;
  lastRunMs(name: string, target: string): Promise<number | null>;
  rounds(name: string): Promise<readonly RoundRecord[]>;
  points(name: string): Promise<readonly PointRecord[]>;
  verify(name: string, deep: boolean): Promise<VerifyAnswer>;
  stop(): Promise<void>;
}

/** Methods of control that the round thread calls. */
export interface ControlThread {
  /** Opens and locks the disk of a secondary; makes a sparse file of `sizeBytes` if absent. */
  openReplicaDisk(name: string, sizeBytes: number): Promise<OpenDisk>;
}

/** Methods of a data thread. */
export interface DataThread {
  open(volume: ServedVolume, thread: number, poolOperationsMax: number): Promise<void>;
  connect(name: string, id: number, fd: number, leftover: Uint8Array): Promise<void>;
  /** Ends every connection of the resource after what is in flight. */
  close(name: string): Promise<void>;
}

/** Methods of control that a data thread calls. */
export interface DataThreadOwner {
  ended(id: number): Promise<void>;
  trouble(name: string, what: 'preserve' | 'flush', text: string): Promise<void>;
}
