// Becoming primary. An epoch is durable before the export opens (H37, H39). A resource that never
// had a point gets its id here; a replica goes on from its last applied point and remembers, in
// the epoch's parent, which one that was.
import { isoTime } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { ID_BYTES } from '../base/units.js';
import type { ResourceState } from '../format/resource-state.js';
import type { PointRef } from '../lineage/lineage.js';

/** The state of a new primary. Pure but for the random ids; the caller publishes it. The replica's
 * apply has ended and its session is closed. */
export function promoted(state: ResourceState, node: string, random: Random): ResourceState {
  const last = state.epochs.at(-1);
  const parent = state.replica.point?.id ?? null;
  const epoch = {
    id: random.bytes(ID_BYTES),
    number: (last?.number ?? 0) + 1,
    parent,
    node,
  };
  return {
    ...state,
    role: 'primary',
    resource: state.resource ?? random.bytes(ID_BYTES),
    epochs: [...state.epochs, epoch],
    written: false,
    clean: null,
    running: null,
  };
}

/** True when taking the role starts a new epoch: there is none, or the last is another node's. */
export const needsEpoch = (state: ResourceState, node: string): boolean =>
  state.epochs.at(-1)?.node !== node;

/** What a promotion without the peer's agreement gives up, in words for the operator. */
export function lossText(point: PointRef, nowMs: number, ago: (seconds: number) => string): string {
  const seconds = Math.max(0, (nowMs - point.timeMs) / 1000);
  const time = isoTime(point.timeMs);
  return (
    `the last whole point is number ${point.number} of ${time}, ${ago(seconds)} old; ` +
    'whatever the primary wrote after it is not here'
  );
}
