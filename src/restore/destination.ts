// The disk that a restore writes (Q2): a new sparse file, or with `delta` what is there, which must
// be as long as the point or, being a file, shorter. It is locked against whoever else would use it
// as a disk (H11). What a restore that broke off has left is gone on with by `delta`. Sizes are
// bytes.
import { existsSync, truncateSync } from 'node:fs';
import { codeOf, errorClass } from '../base/errors.js';
import { createSparseFile } from '../disk/create-file.js';
import type { Device } from '../disk/device.js';
import { openFileDevice } from '../disk/file-device.js';
import { openLocked } from '../disk/lock.js';
import { attempt, probeDisk } from '../disk/probe.js';

export type DestinationFault =
  | { code: 'RESTORE_EXISTS'; path: string }
  | { code: 'RESTORE_SIZE'; path: string; has: number; sizeBytes: number };

export const DestinationError = errorClass<DestinationFault>('DestinationError', {
  RESTORE_EXISTS: (f) =>
    `${f.path}: exists, and is not overwritten (name another file; or, to make it what the point ` +
    'says, add --delta)',
  RESTORE_SIZE: (f) =>
    `${f.path}: has ${f.has} bytes and cannot become a disk of ${f.sizeBytes}; ` +
    'make it that long first, or name another',
});

export interface Destination {
  readonly device: Device;
  /** 'fresh': it reads as zeroes everywhere. */
  readonly target: 'fresh' | 'compare';
  close(): Promise<void>;
}

/** Errors RESTORE_EXISTS, RESTORE_SIZE, those of openLocked and createSparseFile. */
export async function openDestination(
  path: string,
  sizeBytes: number,
  delta: boolean,
): Promise<Destination> {
  const isThere = delta && existsSync(path);
  if (isThere) fit(path, sizeBytes);
  else await create(path, sizeBytes);
  const disk = openLocked(path, { formatCheck: false });
  const device = openFileDevice(disk.fd, path, disk.probe.kind, sizeBytes, { ownsFd: false });
  return {
    device,
    target: isThere ? 'compare' : 'fresh',
    close: async () => {
      await device.close();
      disk.close();
    },
  };
}

async function create(path: string, sizeBytes: number): Promise<void> {
  try {
    await createSparseFile(path, sizeBytes);
  } catch (error) {
    const { cause } = error instanceof Error ? error : {};
    if (codeOf(cause) !== 'EEXIST') throw error;
    throw new DestinationError({ code: 'RESTORE_EXISTS', path }, { cause: error });
  }
}

function fit(path: string, sizeBytes: number): void {
  const { kind, sizeBytes: has } = probeDisk(path, { formatCheck: false });
  if (has === sizeBytes || (kind === 'block' && has > sizeBytes)) return;
  if (kind === 'block' || has > sizeBytes) {
    throw new DestinationError({ code: 'RESTORE_SIZE', path, has, sizeBytes });
  }
  attempt(path, 'truncate', () => truncateSync(path, sizeBytes));
}
