// A device that tells of each access that is judged, just before it happens. Offsets and lengths
// are bytes.
import type { Device } from '../../src/disk/device.js';

export interface Accesses {
  /** Its content changes there. */
  readonly changes: (offset: number, length: number) => void;
  /** It is read aside, for a target. */
  readonly reads: (offset: number, length: number) => void;
}

const CHANGES: ReadonlySet<string | symbol> = new Set(['writeNow', 'write', 'zeroNow', 'punchNow']);

export function watched(device: Device, { changes, reads }: Accesses): Device {
  return new Proxy(device, {
    get: (real, name) => {
      const value: unknown = Reflect.get(real, name, real);
      if (typeof value !== 'function') return value;
      if (name === 'reserved') return reservedOf(real, changes);
      const bound: (...args: unknown[]) => unknown = value.bind(real);
      if (name === 'readAside') {
        return (offset: number, into: Uint8Array) => {
          reads(offset, into.length);
          return bound(offset, into);
        };
      }
      if (!CHANGES.has(name)) return bound;
      return (offset: number, what: number | Uint8Array, ...more: unknown[]) => {
        changes(offset, typeof what === 'number' ? what : what.length);
        return bound(offset, what, ...more);
      };
    },
  });
}

const reservedOf =
  (real: Device, changes: Accesses['changes']): Device['reserved'] =>
  (work) =>
    real.reserved((write) =>
      work((offset, bytes) => {
        changes(offset, bytes.length);
        return write(offset, bytes);
      }),
    );
