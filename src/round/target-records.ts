// The records of all targets in the state, changed together. Pure.
import type { ResourceState } from '../format/resource-state.js';

type Targets = ResourceState['targets'];

/** The targets of this run are not away any more: their maps say what is dirty again. */
export const withPresent = (targets: Targets, names: readonly string[]): Targets =>
  Object.fromEntries(
    Object.entries(targets).map(([name, record]) => [
      name,
      names.includes(name) ? { ...record, away: false } : record,
    ]),
  );

/** Notes for each target whether all of it is there (a clean stop, H8). */
export function withDrained(targets: Targets, drained: (name: string) => boolean): Targets {
  return Object.fromEntries(
    Object.entries(targets).map(([name, record]) => [name, { ...record, drained: drained(name) }]),
  );
}
