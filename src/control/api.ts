// The operator's interface: JSON over HTTP on the control unix socket; hastctl and curl use the
// same. Field names are relied on by scripts: they change only with a CHANGELOG entry.
// Sizes are bytes, times ISO 8601 UTC, durations seconds. Absent facts are null.
import { errorClass } from '../base/errors.js';
import type { Role, StatusAnswer } from './status.js';

export type {
  Alarm,
  DataState,
  LinkState,
  PacksStatus,
  PointStatus,
  ResourceCounters,
  ResourceStatus,
  Role,
  RoundProgress,
  StatusAnswer,
  TargetStatus,
  WorkState,
} from './status.js';

import type {
  PinRequest,
  PruneAnswer,
  PruneRequest,
  RepackAnswer,
  RepackRequest,
  TargetRequest,
} from './retention-api.js';

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
  /** Of wireUpBytes, what was sent again after the link was lost. */
  readonly resentBytes: number;
  /** Of an archive: requests to its store, as it bills them, but for those of a prune. */
  readonly requests?: {
    readonly put: number;
    readonly get: number;
    readonly head: number;
    readonly list: number;
    readonly remove: number;
  };
  /** Raw bytes that the target still had staged from an earlier round and that were not sent. */
  readonly reusedBytes: number;
  /** Chunks the target asked for whole (H28). */
  readonly driftChunks: number;
  /** Chunks with blocks that could not be read here (H21). */
  readonly damagedChunks: number;
  readonly error: string | null;
}

export interface PointRecord {
  readonly id: string;
  readonly number: number;
  readonly time: string;
  readonly parent: string | null;
  /** Of a pinned point; on a primary null. */
  readonly name: string | null;
  readonly consistency: 'crash' | 'quiesced' | 'damaged';
  readonly sizeBytes: number;
  readonly changedBytes: number;
  /** On a primary: the target that holds it. */
  readonly target: string | null;
  /** Chunks that cannot be read of it any more (H27), 0 on a primary. */
  readonly lostChunks: number;
  /** Chunks that the primary could not read, and that kept older content in it (H21). */
  readonly damagedChunks: number;
}

/** What is done with a retained point of a secondary. `point` and `from` are what stands behind the
 * @: latest, a number, a time. read: its content; check: every chunk is read and verified (Q1);
 * serve: a read-only NBD export until the request is given up; diff: what differs from `from`. */
export interface PointRequest {
  readonly what: 'read' | 'check' | 'serve' | 'diff';
  readonly point: string;
  readonly from: string | null;
}

/** Offsets, lengths and ranges in bytes. */
export type PointEvent =
  /** First. `uri`: of the export. */
  | {
      readonly event: 'opened';
      readonly point: PointRecord;
      readonly from: PointRecord | null;
      readonly uri: string | null;
    }
  /** Chunks of 64 KiB, first..first+count-1, in order; those of `carried` are in `bytes`, one after
   * the other, the others are zeroes. */
  | {
      readonly event: 'chunks';
      readonly first: number;
      readonly count: number;
      readonly carried: readonly number[];
      readonly bytes: Uint8Array;
    }
  /** Offset and length, ascending. */
  | { readonly event: 'ranges'; readonly ranges: readonly (readonly [number, number])[] }
  | { readonly event: 'checked'; readonly chunks: number; readonly totalChunks: number }
  | {
      readonly event: 'bad';
      readonly offset: number;
      readonly length: number;
      readonly code: string;
      readonly text: string;
    };

export interface CreateRequest {
  readonly extentBytes: number | null;
  readonly keepdirty: number | null;
  readonly mediaBytes: number | null;
  readonly force: boolean;
}

export interface RoleRequest {
  readonly role: Role;
  readonly acceptLoss: boolean;
  /** Promote though the disk was changed behind our back (H28). */
  readonly acceptDrift: boolean;
  /** Become primary again though the peer was not reached (H38). */
  readonly alone: boolean;
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

/** `sync --dry-run`: what a round would cost now, by target. Estimates, but for the dirty counts.
 */
export interface EstimateAnswer {
  readonly targets: readonly {
    readonly target: string;
    readonly dirtyBytes: number;
    readonly dirtyChunks: number;
    /** Bytes on the link, by the compression of the last committed rounds. */
    readonly wireBytes: number;
    /** At the rate that the last committed rounds achieved, or the limit; null: none known. */
    readonly seconds: number | null;
    readonly bytesPerSecond: number | null;
    /** Most the spill may need here. */
    readonly spillBytes: number;
    readonly spillBytesMax: number;
    /** Most that is staged and kept as undo there. */
    readonly targetBytes: number;
  }[];
}

/** What is changed at once; absent: left as it is. */
export interface SetRequest extends TargetRequest {
  /** Null: back to what the configuration says; 0: no limit. */
  readonly rateBitsPerSecond?: number | null;
}

export interface ResizeRequest {
  /** New size; null: that of the disk. */
  readonly sizeBytes: number | null;
  /** Close the connections of guests for a moment; else their presence is an error. */
  readonly disconnect: boolean;
}

export interface NotesAnswer {
  /** Sentences for the operator. */
  readonly notes: readonly string[];
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
  /** Ends with the work, or when it is given up; errors before the first event are the answer. */
  point(name: string, request: PointRequest, signal: AbortSignal): AsyncIterable<PointEvent>;
  /** Holds the schedule; a running round goes on. Kept over restarts. */
  pause(name: string, request: TargetRequest): Promise<NotesAnswer>;
  resume(name: string, request: TargetRequest): Promise<NotesAnswer>;
  /** Ends the running round, which fails and loses nothing; the schedule goes on. */
  cancel(name: string, request: TargetRequest): Promise<NotesAnswer>;
  prune(name: string, request: PruneRequest): Promise<PruneAnswer>;
  pin(name: string, request: PinRequest): Promise<{ readonly point: PointRecord }>;
  repack(name: string, request: RepackRequest): Promise<RepackAnswer>;
  estimate(name: string): Promise<EstimateAnswer>;
  set(name: string, request: SetRequest): Promise<NotesAnswer>;
  resize(name: string, request: ResizeRequest): Promise<NotesAnswer>;
  /** As SIGHUP: reads the configuration again; what it cannot change without touching a guest is
   * named in the notes. Error CONFIG_INVALID: everything stays as it was. */
  reload(): Promise<NotesAnswer>;
  stop(): Promise<void>;
}

export type ControlFault =
  | { code: 'CONTROL_NO_RESOURCE'; name: string; known: string }
  | { code: 'CONTROL_BAD_REQUEST'; text: string }
  | { code: 'CONTROL_WRONG_ROLE'; name: string; role: Role; wanted: string }
  | { code: 'CONTROL_UNREACHABLE'; path: string; text: string }
  | { code: 'CONTROL_LOST'; path: string }
  | { code: 'CONTROL_FAILED'; text: string }
  | { code: 'CONTROL_NO_TARGET'; name: string; target: string; known: string }
  | { code: 'NOTHING_TO_CANCEL'; name: string }
  | { code: 'RESIZE_GUESTS'; name: string; guests: number }
  | { code: 'RESIZE_SMALLER'; name: string; sizeBytes: number; wantedBytes: number }
  | { code: 'RESIZE_DISK'; name: string; path: string; diskBytes: number; wantedBytes: number }
  | { code: 'STATE_EXISTS'; name: string; path: string }
  | { code: 'LOSS_NOT_ACCEPTED'; name: string; text: string };

export const ControlError = errorClass<ControlFault>('ControlError', {
  CONTROL_NO_RESOURCE: (f) => `no resource ${f.name} on this node (there is: ${f.known})`,
  CONTROL_BAD_REQUEST: (f) => f.text,
  CONTROL_WRONG_ROLE: (f) => `${f.name}: its role is ${f.role}; this needs ${f.wanted}`,
  CONTROL_UNREACHABLE: (f) => `${f.path}: cannot reach hastd: ${f.text} (is it running?)`,
  CONTROL_LOST: (f) => `${f.path}: hastd went away before it answered`,
  CONTROL_FAILED: (f) => f.text,
  CONTROL_NO_TARGET: (f) => `${f.name}: no target ${f.target} (there is: ${f.known})`,
  NOTHING_TO_CANCEL: (f) => `${f.name}: no round is running`,
  RESIZE_GUESTS: (f) =>
    `${f.name}: ${f.guests} NBD clients are connected and would lose their connection; ` +
    'stop them first, or add --disconnect',
  RESIZE_SMALLER: (f) =>
    `${f.name}: has ${f.sizeBytes} bytes; a resource is never made smaller (${f.wantedBytes})`,
  RESIZE_DISK: (f) =>
    `${f.name}: ${f.path} has ${f.diskBytes} bytes, ${f.wantedBytes} are wanted; ` +
    'make the disk larger first',
  STATE_EXISTS: (f) =>
    `${f.name}: has state in ${f.path}; --force keeps it aside and starts anew ` +
    '(the next contact then compares or copies the whole disk)',
  LOSS_NOT_ACCEPTED: (f) => `${f.name}: ${f.text} (add --accept-loss to promote all the same)`,
});
