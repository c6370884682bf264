// The client's half of NBD for tests, written from proto.md and not from src/nbd: packets out,
// packets back, over any socket. It can also misbehave: `raw` sends what it is given.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, type NetConnectOpts, type Socket } from 'node:net';

export const CMD = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 };
export const OPT = { EXPORT_NAME: 1, ABORT: 2, LIST: 3, STARTTLS: 5, INFO: 6, GO: 7 };
export const FUA = 1;
export const NO_HOLE = 2;

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
  readonly data: Buffer;
}

/** A connection whose incoming bytes are taken in exact amounts. */
export class Client {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #ended = false;
  #wake: () => void = () => {};
  #cookie = 0;
  readonly #reads = new Map<bigint, number>();
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

  /** Negotiates `name` with GO and is then in transmission. */
  static async open(to: NetConnectOpts, name: string): Promise<Client> {
    const client = await Client.connect(to);
    await client.take(18);
    client.raw(words([32, 3]), option(OPT.GO, goData(name)));
    for (;;) {
      const head = await client.take(20);
      await client.take(head.readUInt32BE(16));
      const type = head.readUInt32BE(12);
      if (type === 1) return client;
      assert.equal(type, 3, 'GO succeeds');
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
    this.expect(cookie, fields.type === CMD.READ ? (fields.length ?? 0) : 0);
    this.raw(request({ ...fields, cookie }, payload));
    return cookie;
  }

  /** Declares a request that was sent by `raw`. */
  expect(cookie: bigint, dataBytes: number): void {
    this.#reads.set(cookie, dataBytes);
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
    assert.equal(head.readUInt32BE(0), 0x67446698);
    const error = head.readUInt32BE(4);
    const cookie = head.readBigUInt64BE(8);
    const bytes = this.#reads.get(cookie);
    assert.ok(bytes !== undefined, `cookie ${cookie} was asked and not yet answered`);
    this.#reads.delete(cookie);
    this.order.push(cookie);
    this.#answers.set(cookie, {
      error,
      data: error === 0 ? await this.take(bytes) : head.subarray(0, 0),
    });
  }
}
