// A disk of the crash world some of whose blocks fail to read until they are written.
import { BLOCK_BYTES } from '../../src/base/units.js';
import { type Device, DiskError, type WriteReserved } from '../../src/disk/device.js';

/** How such a block fails. */
export const failed = (offset: number) =>
  new DiskError({ code: 'DISK_FAILED', operation: 'read', path: '/disk', offset, errno: 'EIO' });

const READS = ['read', 'readAside', 'readMedium'];
const WRITES = ['write', 'writeNow', 'zeroNow'];

export class BadBlocks {
  readonly blocks = new Set<number>();

  /** Of Knobs: primaryDevice or replicaDevice. */
  readonly knob = (device: Device): Device =>
    new Proxy(device, {
      get: (real, name) => {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        if (name === 'reserved') {
          return (work: (write: WriteReserved) => Promise<unknown>) =>
            real.reserved((write) =>
              work((offset, bytes) => {
                this.#heal(offset, bytes.length);
                return write(offset, bytes);
              }),
            );
        }
        return (offset: number, arg: Uint8Array | number, ...rest: unknown[]) => {
          const length = typeof arg === 'number' ? arg : (arg?.length ?? 0);
          const isBad = this.#touched(offset, length).length > 0;
          if (name === 'readCached' && isBad) throw failed(offset);
          if (READS.includes(String(name)) && isBad) return Promise.reject(failed(offset));
          if (WRITES.includes(String(name))) this.#heal(offset, length);
          return value.call(real, offset, arg, ...rest);
        };
      },
    });

  #touched(offset: number, length: number): readonly number[] {
    const [from, to] = [offset / BLOCK_BYTES, (offset + length) / BLOCK_BYTES];
    return [...this.blocks].filter((block) => block < to && from < block + 1);
  }

  #heal(offset: number, length: number): void {
    for (const block of this.#touched(offset, length)) this.blocks.delete(block);
  }
}
