// fdatasync of one file, on the thread pool or, where that is quicker, in the calling thread
// (sync-pace.ts). Errors are those of Node. H18 is the caller's.
import { fdatasync, fdatasyncSync } from 'node:fs';
import { promisify } from 'node:util';
import { systemClock } from '../base/clock.js';
import { SyncLedger } from './sync-ledger.js';
import { SyncPace } from './sync-pace.js';

const fdatasyncOnPool = promisify(fdatasync);

export class FileSync {
  readonly #fd: number;
  readonly #ledger: SyncLedger;
  readonly #pace: SyncPace | null;

  /** `inThread`: quick ones may be called in the thread. */
  constructor(fd: number, memory: SharedArrayBuffer, inThread: boolean) {
    this.#fd = fd;
    this.#ledger = new SyncLedger(memory);
    this.#pace = inThread ? new SyncPace() : null;
  }

  /** Bytes that the next run, of whatever thread, has to bring to the disk. */
  wrote(bytes: number): void {
    this.#ledger.wrote(bytes);
  }

  /** `alone`: this thread waits for nothing else of the disk, so nothing else is held up. */
  async run(alone: boolean): Promise<void> {
    const ahead = this.#ledger.begin();
    try {
      const mayBlock = alone && ahead.alone;
      const inThread = (this.#pace?.begin(ahead.dirtyBytes) ?? false) && mayBlock;
      const startMs = systemClock.monotonicMs();
      if (inThread) fdatasyncSync(this.#fd);
      else await fdatasyncOnPool(this.#fd);
      this.#pace?.took(systemClock.monotonicMs() - startMs, inThread);
    } finally {
      this.#ledger.end();
    }
  }
}
