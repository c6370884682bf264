// Writeback in a hurry, as a program: has the kernel write what is dirty of the files below a
// folder to their disk again and again, and flushes nothing. Without it, what a disk's volatile
// cache holds is only what somebody is just flushing: the kernel would wait for seconds. Each line
// of standard input names the folder from then on, an empty one none. A process of its own, as
// whatever waits for a disk under test. Ends with its standard input.
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';

const PAUSE_MS = 10;
const SYNC_FILE_RANGE_WRITE = 2;
const syncFileRange = koffi
  .load(null)
  .func('int sync_file_range(int fd, int64 offset, int64 length, uint flags)');

let folder = '';
createInterface(process.stdin)
  .on('line', (line) => {
    folder = line;
  })
  .on('close', () => process.exit(0));
for (;;) {
  const entries = folder === '' ? [] : entriesOf(folder);
  for (const entry of entries) if (entry.isFile()) writeOut(entry.parentPath, entry.name);
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
