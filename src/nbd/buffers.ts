// Reply buffers that are used again, one store per thread: a fresh megabyte costs 256 page faults.
// Guarantee (W5): at most RETAINED_BYTES_MAX lie idle in a thread, however many connections it has.
import { assert } from '../base/assert.js';
import { MIB } from '../base/units.js';
import { DATA_HEAD_BYTES } from './protocol.js';

/** Room before the payload for the head of its reply, of whatever kind; the head ends where the
 * payload begins. */
export const HEAD_BYTES = 32;
assert(DATA_HEAD_BYTES <= HEAD_BYTES, 'every head has room');
/** Idle bytes kept. */
export const RETAINED_BYTES_MAX = 16 * MIB;
/** Larger payloads are rare (the kernel and QEMU cut at 1 or 2 MiB): allocated and dropped. */
const POOLED_PAYLOAD_BYTES_MAX = 2 * MIB;
const SMALLEST_CLASS = 12; // 4 KiB

export class BufferPool {
  readonly #idle: Buffer[][] = [];
  readonly #retainedBytesMax: number;
  #retainedBytes = 0;

  constructor(retainedBytesMax: number) {
    this.#retainedBytesMax = retainedBytesMax;
  }

  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  /** A buffer of at least HEAD_BYTES + `payloadBytes`, contents undefined. */
  take(payloadBytes: number): Buffer {
    if (payloadBytes > POOLED_PAYLOAD_BYTES_MAX) {
      return Buffer.allocUnsafeSlow(HEAD_BYTES + payloadBytes);
    }
    const size = classOf(payloadBytes);
    const buffer = this.#idle[size]?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(HEAD_BYTES + 2 ** size);
    this.#retainedBytes -= buffer.length;
    return buffer;
  }

  /** Takes back what `take` gave; nobody may look at it any more. */
  give(buffer: Buffer): void {
    const payloadBytes = buffer.length - HEAD_BYTES;
    if (payloadBytes > POOLED_PAYLOAD_BYTES_MAX) return;
    if (this.#retainedBytes + buffer.length > this.#retainedBytesMax) return;
    const size = classOf(payloadBytes);
    assert(payloadBytes === 2 ** size, 'only what was taken is given back');
    const idle = this.#idle[size] ?? [];
    this.#idle[size] = idle;
    idle.push(buffer);
    this.#retainedBytes += buffer.length;
  }
}

/** The store of this thread. */
export const threadBuffers = new BufferPool(RETAINED_BYTES_MAX);

/** Smallest power of two that holds `payloadBytes`, as its exponent. */
function classOf(payloadBytes: number): number {
  return payloadBytes <= 2 ** SMALLEST_CLASS ? SMALLEST_CLASS : 32 - Math.clz32(payloadBytes - 1);
}
