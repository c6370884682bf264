// The disks of this node: opened and locked once, by control, for as long as a resource has a role
// (H11); other threads get the fd number.
import { existsSync } from 'node:fs';
import { createSparseFile } from '../disk/create-file.js';
import { type LockedDisk, openLocked } from '../disk/lock.js';
import { DaemonError } from './daemon-faults.js';
import type { OpenDisk } from './thread-messages.js';

export class Disks {
  readonly #open = new Map<string, LockedDisk>();

  /** Opens the disk of a resource, or gives the one that is open. Errors: those of openLocked,
   * DISK_SIZE_UNKNOWN when it is absent and `sizeBytes` is null, DISK_TOO_SMALL. */
  async open(name: string, path: string, sizeBytes: number | null): Promise<OpenDisk> {
    const already = this.#open.get(name);
    if (already === undefined && !existsSync(path)) {
      if (sizeBytes === null) throw new DaemonError({ code: 'DISK_SIZE_UNKNOWN', name, path });
      await createSparseFile(path, sizeBytes);
    }
    const disk = already ?? openLocked(path, { formatCheck: false });
    this.#open.set(name, disk);
    const has = disk.probe.sizeBytes;
    if (sizeBytes !== null && has < sizeBytes) {
      const wantedBytes = sizeBytes;
      throw new DaemonError({ code: 'DISK_TOO_SMALL', name, path, sizeBytes: has, wantedBytes });
    }
    return { fd: disk.fd, path, kind: disk.probe.kind, sizeBytes: has };
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
