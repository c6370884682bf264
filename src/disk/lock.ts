// Opening a disk so that nobody else writes it (H11). Guarantee: while the descriptor is open, a
// second hastd, flock(1), and any QEMU program that would write (or read) the image are refused;
// and opening fails while one of them is already there.
//
// Files: flock and QEMU's byte-range OFD locks. Block devices: O_EXCL, which keeps out mounts,
// LVM and us, and the same OFD locks, since QEMU does not use O_EXCL. No flock on devices: udev
// takes one to probe, and would skip a device that we hold.
//
// QEMU (block/file-posix.c) holds a read lock on 100+p for each permission p it uses and on 200+p
// for each one it does not share: 0 consistent read, 1 write, 3 resize. Measured with QEMU 7.2
// against our read locks (qemu-io write, qemu-io -r, qemu-io -r -U, convert onto, resize):
//   flock alone            write ok       read ok       -U ok       convert ok       resize ok
//   100 201 203            refused        ok            ok          refused          refused
//   101 103 201 203        refused        ok            ok          refused          refused
//   101 103 200 201 203    refused        refused       refused     refused          refused
// The last is taken: a copy read beside a running guest, or in the middle of an apply, is torn.
// `qemu-img info` takes no locks and always works. A reader takes the second set.
//
// Locks belong to the open file: one open, its descriptor number shared by all threads.
import { closeSync, constants, openSync, statSync } from 'node:fs';
import { codeOf } from '../base/errors.js';
import { DiskError } from './device.js';
import { deviceHolder, lockHolder } from './holders.js';
import {
  attempt,
  type DiskKind,
  type DiskProbe,
  kindOf,
  type ProbeOptions,
  probeOpen,
} from './probe.js';
import { flockExclusive, flockShared, ofdHolder, ofdReadLock } from './syscalls.js';

export interface LockedDisk {
  /** Shared by all threads of the process; closed by `close` only. */
  readonly fd: number;
  readonly path: string;
  readonly probe: DiskProbe;
  /** Ends the locks with the descriptor. Can be called twice. */
  close(): void;
}

export interface LockOptions extends ProbeOptions {
  /** Others may read too, nobody may write. */
  readonly readOnly?: boolean;
}

/** Errors: those of probeDisk, and DISK_IN_USE with the holder where the kernel tells. */
export function openLocked(path: string, options: LockOptions = {}): LockedDisk {
  const readOnly = options.readOnly === true;
  const fd = openExclusive(path, kindOf(path), readOnly);
  try {
    const probe = probeOpen(fd, path, options);
    attempt(path, 'lock', () => takeLocks(fd, path, probe, readOnly));
    return lockedDisk(fd, path, probe);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const LOCKS_TO_WRITE = { hold: [101, 103, 200, 201, 203], free: [100, 101, 103, 200, 201, 203] };
const LOCKS_TO_READ = { hold: [100, 201, 203], free: [101, 103, 200] };

function openExclusive(path: string, kind: DiskKind, readOnly: boolean): number {
  const { O_EXCL, O_RDONLY, O_RDWR } = constants;
  // O_EXCL without O_CREAT has a meaning for block devices only (open(2)).
  const flags = (readOnly ? O_RDONLY : O_RDWR) | (kind === 'block' ? O_EXCL : 0);
  return attempt(path, 'open', () => {
    try {
      return openSync(path, flags);
    } catch (cause) {
      if (kind !== 'block' || codeOf(cause) !== 'EBUSY') throw cause;
      throw new DiskError(
        { code: 'DISK_IN_USE', path, holder: deviceHolder(statSync(path).rdev) },
        { cause },
      );
    }
  });
}

/** Own locks first, then a look at the others', as QEMU does: of two that start, one sees. */
function takeLocks(fd: number, path: string, probe: DiskProbe, readOnly: boolean): void {
  const locks = readOnly ? LOCKS_TO_READ : LOCKS_TO_WRITE;
  const flock = readOnly ? flockShared : flockExclusive;
  const free =
    (probe.kind === 'block' || flock(fd)) &&
    locks.hold.every((byte) => ofdReadLock(fd, byte, 1)) &&
    locks.free.every((byte) => ofdHolder(fd, byte, 1, 'write') === null);
  if (free) return;
  throw new DiskError({ code: 'DISK_IN_USE', path, holder: lockHolder(fd) });
}

function lockedDisk(fd: number, path: string, probe: DiskProbe): LockedDisk {
  let open = true;
  return {
    fd,
    path,
    probe,
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
