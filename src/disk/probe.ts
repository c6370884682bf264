// What a path is, before anything trusts it: a raw disk in a file or on a block device, its size
// and its identity. Reads the first 512 and the last 512 bytes at most and writes nothing.
// Guarantee: what comes back has a size that is a multiple of 512 (H14) and is no known image
// format: a qcow2 file is refused, a LUKS or partitioned disk is raw. Sizes are bytes.
import {
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs';
import { AssertionError } from '../base/assert.js';
import { codeOf } from '../base/errors.js';
import { DISK_BYTES_MAX, SECTOR_BYTES } from '../base/units.js';
import { DiskError } from './device.js';
import { blockDeviceSize, SyscallError } from './syscalls.js';

export type DiskKind = 'file' | 'block';

export interface DiskProbe {
  readonly kind: DiskKind;
  readonly sizeBytes: number;
  /** The device the bytes lie on (H19): st_dev of a file, st_rdev of a block device. */
  readonly dev: number;
  /** Inode of a file as decimal text (it may pass 2^53); '0' for a block device. */
  readonly ino: string;
  /** The kernel's number of this attachment of a block device, unique within one boot. */
  readonly diskSequence: number | null;
}

export interface ProbeOptions {
  /**
   * False for a disk that already is a resource: from then on its first sector is the guest's to
   * write, and a guest must not be able to stop replication with four bytes.
   */
  readonly formatCheck?: boolean;
  /** True for a file that is about to get another size: it may have any. */
  readonly anySize?: boolean;
}

/** Errors DISK_MISSING, DISK_NOT_A_DISK, DISK_NOT_RAW, DISK_BAD_SIZE, DISK_FAILED. */
export function probeDisk(path: string, options: ProbeOptions = {}): DiskProbe {
  kindOf(path);
  const fd = attempt(path, 'open', () => openSync(path, 'r'));
  try {
    return probeOpen(fd, path, options);
  } finally {
    closeSync(fd);
  }
}

/** Looks without opening, so that no FIFO blocks and no tape winds. Errors as probeDisk. */
export function kindOf(path: string): DiskKind {
  return kindOfStats(
    path,
    attempt(path, 'stat', () => statSync(path)),
  );
}

/** As probeDisk, for a descriptor that can read. */
export function probeOpen(fd: number, path: string, options: ProbeOptions = {}): DiskProbe {
  const stats = attempt(path, 'fstat', () => fstatSync(fd));
  const kind = kindOfStats(path, stats);
  const sizeBytes = kind === 'file' ? stats.size : attempt(path, 'size', () => blockDeviceSize(fd));
  if (options.formatCheck !== false) {
    const format = attempt(path, 'read', () => formatOf(fd, sizeBytes));
    if (format !== null) throw new DiskError({ code: 'DISK_NOT_RAW', path, format });
  }
  const isSize = sizeBytes > 0 && sizeBytes % SECTOR_BYTES === 0 && sizeBytes <= DISK_BYTES_MAX;
  if (!isSize && options.anySize !== true) {
    throw new DiskError({ code: 'DISK_BAD_SIZE', path, sizeBytes });
  }
  if (kind === 'block') {
    return { kind, sizeBytes, dev: stats.rdev, ino: '0', diskSequence: sequenceOf(stats.rdev) };
  }
  const ino = fstatSync(fd, { bigint: true }).ino.toString();
  return { kind, sizeBytes, dev: stats.dev, ino, diskSequence: null };
}

/** `259:1`, as /sys/dev/block and /proc/self/mountinfo write it (glibc's makedev, undone). */
export function majorMinor(dev: number): string {
  const low = dev % 2 ** 32;
  const high = Math.floor(dev / 2 ** 32);
  const major = ((low >>> 8) & 0xfff) + ((high & 0xffff_f000) >>> 0);
  const minor = (low & 0xff) + ((low >>> 12) & 0xf_ff00) + (high & 0xfff) * 2 ** 20;
  return `${major}:${minor}`;
}

/** One line of /sys about a block device, or null where this kernel or device has none. */
export function sysLine(dev: number, name: string): string | null {
  try {
    return readFileSync(`/sys/dev/block/${majorMinor(dev)}/${name}`, 'latin1').trim();
  } catch {
    return null; // absent attributes are the normal case, not a fault
  }
}

/** Runs a system operation and names its failure: DISK_FAILED, or DISK_MISSING on open and stat. */
export function attempt<T>(path: string, operation: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw diskFailure(path, operation, 0, cause);
  }
}

/** The typed error of a failed operation at byte `offset`. */
export function diskFailure(
  path: string,
  operation: string,
  offset: number,
  cause: unknown,
): Error {
  if (cause instanceof DiskError || cause instanceof AssertionError) return cause;
  const errno = errnoOf(cause);
  // Later than open, a device that went away is a failure like any other.
  const finding = operation === 'open' || operation === 'stat';
  if (finding && MISSING.has(errno))
    return new DiskError({ code: 'DISK_MISSING', path }, { cause });
  return new DiskError({ code: 'DISK_FAILED', operation, path, offset, errno }, { cause });
}

const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ENXIO', 'ENODEV']);

function errnoOf(cause: unknown): string {
  if (cause instanceof SyscallError) return cause.fault.errno;
  return codeOf(cause) ?? 'EIO';
}

function kindOfStats(path: string, stats: Stats): DiskKind {
  if (stats.isFile()) return 'file';
  if (stats.isBlockDevice()) return 'block';
  let kind = 'special file';
  if (stats.isDirectory()) kind = 'directory';
  else if (stats.isCharacterDevice()) kind = 'character device';
  else if (stats.isSocket()) kind = 'socket';
  else if (stats.isFIFO()) kind = 'FIFO';
  throw new DiskError({ code: 'DISK_NOT_A_DISK', path, kind });
}

/** A partition has the sequence number of its whole disk, one directory up. */
function sequenceOf(dev: number): number | null {
  const text = sysLine(dev, 'diskseq') ?? sysLine(dev, '../diskseq');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

// Magic numbers: qcow2 specification (docs/interop/qcow2.txt), the VMDK and VHD(X) specifications,
// VirtualBox's VDI header (u32 0xbeda107f at 64), QEMU's block/qed.h and block/parallels.c.
const HEAD_MAGIC: readonly { format: string; at: number; bytes: Buffer }[] = [
  { format: 'qcow2', at: 0, bytes: Buffer.from('QFI\xfb', 'latin1') },
  { format: 'VMDK', at: 0, bytes: Buffer.from('KDMV') },
  { format: 'VMDK', at: 0, bytes: Buffer.from('COWD') },
  { format: 'VMDK', at: 0, bytes: Buffer.from('# Disk DescriptorFile') },
  { format: 'VDI', at: 64, bytes: Buffer.from([0x7f, 0x10, 0xda, 0xbe]) },
  { format: 'VHDX', at: 0, bytes: Buffer.from('vhdxfile') },
  { format: 'VHD', at: 0, bytes: Buffer.from('conectix') },
  { format: 'QED', at: 0, bytes: Buffer.from('QED\0') },
  { format: 'Parallels', at: 0, bytes: Buffer.from('WithoutFreeSpace') },
  { format: 'Parallels', at: 0, bytes: Buffer.from('WithouFreSpacExt') },
];
/** A fixed VHD is raw but for this footer in its last 512 bytes. */
const VHD_FOOTER = Buffer.from('conectix');

function formatOf(fd: number, sizeBytes: number): string | null {
  const sector = Buffer.alloc(SECTOR_BYTES);
  readSync(fd, sector, 0, SECTOR_BYTES, 0);
  for (const { format, at, bytes } of HEAD_MAGIC) {
    if (sector.subarray(at, at + bytes.length).equals(bytes)) return format;
  }
  if (sizeBytes < SECTOR_BYTES) return null;
  readSync(fd, sector, 0, SECTOR_BYTES, sizeBytes - SECTOR_BYTES);
  return sector.subarray(0, VHD_FOOTER.length).equals(VHD_FOOTER) ? 'VHD' : null;
}
