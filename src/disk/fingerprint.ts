// Fingerprint: what tells that nobody else wrote a disk between two looks (H11, H28). It is taken
// after an fdatasync and kept as JSON with the state; a difference makes the disk suspect, it
// never repairs anything. Guarantee: equal fingerprints of one boot mean that no write passed
// through this kernel, within what is compared. Sizes are bytes, times nanoseconds as text.
//
// What may be compared depends on what happened between the looks:
//                  always              clean stop      same boot       both
//   file           dev, inode, size    mtime, ctime
//   block device   size, identity                      dev, diskseq    sectors written
// After a crash of the daemon alone, pages of ours reached the disk later: times and counters moved
// by our own doing, and the lock is the guard (H11). diskseq and minor numbers restart at boot.
// Whether a map may be believed at all after a reboot without a clean stop is the caller's rule.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { unreachable } from '../base/assert.js';
import { attempt, probeOpen, sysLine } from './probe.js';

export type Fingerprint = FileFingerprint | BlockFingerprint;

export interface FileFingerprint {
  readonly kind: 'file';
  readonly bootId: string;
  readonly dev: number;
  /** Decimal text: it may pass 2^53. */
  readonly ino: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

export interface BlockFingerprint {
  readonly kind: 'block';
  readonly bootId: string;
  readonly dev: number;
  readonly sizeBytes: number;
  /** Null where the kernel is older than 5.15. */
  readonly diskSequence: number | null;
  /** In 512-byte units, from /sys/dev/block/X/stat (kernel, Documentation/block/stat.rst). */
  readonly sectorsWritten: number | null;
  /** What names the medium across boots: dm uuid, wwid, serial, loop's backing file; else null. */
  readonly identity: string | null;
}

/** Of an open disk, or of a path. Errors as probeDisk, but for formats. */
export function fingerprintOf(disk: number | string): Fingerprint {
  if (typeof disk === 'number') return fingerprintOfOpen(disk, `descriptor ${disk}`);
  const fd = attempt(disk, 'open', () => openSync(disk, 'r'));
  try {
    return fingerprintOfOpen(fd, disk);
  } finally {
    closeSync(fd);
  }
}

export interface Between {
  /** Both looks happened within one boot of the machine. */
  readonly sameBoot: boolean;
  /** The first look was the last act of a daemon that had flushed and closed everything. */
  readonly cleanStop: boolean;
}

/** 'same', or the first thing that differs, as words for the log. */
export function sameFingerprint(
  before: Fingerprint,
  after: Fingerprint,
  between: Between,
): 'same' | { differs: string } {
  if (before.kind === 'file' && after.kind === 'file') {
    return compareAll([
      ['device', before.dev, after.dev, true],
      ['inode', before.ino, after.ino, true],
      ['size', before.sizeBytes, after.sizeBytes, true],
      ['modification time', before.mtimeNs, after.mtimeNs, between.cleanStop],
      ['change time', before.ctimeNs, after.ctimeNs, between.cleanStop],
    ]);
  }
  if (before.kind === 'block' && after.kind === 'block') {
    const { sameBoot, cleanStop } = between;
    return compareAll([
      ['size', before.sizeBytes, after.sizeBytes, true],
      ['identity', before.identity, after.identity, true],
      ['device', before.dev, after.dev, sameBoot],
      ['disk sequence', before.diskSequence, after.diskSequence, sameBoot],
      ['sectors written', before.sectorsWritten, after.sectorsWritten, sameBoot && cleanStop],
    ]);
  }
  return { differs: `kind was ${before.kind}, is ${after.kind}` };
}

/** The random id of this boot of the machine. */
export function bootId(): string {
  const path = '/proc/sys/kernel/random/boot_id';
  return attempt(path, 'read', () => readFileSync(path, 'latin1').trim());
}

type Comparison = readonly [
  name: string,
  before: string | number | null,
  after: string | number | null,
  applies: boolean,
];

function compareAll(comparisons: readonly Comparison[]): 'same' | { differs: string } {
  for (const [name, before, after, applies] of comparisons) {
    if (applies && before !== after) return { differs: `${name} was ${before}, is ${after}` };
  }
  return 'same';
}

function fingerprintOfOpen(fd: number, path: string): Fingerprint {
  const { kind, sizeBytes, dev, ino, diskSequence } = probeOpen(fd, path, { formatCheck: false });
  switch (kind) {
    case 'file': {
      const stats = attempt(path, 'fstat', () => fstatSync(fd, { bigint: true }));
      return {
        kind,
        bootId: bootId(),
        dev,
        ino,
        sizeBytes,
        mtimeNs: stats.mtimeNs.toString(),
        ctimeNs: stats.ctimeNs.toString(),
      };
    }
    case 'block':
      return {
        kind,
        bootId: bootId(),
        dev,
        sizeBytes,
        diskSequence,
        sectorsWritten: sectorsWrittenOf(dev),
        identity: identityOf(dev),
      };
    default:
      return unreachable(kind);
  }
}

const STAT_SECTORS_WRITTEN = 6;

function sectorsWrittenOf(dev: number): number | null {
  const field = sysLine(dev, 'stat')?.split(/\s+/)[STAT_SECTORS_WRITTEN];
  return field !== undefined && /^\d{1,15}$/.test(field) ? Number(field) : null;
}

// A partition looks one directory up, and its number tells it from its sisters.
const IDENTITIES = ['dm/uuid', 'md/uuid', 'wwid', 'device/wwid', 'serial', 'device/serial'];
const IDENTITY_CHARACTERS_MAX = 512;

function identityOf(dev: number): string | null {
  const partition = sysLine(dev, 'partition');
  const up = partition === null ? '' : '../';
  for (const name of [...IDENTITIES, 'loop/backing_file']) {
    const value = sysLine(dev, `${up}${name}`);
    if (value === null || value === '') continue;
    const suffix = partition === null ? '' : `:${partition}`;
    return `${name}=${value.slice(0, IDENTITY_CHARACTERS_MAX)}${suffix}`;
  }
  return null;
}
