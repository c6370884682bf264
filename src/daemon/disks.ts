// The disks of this node: opened and locked once, by control, for as long as a resource has a role
// (H11); other threads get the fd number. A replica's disk follows its primary when that grows: a
// regular file is made longer, a block device has to be long enough (H14).
import { existsSync, ftruncateSync } from 'node:fs';
import { createSparseFile } from '../disk/create-file.js';
import { type LockedDisk, openLocked } from '../disk/lock.js';
import { attempt, probeOpen } from '../disk/probe.js';
import { DaemonError } from './daemon-faults.js';
import type { OpenDisk } from './thread-messages.js';

export class Disks {
  readonly #open = new Map<string, LockedDisk>();

  /** Opens the disk of a resource, or gives the one that is open. Errors: those of openLocked,
   * DISK_SIZE_UNKNOWN when it is absent and `sizeBytes` is null, DISK_TOO_SMALL. */
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
    if (already !== undefined && sizeBytes !== null) growFile(already, sizeBytes);
    const disk = already ?? openLocked(path, { formatCheck: false });
    const { kind, sizeBytes: has } = probeOpen(disk.fd, path, { formatCheck: false });
    if (sizeBytes !== null && has < sizeBytes) {
      if (already === undefined) disk.close();
      const wantedBytes = sizeBytes;
      throw new DaemonError({ code: 'DISK_TOO_SMALL', name, path, sizeBytes: has, wantedBytes });
    }
    this.#open.set(name, disk);
    return { fd: disk.fd, path, kind, sizeBytes: has };
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

function growFile({ fd, path, probe }: LockedDisk, sizeBytes: number): void {
  if (probe.kind === 'block') return;
  const has = probeOpen(fd, path, { formatCheck: false }).sizeBytes;
  if (has < sizeBytes) attempt(path, 'truncate', () => ftruncateSync(fd, sizeBytes));
}
