// A disk whose every state is known: one writer, one request at a time, so that its history is a
// row of states, and a point of it must be one of them (D2): not older than what was answered when
// its round was asked for, not newer than what was issued when that ended. Single blocks may be
// written meanwhile, for those have no half. Offsets and sizes are bytes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { Client, CMD, FUA } from '../nbd/client.js';
import { seededBytes } from './images.js';
import type { RealNode } from './nodes.js';

/** Of one request. */
const WRITE_BYTES_MAX = MIB;
/** Between two single blocks. */
const PAUSE_MS = 3;

interface Written {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Numbers of states: the first and the last that a point may be. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export class WrittenDisk {
  /** Whole blocks. */
  readonly sizeBytes: number;
  readonly #node: RealNode;
  readonly #random: Random;
  readonly #base: Buffer;
  readonly #writes: Written[] = [];
  #answered = 0;
  #client: Client | null = null;

  /** `base`: its content now. */
  constructor(node: RealNode, base: Buffer, random: Random) {
    this.#node = node;
    this.#base = base;
    this.#random = random;
    this.sizeBytes = base.length;
  }

  /** The state that all answered writes make. */
  get answered(): number {
    return this.#answered;
  }

  /** The newest state that may be on the disk. */
  get issued(): number {
    return this.#writes.length;
  }

  async connect(): Promise<void> {
    this.#client = await Client.open({ path: this.#node.nbdSocket }, 'vm1');
  }

  disconnect(): void {
    this.#client?.socket.destroy();
    this.#client = null;
  }

  /** In as many requests as it takes. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += WRITE_BYTES_MAX) {
      await this.#one(offset + at, bytes.subarray(at, at + WRITE_BYTES_MAX));
    }
  }

  /** New content that does not compress, anywhere: `count` times up to `bytesMax`. */
  async change(count: number, bytesMax: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      const blocks = 1 + this.#random.below(Math.ceil(bytesMax / BLOCK_BYTES));
      const length = Math.min(this.sizeBytes, blocks * BLOCK_BYTES);
      const last = Math.floor((this.sizeBytes - length) / BLOCK_BYTES);
      const offset = this.#random.below(last + 1) * BLOCK_BYTES;
      const isZero = this.#random.below(8) === 0;
      const seed = 1 + this.#random.below(2 ** 30);
      await this.write(offset, isZero ? Buffer.alloc(length) : seededBytes(seed, length));
    }
  }

  /** Block by block until told to stop, or the daemon dies: then it resolves with why. */
  changeSlowly(): () => Promise<unknown> {
    let stopped = false;
    const all = (async () => {
      while (!stopped) {
        await this.change(1, BLOCK_BYTES);
        await sleep(PAUSE_MS);
      }
      return null;
    })().catch((error: unknown) => error);
    return () => {
      stopped = true;
      return all;
    };
  }

  /** hastd was killed: what was not answered is done or not, as the disk says; nothing else has
   * changed, and nothing that was answered is lost. */
  lost(): void {
    this.disconnect();
    const image = readFileSync(this.#node.image).subarray(0, this.sizeBytes);
    const open = this.#writes[this.#answered];
    if (open !== undefined) {
      const { offset, bytes } = open;
      const there = Buffer.from(image.subarray(offset, offset + bytes.length));
      this.#writes.push({ offset, bytes: there });
      this.#answered = this.#writes.length;
    }
    assert.ok(image.equals(this.at(this.#answered)), 'the disk has what was answered');
  }

  /** The disk as of a state. */
  at(state: number): Buffer {
    const image = Buffer.from(this.#base);
    for (const { offset, bytes } of this.#writes.slice(0, state)) image.set(bytes, offset);
    return image;
  }

  /** The number of the state that an image is; null: it is none of these. */
  stateOf(image: Buffer, { from, to }: Span): number | null {
    const state = this.at(from);
    const differing = new Set<number>();
    const compare = (first: number, end: number): void => {
      for (let at = first; at < end; at += BLOCK_BYTES) {
        const same = image.compare(state, at, at + BLOCK_BYTES, at, at + BLOCK_BYTES) === 0;
        if (same) differing.delete(at);
        else differing.add(at);
      }
    };
    compare(0, this.sizeBytes);
    for (let number = from; differing.size > 0; number += 1) {
      const next = this.#writes[number];
      if (number === to || next === undefined) return null;
      state.set(next.bytes, next.offset);
      compare(next.offset, next.offset + next.bytes.length);
      if (differing.size === 0) return number + 1;
    }
    return from;
  }

  async #one(offset: number, bytes: Uint8Array): Promise<void> {
    const client = this.#client;
    assert.ok(client !== null, 'the guest is connected');
    this.#writes.push({ offset, bytes });
    const flags = this.#random.below(4) === 0 ? FUA : 0;
    const zero = bytes.every((byte) => byte === 0) && this.#random.below(2) === 0;
    const fields = zero
      ? { type: CMD.WRITE_ZEROES, flags, offset, length: bytes.length }
      : { type: CMD.WRITE, flags, offset };
    const { error } = await client.ask(fields, zero ? undefined : bytes);
    assert.equal(error, 0, `NBD error for a write of ${bytes.length} at ${offset}`);
    this.#answered = this.#writes.length;
  }
}
