// The network of a simulated run: listeners by address, and streams whose bytes take their time and
// meet what networks do: they stand still, are cut, end on one side only, or arrive changed (a bit
// flipped, a piece twice, two pieces in the wrong order, a piece missing), as of a broken middlebox
// on a plain connection. Bytes on their way are bounded as by a socket's buffers (W5).
import type { Random } from '../../src/base/random.js';
import type { Network } from '../../src/daemon/machinery.js';
import { NetError } from '../../src/net/faults.js';
import type { ListenMachinery } from '../../src/net/listen.js';
import type { ByteStream } from '../../src/net/stream.js';
import { Half, type Wire } from './half.js';
import type { Life, Loop } from './loop.js';

const LATENCY_MS_MAX = 20;
const DIAL_MS_MAX = 30;

export type Corruption = 'flip' | 'twice' | 'swapped' | 'missing' | 'cut short';

interface Door {
  readonly life: Life;
  readonly machinery: ListenMachinery;
}

export class SimNetwork implements Wire {
  readonly #loop: Loop;
  readonly #random: Random;
  readonly #doors = new Map<string, Door>();
  readonly #halves = new Set<Half>();
  /** Nothing is delivered, and nobody is reached, before this time. */
  #deafUntilMs = 0;
  /** The next piece delivered to anybody is changed. */
  #corruption: Corruption | null = null;
  /** Most bytes that were on their way in one direction of a stream. */
  bytesWaitingMax = 0;
  corrupted = 0;

  constructor(loop: Loop, random: Random) {
    this.#loop = loop;
    this.#random = random;
  }

  /** The network as a life sees it. */
  of(life: Life): Network {
    return {
      dial: async ({ remote, timeoutMs }, { signal }) => {
        if (signal?.aborted) throw new NetError({ code: 'PEER_ABORTED', address: remote });
        await this.#loop.later(this.#random.below(DIAL_MS_MAX), life);
        if (this.deaf) {
          await this.#loop.later(timeoutMs, life);
          const seconds = timeoutMs / 1000;
          const doing = 'connecting';
          throw new NetError({ code: 'PEER_TIMEOUT', address: remote, seconds, doing });
        }
        const door = this.#doors.get(remote);
        if (door === undefined || door.life.ended) {
          throw new NetError({ code: 'PEER_UNREACHABLE', address: remote, errno: 'ECONNREFUSED' });
        }
        if (signal?.aborted) throw new NetError({ code: 'PEER_ABORTED', address: remote });
        return this.#connect(life, door);
      },
      listen: async ({ address }, machinery) => {
        const door = { life, machinery };
        this.#doors.set(address, door);
        const close = async (): Promise<void> => {
          if (this.#doors.get(address) === door) this.#doors.delete(address);
        };
        return { address, port: 1, close };
      },
    };
  }

  get deaf(): boolean {
    return this.#loop.nowMs < this.#deafUntilMs;
  }

  /** Everything in flight stands still for `ms`, and nobody can be dialled. */
  silence(ms: number): void {
    this.#deafUntilMs = this.#loop.nowMs + ms;
  }

  heal(): void {
    this.#deafUntilMs = 0;
    this.#corruption = null;
  }

  /** Ends every connection; `oneSide`: the dialling end does not hear of it. */
  cut(oneSide: boolean): void {
    for (const half of [...this.#halves]) {
      if (!oneSide || half.dialled) half.reset('the connection was cut');
    }
  }

  corrupt(how: Corruption): void {
    this.#corruption = how;
  }

  /** A machine is gone: its connections end, or nobody ever hears of them again. */
  lost(life: Life, quietly: boolean): void {
    for (const half of [...this.#halves]) {
      if (half.life !== life) continue;
      this.#halves.delete(half);
      if (!quietly) half.peer.reset('the other side is gone');
    }
  }

  #connect(life: Life, door: Door): ByteStream {
    const [near, far] = [
      new Half(this, this.#loop, life, true),
      new Half(this, this.#loop, door.life, false),
    ];
    near.peer = far;
    far.peer = near;
    this.#halves.add(near).add(far);
    this.#loop.at(this.latencyMs(), door.life, () => {
      void door.machinery.connected({ stream: far, identity: null });
    });
    return near;
  }

  latencyMs(): number {
    return 0.1 + this.#random.below(LATENCY_MS_MAX);
  }

  /** How long until something may be delivered. */
  get waitMs(): number {
    return Math.max(0, this.#deafUntilMs - this.#loop.nowMs);
  }

  gone(half: Half): void {
    this.#halves.delete(half);
  }

  noteWaiting(bytes: number): void {
    this.bytesWaitingMax = Math.max(this.bytesWaitingMax, bytes);
  }

  arrived(pieces: Uint8Array[]): Uint8Array[] {
    const how = this.#corruption;
    const first = pieces[0];
    if (how === null || first === undefined || first.length === 0) return pieces;
    if (how === 'swapped' && pieces.length < 2) return pieces;
    this.#corruption = null;
    this.corrupted += 1;
    return changedBy(how, first, pieces.slice(1), this.#random);
  }
}

function changedBy(
  how: Corruption,
  first: Uint8Array,
  rest: Uint8Array[],
  random: Random,
): Uint8Array[] {
  const at = random.below(first.length);
  if (how === 'twice') return [first, first, ...rest];
  if (how === 'swapped') return [...rest.slice(0, 1), first, ...rest.slice(1)];
  if (how === 'missing') return rest;
  if (how === 'cut short') return [first.slice(0, at), ...rest];
  const changed = first.slice();
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
  return [changed, ...rest];
}
