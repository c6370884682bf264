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
//
// A disk that its owner makes longer (a replica's, H14) is the same disk up to its old end. Its
// owner publishes `growsTo` with the fingerprint before, and the new fingerprint after that; where
// it crashes in between, this much tells the growth from a write:
// - A file has exactly that size, and the modification time that the owner gave it with the growth
//   (grownMtimeSeconds): a moment before the last write, which no later write leaves. The time that
//   truncate(2) itself leaves is no witness, a write after it leaves the same kind: a crash between
//   the two calls is a difference. The change time is that of the growth, which nobody knows.
// - A block device grows by its administrator: it is longer, and everything else is compared and
//   the same, sectors written above all. Where that cannot be compared (another boot, an old
//   kernel) its size is a difference: a partition may have been made anew with another beginning.
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
  /** Its owner may have made it this long since. */
  readonly growsTo?: number;
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
  /** It may have been made longer since, for an owner who needs this much. */
  readonly growsTo?: number;
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

const SECOND_NS = 1_000_000_000n;

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
  const { sameBoot, cleanStop } = between;
  if (before.kind === 'file' && after.kind === 'file') {
    const { sizeBytes, growsTo } = before;
    const grown = after.sizeBytes !== sizeBytes && after.sizeBytes === growsTo;
    const grownNs = BigInt(grownMtimeSeconds(before.mtimeNs)) * SECOND_NS;
    const mtimeNs = grown ? grownNs.toString() : before.mtimeNs;
    return compareAll([
      ['device', before.dev, after.dev, true],
      ['inode', before.ino, after.ino, true],
      ['size', sizeBytes, after.sizeBytes, !grown],
      ['modification time', mtimeNs, after.mtimeNs, cleanStop || grown],
      ['change time', before.ctimeNs, after.ctimeNs, cleanStop && !grown],
    ]);
  }
  if (before.kind === 'block' && after.kind === 'block') {
    const { sizeBytes, growsTo, sectorsWritten } = before;
    const compared = sameBoot && cleanStop && sectorsWritten !== null;
    const grown = growsTo !== undefined && after.sizeBytes > sizeBytes && compared;
    return compareAll([
      ['size', sizeBytes, after.sizeBytes, !grown],
      ['identity', before.identity, after.identity, true],
      ['device', before.dev, after.dev, sameBoot],
      ['disk sequence', before.diskSequence, after.diskSequence, sameBoot],
      ['sectors written', sectorsWritten, after.sectorsWritten, sameBoot && cleanStop],
    ]);
  }
  return { differs: `kind was ${before.kind}, is ${after.kind}` };
}

/** What the owner of a file sets its modification time to, in seconds, when it has made it longer:
 * the last second that was whole a second before the time it had. */
export const grownMtimeSeconds = (mtimeNs: bigint | string): number =>
  Number(BigInt(mtimeNs) / SECOND_NS) - 1;

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
