// The state directory belongs to one daemon: a lock file with flock, held until the end. And it
// must outlive the machine: marks that are lost with a power failure are worth nothing (H9).
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { NodeSettings } from '../config/settings.js';
import { flockExclusive } from '../disk/syscalls.js';
import { DaemonError } from './daemon-faults.js';

/** Makes and locks it; returns what gives it back. Errors DAEMON_RUNNING, STATEDIR_UNUSABLE. */
export function takeStateDirectory(path: string): () => void {
  const lock = `${path}/lock`;
  let fd: number;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    fd = openSync(lock, 'a+', 0o600);
  } catch (error) {
    const text = describeError(error);
    throw new DaemonError({ code: 'STATEDIR_UNUSABLE', path, text }, { cause: error });
  }
  if (!flockExclusive(fd)) {
    const pid = readFileSync(fd, 'utf8').trim();
    closeSync(fd);
    const holder = pid === '' ? 'pid unknown' : `pid ${pid}`;
    throw new DaemonError({ code: 'DAEMON_RUNNING', path, holder });
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  return () => closeSync(fd);
}

/** f_type of tmpfs and ramfs (statfs(2)). */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/** `metaflush on` promises what a file system in memory cannot keep: error STATEDIR_VOLATILE.
 * Without it a power loss costs a comparison of everything, and a warning says so. */
export function checkMedium({ statedir, resources }: NodeSettings, log: Log): void {
  if (!MEMORY_FILE_SYSTEMS.has(statfsSync(statedir).type)) return;
  const flushed = resources.find(({ metaflush }) => metaflush);
  if (flushed !== undefined) {
    throw new DaemonError({ code: 'STATEDIR_VOLATILE', path: statedir, name: flushed.name });
  }
  log.warn('the state directory lies in memory: a restart of this host loses all state', {
    path: statedir,
  });
}
