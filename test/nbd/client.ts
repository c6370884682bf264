// The client's half of NBD for tests, written from proto.md and not from src/nbd: packets out,
// packets back, over any socket. It can also misbehave: `raw` sends what it is given.
// Numbers stand here again, as in src/nbd/protocol.ts: one shared table would hide a wrong one.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, type NetConnectOpts, type Socket } from 'node:net';
import { assemble, CHUNK_MAGIC, type Chunk, chunkHead, DONE, errorOf } from './chunks.js';

export const CMD = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
};
export const OPT = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
};
export const FUA = 1;
export const NO_HOLE = 2;
export const DF = 4;
export const REQ_ONE = 8;
export const FAST_ZERO = 16;

export const words = (...values: [bits: 16 | 32 | 64, value: number | bigint][]): Buffer =>
  Buffer.concat(
    values.map(([bits, value]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)));
      return bytes.subarray(8 - bits / 8);
    }),
  );

export const option = (number: number, data: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), words([32, number], [32, data.length]), data]);

export function goData(name: string, ...wants: number[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([
    words([32, bytes.length]),
    bytes,
    words([16, wants.length]),
    ...wants.map((want) => words([16, want])),
  ]);
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function metaData(name: string, ...queries: string[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    return Buffer.concat([words([32, bytes.length]), bytes]);
  };
  return Buffer.concat([text(name), words([32, queries.length]), ...queries.map(text)]);
}

export interface RequestFields {
  readonly type: number;
  readonly flags?: number;
  readonly cookie?: number | bigint;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly magic?: number;
}

export const request = (r: RequestFields, payload: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([
    words(
      [32, r.magic ?? 0x25609513],
      [16, r.flags ?? 0],
      [16, r.type],
      [64, r.cookie ?? 0],
      [64, r.offset ?? 0],
      [32, r.length ?? payload.length],
    ),
    payload,
  ]);

export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

/** Splits option replies; they must come out even. */
export function optionReplies(bytes: Buffer): OptionReply[] {
  const replies: OptionReply[] = [];
  for (let at = 0; at < bytes.length; ) {
    assert.equal(bytes.readBigUInt64BE(at), 0x3e889045565a9n);
    const length = bytes.readUInt32BE(at + 16);
    const data = bytes.subarray(at + 20, at + 20 + length);
    assert.equal(data.length, length, 'a reply is whole');
    replies.push({ option: bytes.readUInt32BE(at + 8), type: bytes.readUInt32BE(at + 12), data });
    at += 20 + length;
  }
  return replies;
}

export interface Reply {
  readonly error: number;
  /** What was read; empty after an error. */
  readonly data: Buffer;
  /** Of a structured reply, else empty. */
  readonly chunks: readonly Chunk[];
}

/** What `open` negotiates beside GO. */
export interface Wishes {
  readonly structured?: boolean;
  readonly contexts?: readonly string[];
}

interface Asked {
  readonly offset: number;
  readonly length: number;
  readonly read: boolean;
}

/** A connection whose incoming bytes are taken in exact amounts. */
export class Client {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #ended = false;
  #wake: () => void = () => {};
  #cookie = 0;
  readonly #asked = new Map<bigint, Asked>();
  readonly #chunks = new Map<bigint, Chunk[]>();
  readonly #answers = new Map<bigint, Reply>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#received.push(bytes);
      this.#receivedBytes += bytes.length;
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('end', end).on('error', end).on('close', end);
  }

  static async connect(to: NetConnectOpts): Promise<Client> {
    const socket = createConnection(to);
    await once(socket, 'connect');
    return new Client(socket);
  }

  /** Negotiates `name` with GO and is then in transmission. Contexts imply structured replies. */
  static async open(to: NetConnectOpts, name: string, wishes: Wishes = {}): Promise<Client> {
    const client = await Client.connect(to);
    const { structured, contexts } = wishes;
    await client.take(18);
    client.raw(words([32, 3]));
    if (structured || contexts) await client.#agree(option(OPT.STRUCTURED_REPLY));
    if (contexts) {
      for (const { data } of await client.#agree(
        option(OPT.SET_META_CONTEXT, metaData(name, ...contexts)),
      )) {
        client.contexts.set(data.readUInt32BE(0), data.toString('utf8', 4));
      }
    }
    await client.#agree(option(OPT.GO, goData(name)));
    return client;
  }

  /** Names of the contexts that were selected, by id. */
  readonly contexts = new Map<number, string>();

  /** Sends an option that must succeed; returns what came before the ACK. */
  async #agree(bytes: Buffer): Promise<OptionReply[]> {
    this.raw(bytes);
    for (const replies: OptionReply[] = []; ; ) {
      const head = await this.take(20);
      const data = await this.take(head.readUInt32BE(16));
      const type = head.readUInt32BE(12);
      if (type === 1) return replies;
      assert.ok(type < 0x8000_0000, `option ${head.readUInt32BE(8)}: ${data}`);
      replies.push({ option: head.readUInt32BE(8), type, data });
    }
  }

  raw(...bytes: Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Exactly `count` bytes, or a failure when the server ends the connection before. */
  async take(count: number): Promise<Buffer> {
    while (this.#receivedBytes < count) {
      assert.ok(!this.#ended, `ended with ${this.#receivedBytes} of ${count} bytes`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all = Buffer.concat(this.#received);
    this.#received = [all.subarray(count)];
    this.#receivedBytes -= count;
    return all.subarray(0, count);
  }

  /** Waits for the server to end the connection; returns what came before. */
  async untilEnd(): Promise<Buffer> {
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return Buffer.concat(this.#received);
  }

  /** Sends a request and returns its cookie. */
  send(fields: RequestFields, payload?: Uint8Array): bigint {
    this.#cookie += 1;
    const cookie = (0xc0ffee00n << 32n) + BigInt(this.#cookie);
    const read = fields.type === CMD.READ;
    const [offset, length] = [Number(fields.offset ?? 0), fields.length ?? payload?.length ?? 0];
    this.#asked.set(cookie, { read, offset, length });
    this.raw(request({ ...fields, cookie }, payload));
    return cookie;
  }

  /** Declares a request that was sent by `raw`. */
  expect(cookie: bigint, dataBytes: number): void {
    this.#asked.set(cookie, { read: dataBytes > 0, offset: 0, length: dataBytes });
  }

  /** The reply to `cookie`, whatever comes before it. */
  async reply(cookie: bigint): Promise<Reply> {
    for (;;) {
      const answer = this.#answers.get(cookie);
      if (answer !== undefined) {
        this.#answers.delete(cookie);
        return answer;
      }
      await this.#next();
    }
  }

  /** Sends and waits. */
  ask(fields: RequestFields, payload?: Uint8Array): Promise<Reply> {
    return this.reply(this.send(fields, payload));
  }

  /** Cookies in order of their replies. */
  readonly order: bigint[] = [];

  async #next(): Promise<void> {
    const head = await this.take(16);
    const cookie = head.readBigUInt64BE(8);
    const asked = this.#asked.get(cookie);
    assert.ok(asked !== undefined, `cookie ${cookie} was asked and not yet answered`);
    if (head.readUInt32BE(0) === CHUNK_MAGIC) {
      await this.#nextChunk(cookie, asked, head);
      return;
    }
    assert.equal(head.readUInt32BE(0), 0x67446698);
    const error = head.readUInt32BE(4);
    const data = await this.take(error === 0 && asked.read ? asked.length : 0);
    this.#end(cookie, { error, data, chunks: [] });
  }

  async #nextChunk(cookie: bigint, asked: Asked, head: Buffer): Promise<void> {
    const { type, flags, bytes } = chunkHead(Buffer.concat([head, await this.take(4)]));
    const chunks = this.#chunks.get(cookie) ?? [];
    chunks.push({ type, flags, payload: Buffer.from(await this.take(bytes)) });
    this.#chunks.set(cookie, chunks);
    if ((flags & DONE) === 0) return;
    this.#chunks.delete(cookie);
    const error = errorOf(chunks);
    const data = asked.read ? assemble(chunks, asked.offset, asked.length, error) : null;
    this.#end(cookie, { error, data: data ?? Buffer.alloc(0), chunks });
  }

  #end(cookie: bigint, reply: Reply): void {
    this.#asked.delete(cookie);
    this.order.push(cookie);
    this.#answers.set(cookie, reply);
  }
}
