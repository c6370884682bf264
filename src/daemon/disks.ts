// The disks of this node: opened and locked once, by control, for as long as a resource has a role
// (H11); other threads get the fd number. A disk is made only for who has never had one: an empty
// file in place of a disk that is not mounted would be taken for it. A replica's disk follows its
// primary when that grows: a regular file is made longer, a block device has to be long enough
// (H14). It is that long durably when `open` answers: who then publishes a size has such a disk
// after a power failure too.
import { existsSync, fstatSync, fsync, ftruncateSync, futimesSync } from 'node:fs';
import { promisify } from 'node:util';
import { createSparseFile } from '../disk/create-file.js';
import { grownMtimeSeconds } from '../disk/fingerprint.js';
import { type LockedDisk, openLocked } from '../disk/lock.js';
import { attempt, diskFailure, probeOpen } from '../disk/probe.js';
import { newSyncMemory } from '../disk/sync-ledger.js';
import { DaemonError } from './daemon-faults.js';
import type { OpenDisk } from './thread-messages.js';

export class Disks {
  readonly #open = new Map<string, LockedDisk>();

  /** Opens the disk of a resource, or gives the one that is open; makes a sparse file of
   * `sizeBytes` where it is absent. Errors: those of openLocked, DISK_SIZE_UNKNOWN when it is
   * absent and `sizeBytes` is null, DISK_TOO_SMALL. */
  async open(name: string, path: string, sizeBytes: number | null): Promise<OpenDisk> {
    if (!this.#open.has(name) && !existsSync(path)) {
      if (sizeBytes === null) throw new DaemonError({ code: 'DISK_SIZE_UNKNOWN', name, path });
      await createSparseFile(path, sizeBytes);
    }
    return this.openExisting(name, path, sizeBytes);
  }

  /** As `open`, and never makes a disk: error DISK_MISSING. */
  async openExisting(name: string, path: string, sizeBytes: number | null): Promise<OpenDisk> {
    const already = this.#open.get(name);
    // Only what is held already grows: a file that is too short at first may be the wrong one.
    if (already !== undefined && sizeBytes !== null) await growFile(already, sizeBytes);
    const disk = already ?? openLocked(path, { formatCheck: false });
    const { kind, sizeBytes: has } = probeOpen(disk.fd, path, { formatCheck: false });
    if (sizeBytes !== null && has < sizeBytes) {
      if (already === undefined) disk.close();
      const wantedBytes = sizeBytes;
      throw new DaemonError({ code: 'DISK_TOO_SMALL', name, path, sizeBytes: has, wantedBytes });
    }
    this.#open.set(name, disk);
    return { fd: disk.fd, path, kind, sizeBytes: has, syncMemory: newSyncMemory() };
  }

  /** Names the device whose data threads serve the resource. */
  deviceOf(name: string): string {
    return String(this.#open.get(name)?.probe.dev ?? 'none');
  }

  close(name: string): void {
    this.#open.get(name)?.close();
    this.#open.delete(name);
  }
}

/** The file is that long, durably. Its modification time then says that it has only been made
 * longer (disk/fingerprint.ts). */
async function growFile({ fd, path, probe }: LockedDisk, sizeBytes: number): Promise<void> {
  if (probe.kind === 'block') return;
  const has = probeOpen(fd, path, { formatCheck: false }).sizeBytes;
  if (has < sizeBytes) {
    const { mtimeNs, atime } = attempt(path, 'fstat', () => fstatSync(fd, { bigint: true }));
    attempt(path, 'truncate', () => ftruncateSync(fd, sizeBytes));
    try {
      futimesSync(fd, atime, grownMtimeSeconds(mtimeNs));
    } catch {
      // Not the file's owner: then a crash just now costs a comparison of the disk.
    }
  }
  // On the pool: a disk that hangs must not hold control. Also of a file that is long enough: that
  // may be of a growth whose fsync failed.
  try {
    await promisify(fsync)(fd);
  } catch (cause) {
    throw diskFailure(path, 'fsync', 0, cause);
  }
}
