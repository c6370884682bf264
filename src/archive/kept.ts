// What was read and may be asked for again: the last so many, the least recently used one goes
// first. Two who ask for the same at the same time share one reading; a failure is not kept.

export class Kept<K, V extends Promise<unknown>> {
  readonly #limit: number;
  readonly #all = new Map<K, V>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: K, load: () => V): V {
    const found = this.#all.get(key);
    if (found !== undefined) {
      this.#all.delete(key);
      this.#all.set(key, found);
      return found;
    }
    const loading = load();
    this.#all.set(key, loading);
    loading.catch(() => this.#all.delete(key));
    for (const oldest of this.#all.keys()) {
      if (this.#all.size <= this.#limit) break;
      this.#all.delete(oldest);
    }
    return loading;
  }
}
