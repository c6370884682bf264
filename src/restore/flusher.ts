// Flushes of a disk beside the writing of it, so that little waits for the medium in the end.
import { MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';

/** Written bytes that may wait for the medium, twice: while some are flushed, others are made. */
const SYNC_BYTES = 256 * MIB;

/** One flush at a time. */
export class Flusher {
  readonly #device: Device;
  #unsyncedBytes = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Waits while too much does. Errors DISK_FAILED, also of an earlier flush. */
  async wrote(bytes: number): Promise<void> {
    this.#unsyncedBytes += bytes;
    if (this.#unsyncedBytes < SYNC_BYTES) return;
    this.#unsyncedBytes = 0;
    const before = this.#running;
    this.#running = before.then(() => this.#device.sync());
    this.#running.catch(() => undefined);
    await before;
  }

  async end(): Promise<void> {
    await this.#running;
    await this.#device.sync();
  }
}
