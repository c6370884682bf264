// Taking the place of the control socket: parent directory, stale socket, mode. The path is limited
// to 107 bytes by sockaddr_un (unix(7)); a longer one would be cut silently on the way there.
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:net';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { codeOf, errorClass } from '../base/errors.js';

export const SOCKET_PATH_BYTES_MAX = 107;

export type ControlSocketFault =
  | { code: 'CONTROL_IN_USE'; path: string }
  | { code: 'CONTROL_SOCKET_FAILED'; path: string; text: string };

export const ControlSocketError = errorClass<ControlSocketFault>('ControlSocketError', {
  CONTROL_IN_USE: (f) => `${f.path}: another hastd answers on this control socket`,
  CONTROL_SOCKET_FAILED: (f) => `${f.path}: cannot make the control socket: ${f.text}`,
});

const failed = (path: string, text: string, cause?: unknown) =>
  new ControlSocketError({ code: 'CONTROL_SOCKET_FAILED', path, text }, { cause });

/** Binds and listens; the directory is made 0700 if absent, the socket is 0600 from its birth. */
export async function bindControlSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw failed(path, `the path is longer than ${SOCKET_PATH_BYTES_MAX} bytes`);
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw failed(path, `its directory: ${codeOf(error)}`, error);
  }
  await removeStale(path);
  await listen(server, path);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void =>
      reject(
        codeOf(error) === 'EADDRINUSE'
          ? new ControlSocketError({ code: 'CONTROL_IN_USE', path }, { cause: error })
          : failed(path, codeOf(error) ?? error.message, error),
      );
    server.once('error', onError);
    // bind(2) happens inside this call, so the mask covers it and nothing else.
    const mask = process.umask(0o177);
    try {
      server.listen({ path }, () => {
        server.removeListener('error', onError);
        chmodSync(path, 0o600);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw failed(path, 'something that is not a socket stands there');
  const answer = await knock(path);
  if (answer === 'answers') throw new ControlSocketError({ code: 'CONTROL_IN_USE', path });
  if (answer !== 'ECONNREFUSED' && answer !== 'ENOENT') throw failed(path, answer);
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw failed(path, `${codeOf(error)}`, error);
  }
}

/** 'answers', or the errno name of the refusal. */
function knock(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('answers');
    });
    socket.once('error', (error) => resolve(codeOf(error) ?? error.message));
  });
}
