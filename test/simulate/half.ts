// One end of a connection of the simulated network (network.ts): what the peer has written is on
// its way, then here, then read. Bytes that are on their way or not read are bounded as by a
// socket's buffers: beyond that a writer waits (W5).
import { assert } from '../../src/base/assert.js';
import { NetError } from '../../src/net/faults.js';
import type { ByteStream } from '../../src/net/stream.js';
import type { Life, Loop } from './loop.js';

/** What a stream takes before a writer waits. */
const WINDOW_BYTES = 256 * 1024;

/** What an end asks of the network it is part of. */
export interface Wire {
  /** Nothing is delivered now. */
  readonly deaf: boolean;
  /** How long until something may be delivered. */
  readonly waitMs: number;
  latencyMs(): number;
  /** What arrives of `pieces`, those at the front of the queue. */
  arrived(pieces: Uint8Array[]): Uint8Array[];
  gone(half: Half): void;
  noteWaiting(bytes: number): void;
}

/** One end of a connection. */
export class Half implements ByteStream {
  readonly remote = 'peer:8457';
  readonly life: Life;
  readonly dialled: boolean;
  peer: Half = this;
  bytesIn = 0;
  bytesOut = 0;
  readonly #network: Wire;
  readonly #loop: Loop;
  /** Sent by the peer, on their way. */
  #coming: Uint8Array[] = [];
  /** Of what is on its way, and of what has arrived and not been read. */
  #heldBytes = 0;
  #scheduled = false;
  #here: Uint8Array[] = [];
  #ended = false;
  #endComing = false;
  #reason: string | null = null;
  #reader: ((piece: Uint8Array | null) => void) | null = null;
  #readerFails: ((error: unknown) => void) | null = null;
  #room: { readonly go: () => void; readonly fail: (error: unknown) => void }[] = [];

  constructor(network: Wire, loop: Loop, life: Life, dialled: boolean) {
    this.#network = network;
    this.#loop = loop;
    this.life = life;
    this.dialled = dialled;
  }

  read(): Promise<Uint8Array | null> {
    assert(this.#reader === null, 'one reader at a time');
    const piece = this.#next();
    if (piece !== undefined) return Promise.resolve(piece);
    if (this.#reason !== null) return Promise.reject(this.#closed());
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#reader = resolve;
      this.#readerFails = reject;
    });
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      if (this.#reason !== null) throw this.#closed();
      this.bytesOut += piece.length;
      await this.peer.#take(piece);
    }
  }

  async end(): Promise<void> {
    if (this.#reason !== null) return;
    this.peer.#comesEnd();
    await this.#loop.later(this.#network.latencyMs(), this.life);
  }

  destroy(why: string): void {
    if (this.#reason !== null) return;
    this.reset(why);
    if (!this.peer.life.ended) {
      this.#loop.at(this.#network.latencyMs() + this.#network.waitMs, this.peer.life, () => {
        this.peer.reset('the other side ended it');
      });
    }
  }

  reset(why: string): void {
    if (this.#reason !== null) return;
    this.#reason = why;
    this.#network.gone(this);
    this.#here = [];
    this.#coming = [];
    this.#readerFails?.(this.#closed());
    this.#reader = null;
    this.#readerFails = null;
    for (const { fail } of this.peer.#room.splice(0)) fail(this.peer.#closed());
    for (const { fail } of this.#room.splice(0)) fail(this.#closed());
  }

  /** A piece from the peer sets out; resolves when it is accepted. */
  #take(piece: Uint8Array): Promise<void> {
    if (this.#reason !== null || this.life.ended) return this.#swallowed();
    this.#coming.push(piece);
    this.#heldBytes += piece.length;
    this.#network.noteWaiting(this.#heldBytes);
    this.#schedule();
    if (this.#heldBytes <= WINDOW_BYTES) return Promise.resolve();
    return new Promise((go, fail) => this.#room.push({ go, fail }));
  }

  /** Sent to one that is gone: the network takes it until somebody notices. */
  #swallowed(): Promise<void> {
    return Promise.resolve();
  }

  #comesEnd(): void {
    this.#endComing = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const ms = this.#network.waitMs + this.#network.latencyMs();
    this.#loop.at(ms, this.life, () => {
      this.#scheduled = false;
      if (this.#network.deaf) this.#schedule();
      else this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#reason !== null) return;
    const sent = this.#coming.splice(0);
    const arrived = this.#network.arrived(sent);
    const bytesOf = (pieces: Uint8Array[]): number =>
      pieces.reduce((sum, { length }) => sum + length, 0);
    this.#heldBytes += bytesOf(arrived) - bytesOf(sent);
    this.bytesIn += bytesOf(arrived);
    this.#here.push(...arrived.filter(({ length }) => length > 0));
    if (this.#endComing && this.#coming.length === 0) this.#ended = true;
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#reader;
    if (wake === null) return;
    const piece = this.#next() ?? (this.#ended ? null : undefined);
    if (piece === undefined) return;
    this.#reader = null;
    this.#readerFails = null;
    wake(piece);
  }

  /** What has arrived and is now read; who waited to send more goes on. */
  #next(): Uint8Array | undefined {
    const piece = this.#here.shift();
    if (piece === undefined) return undefined;
    this.#heldBytes -= piece.length;
    if (this.#heldBytes <= WINDOW_BYTES) for (const { go } of this.#room.splice(0)) go();
    return piece;
  }

  #closed(): InstanceType<typeof NetError> {
    const why = this.#reason ?? 'it is gone';
    return new NetError({ code: 'PEER_CLOSED', address: this.remote, why });
  }
}
