// What the syncs of one disk have ahead of them, over all threads that write it: fdatasync brings
// to the medium what any of them wrote, and waits for what another sync is bringing. Shared memory;
// every access is Atomics. Counts are of 4 KiB, so that 8 TiB may be written between two syncs.
import { BLOCK_BYTES } from '../base/units.js';

// Words (Int32).
const BLOCKS = 0; // written since a sync last began
const RUNNING = 1; // syncs under way

/** One for each opened disk; posted to every thread that has a Device on it. */
export const newSyncMemory = (): SharedArrayBuffer => new SharedArrayBuffer(8);

export class SyncLedger {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  wrote(bytes: number): void {
    Atomics.add(this.#words, BLOCKS, Math.ceil(bytes / BLOCK_BYTES));
  }

  /** A sync begins. Bytes that it has to write, rounded up; `alone`: no other is under way. */
  begin(): { readonly dirtyBytes: number; readonly alone: boolean } {
    const alone = Atomics.add(this.#words, RUNNING, 1) === 0;
    return { dirtyBytes: Atomics.exchange(this.#words, BLOCKS, 0) * BLOCK_BYTES, alone };
  }

  end(): void {
    Atomics.sub(this.#words, RUNNING, 1);
  }
}
