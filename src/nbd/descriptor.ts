// The one place that looks into a net.Socket of Node (measured with Node 20, libuv 1.46).
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { present } from '../base/assert.js';
import { dupFd } from '../disk/syscalls.js';

/**
 * A descriptor of its own for the connection of `socket`, which the caller owns. Node cannot let go
 * of a descriptor, and two handles that own one number would close it twice; so the number is
 * duplicated, and destroying the socket, which is close(2) without shutdown(2), does not end the
 * connection. What the socket has read stays with its reader: hand it on too.
 */
export function duplicateOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  return dupFd(present(handle?.fd, 'an open socket has a descriptor'));
}

/** A socket on a connected descriptor, which it owns, read into the buffer of `onread`. Node's
 * types know `onread` of sockets that connect; the constructor takes it as well. */
export function socketOf(fd: number, onread: OnReadOpts): Socket {
  const both = { readable: true, writable: true, allowHalfOpen: true };
  const options: SocketConstructorOpts & { onread: OnReadOpts } = { fd, ...both, onread };
  const socket = new Socket(options);
  socket.setNoDelay(true);
  return socket;
}
