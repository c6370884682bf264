// Assertions: our own mistakes stop the program, one fact per line (STYLE 7). The world's mistakes
// are typed errors instead.

/** Thrown when the program itself is wrong; never caught to go on. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Stops with `fact` unless `condition` holds. */
export function assert(condition: boolean, fact: string): asserts condition {
  if (!condition) throw new AssertionError(`assertion failed: ${fact}`);
}

/** A value that cannot be missing; `fact` says why. */
export function present<T>(value: T | null | undefined, fact: string): T {
  if (value === null || value === undefined) throw new AssertionError(`assertion failed: ${fact}`);
  return value;
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
