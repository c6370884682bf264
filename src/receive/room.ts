// Room for a round on the replica's disk, looked at before anything of it is taken (H14, H29).
import { codeOf, describeError } from '../base/errors.js';
import { refusal } from './parts.js';
import type { Replica } from './replica.js';

/** The disk is open and `sizeBytes` long or longer. Error TARGET_REFUSED for one that is not. */
export async function roomFor(replica: Replica, sizeBytes: number): Promise<void> {
  try {
    await replica.openDisk();
    await replica.ensureSize(sizeBytes);
  } catch (error) {
    if (codeOf(error) !== 'DISK_TOO_SMALL') throw error;
    const { state } = replica.parts.resourceFile;
    throw refusal(state, 'size', `${describeError(error)}; make it larger first`);
  }
}
