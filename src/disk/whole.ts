// Reads and writes completed: Linux may do less than it was asked for. Guarantees: a write has
// written all or failed; a read filled `into` up to the end of the file. Offsets and lengths are
// bytes; errors are those of Node, with an errno in `code`.
import { read, readSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { assert } from '../base/assert.js';

// libuv's pool: one for the process, so its size bounds all devices together (H19).
const readOnPool = promisify(read);
const writeOnPool = promisify(write);

/** Bytes read: `into.length`, or fewer where the file ends. */
export async function readWhole(fd: number, into: Uint8Array, offset: number): Promise<number> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await readOnPool(fd, into, done, into.length - done, offset + done);
    if (bytesRead === 0) return done;
    done += bytesRead;
  }
  return into.length;
}

/** As readWhole, in the calling thread. */
export function readWholeNow(fd: number, into: Uint8Array, offset: number): number {
  for (let done = 0; done < into.length; ) {
    const got = readSync(fd, into, done, into.length - done, offset + done);
    if (got === 0) return done;
    done += got;
  }
  return into.length;
}

export async function writeWhole(fd: number, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const written = await writeOnPool(fd, bytes, done, bytes.length - done, offset + done);
    done += progress(written.bytesWritten);
  }
}

/** As writeWhole, in the calling thread. */
export function writeWholeNow(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += progress(writeSync(fd, bytes, done, bytes.length - done, offset + done));
  }
}

/** A write that writes nothing would loop for ever. */
function progress(bytes: number): number {
  assert(bytes > 0, 'write(2) of some bytes writes some or fails');
  return bytes;
}
