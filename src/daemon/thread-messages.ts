// What the threads of the daemon say to each other. Control opens and locks disks once and hands
// the fd numbers out; data threads serve guests; the round thread replicates (DESIGN.md §4).

import type { ResourceSettings } from '../config/settings.js';
import type {
  EstimateAnswer,
  PointEvent,
  PointRecord,
  ResourceCounters,
  Role,
  RoleAnswer,
  RoleRequest,
  RoundRecord,
  SyncAnswer,
  SyncRequest,
  TargetStatus,
  VerifyAnswer,
} from '../control/api.js';
import type {
  PinRequest,
  PruneAnswer,
  PruneRequest,
  RepackAnswer,
  RepackRequest,
} from '../control/retention-api.js';
import type { DiskKind } from '../disk/probe.js';
import type { Range } from '../history/point-diff.js';
import type { Agreement } from '../nbd/protocol.js';
import type { VolumeMemory } from '../volume/memory.js';
import type { StopWord } from './stop-word.js';

/** What a data thread complains of: an old chunk could not be kept, an fdatasync of the disk
 * failed, one of the intent map failed (metaflush on; writes go on, the next start compares). */
export type Trouble = 'preserve' | 'flush' | 'intent';

/** An open, locked disk. The fd number is shared by all threads; control closes it. */
export interface OpenDisk {
  readonly fd: number;
  readonly path: string;
  readonly kind: DiskKind;
  /** Of the replicated part. */
  readonly sizeBytes: number;
  /** What its syncs have ahead of them (sync-ledger.ts). */
  readonly syncMemory: SharedArrayBuffer;
}

/** What a data thread needs of a primary. */
export interface ServedVolume {
  readonly name: string;
  readonly memory: VolumeMemory;
  readonly disk: OpenDisk;
  readonly intentPath: string;
  /** One a target, by slot. */
  readonly spillPaths: readonly string[];
  /** Names of the targets, by slot. */
  readonly targets: readonly string[];
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
  readonly alone: boolean;
  readonly targets: readonly TargetStatus[];
}

export type SyncOutcome = SyncAnswer['outcomes'][number];

/** A point that is being read. */
export interface OpenedPoint {
  readonly id: number;
  /** As they were asked for. */
  readonly point: PointRecord;
  readonly from: PointRecord | null;
  /** Of the disk that is read, the older one of two. */
  readonly sizeBytes: number;
  readonly chunks: number;
}

export type ChunkGroup = Omit<Extract<PointEvent, { event: 'chunks' }>, 'event'>;
export type BadChunk = Omit<Extract<PointEvent, { event: 'bad' }>, 'event'>;

/** Old points of secondaries, on the round thread. */
export interface PointCalls {
  /** Opens what is named behind the @. `from`: to be compared with it. Errors CONTROL_BAD_REQUEST,
   * CONTROL_WRONG_ROLE, POINT_UNKNOWN, POINT_READERS, POINTS_OPEN. */
  openPoint(name: string, point: string, from: string | null): Promise<OpenedPoint>;
  /** Chunks from `first` on, as many as go together. Errors as ReplicaPoint.chunk. */
  pointChunks(id: number, first: number): Promise<ChunkGroup>;
  /** Reads some more chunks. `chunks`: the first that is left. */
  checkPoint(
    id: number,
    first: number,
  ): Promise<{
    readonly chunks: number;
    readonly totalChunks: number;
    readonly bad: readonly BadChunk[];
  }>;
  /** The next differences; null: there are no more. */
  pointRanges(id: number): Promise<readonly Range[] | null>;
  /** Takes an NBD connection over, with its fd; control hears of its end (pointGuestGone). */
  connectPoint(
    id: number,
    connection: number,
    fd: number,
    leftover: Uint8Array,
    agreement: Agreement,
  ): Promise<void>;
  /** Answered when it is not read any more. */
  pointEnded(id: number): Promise<void>;
  /** Once, and last. Ends its connections too. */
  closePoint(id: number): Promise<void>;
}

/** Methods of the round thread. */
export interface RoundThread extends PointCalls {
  start(facts: NodeFactsForRounds): Promise<void>;
  /** Takes the role; control then starts the export. `acceptDrift`: a suspect replica too (H28). */
  becomePrimary(name: string, disk: OpenDisk, acceptDrift: boolean): Promise<ServedVolume>;
  /** ROLE_WAS_PRIMARY, or no usable state: what `becomeSecondary` would refuse. */
  mayBecomeSecondary(name: string): Promise<void>;
  becomeSecondary(name: string): Promise<RoleAnswer>;
  /** What becoming primary would lose: null when the peer agrees, or there is nothing to lose. The
   * node that was primary last may come back only if no peer has gone on (H37, H38): errors
   * PEER_IS_NEWER, PEER_NOT_ASKED. Errors REPLICA_INITIALISING, REPLICA_SUSPECT. */
  promotionLoss(name: string, request: RoleRequest): Promise<string | null>;
  /** After the export is closed: maps published, clean mark. */
  becomeInit(name: string): Promise<void>;
  /** The state on disk changed (create). */
  reload(name: string): Promise<void>;
  /** Durable "a guest may have written in this epoch" (H37). */
  markWritten(name: string): Promise<void>;
  trouble(name: string, what: Trouble, text: string): Promise<void>;
  status(name: string): Promise<ReplicationStatus>;
  sync(name: string, target: string | null, request: SyncRequest): Promise<readonly SyncOutcome[]>;
  /** A firing of the schedule; 'running': a round of it was running; 'paused': it is held. */
  fire(name: string, target: string, nominalMs: number): Promise<'started' | 'running' | 'paused'>;
  lastRunMs(name: string, target: string): Promise<number | null>;
  rounds(name: string): Promise<readonly RoundRecord[]>;
  points(name: string): Promise<readonly PointRecord[]>;
  verify(name: string, deep: boolean, stop: StopWord): Promise<VerifyAnswer>;
  /** Of the next four, `target` null: every target. Error CONTROL_NO_TARGET. */
  pause(name: string, target: string | null, on: boolean): Promise<readonly string[]>;
  cancel(name: string, target: string | null): Promise<readonly string[]>;
  /** Bits a second; 0: no limit; null: what the configuration says. Durable. */
  setRate(name: string, target: string | null, rate: number | null): Promise<readonly string[]>;
  prune(name: string, request: PruneRequest): Promise<PruneAnswer>;
  /** Errors POINT_…, CONTROL_WRONG_ROLE. */
  pin(name: string, request: PinRequest): Promise<PointRecord>;
  repack(name: string, request: RepackRequest): Promise<RepackAnswer>;
  estimate(name: string): Promise<EstimateAnswer>;
  /** What the state on disk says, at once; null: there is none. Error STATE_UNREADABLE. */
  known(name: string): Promise<KnownState | null>;
  /** The role that hastd should give the resource at its start, and whether its peers were asked:
   * what H38 decides, with its reason in words. */
  remembered(name: string): Promise<RememberedRole>;
  /** Durable: the role an operator gave (H38). */
  remember(name: string, role: Role): Promise<void>;
  /** Role init, after a clean end: the state says the new size (H14). Error RESIZE_SMALLER. */
  resized(name: string, sizeBytes: number): Promise<void>;
  /** For sessions to come (SIGHUP). Errors of readSecret: then nothing has changed. */
  readSecrets(resources: readonly ResourceSettings[]): Promise<void>;
  /** New settings of resources whose changes need no change of role (SIGHUP). */
  applySettings(resources: readonly ResourceSettings[]): Promise<void>;
  /** The content of a chunk from a target that has it and for which none of the blocks of `mask` is
   * dirty (H20); null: none can give it in time. */
  repair(name: string, chunk: number, mask: number): Promise<Uint8Array | null>;
  stop(): Promise<void>;
}

/** What is known of a resource before anybody is asked. */
export interface KnownState {
  /** Null: it comes with the first contact. */
  readonly sizeBytes: number | null;
  /** What an operator gave last. */
  readonly ordered: Role;
  /** Node of the last epoch; null: there has been no primary. */
  readonly lastPrimary: string | null;
}

/** What becomes of a remembered role at start. 'none': nothing is taken up. 'init': not now, the
 * peers are to be asked again. */
export interface RememberedRole {
  readonly take: Role | 'none';
  /** What an operator gave last; null: there is no state. */
  readonly ordered: Role | null;
  /** The peer was not reached: status says so. */
  readonly alone: boolean;
  /** Why it is taken or not, for log and status; empty where nothing was to be decided. */
  readonly text: string;
}

/** Methods of control that the round thread calls. */
export interface ControlThread {
  /** Opens and locks the disk of a secondary. `makes`: a sparse file of `sizeBytes` where there is
   * none; else that is DISK_MISSING. */
  openReplicaDisk(name: string, sizeBytes: number, makes: boolean): Promise<OpenDisk>;
  /** An NBD client of a point has ended. */
  pointGuestGone(connection: number): Promise<void>;
}

/** Methods of a data thread. */
export interface DataThread {
  /** Answered at once, unless the thread or something that it asked of a disk is stuck (H19). */
  ping(): Promise<void>;
  open(volume: ServedVolume, thread: number, poolOperationsMax: number): Promise<void>;
  connect(
    name: string,
    id: number,
    fd: number,
    leftover: Uint8Array,
    agreement: Agreement,
  ): Promise<void>;
  /** Ends every connection of the resource after what is in flight. */
  close(name: string): Promise<void>;
}

/** Methods of control that a data thread calls. */
export interface DataThreadOwner {
  ended(id: number): Promise<void>;
  /** H20: the content of a chunk from a target; null: it cannot be had in time. */
  repair(name: string, chunk: number, mask: number): Promise<Uint8Array | null>;
  trouble(name: string, what: Trouble, text: string): Promise<void>;
}
