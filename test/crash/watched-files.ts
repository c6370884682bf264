// Files of which a test is told before each call: to fail it, or to do something just then.
import type { FileHandle, Files } from '../../src/base/files.js';

/** Files of a node of which `before` is told of each call: of files and of what they open. */
export const watchedFiles =
  (before: (call: string, path: string) => Promise<void>) =>
  (files: Files): Files =>
    watched(
      files,
      async (call, args) => before(call, String(args[0])),
      (result) =>
        isHandle(result) ? watched(result, async (call) => before(call, result.path)) : result,
    );

const isHandle = (value: unknown): value is FileHandle =>
  typeof value === 'object' && value !== null && 'readNow' in value;

function watched<T extends object>(
  real: T,
  before: (call: string, args: readonly unknown[]) => Promise<void>,
  after: (result: unknown) => unknown = (result) => result,
): T {
  return new Proxy(real, {
    get(_, name) {
      const value: unknown = Reflect.get(real, name, real);
      if (typeof value !== 'function') return value;
      if (String(name).endsWith('Now')) return value.bind(real);
      return async (...args: unknown[]) => {
        await before(String(name), args);
        return after(await value.apply(real, args));
      };
    },
  });
}
