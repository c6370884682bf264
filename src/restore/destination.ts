// Where a point is restored to, by the path that a person wrote. Guarantees: nothing is overwritten
// that was not named (Q2): a path that has nothing gets a new file; what is there is touched only
// when that was said ('delta'), or when it is what the same restore left unfinished; whoever else
// uses it refuses us (H11's locks, mounts, loop devices). The decision is `planRestore`, pure.
// A file gets exactly the size of the point; of a device what lies behind that is left as it is.
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  statSync,
} from 'node:fs';
import { unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { codeOf } from '../base/errors.js';
import type { Files } from '../base/files.js';
import { type Device, DiskError } from '../disk/device.js';
import { openFileDevice } from '../disk/file-device.js';
import { loopHolder } from '../disk/holders.js';
import { type LockedDisk, openLocked } from '../disk/lock.js';
import { attempt, type DiskKind, kindOf } from '../disk/probe.js';
import { RestoreError } from './archive-source.js';
import {
  readUnfinished,
  removeUnfinished,
  type Unfinished,
  unfinishedPath,
  writeUnfinished,
} from './unfinished.js';

const FILE_MODE = 0o600;

/** What stands at a path. */
export interface Found {
  readonly path: string;
  readonly kind: DiskKind;
  readonly sizeBytes: number;
  readonly inode: string;
  /** As a mark has it. */
  readonly born: string | null;
}

/** The mark that this restore will have, but for the file. */
export type WantedMark = Omit<Unfinished, 'inode' | 'born'>;

/** What was ordered, and how it would be typed to overwrite what is there. */
export interface Ordered {
  readonly delta: boolean;
  readonly command: string;
}

/** 'make': a new file, or an empty one, which has nothing to be lost, and which a crash leaves of a
 * restore that has not come to its mark; 'go-on': what this restore left; 'delta': whatever is
 * there. Errors RESTORE_EXISTS, RESTORE_OTHER, RESTORE_TOO_SMALL. */
export function planRestore(
  found: Found | null,
  left: Unfinished | null,
  wanted: WantedMark,
  { delta, command }: Ordered,
): 'make' | 'go-on' | 'delta' {
  if (found === null) return 'make';
  const { path, kind, sizeBytes, inode, born } = found;
  if (kind === 'block') {
    if (sizeBytes < wanted.sizeBytes) {
      const wantedBytes = wanted.sizeBytes;
      throw new RestoreError({ code: 'RESTORE_TOO_SMALL', path, sizeBytes, wantedBytes });
    }
    if (delta) return 'delta';
    const facts = { path, kind: 'block device', sizeBytes, command };
    throw new RestoreError({ code: 'RESTORE_EXISTS', ...facts });
  }
  const isLeft = left !== null && left.inode === inode && born !== null && left.born === born;
  if (isLeft && left.point.id === wanted.point.id) return 'go-on';
  if (delta) return 'delta';
  if (!isLeft && sizeBytes === 0) return 'make';
  if (!isLeft) {
    throw new RestoreError({ code: 'RESTORE_EXISTS', path, kind: 'file', sizeBytes, command });
  }
  const [has, other] = [pointText(left), pointText(wanted)];
  throw new RestoreError({ code: 'RESTORE_OTHER', path, has, wanted: other, command });
}

const pointText = ({ archive, point }: WantedMark): string => `${archive}@${point.number}`;

export interface Destination {
  readonly device: Device;
  readonly kind: DiskKind;
  readonly how: 'make' | 'go-on' | 'delta';
  /** Of a device that is larger: bytes behind the point, which stay as they are. */
  readonly behindBytes: number;
  /** All is on the medium: it is no unfinished restore any more. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** Opens and locks it, makes what is to be made, and marks it. Errors of `planRestore`,
 * RESTORE_NO_DEVICE, DISK_IN_USE, DISK_NOT_A_DISK, DISK_FAILED, FILE_FAILED, FORMAT_BAD. */
export async function openDestination(
  files: Files,
  path: string,
  wanted: WantedMark,
  ordered: Ordered,
): Promise<Destination> {
  const found = lookAt(path);
  const left = found?.kind === 'file' ? await readUnfinished(files, path) : null;
  const how = planRestore(found, left, wanted, ordered);
  if (found === null) {
    if (isOfDevices(path)) throw new RestoreError({ code: 'RESTORE_NO_DEVICE', path });
    // What is no mark of ours is not replaced by one.
    await readUnfinished(files, path);
    attempt(path, 'create', () => closeSync(openSync(path, 'wx', FILE_MODE)));
  }
  let locked: LockedDisk | null = null;
  try {
    const held = lockedAt(path, found);
    locked = held;
    const { kind, sizeBytes } = held.probe;
    if (kind === 'file') await prepareFile(files, held, wanted);
    const options = { ownsFd: false };
    const device = openFileDevice(held.fd, path, kind, wanted.sizeBytes, options);
    return {
      device,
      kind,
      how,
      behindBytes: kind === 'block' ? sizeBytes - wanted.sizeBytes : 0,
      finish: async () => {
        if (kind === 'file') await removeUnfinished(files, path);
      },
      close: async () => {
        await device.close();
        held.close();
      },
    };
  } catch (error) {
    locked?.close();
    // Who was faster than our lock has it now.
    if (found === null && codeOf(error) !== 'DISK_IN_USE') await removeMade(path);
    throw error;
  }
}

/** The mark first, and with it the name of a file that is new: from then on its content may be any,
 * and until then it has none. */
async function prepareFile(files: Files, locked: LockedDisk, wanted: WantedMark): Promise<void> {
  const { fd, path, probe } = locked;
  const born = bornOf(attempt(path, 'fstat', () => fstatSync(fd, { bigint: true })));
  await writeUnfinished(files, path, { ...wanted, inode: probe.ino, born });
  if (probe.sizeBytes === wanted.sizeBytes) return;
  attempt(path, 'ftruncate', () => ftruncateSync(fd, wanted.sizeBytes));
  attempt(path, 'fsync', () => fsyncSync(fd));
}

/** What this call has made, and nobody has had: without a mark nothing of it may stay. */
async function removeMade(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
  await unlink(unfinishedPath(path)).catch(() => undefined);
}

/** Null: nothing. Errors DISK_NOT_A_DISK, DISK_FAILED. */
function lookAt(path: string): Found | null {
  try {
    statSync(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
  }
  const kind = kindOf(path);
  const locked = kind === 'block' ? openLocked(path, { readOnly: true, formatCheck: false }) : null;
  if (locked !== null) {
    const { sizeBytes, ino } = locked.probe;
    locked.close();
    return { path, kind, sizeBytes, inode: ino, born: null };
  }
  const stats = attempt(path, 'stat', () => statSync(path, { bigint: true }));
  const { size, ino } = stats;
  return { path, kind, sizeBytes: Number(size), inode: ino.toString(), born: bornOf(stats) };
}

/** Linux tells 0 where a file system keeps no time of birth. */
const bornOf = ({ birthtimeNs }: BigIntStats): string | null =>
  birthtimeNs === 0n ? null : birthtimeNs.toString();

/** Also of a file that was there a moment ago and is another one now: DISK_IN_USE. */
function lockedAt(path: string, found: Found | null): LockedDisk {
  const loop = loopHolder(path);
  if (loop !== null) throw new DiskError({ code: 'DISK_IN_USE', path, holder: loop });
  const locked = openLocked(path, { formatCheck: false, anySize: true });
  if (found === null) return locked;
  const { kind, sizeBytes, ino } = locked.probe;
  if (kind === found.kind && sizeBytes === found.sizeBytes && ino === found.inode) return locked;
  locked.close();
  throw new DiskError({ code: 'DISK_IN_USE', path, holder: 'whoever has just replaced it' });
}

/** A name that is missing in /dev is a volume that is not there; shared memory is none. */
const isOfDevices = (path: string): boolean => /^\/dev\/(?!shm\/)/.test(resolve(path));
