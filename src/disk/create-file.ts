// Making a new sparse disk file. Guarantee: an existing file is never touched; when the call
// returns, the file and its name survive a power failure; when it fails, no file is left.
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DISK_BYTES_MAX, SECTOR_BYTES } from '../base/units.js';
import { DiskError } from './device.js';
import { diskFailure } from './probe.js';

const DISK_FILE_MODE = 0o600;

/**
 * Creates `path` as a hole of `sizeBytes` (a multiple of 512). Errors DISK_BAD_SIZE, DISK_FAILED
 * (EEXIST, ENOENT for the directory, EFBIG, ENOSPC ...).
 */
export async function createSparseFile(path: string, sizeBytes: number): Promise<void> {
  if (!(sizeBytes > 0 && sizeBytes <= DISK_BYTES_MAX) || sizeBytes % SECTOR_BYTES !== 0) {
    throw new DiskError({ code: 'DISK_BAD_SIZE', path, sizeBytes });
  }
  const handle = await step(path, 'create', () => open(path, 'wx', DISK_FILE_MODE));
  try {
    await withHandle(handle, async () => {
      await step(path, 'truncate', () => handle.truncate(sizeBytes));
      await step(path, 'fsync', () => handle.sync());
    });
    await syncDirectory(dirname(path));
  } catch (error) {
    await unlink(path).catch(() => {}); // the first error is the one that counts
    throw error;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await step(directory, 'open', () => open(directory, 'r'));
  await withHandle(handle, () => step(directory, 'fsync', () => handle.sync()));
}

async function withHandle(handle: FileHandle, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    await handle.close();
  }
}

async function step<T>(path: string, operation: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw diskFailure(path, operation, 0, cause);
  }
}
