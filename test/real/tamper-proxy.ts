// A TCP proxy on loopback for what links do: it counts what it passes on, passes at most so many
// bytes a second, cuts every connection at once, or takes none for a time. Payload bytes; headers
// of TCP and IP are not counted.
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PIECE_MS = 20;

export class TamperProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #bytes = { up: 0, down: 0 };
  /** Of the direction from who dialled, a second; null: no limit. */
  bytesPerSecond: number | null = null;
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
    void this.#pass(client, server, 'up').catch(() => client.destroy());
    void this.#pass(server, client, 'down').catch(() => client.destroy());
  }

  async #pass(from: Socket, to: Socket, way: 'up' | 'down'): Promise<void> {
    for await (const chunk of from) {
      const bytes: Buffer = chunk;
      for (let at = 0; at < bytes.length; ) {
        const limit = way === 'up' ? this.bytesPerSecond : null;
        const piece = limit === null ? bytes.length : Math.ceil((limit * PIECE_MS) / 1000);
        const part = bytes.subarray(at, at + piece);
        at += part.length;
        this.#bytes[way] += part.length;
        if (!to.write(part)) await once(to, 'drain');
        if (limit !== null) await sleep(PIECE_MS);
      }
    }
    to.end();
  }
}
