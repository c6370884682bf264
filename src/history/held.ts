// What readers of the past hold in memory so that the next chunk need not ask a file again: pieces
// of undo indexes and decoded frames, least recently used out first. Bounded in bytes, by what its
// callers say a value may take (W5). A value that could not be had is forgotten: it is tried again.

export class Held {
  readonly #bytesMax: number;
  readonly #values = new Map<
    string,
    { readonly value: Promise<unknown>; readonly bytes: number }
  >();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The value of `key`, which always stands for values of one type; `make` where it is not held.
   * Who asks while it is made waits for the same. */
  get<T>(key: string, bytes: number, make: () => Promise<T>): Promise<T> {
    const found = this.#values.get(key);
    if (found !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, found);
      return found.value as Promise<T>;
    }
    const value = make();
    const held = { value, bytes };
    this.#values.set(key, held);
    this.#bytes += bytes;
    value.catch(() => {
      if (this.#values.get(key) === held) this.#drop(key, bytes);
    });
    for (const [oldest, { bytes: freed }] of this.#values) {
      if (this.#bytes <= this.#bytesMax || oldest === key) break;
      this.#drop(oldest, freed);
    }
    return value;
  }

  clear(): void {
    this.#values.clear();
    this.#bytes = 0;
  }

  #drop(key: string, bytes: number): void {
    this.#values.delete(key);
    this.#bytes -= bytes;
  }
}
