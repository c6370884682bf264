// Who stands in the way of a lock, for the error message only: a best effort that never throws and
// never decides anything. OFD locks (QEMU's) carry no pid, in fcntl and in /proc/locks alike, but
// /proc/PID/fdinfo lists them under the descriptor that holds them. Needs the right to look into
// the other process (root, or the same user); otherwise the answer is "another process".
import {
  fstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { majorMinor } from './probe.js';

export const UNKNOWN_HOLDER = 'another process';

/** `qemu-nbd (pid 4711)`: who has locks on the file behind `ownFd`, other than through it. */
export function lockHolder(ownFd: number): string {
  const { dev, ino } = fstatSync(ownFd, { bigint: true });
  for (const { pid, fd } of openDescriptors()) {
    if (pid === process.pid && fd === ownFd) continue;
    const info = textOf(`/proc/${pid}/fdinfo/${fd}`);
    if (!hasLockOn(info, ino.toString())) continue;
    // Inode numbers repeat across file systems; the stat is of one file that matched already.
    if (statMatches(pid, fd, (stats) => BigInt(stats.dev) === dev)) return describe(pid);
  }
  return UNKNOWN_HOLDER;
}

/** Who keeps block device `rdev` from us: a mount, a device on top of it, a process. */
export function deviceHolder(rdev: number): string {
  const name = majorMinor(rdev);
  for (const line of textOf('/proc/self/mountinfo').split('\n')) {
    const fields = line.split(' '); // proc(5): id parent major:minor root mount-point ...
    if (fields[2] === name) return `the file system mounted at ${fields[4] ?? '?'}`;
  }
  const above = namesIn(`/sys/dev/block/${name}/holders`)[0];
  if (above !== undefined) return `the device ${above} on top of it`;
  for (const { pid, fd } of openDescriptors()) {
    if (!linkOf(pid, fd).startsWith('/dev/')) continue;
    if (statMatches(pid, fd, (s) => s.isBlockDevice() && s.rdev === rdev)) return describe(pid);
  }
  return UNKNOWN_HOLDER;
}

/** `the loop device loop3`: through what a file is in use without a lock of it; null: nothing. */
export function loopHolder(path: string): string | null {
  const real = quietly('', () => realpathSync(path));
  for (const name of namesIn('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    const backing = textOf(`/sys/block/${name}/loop/backing_file`).trimEnd();
    if (backing !== '' && backing === real) return `the loop device ${name}`;
  }
  return null;
}

/** A `lock:` line of fdinfo: `lock: 1: OFDLCK ADVISORY READ -1 fe:00:2163682 100 101` (proc(5)). */
export function hasLockOn(fdinfo: string, ino: string): boolean {
  return fdinfo.split('\n').some((line) => {
    if (!line.startsWith('lock:')) return false;
    return line
      .split(/\s+/)
      .some((field) => /^[0-9a-f]+:[0-9a-f]+:/.test(field) && field.split(':')[2] === ino);
  });
}

const DESCRIPTORS_LOOKED_AT_MAX = 200_000;

function* openDescriptors(): Generator<{ pid: number; fd: number }> {
  let looked = 0;
  for (const entry of namesIn('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    for (const fd of namesIn(`/proc/${entry}/fd`)) {
      looked += 1;
      if (looked > DESCRIPTORS_LOOKED_AT_MAX) return;
      yield { pid: Number(entry), fd: Number(fd) };
    }
  }
}

function describe(pid: number): string {
  const name = textOf(`/proc/${pid}/comm`).trim();
  return name === '' ? `process ${pid}` : `${name} (pid ${pid})`;
}

function statMatches(pid: number, fd: number, test: (stats: Stats) => boolean): boolean {
  return quietly(false, () => test(statSync(`/proc/${pid}/fd/${fd}`)));
}

const linkOf = (pid: number, fd: number) =>
  quietly('', () => readlinkSync(`/proc/${pid}/fd/${fd}`));
const textOf = (path: string) => quietly('', () => readFileSync(path, 'latin1'));
const namesIn = (path: string) => quietly<string[]>([], () => readdirSync(path));

/** Processes end while one looks at them, and others' are closed to us: then the fallback. */
function quietly<T>(fallback: T, look: () => T): T {
  try {
    return look();
  } catch {
    return fallback;
  }
}
