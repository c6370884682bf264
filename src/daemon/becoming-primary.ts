// The order of becoming primary, up to where the maps are opened and a guest may be served (H39):
// what is committed is applied to the end, so that the disk is at a whole point (C1); then the
// epoch is published. Repeatable: a node whose epoch is published already takes no other. Nothing
// here knows where state and disk are, so that every crash in it can be tried (test/exhaust).
import type { Random } from '../base/random.js';
import { needsEpoch, promoted, recordsOf } from '../care/promote.js';
import type { ResourceState } from '../format/resource-state.js';
import { ReceiveError } from '../receive/parts.js';
import type { Replica } from '../receive/replica.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { DaemonError } from './daemon-faults.js';

export interface BecomingPrimary {
  readonly node: string;
  readonly random: Random;
  /** The role before has been left, its session closed. */
  readonly file: ResourceFile;
  /** Not open; closed again here. */
  readonly replica: () => Pick<Replica, 'open' | 'idle' | 'record' | 'dropHeld' | 'close'>;
  /** Names of those with an address. */
  readonly targets: readonly string[];
  readonly disk: { readonly path: string; readonly sizeBytes: number };
  /** A replica that is suspect is promoted all the same. */
  readonly acceptDrift: boolean;
}

/** When it resolves, the state of the primary is durable. Errors REPLICA_SUSPECT, DISK_TOO_SMALL,
 * APPLY_FAILED and those of files and disks: the state then is that of no primary. */
export async function takeEpoch(becoming: BecomingPrimary): Promise<void> {
  const { file, disk } = becoming;
  await finishApply(becoming);
  const { name, sizeBytes: wantedBytes } = file.state;
  if (wantedBytes > disk.sizeBytes) {
    const { path, sizeBytes } = disk;
    throw new DaemonError({ code: 'DISK_TOO_SMALL', name, path, sizeBytes, wantedBytes });
  }
  await file.update((state) => {
    const sizeBytes = state.sizeBytes || disk.sizeBytes;
    return { ...asPrimary(becoming, state), sizeBytes };
  });
}

/** A replica about to be promoted first ends up at a whole point (C1), with nothing staged. */
async function finishApply({ file, node, replica: make, acceptDrift }: BecomingPrimary) {
  if (file.state.replica.point === null) return;
  if (!needsEpoch(file.state, node)) return;
  const replica = make();
  try {
    await replica.open();
    await replica.idle();
    const { suspect } = replica.record;
    if (suspect !== null && !acceptDrift) {
      const resource = file.state.name;
      throw new ReceiveError({ code: 'REPLICA_SUSPECT', resource, text: suspect });
    }
    // What is staged is of an epoch that ends now (H39).
    await replica.dropHeld();
  } finally {
    await replica.close();
  }
}

/** The state of the new primary. What it doubted of its disk as a replica counts no more: its
 * targets are compared with the disk as it is now. */
function asPrimary({ node, targets, random }: BecomingPrimary, state: ResourceState) {
  const records = recordsOf(targets, state.targets);
  if (!needsEpoch(state, node)) return { ...state, role: 'primary' as const, targets: records };
  const taken = promoted(state, node, random);
  return { ...taken, targets: records, replica: { ...taken.replica, suspect: null } };
}
