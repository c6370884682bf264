// Points of a replica that have a name and stay, whatever `retain` says. The name stands in the
// published chain, beside what makes the point: a prune that publishes after it sees it. A point
// has one name, a name one point.
import { PinError } from '../archive/pins.js';
import { present } from '../base/assert.js';
import type { PointEntry } from '../format/resource-state.js';
import { sameId } from '../lineage/lineage.js';
import type { ReplicaParts } from './parts.js';

/** The replica as its pins see it. */
export interface PinnedReplica {
  readonly parts: Pick<ReplicaParts, 'resourceFile'>;
}

/** Names a point, or with null takes its name away; durable when it resolves. Errors
 * POINT_NAME_TAKEN, POINT_PINNED, POINT_GOING. */
export async function setName(
  { parts: { resourceFile } }: PinnedReplica,
  { point: { id, number } }: PointEntry,
  name: string | null,
): Promise<PointEntry> {
  const url = resourceFile.state.name;
  const named: PointEntry[] = [];
  await resourceFile.update((state) => {
    const { chain } = state.replica;
    const entry = chain.find(({ point }) => sameId(point.id, id));
    if (entry === undefined) throw new PinError({ code: 'POINT_GOING', url, number });
    const taken = chain.find((each) => each.name !== undefined && each.name === name);
    if (name !== null && taken !== undefined && taken !== entry) {
      throw new PinError({ code: 'POINT_NAME_TAKEN', url, name, number: taken.point.number });
    }
    if (name !== null && entry.name !== undefined && entry.name !== name) {
      throw new PinError({ code: 'POINT_PINNED', url, name: entry.name, number });
    }
    const { name: _, ...plain } = entry;
    const next: PointEntry = name === null ? plain : { ...plain, name };
    named.push(next);
    const changed = chain.map((each) => (each === entry ? next : each));
    return { ...state, replica: { ...state.replica, chain: changed } };
  });
  return present(named[0], 'the change was made');
}
