// The door for guests, in the control thread: accepts, negotiates, and hands the connection away.
// Guarantees: nothing of a disk's content passes here; who negotiates too long, too much or takes
// no replies is cut off; a connection is handed over once, with all the bytes that were read, and
// this thread then reads no more of it. Limits are counted here until `done` is called.
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, systemClock } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import { type Log, silentLog } from '../base/log.js';
import { closeFd } from '../disk/syscalls.js';
import { addressText, isLoopback, ListenError, type NbdAddress } from './addresses.js';
import { duplicateOf } from './descriptor.js';
import { LISTENER_LIMITS, type ListenerLimits } from './limits.js';
import { greeting, Negotiation, type Step } from './negotiation.js';
import type { Agreement, ExportInfo } from './protocol.js';
import { listening, listenOnPath } from './socketpath.js';

/** A negotiated connection on its way to the thread that serves it. */
export interface HandedConnection {
  readonly exportName: string;
  /** What was negotiated for the transmission phase. */
  readonly agreement: Agreement;
  /** Owned by the receiver; the connection ends when it is closed. */
  readonly fd: number;
  /** The first bytes of the transmission phase; may be transferred to another thread. */
  readonly leftover: Uint8Array<ArrayBuffer>;
  /** To be called once, when the connection has ended. */
  readonly done: () => void;
}

export interface ListenerOptions {
  readonly address: NbdAddress;
  readonly limits?: ListenerLimits;
}

export interface ListenerParts {
  /** What is offered now; asked for every option of a client. */
  readonly exports: () => readonly ExportInfo[];
  /** Takes the connection over. If it throws, the connection is closed here. */
  readonly handOver: (connection: HandedConnection) => void;
  readonly log?: Log;
  readonly clock?: Clock;
}

export interface NbdListener {
  /** As listened on; a port of 0 has become the real one. */
  readonly address: NbdAddress;
  /** Negotiating or handed over. */
  readonly connections: number;
  /** Accepts no more and cuts off who still negotiates; handed connections live on. */
  close(): Promise<void>;
}

/** Starts listening. Errors: ListenError. */
export async function listenNbd(
  options: ListenerOptions,
  parts: ListenerParts,
): Promise<NbdListener> {
  const door = new Door(options.limits ?? LISTENER_LIMITS, parts);
  const { server } = door;
  const { address } = options;
  if (address.kind === 'unix') {
    await listenOnPath(server, address.path, address.gid);
    return door.open(address);
  }
  const text = addressText(address);
  if (!isLoopback(address.host)) throw new ListenError({ code: 'NBD_NOT_LOOPBACK', address: text });
  try {
    await listening(server, { host: address.host, port: address.port });
  } catch (error) {
    const errno = codeOf(error) ?? 'unknown';
    throw errno === 'EADDRINUSE'
      ? new ListenError({ code: 'NBD_ADDRESS_IN_USE', address: text }, { cause: error })
      : new ListenError({ code: 'NBD_LISTEN_FAILED', address: text, errno }, { cause: error });
  }
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return door.open({ ...address, port });
}

/** The server and its count of guests; a connection is in one of two sets until it is gone. */
class Door {
  readonly server: Server;
  readonly #limits: ListenerLimits;
  readonly #parts: ListenerParts;
  readonly #log: Log;
  readonly #negotiating = new Set<Socket>();
  #handed = 0;

  constructor(limits: ListenerLimits, parts: ListenerParts) {
    this.#limits = limits;
    this.#parts = parts;
    this.#log = parts.log ?? silentLog;
    this.server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  open(address: NbdAddress): NbdListener {
    this.server.on('error', (error) => {
      this.#log.warn('an NBD client could not be accepted', { error: describeError(error) });
    });
    const count = (): number => this.#negotiating.size + this.#handed;
    return {
      address,
      get connections() {
        return count();
      },
      close: () => this.#close(),
    };
  }

  #close(): Promise<void> {
    for (const socket of this.#negotiating) socket.destroy();
    return new Promise((resolve) => {
      this.server.close(() => resolve()); // also when it is closed already
    });
  }

  #accept(socket: Socket): void {
    const { connectionsMax, negotiatingMax, negotiationMsMax } = this.#limits;
    const negotiating = this.#negotiating.size;
    if (negotiating >= negotiatingMax || negotiating + this.#handed >= connectionsMax) {
      this.#log.warn('an NBD client was turned away: too many connections', {
        negotiating,
        handedOver: this.#handed,
      });
      socket.destroy();
      return;
    }
    this.#negotiating.add(socket);
    const ended = new AbortController();
    socket.on('close', () => {
      this.#negotiating.delete(socket);
      ended.abort();
    });
    socket.on('error', () => socket.destroy());
    const { clock = systemClock } = this.#parts;
    void clock.sleep(negotiationMsMax, ended.signal).then(() => {
      if (ended.signal.aborted) return;
      this.#cutOff(socket, 'too-slow');
    });
    const negotiation = new Negotiation(this.#parts.exports);
    socket.on('data', (bytes) => {
      // What follows the end (a client that talks on after ABORT) is nobody's.
      if (!negotiation.over) this.#onStep(socket, negotiation.feed(bytes));
    });
    socket.write(greeting());
  }

  #onStep(socket: Socket, step: Step): void {
    if (step.replies.length > 0) socket.write(step.replies);
    switch (step.next) {
      case 'more':
        if (socket.writableLength > this.#limits.unsentBytesMax) this.#cutOff(socket, 'too-much');
        return;
      case 'transmit':
        // A client waits for each answer, so there is room for this one; else it does not read.
        if (socket.writableLength > 0) this.#cutOff(socket, 'too-much');
        else this.#handOver(socket, step);
        return;
      case 'close':
        if (step.reason === 'aborted') socket.destroySoon();
        else this.#cutOff(socket, step.reason);
        return;
    }
  }

  /** "Termination of the session": a hard disconnect is all that is left to say. */
  #cutOff(socket: Socket, reason: string): void {
    this.#log.info('an NBD client was cut off in negotiation', { reason });
    socket.destroy();
  }

  #handOver(socket: Socket, step: Extract<Step, { next: 'transmit' }>): void {
    const { exportName, agreement, leftover } = step;
    let fd: number;
    try {
      fd = duplicateOf(socket);
    } catch (error) {
      this.#cutOff(socket, describeError(error)); // no descriptor is free
      return;
    }
    socket.destroy(); // in this callback: no later byte can be read by this thread
    this.#handed += 1;
    let open = true;
    const done = (): void => {
      if (open) this.#handed -= 1;
      open = false;
    };
    try {
      this.#parts.handOver({ exportName, agreement, fd, leftover, done });
    } catch (error) {
      closeFd(fd);
      done();
      this.#log.warn('an NBD client could not be served', {
        export: exportName,
        error: describeError(error),
      });
    }
  }
}
