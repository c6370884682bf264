// An NBD client for demonstrations and benchmarks: fixed newstyle, GO, simple replies, any number
// of requests in flight on one connection (NBD protocol, doc/proto.md). Offsets and lengths are
// bytes. Guarantee: a promise resolves only by the server's answer to that very request; when the
// connection ends, everything that is not answered rejects with NBD_CLIENT_LOST.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { errorClass } from '../src/base/errors.js';

export type NbdClientFault =
  | { code: 'NBD_CLIENT_LOST'; path: string; text: string }
  | { code: 'NBD_CLIENT_PROTOCOL'; path: string; text: string }
  | { code: 'NBD_CLIENT_REFUSED'; path: string; exportName: string; reply: number; text: string }
  | { code: 'NBD_CLIENT_ERRNO'; request: string; offset: number; length: number; errno: number };

export const NbdClientError = errorClass<NbdClientFault>('NbdClientError', {
  NBD_CLIENT_LOST: (f) => `${f.path}: the NBD connection ended: ${f.text}`,
  NBD_CLIENT_PROTOCOL: (f) => `${f.path}: not as NBD demands: ${f.text}`,
  NBD_CLIENT_REFUSED: (f) => `${f.path}: export ${f.exportName} refused (${f.reply}): ${f.text}`,
  NBD_CLIENT_ERRNO: (f) => `${f.request} of ${f.length} bytes at ${f.offset}: errno ${f.errno}`,
});

const IHAVEOPT = 0x49484156454f5054n;
const NBDMAGIC = 0x4e42444d41474943n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const FLAGS_FIXED_NO_ZEROES = 3;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const INFO_EXPORT = 0;
/** Option replies longer than this are no answer to GO. */
const OPTION_BYTES_MAX = 64 * 1024;
const COMMANDS = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;
type Command = keyof typeof COMMANDS;

interface Pending {
  readonly command: Command;
  readonly offset: number;
  readonly length: number;
  /** Where the data of a READ goes. */
  readonly into: Buffer | null;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Incoming bytes, taken in exact amounts. */
class Incoming {
  readonly #path: string;
  readonly #chunks: Buffer[] = [];
  #ended: string | null = null;
  #wake: () => void = () => {};

  constructor(socket: Socket, path: string) {
    this.#path = path;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    const end = (text: string): void => {
      this.#ended ??= text;
      this.#wake();
    };
    socket.on('error', (error) => end(error.message));
    socket.on('close', () => end('the server closed it'));
  }

  /** Fills `into`. Error NBD_CLIENT_LOST. */
  async take(into: Buffer): Promise<Buffer> {
    for (let at = 0; at < into.length; ) {
      const [chunk] = this.#chunks;
      if (chunk === undefined) {
        const text = this.#ended;
        if (text !== null)
          throw new NbdClientError({ code: 'NBD_CLIENT_LOST', path: this.#path, text });
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const copied = chunk.copy(into, at);
      at += copied;
      if (copied === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(copied);
    }
    return into;
  }
}

export class NbdClient {
  readonly sizeBytes: number;
  readonly #path: string;
  readonly #socket: Socket;
  readonly #incoming: Incoming;
  readonly #pending = new Map<bigint, Pending>();
  #cookie = 0n;
  #lost: Error | null = null;

  private constructor(path: string, socket: Socket, incoming: Incoming, sizeBytes: number) {
    this.#path = path;
    this.#socket = socket;
    this.#incoming = incoming;
    this.sizeBytes = sizeBytes;
    void this.#receive();
  }

  /** Connects to the unix socket `path`. Errors NBD_CLIENT_*, or the system's of connect. */
  static async open(path: string, exportName: string): Promise<NbdClient> {
    const socket = createConnection({ path });
    await once(socket, 'connect');
    const incoming = new Incoming(socket, path);
    try {
      const sizeBytes = await negotiate(path, socket, incoming, exportName);
      return new NbdClient(path, socket, incoming, sizeBytes);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Fills `into` from `offset`. */
  read(offset: number, into: Buffer): Promise<void> {
    return this.#ask('READ', offset, into.length, null, into);
  }

  /** `bytes` must stay as they are until the promise resolves. */
  write(offset: number, bytes: Buffer): Promise<void> {
    return this.#ask('WRITE', offset, bytes.length, bytes, null);
  }

  flush(): Promise<void> {
    return this.#ask('FLUSH', 0, 0, null, null);
  }

  trim(offset: number, length: number): Promise<void> {
    return this.#ask('TRIM', offset, length, null, null);
  }

  /** WRITE_ZEROES; the server may make a hole of it. */
  zero(offset: number, length: number): Promise<void> {
    return this.#ask('WRITE_ZEROES', offset, length, null, null);
  }

  /** Says goodbye and waits for the end of the connection. Call it with nothing in flight. */
  async close(): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#send('DISC', 0n, 0, 0, null);
    this.#socket.end();
    await once(this.#socket, 'close').catch(() => undefined);
  }

  /** Ends the connection at once; what is in flight rejects. */
  destroy(): void {
    this.#socket.destroy();
  }

  #ask(
    command: Command,
    offset: number,
    length: number,
    payload: Buffer | null,
    into: Buffer | null,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) {
        reject(this.#lost);
        return;
      }
      this.#cookie += 1n;
      const pending = { command, offset, length, into, resolve, reject };
      this.#pending.set(this.#cookie, pending);
      this.#send(command, this.#cookie, offset, length, payload);
    });
  }

  /** Request header: magic, flags, type, cookie, offset, length ("Request message"). */
  #send(
    command: Command,
    cookie: bigint,
    offset: number,
    length: number,
    payload: Buffer | null,
  ): void {
    const header = Buffer.alloc(28);
    header.writeUInt32BE(REQUEST_MAGIC, 0);
    header.writeUInt16BE(COMMANDS[command], 6);
    header.writeBigUInt64BE(cookie, 8);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(length, 24);
    this.#socket.cork();
    this.#socket.write(header);
    if (payload !== null) this.#socket.write(payload);
    this.#socket.uncork();
  }

  async #receive(): Promise<void> {
    const header = Buffer.alloc(16);
    try {
      for (;;) {
        await this.#incoming.take(header);
        await this.#answer(
          header.readUInt32BE(0),
          header.readUInt32BE(4),
          header.readBigUInt64BE(8),
        );
      }
    } catch (error) {
      const lost = error instanceof Error ? error : this.#protocol(String(error));
      this.#lost = lost;
      this.#socket.destroy();
      for (const pending of this.#pending.values()) pending.reject(lost);
      this.#pending.clear();
    }
  }

  async #answer(magic: number, errno: number, cookie: bigint): Promise<void> {
    if (magic !== REPLY_MAGIC) throw this.#protocol(`reply magic 0x${magic.toString(16)}`);
    const pending = this.#pending.get(cookie);
    if (pending === undefined) throw this.#protocol(`nobody asked for cookie ${cookie}`);
    if (errno === 0 && pending.into !== null) await this.#incoming.take(pending.into);
    this.#pending.delete(cookie);
    if (errno === 0) {
      pending.resolve();
      return;
    }
    const { command: request, offset, length } = pending;
    pending.reject(
      new NbdClientError({ code: 'NBD_CLIENT_ERRNO', request, offset, length, errno }),
    );
  }

  #protocol(text: string): Error {
    return new NbdClientError({ code: 'NBD_CLIENT_PROTOCOL', path: this.#path, text });
  }
}

/** "Fixed newstyle negotiation", then GO. Returns the size of the export. */
async function negotiate(
  path: string,
  socket: Socket,
  incoming: Incoming,
  exportName: string,
): Promise<number> {
  const wrong = (text: string) => new NbdClientError({ code: 'NBD_CLIENT_PROTOCOL', path, text });
  const hello = await incoming.take(Buffer.alloc(18));
  if (hello.readBigUInt64BE(0) !== NBDMAGIC || hello.readBigUInt64BE(8) !== IHAVEOPT) {
    throw wrong('no newstyle greeting');
  }
  const name = Buffer.from(exportName);
  const go = Buffer.alloc(4 + 16 + 4 + name.length + 2);
  go.writeUInt32BE(FLAGS_FIXED_NO_ZEROES, 0);
  go.writeBigUInt64BE(IHAVEOPT, 4);
  go.writeUInt32BE(OPT_GO, 12);
  go.writeUInt32BE(4 + name.length + 2, 16);
  go.writeUInt32BE(name.length, 20);
  name.copy(go, 24);
  socket.write(go);
  let sizeBytes: number | null = null;
  for (;;) {
    const head = await incoming.take(Buffer.alloc(20));
    if (head.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) throw wrong('option reply magic');
    const reply = head.readUInt32BE(12);
    const length = head.readUInt32BE(16);
    if (length > OPTION_BYTES_MAX) throw wrong(`option reply of ${length} bytes`);
    const data = await incoming.take(Buffer.alloc(length));
    if (reply === REP_INFO && length >= 12 && data.readUInt16BE(0) === INFO_EXPORT) {
      sizeBytes = Number(data.readBigUInt64BE(2));
    } else if (reply === REP_ACK) {
      if (sizeBytes === null) throw wrong('GO without the size of the export');
      return sizeBytes;
    } else if (reply !== REP_INFO) {
      const text = data.toString('utf8');
      throw new NbdClientError({ code: 'NBD_CLIENT_REFUSED', path, exportName, reply, text });
    }
  }
}
