// Who descends from whom (H24, H37). Equality is by random id; numbers are for people only.
// Pure: values in, a verdict out; it decides at every contact of primary and target.
import { equalBytes } from '../base/digest.js';

/** 16 random bytes. A committed round's id is also the id of the point it made. */
export type RoundId = Uint8Array;

export interface PointRef {
  /** 16 bytes: the id of the round that made it. */
  readonly id: Uint8Array;
  /** Per-resource counter, never reused, display only. */
  readonly number: number;
  /** Wall time of the cut, milliseconds since 1970 UTC. */
  readonly timeMs: number;
}

/** A reign of one primary. `parent` is the point it started from; null for the first. */
export interface Epoch {
  readonly id: Uint8Array;
  readonly number: number;
  readonly parent: Uint8Array | null;
  readonly node: string;
}

export const sameId = (
  a: Uint8Array | null | undefined,
  b: Uint8Array | null | undefined,
): boolean => (a && b ? equalBytes(a, b) : a === b || (!a && !b));

/** What the primary knows when it meets a target. */
export interface PrimaryView {
  readonly resource: Uint8Array;
  readonly epochs: readonly Epoch[];
  /** The target's last point as the primary knows it. */
  readonly point: PointRef | null;
  /** A round whose outcome is unknown. */
  readonly proposed: RoundId | null;
  /** Ids of points this lineage has had, newest last. */
  readonly knownPoints: readonly Uint8Array[];
}

/** What the target says of itself. */
export interface TargetView {
  readonly resource: Uint8Array | null;
  readonly epochs: readonly Epoch[];
  readonly point: PointRef | null;
  /** A point it had committed and could not keep: it went back to `point`. */
  readonly lost: Uint8Array | null;
}

/**
 * same: goes on from `point`. lost-ack: the proposed round is committed there. empty: adopts this
 * resource, filled by passes. lost-point: it lost our last point and stands at the one before;
 * everything is compared. behind: stands at an older known point (restored from a backup).
 * ahead: was promoted from a point of ours, or has a newer epoch. diverged: both went on.
 * foreign: another resource.
 */
export type Relation =
  | 'same'
  | 'lost-ack'
  | 'lost-point'
  | 'empty'
  | 'behind'
  | 'ahead'
  | 'diverged'
  | 'foreign';

/** Compares a target with its primary. Only same, lost-ack, lost-point and empty let data move. */
export function relate(mine: PrimaryView, theirs: TargetView): Relation {
  if (theirs.resource === null) return 'empty';
  if (!equalBytes(theirs.resource, mine.resource)) return 'foreign';
  const theirEpoch = theirs.epochs.at(-1);
  const known = (id: Uint8Array | null): boolean =>
    id !== null && mine.knownPoints.some((point) => equalBytes(point, id));
  if (theirEpoch && !mine.epochs.some((epoch) => equalBytes(epoch.id, theirEpoch.id))) {
    const parentIsMyLast = mine.point !== null && sameId(theirEpoch.parent, mine.point.id);
    return parentIsMyLast ? 'ahead' : 'diverged';
  }
  if (theirs.point === null) return mine.point === null ? 'empty' : 'behind';
  if (mine.point && equalBytes(theirs.point.id, mine.point.id)) return 'same';
  if (mine.proposed && equalBytes(theirs.point.id, mine.proposed)) return 'lost-ack';
  if (!known(theirs.point.id)) return 'diverged';
  return theirs.lost !== null && sameId(theirs.lost, mine.point?.id) ? 'lost-point' : 'behind';
}

/** True for the relations in which data may move. */
export const mayReplicate = (relation: Relation): boolean =>
  ['same', 'lost-ack', 'lost-point', 'empty'].includes(relation);
