// The state directory belongs to one daemon: a lock file with flock, held until the end.
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { describeError } from '../base/errors.js';
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
