// A TCP proxy on loopback for what links do: it counts what it passes on, passes at most so many
// bytes a second, late, or nothing for a time, turns a bit over, ends one direction or both, cuts
// every connection at once, or takes none for a time. What it passes on stays in order: it is TCP.
// Payload bytes; headers of TCP and IP are not counted.
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PIECE_MS = 20;

/** 'up': from who dialled. */
export type Way = 'up' | 'down';

interface Passed {
  readonly client: Socket;
  readonly server: Socket;
  /** Directions that were ended: nothing more is passed on. */
  readonly ended: Set<Way>;
}

export class TamperProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #passed = new Set<Passed>();
  readonly #bytes = { up: 0, down: 0 };
  /** Bytes until the one that is corrupted; null: none is. */
  readonly #flipAfter: Record<Way, number | null> = { up: null, down: null };
  /** Of the direction from who dialled, a second; null: no limit. */
  bytesPerSecond: number | null = null;
  /** How late each piece is, in milliseconds. */
  delayMs = 0;
  /** Connections stand, and nothing is passed on. */
  stalled = false;
  /** Bytes whose bit was turned over. */
  flipped = 0;
  /** New connections are ended at once. */
  closed = false;
  /** Connections passed on so far. */
  connections = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on a free port and passes every connection on to `port` of the loopback address. */
  static async start(port: number): Promise<TamperProxy> {
    const server = createServer({ allowHalfOpen: true });
    const proxy = new TamperProxy(server);
    server.on('connection', (client: Socket) => proxy.#connected(client, port));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Passed on: `up` from who dialled, `down` back. */
  get bytes(): { readonly up: number; readonly down: number } {
    return { ...this.#bytes };
  }

  /** Cuts every connection there is, as a router that restarts. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends one direction of every connection: the other side hears of it, and nothing after it. */
  halfClose(way: Way): void {
    for (const { client, server, ended } of this.#passed) {
      ended.add(way);
      (way === 'up' ? server : client).end();
    }
  }

  /** Turns over a bit of one byte, `after` bytes from now; null: of none. */
  corrupt(way: Way, after: number | null): void {
    this.#flipAfter[way] = after;
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  #connected(client: Socket, port: number): void {
    if (this.closed) {
      client.destroy();
      return;
    }
    this.connections += 1;
    const server = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket.setNoDelay(true));
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    const passed: Passed = { client, server, ended: new Set() };
    this.#passed.add(passed);
    client.on('close', () => this.#passed.delete(passed));
    for (const way of ['up', 'down'] as const) {
      void this.#pass(passed, way).catch(() => client.destroy());
    }
  }

  async #pass({ client, server, ended }: Passed, way: Way): Promise<void> {
    const [from, to] = way === 'up' ? [client, server] : [server, client];
    for await (const chunk of from) {
      const bytes: Buffer = chunk;
      for (let at = 0; at < bytes.length; ) {
        const limit = way === 'up' ? this.bytesPerSecond : null;
        const piece = limit === null ? bytes.length : Math.ceil((limit * PIECE_MS) / 1000);
        const part = bytes.subarray(at, at + piece);
        at += part.length;
        if (this.delayMs > 0) await sleep(this.delayMs);
        while (this.stalled && !to.destroyed) await sleep(PIECE_MS);
        if (ended.has(way)) continue;
        this.#bytes[way] += part.length;
        this.#flip(part, way);
        if (!to.write(part)) await once(to, 'drain');
        if (limit !== null) await sleep(PIECE_MS);
      }
    }
    to.end();
  }

  #flip(part: Buffer, way: Way): void {
    const after = this.#flipAfter[way];
    if (after === null) return;
    const byte = part[after];
    if (byte === undefined) {
      this.#flipAfter[way] = after - part.length;
      return;
    }
    part[after] = byte ^ (1 << (after % 8));
    this.#flipAfter[way] = null;
    this.flipped += 1;
  }
}
