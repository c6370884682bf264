// Room for a round on the replica's disk: looked for, and made, before anything of the round is
// taken or published (H14, H29). So a state never says of a disk more than there is.
//
// A file that is made longer changes its fingerprint, and nobody else has touched it (H28). Order:
// the fingerprint is looked at; it is published with the size that is to come; the disk grows,
// durably; its new fingerprint is published. A crash before the last step leaves what the start can
// tell from a write (disk/fingerprint.ts).
import { codeOf, describeError } from '../base/errors.js';
import type { DiskPrint } from '../disk/fingerprints.js';
import { refusal } from './parts.js';
import type { Replica } from './replica.js';

/** The disk is open and, durably, `sizeBytes` long or longer. Error TARGET_REFUSED for one that is
 * not, or is suspect now; others of openDevice. */
export async function roomFor(replica: Replica, sizeBytes: number): Promise<void> {
  const { state } = replica.parts.resourceFile;
  try {
    await replica.openDevice(sizeBytes);
    if (replica.device.sizeBytes < sizeBytes) await grow(replica, sizeBytes);
  } catch (error) {
    if (codeOf(error) !== 'DISK_TOO_SMALL') throw error;
    throw refusal(state, 'size', `${describeError(error)}; make it larger first`);
  }
}

async function grow(replica: Replica, sizeBytes: number): Promise<void> {
  const { fingerprints, resourceFile } = replica.parts;
  // The fingerprint published last is that of the last apply.
  await replica.idle();
  const { fingerprint, suspect } = replica.record;
  // Null: the first copy, or a point that was rolled back. Nothing is believed of either.
  if (fingerprint === null || suspect !== null) return replica.ensureSize(sizeBytes);
  const before = await fingerprints.now();
  const why = fingerprints.differs({ growsTo: sizeBytes, ...fingerprint }, before, 'untouched');
  if (why !== null) {
    await replica.doubtAll(why);
    throw refusal(resourceFile.state, 'suspect', why);
  }
  const publish = (print: DiskPrint): Promise<void> =>
    resourceFile.update((state) => ({
      ...state,
      replica: { ...state.replica, fingerprint: print },
    }));
  await publish({ ...before, growsTo: sizeBytes });
  await replica.ensureSize(sizeBytes);
  await publish(await fingerprints.now());
}
