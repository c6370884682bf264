// The operator's interface: JSON over HTTP on the control unix socket; hastctl and curl use the
// same. Field names are relied on by scripts: they change only with a CHANGELOG entry.
// Sizes are bytes, times ISO 8601 UTC, durations seconds. Absent facts are null.
import { errorClass } from '../base/errors.js';

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
}

export interface TargetStatus {
  readonly name: string;
  readonly kind: 'replica';
  readonly remote: string | null;
  readonly link: LinkState;
  readonly work: WorkState;
  readonly data: DataState;
  /** The derived word: see `stateWord`. */
  readonly state: string;
  readonly dirtyBytes: number;
  readonly lastPoint: PointStatus | null;
  /** Age of the last point's cut if anything is dirty, else 0; null without a point. */
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
  readonly targets: readonly TargetStatus[];
}

export interface StatusAnswer {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly resources: readonly ResourceStatus[];
}

export interface RoundRecord {
  readonly id: string;
  readonly target: string;
  /** Number of the point it made, null unless committed. */
  readonly point: number | null;
  readonly outcome: 'committed' | 'refused' | 'failed' | 'unknown';
  readonly cutTime: string | null;
  readonly seconds: number;
  readonly dirtyBytes: number;
  readonly readBytes: number;
  readonly skippedBytes: number;
  readonly sentBytes: number;
  readonly wireUpBytes: number;
  readonly wireDownBytes: number;
  /** Guest bytes written since the round before; coalescing = this / sentBytes. */
  readonly guestBytes: number;
  readonly error: string | null;
}

export interface PointRecord {
  readonly id: string;
  readonly number: number;
  readonly time: string;
  readonly parent: string | null;
  readonly consistency: 'crash' | 'quiesced' | 'damaged';
  readonly sizeBytes: number;
  readonly changedBytes: number;
  /** On a primary: the target that holds it. */
  readonly target: string | null;
}

export interface CreateRequest {
  readonly extentBytes: number | null;
  readonly keepdirty: number | null;
  readonly mediaBytes: number | null;
  readonly force: boolean;
}

export interface RoleRequest {
  readonly role: Role;
  readonly acceptLoss: boolean;
}

export interface RoleAnswer {
  readonly role: Role;
  /** Sentences for the operator: age of the promoted point, what is lost. */
  readonly notes: readonly string[];
}

/** 'applied': the round is in the replica's disk. 'commit': irrevocable there. */
export interface SyncRequest {
  readonly wait: 'applied' | 'commit' | null;
}

export interface SyncAnswer {
  readonly outcomes: readonly {
    readonly target: string;
    /** 'nothing': nothing was dirty, no point was made. */
    readonly outcome: 'started' | 'committed' | 'applied' | 'nothing' | 'failed';
    readonly point: number | null;
    readonly text: string;
  }[];
}

export interface VerifyAnswer {
  readonly compared: 'tables' | 'disks';
  readonly results: readonly {
    readonly target: string;
    readonly chunks: number;
    readonly differing: number;
    /** Dirty on the primary: not comparable now. */
    readonly dirtyChunks: number;
    /** First differing byte offsets, at most 16. */
    readonly examples: readonly number[];
    readonly text: string;
  }[];
}

/** What the daemon does for an operator. Errors are HastError; the server turns them into
 * `{ error: { code, message, exitStatus, facts } }` with a 4xx or 5xx status. */
export interface ControlApi {
  status(names: readonly string[]): Promise<StatusAnswer>;
  create(name: string, request: CreateRequest): Promise<{ readonly notes: readonly string[] }>;
  role(name: string, request: RoleRequest): Promise<RoleAnswer>;
  sync(name: string, request: SyncRequest, signal: AbortSignal): Promise<SyncAnswer>;
  rounds(name: string): Promise<{ readonly rounds: readonly RoundRecord[] }>;
  points(name: string): Promise<{ readonly points: readonly PointRecord[] }>;
  verify(name: string, deep: boolean, signal: AbortSignal): Promise<VerifyAnswer>;
  stop(): Promise<void>;
}

export type ControlFault =
  | { code: 'CONTROL_NO_RESOURCE'; name: string; known: string }
  | { code: 'CONTROL_BAD_REQUEST'; text: string }
  | { code: 'CONTROL_WRONG_ROLE'; name: string; role: Role; wanted: string }
  | { code: 'CONTROL_UNREACHABLE'; path: string; text: string }
  | { code: 'CONTROL_LOST'; path: string }
  | { code: 'CONTROL_FAILED'; text: string }
  | { code: 'STATE_EXISTS'; name: string; path: string }
  | { code: 'LOSS_NOT_ACCEPTED'; name: string; text: string };

export const ControlError = errorClass<ControlFault>('ControlError', {
  CONTROL_NO_RESOURCE: (f) => `no resource ${f.name} on this node (there is: ${f.known})`,
  CONTROL_BAD_REQUEST: (f) => f.text,
  CONTROL_WRONG_ROLE: (f) => `${f.name}: its role is ${f.role}; this needs ${f.wanted}`,
  CONTROL_UNREACHABLE: (f) => `${f.path}: cannot reach hastd: ${f.text} (is it running?)`,
  CONTROL_LOST: (f) => `${f.path}: hastd went away before it answered`,
  CONTROL_FAILED: (f) => f.text,
  STATE_EXISTS: (f) =>
    `${f.name}: has state in ${f.path}; --force keeps it aside and starts anew ` +
    '(the next contact then compares or copies the whole disk)',
  LOSS_NOT_ACCEPTED: (f) => `${f.name}: ${f.text} (add --accept-loss to promote all the same)`,
});
