// A guest that can be checked: several lanes on one NBD connection issue writes of one or many
// blocks, zeroes, trims, flushes and repeated content, each entered in a BlockLog before its first
// byte leaves and after its answer has come. All choices come from one seed; what overlaps, and
// when, is the machine's. Also: the wall times that hastd logs, as stamps of that log.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { type Random, systemRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import {
  type BlockLog,
  type OperationRecord,
  type Stamp,
  systemStamp,
} from '../consistency/block-log.js';
import { Client, CMD, FUA, NO_HOLE, type RequestFields, request } from '../nbd/client.js';

const LANES = 4;
const PAUSE_MS_MAX = 6;
/** Half of all writes go here, at the start of the disk, so that rounds meet them again. */
const HOT_BLOCKS = 512;
const BLOCKS_MAX = 24;
/** One write in forty is larger than the section of 1 MiB (H13, H4). */
const LARGE_BLOCKS = 300;
/** A wandering guest flushes once for so many flushes of another, and never uses FUA. */
const SELDOM = 400;
/** It writes to so few blocks, and after so many answers to others. */
const WINDOW_BLOCKS = 48;
const WINDOW_ANSWERS = 40;
/** Repeated content is chosen among the last writes. */
const REMEMBERED = 64;

/** HAST_SEED, or a new one for every run. */
export function seedFromEnv(): number {
  const given = process.env['HAST_SEED'];
  return given === undefined ? systemRandom.below(1_000_000) : Number(given);
}

/** What the lanes of a guest do next, and the totals of what was answered. */
export class Guest {
  readonly client: number;
  readonly #log: BlockLog;
  readonly #random: Random;
  readonly #recent: OperationRecord[] = [];
  #link: Connection | null = null;
  #lanes: Promise<PromiseSettledResult<void>[]> = Promise.resolve([]);
  #stopped = true;
  /** Operations answered with "done" since the beginning. */
  answers = 0;
  /** Of the flushes that were answered: when the latest one was issued. */
  flushedAt: Stamp = Number.NEGATIVE_INFINITY;
  /** What was answered with FUA. */
  readonly fua = new Set<OperationRecord>();

  /** It leaves what it has written behind, as a program that copies does. */
  readonly #wanders: boolean;

  constructor(client: number, log: BlockLog, random: Random, wanders = false) {
    this.#wanders = wanders;
    this.client = client;
    this.#log = log;
    this.#random = random;
  }

  /** Connects and begins. */
  async start(socketPath: string): Promise<void> {
    const link = await Connection.open(socketPath);
    this.#link = link;
    this.#stopped = false;
    this.#lanes = Promise.allSettled(Array.from({ length: LANES }, () => this.#lane(link)));
  }

  /** Ends when all lanes have their answers; rejects when the server refused or broke anything. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const error of await this.#failures()) throw error;
    this.#link?.end();
  }

  /** The server was killed, and has ended: nothing that is open takes effect any more. */
  async lost(): Promise<void> {
    this.#stopped = true;
    for (const error of await this.#failures()) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
    this.#log.disconnected(this.client);
  }

  async #failures(): Promise<unknown[]> {
    const lanes = await this.#lanes;
    return lanes.flatMap((lane) => (lane.status === 'rejected' ? [lane.reason] : []));
  }

  async #lane(link: Connection): Promise<void> {
    while (!this.#stopped) {
      const issuedAt = this.#log.stamp();
      const chosen = this.#next();
      const error = await link.ask(chosen.fields, chosen.payload);
      assert.equal(error, 0, `NBD error for ${JSON.stringify(chosen.fields)}`);
      if (chosen.record) this.#log.answered(chosen.record);
      if (chosen.record && chosen.fields.flags === FUA) this.fua.add(chosen.record);
      if (chosen.fields.type === CMD.FLUSH) this.flushedAt = Math.max(this.flushedAt, issuedAt);
      this.answers += 1;
      await sleep(this.#random.below(PAUSE_MS_MAX));
    }
  }

  /** The next request; what changes the disk is in the log already. */
  #next(): Chosen {
    const kind = this.#random.below(100);
    if (kind < 6 && this.#mayFlush()) return { fields: { type: CMD.FLUSH }, record: null };
    const [first, blocks] = this.#range();
    if (kind < 12) {
      const record = this.#log.trim(first, blocks, this.client);
      return { fields: this.#fields(CMD.TRIM, 0, record), record };
    }
    if (kind < 20) {
      const record = this.#log.zero(first, blocks, this.client);
      const flags = this.#random.below(2) === 0 ? NO_HOLE : 0;
      return { fields: this.#fields(CMD.WRITE_ZEROES, flags, record), record };
    }
    const old = this.#recent[this.#random.below(REMEMBERED)];
    const again = kind < 26 && old !== undefined;
    const record = again ? this.#log.rewrite(old) : this.#log.write(first, blocks, this.client);
    this.#recent.unshift(record);
    this.#recent.length = Math.min(this.#recent.length, REMEMBERED);
    const flags = this.#random.below(30) === 0 && !this.#wanders ? FUA : 0;
    const payload = this.#log.bytesOf(record);
    return { fields: this.#fields(CMD.WRITE, flags, record), payload, record };
  }

  #mayFlush(): boolean {
    return !this.#wanders || !Number.isFinite(this.flushedAt) || this.#random.below(SELDOM) === 0;
  }

  #range(): [first: number, blocks: number] {
    const large = this.#random.below(40) === 0;
    const hot = this.#random.below(2) === 0;
    const { blocks } = this.#log;
    const wanted = 1 + this.#random.below(large ? LARGE_BLOCKS : BLOCKS_MAX);
    const first = this.#wanders ? this.#nearby() : this.#random.below(hot ? HOT_BLOCKS : blocks);
    return [first, Math.min(wanted, blocks - first)];
  }

  #nearby(): number {
    const window = Math.floor(this.answers / WINDOW_ANSWERS) * WINDOW_BLOCKS;
    return (window + this.#random.below(WINDOW_BLOCKS)) % this.#log.blocks;
  }

  #fields(type: number, flags: number, { firstBlock, blocks }: OperationRecord): RequestFields {
    const offset = firstBlock * BLOCK_BYTES;
    const length = Math.min(this.#log.sizeBytes - offset, blocks * BLOCK_BYTES);
    return { type, flags, offset, length };
  }
}

interface Chosen {
  readonly fields: RequestFields;
  readonly payload?: Uint8Array;
  readonly record: OperationRecord | null;
}

class ConnectionLost extends Error {}

/** Requests without data in their replies, any number under way. */
class Connection {
  readonly #client: Client;
  readonly #open = new Map<bigint, (error: number | ConnectionLost) => void>();
  #cookie = 0n;
  #lost: ConnectionLost | null = null;

  private constructor(client: Client) {
    this.#client = client;
    void this.#readReplies();
  }

  static async open(path: string): Promise<Connection> {
    return new Connection(await Client.open({ path }, 'vm1'));
  }

  /** The error number of the reply. */
  ask(fields: RequestFields, payload?: Uint8Array): Promise<number> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    this.#cookie += 1n;
    const cookie = this.#cookie;
    return new Promise((resolve, reject) => {
      this.#open.set(cookie, (answer) => {
        if (typeof answer === 'number') resolve(answer);
        else reject(answer);
      });
      this.#client.raw(request({ ...fields, cookie }, payload));
    });
  }

  end(): void {
    this.#client.raw(request({ type: CMD.DISC }));
    this.#client.socket.end();
  }

  async #readReplies(): Promise<void> {
    for (;;) {
      const head = await this.#client.take(16).catch(() => null);
      if (head === null) break;
      const cookie = head.readBigUInt64BE(8);
      this.#open.get(cookie)?.(head.readUInt32BE(4));
      this.#open.delete(cookie);
    }
    this.#lost = new ConnectionLost('the server has ended the connection');
    for (const settle of this.#open.values()) settle(this.#lost);
    this.#open.clear();
    this.#client.socket.destroy();
  }
}

/** Wall time is read in whole milliseconds, by hastd and here: one for each, and one to spare. */
export const WALL_SLACK_NS = 3e6;

/** The stamp of a wall time of now or some seconds ago, within WALL_SLACK_NS. */
export function stampOfWall(wallMs: number): Stamp {
  return systemStamp() - (systemClock.wallMs() - wallMs) * 1e6;
}

/** Stamps surely before and after what hastd logged as begun and ended at these wall times. */
export const stampsOfCut = (cut: { beganMs: number; endedMs: number }) => ({
  beganAt: stampOfWall(cut.beganMs) - WALL_SLACK_NS,
  endedAt: stampOfWall(cut.endedMs) + WALL_SLACK_NS,
});
