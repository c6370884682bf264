// What was read and may be asked for again, up to a limit: the least recently used one goes first.
// Two who ask for the same at the same time share one reading; a failure is not kept. What an item
// counts for, one by default, is known when it is there; how much is being read is the caller's to
// bound.

export class Kept<K, T> {
  readonly #limit: number;
  readonly #weigh: (value: T) => number;
  readonly #all = new Map<K, { readonly value: Promise<T>; weight: number }>();
  #weight = 0;

  /** Of weights together; `weigh`: of one, when it has been read. */
  constructor(limit: number, weigh: (value: T) => number = () => 1) {
    this.#limit = limit;
    this.#weigh = weigh;
  }

  get(key: K, load: () => Promise<T>): Promise<T> {
    const found = this.peek(key);
    if (found !== null) return found;
    const value = load();
    const item = { value, weight: 0 };
    this.#all.set(key, item);
    value.then(
      (read) => this.#weighed(key, item, Math.max(1, this.#weigh(read))),
      () => this.#forget(key, item),
    );
    return value;
  }

  /** What is there or being read, or null. */
  peek(key: K): Promise<T> | null {
    const found = this.#all.get(key);
    if (found === undefined) return null;
    this.#all.delete(key);
    this.#all.set(key, found);
    return found.value;
  }

  #weighed(key: K, item: { weight: number }, weight: number): void {
    if (this.#all.get(key) !== item) return;
    item.weight = weight;
    this.#weight += weight;
    for (const [oldest, one] of this.#all) {
      if (this.#weight <= this.#limit) break;
      if (one.weight > 0) this.#forget(oldest, one);
    }
  }

  #forget(key: K, item: { readonly weight: number }): void {
    if (this.#all.get(key) !== item) return;
    this.#weight -= item.weight;
    this.#all.delete(key);
  }
}
