// A Disk in memory for tests of the guest-facing server: finishes in the call, later, or by turns;
// fails where it is told to; remembers what was asked. Its map is told by 4 KiB blocks of zeroes:
// HOLE and ZERO in base:allocation, clean in any other context. Offsets and lengths are bytes.
import type { Disk, Sooner, StatusRun } from '../../src/disk/disk.js';

export type Pace = 'done' | 'later' | 'mixed';
export type DiskCall = {
  readonly call: 'read' | 'write' | 'zero' | 'trim' | 'flush' | 'prefetch' | 'status';
  readonly offset: number;
  readonly length: number;
  readonly mayPunch?: boolean;
  readonly fast?: boolean;
};

const BLOCK_BYTES = 4096;
export const CONTEXTS = ['base:allocation', 'qemu:dirty-bitmap:b', 'qemu:dirty-bitmap:c'] as const;

export class MemoryDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly content: Buffer;
  readonly calls: DiskCall[] = [];
  readonly contexts: readonly string[] = CONTEXTS;
  pace: Pace = 'done';
  /** False: FAST_ZERO is refused. */
  zeroesFast = true;
  /** While set, what finishes later waits for it. */
  hold: Promise<void> | null = null;
  /** Promises not yet settled, and the most there ever were; bytes likewise. */
  pending = 0;
  pendingMax = 0;
  pendingBytes = 0;
  pendingBytesMax = 0;
  /** Asked before every operation; what it returns is thrown or rejected with. */
  fault: (call: DiskCall) => unknown = () => null;
  #turn = 0;

  constructor(sizeBytes: number, readOnly = false) {
    this.sizeBytes = sizeBytes;
    this.readOnly = readOnly;
    this.content = Buffer.alloc(sizeBytes);
  }

  read(offset: number, into: Uint8Array): Sooner {
    return this.#sooner({ call: 'read', offset, length: into.length }, () => {
      into.set(this.content.subarray(offset, offset + into.length));
    });
  }

  write(offset: number, bytes: Uint8Array): Sooner {
    const later = this.#isLater();
    const copy = later ? Uint8Array.from(bytes) : bytes;
    const call: DiskCall = { call: 'write', offset, length: bytes.length };
    return this.#run(call, later, () => this.content.set(copy, offset));
  }

  async zero(
    offset: number,
    length: number,
    mayPunch: boolean,
    fast: boolean,
  ): Promise<'done' | 'slow'> {
    const slow = fast && !this.zeroesFast;
    await this.#later({ call: 'zero', offset, length, mayPunch, fast }, () => {
      if (!slow) this.content.fill(0, offset, offset + length);
    });
    return slow ? 'slow' : 'done';
  }

  trim(offset: number, length: number): Promise<void> {
    return this.#later({ call: 'trim', offset, length }, () => {});
  }

  flush(): Promise<void> {
    return this.#later({ call: 'flush', offset: 0, length: 0 }, () => {});
  }

  prefetch(offset: number, length: number): void {
    this.#now({ call: 'prefetch', offset, length }, () => {});
  }

  status(context: string, offset: number, length: number, runsMax: number): readonly StatusRun[] {
    const runs: { length: number; flags: number }[] = [];
    this.#now({ call: 'status', offset, length }, () => {
      const [empty, full] = context.startsWith('qemu:') ? [0, 1] : [3, 0];
      for (let at = offset; at < offset + length; ) {
        const block = Math.floor(at / BLOCK_BYTES) * BLOCK_BYTES;
        const bytes = this.content.subarray(block, block + BLOCK_BYTES);
        const flags = bytes.every((byte) => byte === 0) ? empty : full;
        const next = Math.min(offset + length, block + BLOCK_BYTES);
        const last = runs.at(-1);
        if (last?.flags === flags) last.length += next - at;
        else if (runs.length === runsMax) return;
        else runs.push({ length: next - at, flags });
        at = next;
      }
    });
    return runs;
  }

  callsOf(call: DiskCall['call']): DiskCall[] {
    return this.calls.filter((one) => one.call === call);
  }

  #isLater(): boolean {
    this.#turn += 1;
    return this.pace === 'later' || (this.pace === 'mixed' && this.#turn % 3 === 0);
  }

  #sooner(call: DiskCall, work: () => void): Sooner {
    return this.#run(call, this.#isLater(), work);
  }

  #run(call: DiskCall, later: boolean, work: () => void): Sooner {
    if (later) return this.#later(call, work);
    this.#now(call, work);
    return 'done';
  }

  #now(call: DiskCall, work: () => void): void {
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault !== null) throw fault;
    work();
  }

  async #later(call: DiskCall, work: () => void): Promise<void> {
    this.calls.push(call);
    this.pending += 1;
    this.pendingBytes += call.length;
    this.pendingMax = Math.max(this.pendingMax, this.pending);
    this.pendingBytesMax = Math.max(this.pendingBytesMax, this.pendingBytes);
    try {
      await (this.hold ?? new Promise((resolve) => setImmediate(resolve)));
      const fault = this.fault(call);
      if (fault !== null) throw fault;
      work();
    } finally {
      this.pending -= 1;
      this.pendingBytes -= call.length;
    }
  }
}
