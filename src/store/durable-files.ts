// Files and directories of a directory store, made so that a power failure does not take them.
// Errors are those of node's file system calls.
import { link, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from '../base/errors.js';

const FILE_MODE = 0o600;
export const DIRECTORY_MODE = 0o700;
const NO_LINKS = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK']);

/** For a catch: null where it is not there. */
export function unlessMissing(error: unknown): null {
  if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
  throw error;
}

export const isThere = async (path: string): Promise<boolean> =>
  (await stat(path).catch(unlessMissing)) !== null;

export async function sizeOf(path: string): Promise<number | null> {
  const facts = await stat(path).catch(unlessMissing);
  return facts?.isFile() ? facts.size : null;
}

/** False: the name is taken. */
export async function linkOnce(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!NO_LINKS.has(codeOf(error) ?? '')) throw error;
  }
  if (await isThere(to)) return false;
  await rename(from, to);
  return true;
}

export async function makeDurably(path: string): Promise<void> {
  await mkdir(path, { mode: DIRECTORY_MODE }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  await syncDirectory(dirname(path));
}

export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx', FILE_MODE);
  try {
    await handle.writeFile(bytes);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Fewer bytes at the end of the file; null: there is none. */
export async function readRange(
  path: string,
  offset: number,
  length: number,
  into: Uint8Array = Buffer.allocUnsafeSlow(length),
): Promise<Uint8Array | null> {
  const handle = await open(path, 'r').catch(unlessMissing);
  if (handle === null) return null;
  try {
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(into, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return into.subarray(0, done);
  } finally {
    await handle.close();
  }
}
