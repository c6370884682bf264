// A TCP proxy on loopback that counts payload bytes in both directions: the measure of wire bytes
// that does not believe what the daemon says about itself. Headers of TCP and IP are not counted.
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

export interface WireBytes {
  readonly up: number;
  readonly down: number;
}

export class CountingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #up = 0;
  #down = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on a free port and passes every connection on to `port` of the loopback address. */
  static async start(port: number): Promise<CountingProxy> {
    const server = createServer();
    const proxy = new CountingProxy(server);
    server.on('connection', (client) => proxy.#pass(client, createConnection(port, '127.0.0.1')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Bytes passed on so far: `up` from who dialled, `down` back. */
  get bytes(): WireBytes {
    return { up: this.#up, down: this.#down };
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(client: Socket, server: Socket): void {
    client.on('data', (bytes) => {
      this.#up += bytes.length;
    });
    server.on('data', (bytes) => {
      this.#down += bytes.length;
    });
    for (const socket of [client, server]) {
      this.#sockets.add(socket.setNoDelay(true));
      socket.on('close', () => this.#sockets.delete(socket));
    }
    // An end of either direction that is an error ends both, as a router does.
    pipeline(client, server, () => undefined);
    pipeline(server, client, () => undefined);
  }
}
