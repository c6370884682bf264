// A disk in memory on a file system that forgets what is not flushed when it is asked for holes
// (ZFS before 2.2.2, FUSE with write-back): a block that was written since the last sync is told as
// a hole, whatever it held before. Counts what it is asked. Offsets and lengths are bytes.
import { BLOCK_BYTES } from '../../src/base/units.js';
import { MemoryDevice } from '../disk/memory-device.js';

export class ForgetfulDevice extends MemoryDevice {
  searches = 0;
  /** What other threads do while the file system searches. */
  meanwhile: () => void = () => {};
  readonly #unsynced = new Set<number>();

  override writeNow(offset: number, bytes: Uint8Array): void {
    super.writeNow(offset, bytes);
    for (let at = offset; at < offset + bytes.length; at += BLOCK_BYTES) {
      this.#unsynced.add(Math.floor(at / BLOCK_BYTES));
    }
  }

  override async sync(): Promise<void> {
    const written = [...this.#unsynced];
    await super.sync();
    for (const block of written) this.#unsynced.delete(block);
  }

  override nextData(from: number): number {
    this.searches += 1;
    this.meanwhile();
    for (let at = from; ; ) {
      const data = super.nextData(at);
      const block = Math.floor(data / BLOCK_BYTES);
      if (data === this.sizeBytes || !this.#unsynced.has(block)) return data;
      at = Math.min(this.sizeBytes, (block + 1) * BLOCK_BYTES);
    }
  }

  /** It would look at every extent of a large file: no read asks for it. */
  override nextHole(): never {
    throw new Error('nextHole was asked');
  }
}
