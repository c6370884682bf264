// A point of a replica as `hastctl points` and `recover --offline` show it. Pure.
import { isoTime } from '../base/clock.js';
import { hex } from '../base/random.js';
import type { PointRecord } from '../control/api.js';
import type { PointEntry } from '../format/resource-state.js';

/** Of no target: a replica has its points for itself. */
export const pointRecord = (entry: PointEntry): PointRecord => ({
  id: hex(entry.point.id),
  number: entry.point.number,
  time: isoTime(entry.point.timeMs),
  parent: entry.parent === null ? null : hex(entry.parent),
  name: entry.name ?? null,
  consistency: entry.consistency,
  sizeBytes: entry.sizeBytes,
  changedBytes: entry.changedBytes,
  target: null,
  lostChunks: entry.lostChunks,
  damagedChunks: entry.damagedChunks,
});
