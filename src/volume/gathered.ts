// Work that serves everyone who asked before it began: those who come while it runs share the next
// run. An fdatasync of the disk (W3) and of the intent map (H10) are such work.
export class Gathered {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  /** Nothing of it is under way. */
  get idle(): boolean {
    return this.#running === null;
  }

  /** Settles with a run that began after this call. */
  run(): Promise<void> {
    if (this.#next !== null) return this.#next;
    if (this.#running === null) return this.#begin();
    const after = this.#running.catch(() => undefined);
    this.#next = after.then(() => {
      this.#next = null;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#running = this.#work().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }
}
