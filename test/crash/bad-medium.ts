// Files on a medium of which some places cannot be read: what is asked of such a place fails with
// the errno that it has, as often as it has it; all else goes through. Offsets are bytes.
import type { FileHandle, Files } from '../../src/base/files.js';
import { failed } from '../world/story.js';

/** A file whose path contains `name`; reads of bytes `from`.. of it fail, and with `open` also the
 * opening of it. */
export interface BadPlace {
  readonly name: string;
  readonly errno: string;
  readonly from?: number;
  readonly open?: boolean;
  /** How often; default: always. */
  times?: number;
}

export class BadMedium {
  readonly places: BadPlace[] = [];

  readonly files = (real: Files): Files =>
    new Proxy(real, {
      get: (files, name) => {
        const value: unknown = Reflect.get(files, name, files);
        if (name !== 'open') return typeof value === 'function' ? value.bind(files) : value;
        return async (...[path, mode]: Parameters<Files['open']>) => {
          this.#fail(path, 'open', null);
          return this.#handle(await files.open(path, mode));
        };
      },
    });

  #handle(real: FileHandle): FileHandle {
    return new Proxy(real, {
      get: (handle, name) => {
        const value: unknown = Reflect.get(handle, name, handle);
        if (typeof value !== 'function') return value;
        if (name === 'readNow') {
          return (into: Uint8Array, offset: number) => {
            this.#fail(handle.path, 'read', offset + into.length);
            return handle.readNow(into, offset);
          };
        }
        if (name !== 'read') return value.bind(handle);
        return async (into: Uint8Array, offset: number) => {
          this.#fail(handle.path, 'read', offset + into.length);
          return handle.read(into, offset);
        };
      },
    });
  }

  #fail(path: string, operation: 'open' | 'read', end: number | null): void {
    const bad = this.places.find((place) => {
      const isThere = end === null ? place.open === true : end > (place.from ?? 0);
      return isThere && path.includes(place.name) && place.times !== 0;
    });
    if (bad === undefined) return;
    if (bad.times !== undefined) bad.times -= 1;
    throw failed(operation, path, bad.errno);
  }
}
