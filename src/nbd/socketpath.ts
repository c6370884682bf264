// Binding a unix socket by path: who may connect, and what to do with what already lies there.
// Guarantee: nobody but the owner can connect at any moment, also not between bind and chmod, and
// a socket on which somebody answers is never taken away.
import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs';
import { createConnection, type ListenOptions, type Server } from 'node:net';
import { codeOf } from '../base/errors.js';
import { ListenError } from './addresses.js';

/** sun_path of Linux without its final zero: unix(7). */
const PATH_BYTES_MAX = 107;
const OWNER_ONLY_UMASK = 0o177;
const GROUP_MODE = 0o660;

/** Listens on `path` with mode 0600, or 0660 and `gid`. Errors: ListenError. */
export async function listenOnPath(server: Server, path: string, gid?: number): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new ListenError({ code: 'NBD_PATH_TOO_LONG', path, bytesMax: PATH_BYTES_MAX });
  }
  try {
    await bind(server, path);
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw failed(path, error);
    await removeStale(path);
    await bind(server, path).catch((second: unknown) => {
      throw failed(path, second);
    });
  }
  if (gid === undefined) return;
  try {
    chownSync(path, -1, gid);
    chmodSync(path, GROUP_MODE);
  } catch (error) {
    server.close();
    throw failed(path, error);
  }
}

/** Resolves when listening, rejects with what Node says. */
export function listening(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    server.listen(options);
  });
}

function bind(server: Server, path: string): Promise<void> {
  // listen() binds a path before it returns, so the mask is in force for this one call. Only the
  // main thread may set it, and files that other threads make meanwhile are at most more private.
  const before = process.umask(OWNER_ONLY_UMASK);
  try {
    return listening(server, { path });
  } finally {
    process.umask(before);
  }
}

/** Removes the socket that a dead process left behind; anything else stays, and is an error. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new ListenError({ code: 'NBD_PATH_NOT_A_SOCKET', path });
  const answer = await probe(path);
  if (answer === 'ENOENT') return;
  if (answer !== 'ECONNREFUSED')
    throw new ListenError({ code: 'NBD_ADDRESS_IN_USE', address: path });
  unlinkSync(path);
}

/** How connecting ends: null when somebody answers, else the errno. */
function probe(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', (error) => resolve(codeOf(error)));
  });
}

function failed(path: string, cause: unknown): Error {
  const errno = codeOf(cause) ?? 'unknown';
  return new ListenError({ code: 'NBD_LISTEN_FAILED', address: path, errno }, { cause });
}
