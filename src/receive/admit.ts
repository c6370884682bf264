// Whether a round may begin, or still be committed: the compare of receiver step 4, pure. C3: an
// epoch this replica has left behind is refused (fencing); a new one is taken when it grew out of
// the point this replica stands at.
import { equalBytes } from '../base/digest.js';
import { DISK_BYTES_MAX, SECTOR_BYTES } from '../base/units.js';
import type { ResourceState } from '../format/resource-state.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { Begin, RefusalReason } from '../target/target.js';

export interface Refused {
  readonly reason: RefusalReason;
  readonly text: string;
}

/** Null: welcome. `point`: the last committed one. `doubtsKnown`: a suspect replica has found out
 * which of its chunks it must get whole (H28). */
export function admit(
  state: ResourceState,
  point: PointRef | null,
  begin: Begin,
  doubtsKnown: boolean,
): Refused | null {
  const no = (reason: RefusalReason, text: string): Refused => ({ reason, text });
  if (state.role !== 'secondary') {
    return no('not-secondary', `the role of ${state.name} here is ${state.role}`);
  }
  if (state.resource !== null && !equalBytes(state.resource, begin.resource)) {
    return no('wrong-from', 'this replica belongs to another resource');
  }
  // It will be published: no file of this resource could be read with another.
  if (!isDiskSize(begin.sizeBytes)) {
    const sizes = `a multiple of ${SECTOR_BYTES}, at most ${DISK_BYTES_MAX}`;
    return no('size', `${begin.sizeBytes} bytes are the size of no disk: it is ${sizes}`);
  }
  // A round may make the disk larger (H14), never smaller.
  if (state.resource !== null && begin.sizeBytes < state.sizeBytes && point !== null) {
    const sizes = `${begin.sizeBytes} bytes there, ${state.sizeBytes} here`;
    return no('size', `a disk is never made smaller: ${sizes}`);
  }
  if (state.replica.suspect !== null && !doubtsKnown) return no('suspect', state.replica.suspect);
  if (!sameId(point?.id, begin.from?.id)) {
    const stands = point === null ? 'without a point' : `at point ${point.number}`;
    return no('wrong-from', `this replica stands ${stands}`);
  }
  if (begin.kind === 'pass' && point !== null) {
    return no('wrong-from', 'a pass is for a replica without a point');
  }
  const mine = state.epochs.at(-1);
  if (mine === undefined || equalBytes(mine.id, begin.epoch.id)) return null;
  if (state.epochs.some((epoch) => equalBytes(epoch.id, begin.epoch.id))) {
    return no('wrong-epoch', `epoch ${begin.epoch.number} ended when ${mine.number} began`);
  }
  if (point === null || sameId(begin.epoch.parent, point.id)) return null;
  return no('wrong-epoch', 'that epoch did not begin at the point this replica stands at');
}

const isDiskSize = (bytes: number): boolean =>
  bytes > 0 && bytes <= DISK_BYTES_MAX && bytes % SECTOR_BYTES === 0;

/** The state with what an admitted round says of resource, epoch and, before the first point, size;
 * the same object when that is nothing new. A later size comes with its point (H14). Pure. */
export function adopted(state: ResourceState, begin: Begin): ResourceState {
  const known = state.epochs.some((epoch) => equalBytes(epoch.id, begin.epoch.id));
  const sizeBytes = state.replica.point === null ? begin.sizeBytes : state.sizeBytes;
  if (known && state.resource !== null && state.sizeBytes === sizeBytes) return state;
  return {
    ...state,
    resource: begin.resource,
    sizeBytes,
    epochs: known ? state.epochs : [...state.epochs, begin.epoch],
  };
}
