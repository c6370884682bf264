// Publishing a small file in the four steps of STYLE 16: write a temporary, fsync, rename, fsync
// the directory. After it returns the new content is what a power failure leaves; before, the old.
import { dirname } from 'node:path';
import type { Files } from './files.js';

/** Replaces `path` by `bytes`, durably and atomically. One writer per path at a time. */
export async function publish(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const handle = await files.open(temporary, 'truncate');
  try {
    await handle.write(bytes, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await files.rename(temporary, path);
  await files.syncDirectory(dirname(path));
}
