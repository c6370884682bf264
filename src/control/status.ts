// What `status` answers: resources, their targets, counters and alarms (control/api.ts is the rest
// of the operator's interface). Field names are relied on by scripts: they change only with a
// CHANGELOG entry. Sizes are bytes, times ISO 8601 UTC, durations seconds. Absent facts are null.

export type Role = 'init' | 'primary' | 'secondary';
export type LinkState = 'up' | 'down' | 'none';
export type WorkState = 'idle' | 'settling' | 'sending' | 'staged' | 'applying' | 'paused';
export type DataState = 'initialising' | 'clean' | 'dirty' | 'suspect' | 'diverged';

export interface PointStatus {
  readonly id: string;
  readonly number: number;
  readonly time: string;
}

/** A running round or initial copy. */
export interface RoundProgress {
  readonly id: string;
  readonly kind: 'round' | 'pass' | 'settle';
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly sentBytes: number;
  readonly wireUpBytes: number;
  /** Bytes of `doneBytes` a second, averaged over the last ten seconds. */
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
  /** Bytes that had to be sent again after the link was lost. */
  readonly resentBytes: number;
}

/** What an operator should look at; `hastctl status --check` exits by the worst of them. */
export interface Alarm {
  readonly level: 'warning' | 'critical';
  /** Null: about the resource itself. */
  readonly target: string | null;
  readonly code:
    | 'lag'
    | 'no-point'
    | 'rounds-failed'
    | 'suspect'
    | 'diverged'
    | 'unreachable'
    | 'spill'
    | 'paused'
    | 'damaged'
    | 'packs'
    | 'set-back'
    | 'disk'
    | 'no-role'
    | 'no-target'
    | 'untracked';
  /** One sentence with the figures. */
  readonly text: string;
}

export interface TargetStatus {
  readonly name: string;
  readonly kind: 'replica' | 'archive';
  readonly remote: string | null;
  readonly link: LinkState;
  readonly work: WorkState;
  readonly data: DataState;
  /** The derived word: see `stateWord`. */
  readonly state: string;
  readonly dirtyBytes: number;
  readonly lastPoint: PointStatus | null;
  /** Of an archive that is connected and has a point: how many points it keeps, and bytes that the
   * round of the last one has stored. */
  readonly archive?: { readonly points: number; readonly lastStoredBytes: number };
  /** Of an archive that was found at an older point than was known there: numbers of both. */
  readonly setBack?: { readonly from: number; readonly to: number; readonly time: string };
  /** Age of the last point's cut if anything is dirty or the point is not known to be in the
   * target's disk, else 0; null without a point. */
  readonly lagSeconds: number | null;
  readonly nextRun: string | null;
  readonly skippedFirings: number;
  readonly round: RoundProgress | null;
  readonly lastError: {
    readonly time: string;
    readonly code: string;
    readonly text: string;
  } | null;
  readonly verifiedAt: string | null;
  /** `hastctl pause` holds the schedule of this target. */
  readonly paused: boolean;
  /** In force now; null: no limit. */
  readonly rateBitsPerSecond: number | null;
  readonly maxLagSeconds: number | null;
  /** Rounds that failed or were refused since the last committed one. */
  readonly failedRounds: number;
  /** Since when the link is down; null while it is up, or without an address. */
  readonly unreachableSince: string | null;
  /** Chunks that had changed behind our back at the target and were sent whole, in all (H28). */
  readonly driftChunks: number;
  /** Chunks of the local disk that nobody had marked, found by the background pass (H11). */
  readonly untrackedChunks: number;
  /** Chunks of the last point that could not be read here (H21). */
  readonly damagedChunks: number;
  /** Of an archive with `verify`: what was looked at of the packs that its points need. */
  readonly packs?: PacksStatus;
}

/** Bytes are those of packs whose content was read. */
export interface PacksStatus {
  readonly packs: number;
  readonly bytes: number;
  readonly in30DaysBytes: number;
  readonly in90DaysBytes: number;
  readonly neverBytes: number;
  /** When the one was read that was read longest ago; null: none was. */
  readonly oldest: string | null;
  /** Packs that are damaged or missing, and tables of packs that cannot be read. */
  readonly damaged: number;
}

export interface ResourceCounters {
  readonly reads: number;
  readonly writes: number;
  readonly deletes: number;
  readonly flushes: number;
  readonly activemapUpdates: number;
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly deleteErrors: number;
  readonly flushErrors: number;
  readonly writtenBytes: number;
  readonly preservedChunks: number;
  /** Gate hold times since start, microseconds. */
  readonly gateHoldMicrosMax: number;
  readonly gateHoldMicrosP99: number;
  readonly gateHoldMicrosP999: number;
  /** Waits of guests' writes for an old chunk to be kept, microseconds. */
  readonly preserveWaits: number;
  readonly preserveWaitMicrosP99: number;
  /** Writes that waited for their extent's intent bit (`metaflush on`, H10). */
  readonly firstTouches: number;
  readonly firstTouchMicros: number;
  readonly firstTouchMicrosMax: number;
  /** Blocks that could not be read and were got back from a target (H20). */
  readonly repairedBlocks: number;
}

export interface ResourceStatus {
  readonly name: string;
  readonly role: Role;
  readonly state: string;
  readonly exportName: string;
  readonly local: string;
  readonly sizeBytes: number | null;
  readonly extentBytes: number | null;
  readonly keepdirty: number | null;
  readonly replication: 'periodic';
  /** URI for NBD clients, null unless primary. */
  readonly nbdUri: string | null;
  /** Size of the spill used by the running round and its limit. */
  readonly spillBytes: number;
  readonly spillBytesMax: number;
  readonly counters: ResourceCounters | null;
  readonly error: string | null;
  /** NBD connections now. */
  readonly guests: number;
  /** The primary role was taken up without having reached the peer (H38). */
  readonly alone: boolean;
  /** Since when the local disk answers nothing; null: it answers. */
  readonly hangsSince: string | null;
  readonly alarms: readonly Alarm[];
  readonly targets: readonly TargetStatus[];
}

export interface StatusAnswer {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly resources: readonly ResourceStatus[];
}
