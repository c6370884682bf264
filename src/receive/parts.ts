// What the receiving side of one resource works with, and how it can refuse. Everything handed in.
import type { Clock } from '../base/clock.js';
import { errorClass } from '../base/errors.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { Device } from '../disk/device.js';
import type { Fingerprints } from '../disk/fingerprints.js';
import type { Compute } from '../format/compute.js';
import type { Pack } from '../format/pack.js';
import type { ResourceState } from '../format/resource-state.js';
import type { RetainRule } from '../retention/keep.js';
import { type RefusalReason, TargetError } from '../target/target.js';
import type { ResourceFile } from '../tracking/resource-file.js';

/** Which points are kept; hours and days are those of `timezone`. */
export interface Retention {
  readonly rule: RetainRule;
  readonly timezone: string;
}

export interface ReplicaParts {
  readonly node: string;
  readonly files: Files;
  readonly resourceFile: ResourceFile;
  /** Opens and locks the disk; makes a sparse file of `sizeBytes` when it is absent, and a file
   * that is shorter that long (H14). A device opened before stays usable. Error DISK_TOO_SMALL. */
  readonly openDevice: (sizeBytes: number) => Promise<Device>;
  readonly fingerprints: Fingerprints;
  readonly compute: Compute;
  readonly pack: Pack;
  /** Asked each time: a reload may change it. */
  readonly retain: Retention;
  readonly clock: Clock;
  readonly log: Log;
}

export type ReceiveFault =
  | { code: 'APPLY_FAILED'; resource: string; text: string }
  | { code: 'REPLICA_SUSPECT'; resource: string; text: string }
  | { code: 'REPLICA_INITIALISING'; resource: string }
  | { code: 'REPLICA_CLOSED'; resource: string };

export const ReceiveError = errorClass<ReceiveFault>('ReceiveError', {
  APPLY_FAILED: (f) =>
    `${f.resource}: a committed point could not be written to the disk: ${f.text}; ` +
    'it is kept and tried again at the next start of hastd',
  REPLICA_SUSPECT: (f) => `${f.resource}: the disk may not be what was received: ${f.text}`,
  REPLICA_INITIALISING: (f) =>
    `${f.resource}: has no whole point yet, the first copy has not ended; it cannot be promoted`,
  REPLICA_CLOSED: (f) => `${f.resource}: its role as a secondary ends`,
});

export const refusal = (state: ResourceState, reason: RefusalReason, text: string) =>
  new TargetError({ code: 'TARGET_REFUSED', target: state.name, reason, text });
