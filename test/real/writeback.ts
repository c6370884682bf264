// Writeback in a hurry, as a program: writeback.js FOLDER has the kernel write what is dirty of the
// files below FOLDER to their disk again and again, and flushes nothing. Without it, what a disk's
// volatile cache holds is only what somebody is just flushing: the kernel would wait for seconds.
// A process of its own, as whatever waits for a disk under test. Ends with its standard input.
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';

const PAUSE_MS = 10;
const SYNC_FILE_RANGE_WRITE = 2;
const syncFileRange = koffi
  .load(null)
  .func('int sync_file_range(int fd, int64 offset, int64 length, uint flags)');

const [folder = ''] = process.argv.slice(2);
process.stdin.on('close', () => process.exit(0)).resume();
for (;;) {
  for (const entry of entriesOf(folder)) if (entry.isFile()) writeOut(entry.parentPath, entry.name);
  await sleep(PAUSE_MS);
}

/** The power may fail at any time, and what is listed may be gone. */
function orNothing<T>(attempt: () => T, nothing: T): T {
  try {
    return attempt();
  } catch {
    return nothing;
  }
}

function entriesOf(where: string) {
  return orNothing(() => readdirSync(where, { recursive: true, withFileTypes: true }), []);
}

function writeOut(parent: string, name: string): void {
  const fd = orNothing(() => openSync(join(parent, name), 'r'), null);
  if (fd === null) return;
  syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  closeSync(fd);
}
