// A Disk in memory for tests of the guest-facing server: finishes in the call, later, or by turns;
// fails where it is told to; remembers what was asked. Offsets and lengths are bytes.
import type { Disk, Sooner } from '../../src/disk/disk.js';

export type Pace = 'done' | 'later' | 'mixed';
export type DiskCall = {
  readonly call: 'read' | 'write' | 'zero' | 'trim' | 'flush';
  readonly offset: number;
  readonly length: number;
  readonly mayPunch?: boolean;
};

export class MemoryDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly content: Buffer;
  readonly calls: DiskCall[] = [];
  pace: Pace = 'done';
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

  zero(offset: number, length: number, mayPunch: boolean): Promise<void> {
    return this.#later({ call: 'zero', offset, length, mayPunch }, () => {
      this.content.fill(0, offset, offset + length);
    });
  }

  trim(offset: number, length: number): Promise<void> {
    return this.#later({ call: 'trim', offset, length }, () => {});
  }

  flush(): Promise<void> {
    return this.#later({ call: 'flush', offset: 0, length: 0 }, () => {});
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
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault !== null) throw fault;
    work();
    return 'done';
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
